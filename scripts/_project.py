"""Lets the scripts of this folder run from any folder, with the project's environment."""

import importlib.util
import os
import sys
from pathlib import Path
from types import TracebackType

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
    if missing:
        sys.exit(_go_elsewhere(missing))
    sys.excepthook = _say_what_is_missing


def _say_what_is_missing(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Tell of a package that a helper of the tests wants, and `scripts/run` has not installed."""
    name = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) and name and not (ROOT / name.split(".")[0]).is_dir():
        print(_go_elsewhere([name]), file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


def _go_elsewhere(missing: list[str]) -> str:
    """Run the script with .venv's interpreter instead; return what to do if that is this one."""
    if PYTHON.exists() and Path(sys.prefix) != PYTHON.parent.parent:
        os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606 - the same script again, no shell
    return (
        f"{sys.argv[0]}: needs {', '.join(missing)}; install what the tests need: "
        f"scripts/test --version, or pip install -e '{ROOT}[dev]'"
    )
