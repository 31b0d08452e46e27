"""The commit that this kei was built from, without the help of git.

A wheel carries it in a file, which `hatch_build.py` makes; a checkout has it in its `.git`. Only
files are read, and those only when kei starts: no program is run, which might be missing or slow.
Imports nothing of kei, as the build runs it, too.
"""

import pkgutil
import re
from pathlib import Path

RECORD = "COMMIT"  # beside the package's modules
SHOWN_DIGITS = 7  # as git abbreviates
_HASH = re.compile(r"[0-9a-f]{40,64}")


def with_commit(version: str) -> str:
    """Return `1.4.0+g1a2b3c4` (PEP 440), or just the version where no commit is known."""
    commit = _recorded() or commit_of(Path(__file__).parents[2])
    return version if commit is None else f"{version}+g{commit[:SHOWN_DIGITS]}"


def commit_of(checkout: Path) -> str | None:
    """Return the commit that is checked out, in hex digits; None if the folder is no checkout."""
    try:
        return _valid(_read(checkout))
    except (OSError, ValueError):
        return None


def _recorded() -> str | None:
    try:
        data = pkgutil.get_data("kei", RECORD)  # also from within a zip file
    except OSError:
        return None
    return None if data is None else _valid(data.decode("ascii", "replace").strip())


def _read(checkout: Path) -> str:
    """Return what HEAD leads to; see gitrepository-layout(5).

    Raises:
        OSError: there is no such file.
        ValueError: a file holds no text, or not what belongs there.
    """
    git = checkout / ".git"
    if git.is_file():  # a further work tree, or a submodule
        git = checkout / git.read_text().removeprefix("gitdir:").strip()
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    if (git / "commondir").is_file():
        git /= (git / "commondir").read_text().strip()
    if (git / name).is_file():
        return (git / name).read_text().strip()
    packed = (line.split(" ") for line in (git / "packed-refs").read_text().splitlines())
    return next((words[0] for words in packed if words[1:] == [name]), "")


def _valid(commit: str) -> str | None:
    return commit if _HASH.fullmatch(commit) else None
