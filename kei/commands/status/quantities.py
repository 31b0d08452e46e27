"""What the numbers of the meter's series are measured in."""

from kei.commands.status.facts import Facts
from kei.core.reading import Reading

_OF_SENSOR = {
    "E0": "kWh",
    "E1": "kWh",
    "E3": "kWh",
    "E7": "W",
    "E8R": "A",
    "E8T": "A",
    "EA": "kWh",
    "EB": "kWh",
}


def quantity(facts: Facts, reading: Reading) -> str | None:
    """Return the unit of measure of a reading; None where it has none, or nobody knows it."""
    return _OF_SENSOR.get(reading.sensor) if reading.unit == facts.unit else None
