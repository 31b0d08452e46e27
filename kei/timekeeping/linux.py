"""What a Linux machine tells of its own clock: no policy, and nothing is changed."""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_TIME_ERROR = 5  # <sys/timex.h>: the clock is not synchronised
_STA_UNSYNC = 0x0040  # <sys/timex.h>: the same in `status`
# NTP_PHASE_LIMIT of the kernel: what it says of a clock of which it knows nothing.
_MAX_ERROR_US = 16_000_000
_SPARE_BYTES = 512  # struct timex has some 200 bytes, and each C library its own idea of the rest

MARKER = "run/systemd/timesync/synchronized"
_RUNTIME_FOLDERS = ("run/systemd/timesync", "run/chrony", "run/openntpd")
# As the kernel has them in /proc/PID/comm, of 15 characters at most. NTPsec's and OpenNTPD's are
# called ntpd, too.
_SERVICES = frozenset({"systemd-timesyn", "chronyd", "ntpd"})


class Timex(ctypes.Structure):
    """The beginning of struct timex, for any size of `long`; zero asks and sets nothing."""

    modes: int
    maxerror: int
    status: int
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * _SPARE_BYTES),
    )


AdjTimex = Callable[[Timex], int]  # returns the clock's state, or -1 when it may not be asked


def adjtimex_of_libc() -> AdjTimex | None:
    """Return the C library's `adjtimex`; None where there is none."""
    try:
        call = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError, TypeError):
        return None
    call.argtypes, call.restype = (ctypes.POINTER(Timex),), ctypes.c_int

    def ask(timex: Timex) -> int:
        return int(call(ctypes.byref(timex)))

    return ask


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine has to know the time by.

    Attributes:
        battery_clock: whether there is a hardware clock (`/dev/rtc*`).
        time_service: whether something is at work that sets the clock from the network.
    """

    battery_clock: bool
    time_service: bool


class Machine:
    """The machine, as far as its clock goes. Thread-safe.

    Args:
        adjtimex: the C library's; None where there is none.
        root: where `/dev`, `/proc` and `/run` are.
    """

    def __init__(self, adjtimex: AdjTimex | None, root: Path = Path("/")) -> None:
        self._adjtimex = adjtimex
        self._root = root

    def kernel_synchronised(self) -> bool | None:
        """Return whether the kernel takes its clock for synchronised; None if it does not tell.

        Some time services (chronyd without `rtcsync`, systemd-timesyncd when the hardware clock
        shows local time) leave the mark of an unsynchronised clock set, so that the kernel does
        not touch the hardware clock. The error bound that they set tells the truth then.
        """
        if self._adjtimex is None:
            return None
        timex = Timex()
        state = self._adjtimex(timex)
        if state < 0:  # not allowed (a sandbox), or not there
            return None
        unmarked = state != _TIME_ERROR and not timex.status & _STA_UNSYNC
        return unmarked or 0 <= timex.maxerror < _MAX_ERROR_US

    def marker(self) -> int | None:
        """Return what changes whenever systemd-timesyncd sets the clock; None if it never has."""
        try:
            return (self._root / MARKER).stat().st_mtime_ns
        except OSError:
            return None

    def hardware(self) -> Hardware:
        """Find out what the machine has; reads a small file of each process."""
        return Hardware(self._has_battery_clock(), self._has_time_service())

    def _has_battery_clock(self) -> bool:
        with contextlib.suppress(OSError):
            return any((self._root / "dev").glob("rtc*"))
        return False

    def _has_time_service(self) -> bool:
        if any(self._exists(folder) for folder in _RUNTIME_FOLDERS):
            return True
        return any(name in _SERVICES for name in self._process_names())

    def _process_names(self) -> Iterator[str]:
        with contextlib.suppress(OSError):  # no /proc
            for folder in (self._root / "proc").iterdir():
                if folder.name.isdecimal():
                    with contextlib.suppress(OSError):  # it has ended meanwhile
                        yield (folder / "comm").read_text(errors="replace").strip()

    def _exists(self, path: str) -> bool:
        try:
            return (self._root / path).exists()
        except OSError:
            return False
