"""Another user of the machine, which only root can be: one who owns nothing."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from forked import unmeasured
from programs import ROOT, Program, running

STRANGER = 12_345

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

BECOME = f"import os\nos.setgroups([])\nos.setgid({STRANGER})\nos.setuid({STRANGER})\n"
"""Everything that is imported has to be before this: Python's own files may be root's alone."""

KEI = """
import _strptime
import difflib
import sys
import kei.app.runner
import kei.jobs.kinds
from kei.cli import main
b"x".decode("utf-8-sig")
kei.jobs.kinds.tables()
"""
COMMANDS = "import kei.commands.{0}\n"


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that everybody may look into, unlike those of the tests."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def kei_of_a_stranger(command: str, *args: str) -> Iterator[Program]:
    """A command of kei as another user; not measured, as that user may write no results."""
    code = f"{KEI}{COMMANDS.format(command.replace('-', '_'))}{BECOME}sys.exit(main(sys.argv[1:]))"
    with running(command, *args, program=("-c", code), measured=False) as program:
        yield program


def as_stranger(code: str, imports: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as another user, to its end."""
    return subprocess.run(
        [sys.executable, "-c", f"{imports}\n{BECOME}{code}"],
        cwd=ROOT,
        env=unmeasured(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
