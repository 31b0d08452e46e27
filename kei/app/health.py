"""How this kei is, for servers that ask for it: the session, the clock, the machine."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from kei import __version__
from kei.core.clock import Clock
from kei.timekeeping.monitor import ClockStatus
from kei.upload.health import Health
from kei.wisun.interfaces import SessionStatus

if TYPE_CHECKING:  # what prices need is loaded where there are some
    from kei.meter.figures import Figures

THERMAL_ZONES = Path("/sys/class/thermal")
# `cpu-thermal` (Raspberry Pi), `soc-thermal`, `x86_pkg_temp`: others are of batteries and radios.
_OF_PROCESSORS = ("cpu", "soc", "pkg")


def health_of(
    session: SessionStatus | None,
    clock_status: ClockStatus,
    up_s: float,
    folder: Path,
    clock: Clock,
) -> Health:
    """Put together what is known.

    Args:
        session: None without a meter.
        clock_status: how far the clock can be trusted.
        up_s: seconds since kei was started.
        folder: where the database is.
        clock: for the time.
    """
    return Health(
        version=__version__,
        numbers={
            "session_up": int(session.joined) if session else None,
            "lqi": session.lqi if session else None,
            "rssi_dbm": session.rssi_dbm if session else None,
            "answered": session.answered if session else None,
            "missed": session.missed if session else None,
            "clock_synchronised": int(clock_status.synchronised),
            "disk_free_bytes": _disk_free_bytes(folder),
            "cpu_celsius": cpu_celsius(THERMAL_ZONES),
            "uptime_s": round(up_s),
        },
        time_ms=None if clock_status.likely_wrong else clock.now_ms(),
    )


def costs_of(figures: "Figures") -> dict[str, float | None]:
    """Return what electricity costs by the names that servers get, in yen; None is not known."""
    amounts = {
        "cost_today_yen": figures.today.cost,
        "cost_bill_yen": figures.period.cost,
        "cost_forecast_yen": figures.period.forecast,
        "price_yen_per_kwh": figures.price,
    }
    return {
        name: None if amount is None else round(float(amount), 2)
        for name, amount in amounts.items()
    }


def _disk_free_bytes(folder: Path) -> int | None:
    """Return what kei's user can still write to a disk; None if it cannot be asked."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def cpu_celsius(zones: Path) -> float | None:
    """Return the temperature of the processor in degrees Celsius; None if the machine has none.

    Args:
        zones: the folder of Linux with a folder for each place that is measured.
    """
    for zone in sorted(zones.glob("thermal_zone*")):
        with contextlib.suppress(OSError, ValueError):
            if any(name in (zone / "type").read_text("ascii") for name in _OF_PROCESSORS):
                return int((zone / "temp").read_text("ascii")) / 1000  # from thousandths
    return None
