"""`kei`, on a machine whose clock a time service has set: what the kernel says of it is replaced.

To be run as `python kei_synchronised.py [arguments of kei]`.
"""

import sys

import kei.app.engine
from kei.cli import main
from kei.timekeeping.linux import LinuxClock


class SetClock(LinuxClock):
    """A clock that is synchronised."""

    def kernel_synchronised(self) -> bool:
        return True


if __name__ == "__main__":
    vars(kei.app.engine)["LinuxClock"] = SetClock
    sys.exit(main(sys.argv[1:]))
