"""`python -m kei` is the same program as `kei`."""

import sys
from typing import NoReturn

from kei.cli import main


def run() -> NoReturn:
    """Run a command and end with its exit code; for `kei.pyz`, which calls a function."""
    sys.exit(main())


if __name__ == "__main__":
    run()
