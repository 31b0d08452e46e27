"""How a port with sensors is doing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """How a port is doing.

    Attributes:
        port: as jobs.toml has it.
        fault: why it is not open; None if it is.
        since_s: for how many seconds that has been so.
        accepted: lines recorded since the start.
        rejected: lines left out since the start, by `kei.sensors.lines.Reason`.
        heard_s: seconds since something arrived; None if nothing has since the start.
        silent: series, `UnitID,SensorID`, that have been silent for too long.
    """

    port: str
    fault: str | None
    since_s: float
    accepted: int
    rejected: dict[str, int]
    heard_s: float | None
    silent: tuple[str, ...]
