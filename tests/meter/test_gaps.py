"""Which half-hours are missing, and what is made of the meter's answer."""

from datetime import date
from decimal import Decimal

import pytest
from session_bench import Memory
from stored import add_readings

from kei.core.reading import Reading
from kei.echonet.meter_class import Scale
from kei.energy.registers import HALF_HOUR_MS
from kei.meter.gaps import DAY_MS, AnotherMeter, Gaps, OtherValues, start_ms
from kei.store.database import Database
from kei.store.half_hours import HalfHours

DAY = date(2026, 11, 22)
BEGIN_MS = start_ms(DAY)
NEXT_DAY_MS = BEGIN_MS + DAY_MS
TENTH = Scale(1, Decimal("0.1"))
TIMES = range(BEGIN_MS, NEXT_DAY_MS, HALF_HOUR_MS)


def value(number: int, kwh: str, sensor: str = "EA") -> Reading:
    return Reading(BEGIN_MS + number * HALF_HOUR_MS, "BR", sensor, Decimal(kwh), "x")


def gaps_of(database: Database, memory: Memory | None = None) -> Gaps:
    return Gaps(HalfHours(database), Memory() if memory is None else memory, "BR", "none")


def test_what_is_there_is_not_missing(database: Database) -> None:
    others = [
        Reading(BEGIN_MS + HALF_HOUR_MS, "BR", "E0", Decimal(1), "x"),
        Reading(BEGIN_MS + HALF_HOUR_MS + 1000, "BR", "EA", Decimal(1), "x"),
        Reading(BEGIN_MS + HALF_HOUR_MS, "B2", "EA", Decimal(1), "x"),
    ]
    add_readings(database, [value(0, "1.0"), value(3, "1.1"), *others])
    gap = gaps_of(database).of(DAY, ("EA",), 0, BEGIN_MS + 4 * HALF_HOUR_MS)
    assert gap is not None
    assert gap.missing == {"EA": 1 << 1 | 1 << 2 | 1 << 4}
    assert (gap.count, gap.hours) == (3, range(1, 5))


def test_a_day_that_is_complete_has_no_gap(database: Database) -> None:
    add_readings(database, [value(number, f"{number}.0") for number in range(48)])
    gaps = gaps_of(database)
    assert gaps.of(DAY, ("EA",), 0, NEXT_DAY_MS) is None
    gap = gaps.of(DAY, ("EA", "EB"), BEGIN_MS, BEGIN_MS)
    assert gap is None  # remembered for as long as the meter is the same


def test_only_what_is_missing_is_recorded(database: Database) -> None:
    add_readings(database, [value(0, "1.0")])
    gaps = gaps_of(database)
    gap = gaps.of(DAY, ("EA",), 0, TIMES[2])
    assert gap is not None
    found = {"EA": dict(zip(TIMES, [10, 11, None, 13], strict=False))}
    made = gaps.readings(gap, found, TENTH, TIMES[2])
    assert made == [value(1, "1.1")]
    assert all(each.recovered for each in made)


def test_a_day_of_other_values_than_those_recorded_is_refused(database: Database) -> None:
    add_readings(database, [value(0, "1.0")])
    gaps = gaps_of(database)
    gap = gaps.of(DAY, ("EA",), 0, TIMES[2])
    assert gap is not None
    with pytest.raises(OtherValues) as raised:
        gaps.readings(gap, {"EA": {TIMES[0]: 12, TIMES[1]: 13}}, TENTH, TIMES[2])
    assert raised.value.hours_off is None


def test_what_the_meter_has_not_is_remembered_but_not_what_it_may_yet_have(
    database: Database,
) -> None:
    memory = Memory()
    gaps = gaps_of(database, memory)
    gap = gaps.of(DAY, ("EA",), 0, TIMES[5])
    assert gap is not None
    assert gaps.readings(gap, {"EA": dict.fromkeys(TIMES[:6])}, TENTH, TIMES[5]) == []
    gaps.save(DAY)
    left = gaps_of(database, memory).of(DAY, ("EA",), 0, TIMES[5])
    assert left is not None
    assert left.missing == {"EA": 1 << 3 | 1 << 4 | 1 << 5}
    gaps.save(date(2026, 11, 23))  # the day is too old by then
    assert memory["none"] == "{}"


def test_a_memory_that_is_damaged_is_begun_anew(database: Database) -> None:
    for damage in ("nothing", "[1]", '{"2026-13-01": {}}', '{"2026-11-22": {"EA": 7}}'):
        gaps = gaps_of(database, Memory({"none": damage}))
        assert gaps.of(DAY, ("EA",), 0, TIMES[0]) is not None


def test_that_a_whole_day_is_not_there_is_believed_when_it_is_said_after_another_join(
    database: Database,
) -> None:
    memory, nothing = Memory(), {"EA": dict[int, int | None].fromkeys(TIMES)}
    for is_asked_again in (True, False):
        gaps = gaps_of(database, memory)
        gap = gaps.of(DAY, ("EA",), 0, TIMES[47])
        assert gap is not None
        assert gaps.readings(gap, nothing, TENTH, NEXT_DAY_MS + DAY_MS) == []
        gaps.save(DAY)
        assert gaps.of(DAY, ("EA",), 0, TIMES[47]) is None
        anew = gaps_of(database, memory).of(DAY, ("EA",), 0, TIMES[47])
        assert (anew is not None) is is_asked_again


@pytest.mark.parametrize("hours_off", [9, -5])
def test_a_day_whose_stamps_are_hours_off_is_not_filled_but_it_is_the_same_meter(
    database: Database, hours_off: int
) -> None:
    told = {"EA": dict[int, int | None](zip(TIMES, range(10, 58), strict=True))}
    late = [value(number + 2 * hours_off, f"{number / 10 + 1}") for number in range(20, 30)]
    add_readings(database, late)
    gap = gaps_of(database).of(DAY, ("EA",), 0, TIMES[47])
    assert gap is not None
    with pytest.raises(OtherValues) as raised:
        gaps_of(database).readings(gap, told, TENTH, NEXT_DAY_MS)
    assert raised.value.hours_off == hours_off


def test_a_day_of_which_all_values_are_others_is_that_of_another_meter(database: Database) -> None:
    told = {"EA": dict[int, int | None](zip(TIMES, range(10, 58), strict=True))}
    add_readings(database, [value(number, f"{number + 700}.0") for number in range(5)])
    gap = gaps_of(database).of(DAY, ("EA",), 0, TIMES[47])
    assert gap is not None
    with pytest.raises(AnotherMeter):
        gaps_of(database).readings(gap, told, TENTH, NEXT_DAY_MS)
