"""What Linux knows about the state of its clock. No policy; nothing is changed."""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

_TIME_ERROR = 5  # <sys/timex.h>: the clock is not synchronised
_STA_UNSYNC = 0x0040  # <sys/timex.h>: the same in `status`
# NTP_PHASE_LIMIT of the kernel: the error bound of a clock of which it knows nothing.
_MAX_ERROR_US = 16_000_000
_SPARE_BYTES = 512  # struct timex has some 200 bytes; its end differs between C libraries

TIMESYNC_MARKER = "run/systemd/timesync/synchronized"
_RUNTIME_FOLDERS = ("run/systemd/timesync", "run/chrony", "run/openntpd")
# As in /proc/PID/comm, cut to 15 characters. NTPsec and OpenNTPD are called ntpd, too.
_SERVICES = frozenset({"systemd-timesyn", "chronyd", "ntpd"})


class Timex(ctypes.Structure):
    """The beginning of struct timex, for any size of `long`; with `modes` 0 nothing is set."""

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


def boot_id(path: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """Return the name of the present boot of the machine; if it has none, a new one each time.

    So nothing that an earlier process has timed is taken for a time of this boot.
    """
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return str(uuid4())


AdjTimex = Callable[[Timex], int]  # returns the clock's state, or -1 if that is not permitted


def adjtimex_of_libc() -> AdjTimex | None:
    """Return the C library's `adjtimex`; None if it has none."""
    try:
        call = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError, TypeError):
        return None
    call.argtypes, call.restype = (ctypes.POINTER(Timex),), ctypes.c_int

    def ask(timex: Timex) -> int:
        return int(call(ctypes.byref(timex)))

    return ask


@dataclass(frozen=True, slots=True)
class ClockSources:
    """From what a machine knows the time.

    Attributes:
        battery_clock: whether there is a hardware clock (`/dev/rtc*`).
        time_service: whether a service runs that sets the clock from the network.
    """

    battery_clock: bool
    time_service: bool


class LinuxClock:
    """Asks Linux about its clock. Thread-safe.

    Args:
        adjtimex: the C library's; None if it has none.
        root: the folder of `dev`, `proc` and `run`.
    """

    def __init__(self, adjtimex: AdjTimex | None, root: Path = Path("/")) -> None:
        self._adjtimex = adjtimex
        self._root = root

    def kernel_synchronised(self) -> bool | None:
        """Return whether the kernel regards its clock as synchronised; None if it cannot be asked.

        Some time services (chronyd without `rtcsync`, systemd-timesyncd when the hardware clock
        shows local time) leave the flag of an unsynchronised clock set, so that the kernel does
        not touch the hardware clock. Then the error bound that they set decides.
        """
        if self._adjtimex is None:
            return None
        timex = Timex()
        state = self._adjtimex(timex)
        if state < 0:  # not permitted (a sandbox), or not implemented
            return None
        unflagged = state != _TIME_ERROR and not timex.status & _STA_UNSYNC
        return unflagged or 0 <= timex.maxerror < _MAX_ERROR_US

    def timesync_marker(self) -> int | None:
        """Return a number that changes whenever systemd-timesyncd sets the clock; None if never."""
        try:
            return (self._root / TIMESYNC_MARKER).stat().st_mtime_ns
        except OSError:
            return None

    def sources(self) -> ClockSources:
        """Return from what the machine knows the time; reads a small file of each process."""
        return ClockSources(self._has_battery_clock(), self._has_time_service())

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
                    with contextlib.suppress(OSError):  # the process has ended meanwhile
                        yield (folder / "comm").read_text(errors="replace").strip()

    def _exists(self, path: str) -> bool:
        try:
            return (self._root / path).exists()
        except OSError:
            return False
