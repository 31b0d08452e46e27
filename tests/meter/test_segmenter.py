"""A meter that is replaced, counts otherwise, or falls: where a new segment begins."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from stored import add_readings
from structlog.testing import capture_logs

from kei.core.reading import Reading
from kei.echonet.meter_class import Scale
from kei.energy.registers import HALF_HOUR_MS
from kei.meter.segmenter import FELL, FIRST, Segmenter, fallen, identity_of
from kei.store.database import Database
from kei.store.half_hours import HalfHours
from kei.store.segments import Identity, Segments

TENTH = Scale(1, Decimal("0.1"))
T0 = 1_790_000_000_000 // HALF_HOUR_MS * HALF_HOUR_MS
METER = Identity("000016", "KEI000000001", 1, Decimal("0.1"), 6)


def registers(*values: str) -> list[Reading]:
    return [
        Reading(T0 + number * HALF_HOUR_MS, "BR", "EA", Decimal(value), "x")
        for number, value in enumerate(values)
    ]


def segmenter(database: Database) -> Segmenter:
    return Segmenter(Segments(database), HalfHours(database), "BR")


NOW = T0 + 10 * HALF_HOUR_MS


def test_a_meter_is_known_by_what_it_gives() -> None:
    found = {0x8A: b"\0\0\x16", 0x8D: b"KEI000000001", 0xD7: b"\x06"}
    assert identity_of(found) == Identity("000016", "KEI000000001", digits=6)
    assert identity_of({0xD7: b"\x09", 0x8D: b""}) == Identity(serial="")
    assert identity_of({}) == Identity()
    assert identity_of({}, (), "001D129012345678") == Identity(serial="MAC 001D129012345678")
    assert identity_of({}, address="001D129012345678") == Identity()


@pytest.mark.parametrize(
    ("values", "falls_at"),
    [
        (["1.0", "1.5", "1.5"], None),
        (["99999.8", "0.3"], None),  # six digits of 0.1 kWh: rolled over
        (["12345.6", "0.3"], 1),
        (["5.0", "5.1", "4.9", "6.0"], 2),
        (["99999.9", "0.0", "0.1"], None),
        (["7.0"], None),
        ([], None),
    ],
)
def test_a_register_falls_or_rolls_over(values: Sequence[str], falls_at: int | None) -> None:
    found = registers(*values)
    expected = None if falls_at is None else found[falls_at]
    assert fallen(found, TENTH, 6) == expected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"serial": "KEI000000002"}, "another serial number"),
        ({"maker": "000012"}, "another maker"),
        ({"energy_unit": Decimal("0.01")}, "another unit"),
        ({"coefficient": 10}, "another coefficient"),
        ({"digits": 8}, "another number of digits"),
    ],
)
def test_another_meter_begins_a_segment_behind_what_is_recorded(
    database: Database, change: dict[str, object], reason: str
) -> None:
    add_readings(database, registers("1.0", "1.1"))
    assert segmenter(database).look_at(METER, NOW, NOW) == 0
    assert segmenter(database).look_at(METER, NOW, NOW) == 0
    with capture_logs() as logs:
        begins_ms = segmenter(database).look_at(replace(METER, **change), NOW, NOW)  # type: ignore[arg-type]
    assert begins_ms == T0 + HALF_HOUR_MS + 1
    assert [(each["event"], each["why"]) for each in logs] == [("meter_segment_began", reason)]
    assert [each.reason for each in Segments(database).of("BR")] == [FIRST, reason]
    assert segmenter(database).look_at(replace(METER, **change), NOW, NOW) == begins_ms  # type: ignore[arg-type]


def test_what_becomes_known_later_is_no_other_meter(database: Database) -> None:
    segmenter(database).look_at(Identity(maker="000016"), NOW, NOW)
    segmenter(database).look_at(METER, NOW, NOW)
    segmenter(database).look_at(Identity(), NOW, NOW)
    (only,) = Segments(database).of("BR")
    assert only.identity == METER


def test_a_fall_begins_a_segment_once_and_older_days_are_filled_all_the_same(
    database: Database,
) -> None:
    add_readings(database, registers("500.0", "500.1", "0.2", "0.3"))
    found = segmenter(database)
    found.look_at(METER, NOW, NOW)
    for _ in range(2):
        found.look_for_falls(["EA"], T0, T0 + 4 * HALF_HOUR_MS, TENTH)
    assert [(each.from_ms, each.reason) for each in Segments(database).of("BR")] == [
        (0, FIRST),
        (T0 + 2 * HALF_HOUR_MS, FELL),
    ]
    assert found.look_at(METER, NOW, NOW) == 0


def test_a_new_meter_begins_a_segment_before_its_own_first_values(database: Database) -> None:
    live = Reading(T0 + HALF_HOUR_MS + 600_000, "BR", "E0", Decimal("1.1"), "x")
    met_ms = T0 + 3 * HALF_HOUR_MS + 60_000
    of_new = [
        Reading(T0 + 3 * HALF_HOUR_MS, "BR", "EA", Decimal("900.1"), "x"),
        Reading(met_ms + 5000, "BR", "E0", Decimal("900.1"), "x"),
    ]
    add_readings(database, [*registers("1.0", "1.1"), live, *of_new])
    segmenter(database).look_at(METER, 0, 0)
    found = segmenter(database).look_at(replace(METER, serial="NEW"), met_ms, NOW)
    assert found == live.time_ms + 1


def test_another_unit_counts_from_the_last_join_on(database: Database) -> None:
    add_readings(
        database,
        [
            Reading(T0 + number * HALF_HOUR_MS, "BR", "E0", Decimal(number), "x")
            for number in range(6)
        ],
    )
    segmenter(database).look_at(METER, 0, 0)
    other = replace(METER, energy_unit=Decimal("0.01"))
    joined_ms = T0 + 4 * HALF_HOUR_MS + 1
    assert segmenter(database).look_at(other, T0, joined_ms) == joined_ms


def test_stamps_in_the_future_put_no_segment_there(database: Database) -> None:
    add_readings(database, [Reading(2_082_758_400_000, "BR", "EA", Decimal(7), "x")])
    segmenter(database).look_at(METER, NOW, NOW)
    assert segmenter(database).look_at(replace(METER, serial="NEW"), NOW, NOW) <= NOW


def test_an_older_fall_is_seen_beside_a_newer_segment_with_the_range_of_its_time(
    database: Database,
) -> None:
    add_readings(database, registers("500.0", "0.2", "0.3", "0.4"))
    found = segmenter(database)
    found.look_at(METER, NOW, NOW)
    other = replace(METER, serial="NEW", energy_unit=Decimal("0.01"))
    found.look_at(other, T0 + 4 * HALF_HOUR_MS, NOW)
    for _ in range(2):
        found.look_for_falls(["EA"], T0, T0 + 4 * HALF_HOUR_MS, TENTH)
    begun = [(each.from_ms, each.reason) for each in Segments(database).of("BR")]
    assert begun[:2] == [(0, FIRST), (T0 + HALF_HOUR_MS, FELL)]
    assert len(begun) == 3


def test_without_any_segment_no_fall_is_looked_for(database: Database) -> None:
    add_readings(database, registers("500.0", "0.2"))
    segmenter(database).look_for_falls(["EA"], T0, NOW, TENTH)
    assert Segments(database).of("BR") == []


def test_a_wrong_value_is_no_fall_and_of_two_at_once_the_last_counts(database: Database) -> None:
    add_readings(database, registers("100.8", "99.9", "101.0", "777.0", "101.2", "101.3"))
    add_readings(database, [replace(registers(*"1234")[3], value=Decimal("101.1"))])
    found = segmenter(database)
    found.look_at(METER, NOW, NOW)
    found.look_for_falls(["EA"], T0, NOW, TENTH)
    assert [each.reason for each in Segments(database).of("BR")] == [FIRST]
