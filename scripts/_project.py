"""Lets the scripts of this folder run from any folder, with the project's environment."""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"
_NEEDS = ("apscheduler", "requests", "serial", "structlog")


def use_project(*needs: str) -> None:
    """Make `kei` and the helpers of the tests importable, if need be with .venv's interpreter.

    Args:
        needs: further modules that the script imports, of the extra `dev`.

    Raises:
        SystemExit: a package is missing, here and in .venv; the text says what to do.
    """
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    missing = [name for name in (*_NEEDS, *needs) if importlib.util.find_spec(name) is None]
    if not missing:
        return
    if PYTHON.exists() and Path(sys.prefix) != PYTHON.parent.parent:
        os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606 - the same script again, no shell
    sys.exit(
        f"{sys.argv[0]}: needs {', '.join(missing)}; install what the tests need: "
        f"scripts/test --version, or pip install -e '{ROOT}[dev]'"
    )
