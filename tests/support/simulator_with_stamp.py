"""`kei simulate` with a meter whose half-hour values have a time stamp that a file says, in hex.

To be run as `python simulator_with_stamp.py FILE [arguments of kei]`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import kei.simulator.meter.meter
from kei.cli import main

STAMP_FILE = Path(sys.argv[1])


def _stamped(second: int, value: Callable[[int], bytes]) -> bytes:
    return bytes.fromhex(STAMP_FILE.read_text()) + value(second)


if __name__ == "__main__":
    vars(kei.simulator.meter.meter)["stamped"] = _stamped
    sys.exit(main(sys.argv[2:]))
