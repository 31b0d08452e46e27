"""A database as kei leaves it after months in a simulated home, made within a second."""

from decimal import Decimal
from pathlib import Path

from fakes import TOKYO, FakeClock
from stored import add_readings

from kei.core.clock import Clock
from kei.core.reading import Reading
from kei.simulator.household.household import Household
from kei.store.database import Database

HALF_HOUR_S = 1800
JAPAN_S = 9 * 3600  # the household's seconds are those of the clock on the wall
KWH_TENTH = 360_000  # Ws


def record_home(
    database: Path,
    clock: Clock | None = None,
    *,
    days: int = 40,
    power_days: int = 1,
    power_every_s: int = 60,
    solar: bool = False,
    seed: int = 0,
) -> None:
    """Put the registers of some days up to now, and the power of the last ones, into a database.

    They are those that the simulated meter of the same seed tells, so that it goes on with them.
    """
    clock = clock or FakeClock(zone=TOKYO)
    now_s = clock.now_ms() // 1000
    home = Household(seed, solar=solar)
    readings = []
    for second in range((now_s - days * 86_400) // HALF_HOUR_S * HALF_HOUR_S, now_s, HALF_HOUR_S):
        energy = home.energy(second + JAPAN_S)
        for sensor, amount in (("EA", energy.normal), ("EB", energy.reverse)):
            value = Decimal(amount // KWH_TENTH) / 10
            readings.append(
                Reading(second * 1000, "BR", sensor, value.quantize(Decimal("0.1")), "x")
            )
    for second in range(now_s - power_days * 86_400, now_s, power_every_s):
        power = Decimal(home.watt(second + JAPAN_S))
        readings.append(Reading(second * 1000, "BR", "E7", power, "x"))
    scale = (("D3", "1"), ("D7", "6"), ("E1", "0.1"))
    readings += [Reading(now_s * 1000, "BR", name, Decimal(value), "x") for name, value in scale]
    opened = Database.open(database, clock)
    add_readings(opened, readings)
    opened.close()
