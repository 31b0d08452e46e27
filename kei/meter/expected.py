"""How often a new reading of each of the meter's series is to be expected."""

from dataclasses import dataclass

from kei.echonet.meter_class import PROPERTIES
from kei.settings.broute import Broute


@dataclass(frozen=True, slots=True)
class Expected:
    """A property that is asked for.

    Attributes:
        sensors: SensorIDs of its readings; a meter may lack all but one.
        cycle_s: how often there should be a new one.
    """

    sensors: tuple[str, ...]
    cycle_s: float


def expected_of(broute: Broute) -> tuple[Expected, ...]:
    """Return what the requests of a meter should bring, one entry a property."""
    cycles: dict[int, float] = {}
    for group in broute.requests:
        for epc in group.epcs:
            cycle_s = max(group.cycle_s, PROPERTIES[epc].measured_every_s or 0.0)
            cycles[epc] = min(cycle_s, cycles.get(epc, cycle_s))
    return tuple(Expected(PROPERTIES[epc].sensors, cycle_s) for epc, cycle_s in cycles.items())


def cycles_of(broute: Broute | None) -> dict[tuple[str, str], float]:
    """Return how often there should be a reading, seconds, by UnitID and SensorID."""
    if broute is None:
        return {}
    return {
        (broute.unit, sensor): expected.cycle_s
        for expected in expected_of(broute)
        for sensor in expected.sensors
    }
