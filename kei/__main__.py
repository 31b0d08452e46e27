"""`python -m kei` is the same program as `kei`."""

import sys

from kei.cli import main

if __name__ == "__main__":
    sys.exit(main())
