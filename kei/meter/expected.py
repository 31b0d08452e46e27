"""How often there should be a new reading of each series, as far as the configuration says it."""

from collections.abc import Iterator
from dataclasses import dataclass

from kei.settings.broute import Broute

# E8 has a line for each phase that there is, all others have one of their own name.
_SENSORS = {0xE8: ("E8R", "E8T")}
_HALF_HOURLY = frozenset({0xEA, 0xEB})  # however often they are asked for
_HALF_HOUR_S = 1800.0


@dataclass(frozen=True, slots=True)
class Expected:
    """A property that is asked for.

    Attributes:
        sensors: SensorIDs of its readings; a meter may lack all but one.
        cycle_s: how often there should be a new one.
    """

    sensors: tuple[str, ...]
    cycle_s: float


def expected_of(broute: Broute) -> Iterator[Expected]:
    """Yield what the requests of a meter should bring."""
    cycles: dict[int, float] = {}
    for group in broute.requests:
        for epc in group.epcs:
            cycles[epc] = min(group.cycle_s, cycles.get(epc, group.cycle_s))
    for epc, cycle_s in cycles.items():
        longest_s = max(cycle_s, _HALF_HOUR_S) if epc in _HALF_HOURLY else cycle_s
        yield Expected(_SENSORS.get(epc, (f"{epc:02X}",)), longest_s)


def cycles_of(broute: Broute | None) -> dict[tuple[str, str], float]:
    """Return how often there should be a reading, seconds, by UnitID and SensorID."""
    if broute is None:
        return {}
    return {
        (broute.unit, sensor): expected.cycle_s
        for expected in expected_of(broute)
        for sensor in expected.sensors
    }
