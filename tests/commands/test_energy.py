"""kWh of hours, days and months, from what kei has recorded."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fakes import TOKYO, FakeClock
from jobs_file import JobsFile
from programs import command
from stored import add_readings, recorder_of

from kei.commands.energy import Form, Selection, energy
from kei.commands.energy_table import Screen, screen_of
from kei.core.clock import epoch_ms
from kei.core.errors import ConfigError, StoreError
from kei.core.reading import Reading
from kei.energy.document import COLUMNS
from kei.energy.periods import By
from kei.store.database import Database
from kei.store.text import DailyFile

MIDNIGHT = 1_795_359_600_000  # 2026-11-23 00:00 in Tokyo
HALF_HOUR = 1_800_000
DAY = 48 * HALF_HOUR
BROUTE = """[broute]
port = "sim:"
broute_id_file = "/nowhere/id"
broute_pwd_file = "/nowhere/pwd"
"""


def register(number: int, value: str, sensor: str = "EA", unit: str = "BR") -> Reading:
    return Reading(MIDNIGHT + number * HALF_HOUR, unit, sensor, Decimal(value), "x")


def day(first: int = 0, count: int = 49) -> list[Reading]:
    """A register each half-hour: 0.1 kWh in most, 0.5 kWh from 18:00 to 18:30 of each day."""
    readings, tenths = [], 109_349
    for number in range(first, first + count):
        readings.append(register(number, f"{Decimal(tenths) / 10}"))
        tenths += 5 if number % 48 == 36 else 1
    return readings


@dataclass
class Home:
    """A folder with jobs.toml and a database."""

    jobs: JobsFile
    database: Database

    def says(
        self,
        begin: str = "2026-11-23",
        end: str = "2026-11-23",
        by: By = By.DAY,
        form: Form = Form.TABLE,
        *,
        screen: Screen | None = None,
        now_ms: int = MIDNIGHT + 9 * DAY,
        zone: ZoneInfo = TOKYO,
        tell: Callable[[str], None] = print,
    ) -> str:
        selection = Selection(begin, end, by, form, screen)
        clock = FakeClock(now_ms, zone)
        return "".join(energy(self.jobs.path, selection, environ={}, clock=clock, tell=tell))

    def rows(
        self,
        begin: str = "2026-11-23",
        end: str = "2026-11-23",
        by: By = By.DAY,
        now_ms: int = MIDNIGHT + 9 * DAY,
    ) -> list[dict[str, object]]:
        found = json.loads(self.says(begin, end, by, Form.JSON, now_ms=now_ms), parse_float=Decimal)
        assert found["by"] == by.value
        rows: list[dict[str, object]] = found["rows"]
        return rows


@pytest.fixture
def home(tmp_path: Path, database: Database) -> Home:
    jobs = JobsFile(tmp_path / "jobs.toml")
    jobs.path.write_text(BROUTE)
    return Home(jobs, database)


def test_a_day_as_json(home: Home) -> None:
    sold = [register(number, "7.25", "EB") for number in range(49)]
    add_readings(home.database, [*day(), *sold])
    document = json.loads(home.says(form=Form.JSON), parse_float=Decimal)
    whole = {
        "start": "2026-11-23T00:00:00+09:00",
        "end": "2026-11-24T00:00:00+09:00",
        "bought_kwh": Decimal("5.2"),
        "sold_kwh": Decimal("0.00"),
        "state": "complete",
        "missing": 0,
        "missing_sold": 0,
        "peak_kwh": Decimal("0.5"),
        "peak_start": "2026-11-23T18:00:00+09:00",
    }
    assert document == {"by": "day", "rows": [whole], "gaps": [], "total": whole}


def test_half_hours_one_by_one(home: Home) -> None:
    add_readings(home.database, day(0, 40))
    rows = home.rows("2026-11-23T17:40", "2026-11-23T19:00", By.HALF_HOUR)
    starts = [str(row["start"])[11:16] for row in rows]
    assert starts == ["17:40", "18:00", "18:30"]
    assert [row["bought_kwh"] for row in rows] == [None, Decimal("0.5"), Decimal("0.1")]
    table = home.says("2026-11-23T18:00", "2026-11-23T19:00", By.HALF_HOUR).splitlines()
    assert table[1].startswith("2026-11-23 18:00")
    assert "from" not in table[1]


def test_a_gap_is_named_in_every_form(home: Home) -> None:
    add_readings(home.database, [*day(0, 10), *day(14, 35)[3:]])
    (row,) = home.rows()
    assert (row["missing"], row["state"], row["sold_kwh"]) == (8, "partial", None)
    head, line = home.says(form=Form.CSV).splitlines()
    assert head.split(",") == list(COLUMNS)
    fields = dict(zip(head.split(","), line.split(","), strict=True))
    assert (fields["missing"], fields["state"], fields["sold_kwh"]) == ("8", "partial", "")
    table = home.says()
    assert "8  partial" in table
    assert "missing: 2026-11-23 04:30 to 08:30, 8 half-hours" in table
    gaps = json.loads(home.says(form=Form.JSON))["gaps"]
    assert [(gap["from"][11:16], gap["to"][11:16], gap["half_hours"]) for gap in gaps] == [
        ("04:30", "08:30", 8)
    ]


def test_a_row_without_two_registers_is_null_and_never_0(home: Home) -> None:
    add_readings(home.database, [register(0, "10934.9")])
    rows = home.rows("2026-11-23", "2026-11-24")
    assert [row["bought_kwh"] for row in rows] == [None, None]
    assert [row["missing"] for row in rows] == [48, 48]
    assert [line.split()[1] for line in home.says().splitlines()[1:2]] == ["unknown"]
    assert home.says(form=Form.CSV).splitlines()[1].split(",")[2:5] == ["", "", "gap"]


def test_rows_are_cut_where_asked_and_say_so(home: Home) -> None:
    add_readings(home.database, day(0, 97))
    rows = home.rows("2026-11-23T18:00", "2026-11-24T06:00")
    assert [row["bought_kwh"] for row in rows] == [Decimal("1.6"), Decimal("1.2")]
    assert [row["state"] for row in rows] == ["cut", "cut"]
    assert rows[0]["start"] == "2026-11-23T18:00:00+09:00"
    assert rows[1]["end"] == "2026-11-24T06:00:00+09:00"
    lines = home.says("2026-11-23T18:00", "2026-11-24T06:00").splitlines()
    assert lines[1].endswith("from 18:00")
    assert lines[2].endswith("until 06:00")
    assert lines[3].split()[:2] == ["total", "2.8"]


def test_a_half_hour_that_reaches_over_the_range_counts_where_it_begins(home: Home) -> None:
    add_readings(home.database, day())
    told: list[str] = []
    home.says("2026-11-23T18:10", "2026-11-23T19:10", By.HOUR, tell=told.append)
    (note,) = told
    assert note.endswith("this is from 2026-11-23 18:30 to 2026-11-23 19:30")
    rows = home.rows("2026-11-23T18:10", "2026-11-23T19:10", by=By.HOUR)
    assert [row["bought_kwh"] for row in rows] == [Decimal("0.1"), Decimal("0.1")]


def test_where_no_register_falls_on_a_local_hour_nothing_is_lost(home: Home) -> None:
    add_readings(home.database, day(0, 97))
    told: list[str] = []
    zone = ZoneInfo("Asia/Kathmandu")  # +05:45: registers are at :15 and :45
    text = home.says("2026-11-23", "2026-11-23", By.HOUR, Form.JSON, zone=zone, tell=told.append)
    rows = json.loads(text, parse_float=Decimal)["rows"]
    assert sum(row["bought_kwh"] for row in rows) == Decimal("5.2")
    assert {row["state"] for row in rows} == {"complete"}
    assert rows[0]["start"] == "2026-11-23T00:00:00+05:45"
    assert "from 2026-11-23 00:15 to 2026-11-24 00:15" in told[0]


def test_an_hour_that_comes_twice_has_its_offset(home: Home) -> None:
    add_readings(home.database, day(-30 * 48, 49))  # 2026-10-24 in Tokyo
    lines = home.says(
        "2026-10-25", "2026-10-25", By.HOUR, zone=ZoneInfo("Europe/Berlin")
    ).splitlines()
    labels = [line.split("  ")[0] for line in lines[1:26]]
    assert labels[2:4] == ["2026-10-25 02:00+0200", "2026-10-25 02:00+0100"]
    assert len({*labels}) == 25


def test_a_gap_in_an_hour_that_comes_twice_has_the_offsets_of_its_ends(home: Home) -> None:
    first_ms = epoch_ms(datetime(2026, 10, 25, tzinfo=UTC))  # in London 01:00, an hour before 01:00
    first = (first_ms - MIDNIGHT) // HALF_HOUR
    values = {-2: "5.0", -1: "5.0", 0: "5.0", 1: "5.0", 3: "5.7", 4: "5.7"}
    add_readings(home.database, [register(first + each, kwh) for each, kwh in values.items()])

    def told(by: By) -> str:
        return home.says("2026-10-25", "2026-10-25", by, zone=ZoneInfo("Europe/London"))

    gap = "missing: 2026-10-25 01:30+0100 to 01:30+0000, 2 half-hours, 0.7 kWh in all\n"
    assert gap in told(By.DAY)
    add_readings(home.database, [register(first + 2, "5.7")])
    assert "0.7 at 01:30+0100" in told(By.DAY)
    assert "0.7 at 10-25 01:30+0100" in told(By.MONTH)


def test_of_today_only_what_has_passed_can_be_missing(home: Home) -> None:
    add_readings(home.database, day(0, 5))
    (row,) = home.rows("today", "2026-12-24", now_ms=MIDNIGHT + 5 * HALF_HOUR + 60_000)
    assert (row["bought_kwh"], row["missing"]) == (Decimal("0.4"), 0)
    assert (row["state"], row["end"]) == ("running", "2026-11-24T00:00:00+09:00")
    late_ms = MIDNIGHT + 5 * HALF_HOUR + 700_000
    (row,) = home.rows("today", "today", now_ms=late_ms)
    assert (row["missing"], row["state"]) == (1, "partial")
    assert home.rows("9999-12-30", "9999-12-31T23:50") == []
    assert home.says("2027-01-01", "2027-01-02") == "nothing yet: this lies in the future\n"


def test_a_day_ends_with_its_last_register(home: Home) -> None:
    add_readings(home.database, day(0, 48))
    just_after = MIDNIGHT + DAY + 180_000
    (row,) = home.rows(now_ms=just_after)
    assert (row["bought_kwh"], row["missing"], row["state"]) == (Decimal("5.1"), 0, "running")
    add_readings(home.database, [register(48, "10940.1")])
    (row,) = home.rows(now_ms=just_after)
    assert (row["bought_kwh"], row["missing"], row["state"]) == (Decimal("5.2"), 0, "complete")


def test_a_register_of_the_future_is_no_less_known(home: Home) -> None:
    """The clock of a machine that nobody sets may be behind."""
    add_readings(home.database, day(0, 5))
    (row,) = home.rows(now_ms=MIDNIGHT - 9 * DAY)
    assert row["bought_kwh"] == Decimal("0.4")


def test_a_roll_over_is_one_if_the_number_of_digits_is_recorded(home: Home) -> None:
    registers = [register(0, "99999.8"), register(1, "0.3"), register(2, "0.4")]
    add_readings(home.database, registers)
    (row,) = home.rows("2026-11-23T00:00", "2026-11-23T01:00", by=By.HOUR)
    assert (row["bought_kwh"], row["missing"]) == (Decimal("0.1"), 1)
    assert "the register is another one since then: a new meter?" in home.says()
    add_readings(home.database, [register(0, "6", "D7"), register(0, "0.1", "E1")])
    (row,) = home.rows("2026-11-23T00:00", "2026-11-23T01:00", by=By.HOUR)
    assert (row["bought_kwh"], row["missing"]) == (Decimal("0.6"), 0)


@pytest.mark.parametrize("digits", ["0", "1.5", "999999999"])
def test_a_number_of_digits_that_no_meter_has_is_none(home: Home, digits: str) -> None:
    """Whoever imports text files may bring anything."""
    others = [register(0, digits, "D7"), register(0, "0.1", "E1")]
    add_readings(home.database, [register(0, "99999.8"), register(1, "0.3"), *others])
    (row,) = home.rows("2026-11-23T00:00", "2026-11-23T00:30", by=By.HOUR)
    assert row["bought_kwh"] is None


def test_a_meter_that_tells_no_unit_has_that_of_jobs_toml(home: Home) -> None:
    home.jobs.path.write_text(BROUTE + "energy_unit = 0.1\n")
    registers = [register(0, "99999.8"), register(1, "0.3"), register(0, "6", "D7")]
    add_readings(home.database, registers)
    (row,) = home.rows("2026-11-23T00:00", "2026-11-23T00:30", by=By.HOUR)
    assert row["bought_kwh"] == Decimal("0.5")


def test_the_last_of_several_registers_of_an_instant_counts(home: Home) -> None:
    wrong = [register(number, "10925.0") for number in (3, 20)]
    add_readings(home.database, [*wrong, *day()])
    (row,) = home.rows()
    assert (row["bought_kwh"], row["missing"]) == (Decimal("5.2"), 0)


def test_other_units_and_times_are_not_the_meter(home: Home) -> None:
    home.jobs.path.write_text(BROUTE + 'unit = "M1"\n')
    others = [register(0, "1"), register(1, "9")]
    mine = [register(0, "5", unit="M1"), register(2, "6", unit="M1")]
    between = Reading(MIDNIGHT + 1000, "M1", "EA", Decimal(100), "x")
    add_readings(home.database, [*others, *mine, between])
    (row,) = home.rows("2026-11-23T00:00", "2026-11-23T01:00")
    assert row["bought_kwh"] == 1
    assert row["missing"] == 2


def test_what_only_the_text_has_counts(home: Home) -> None:
    """Rows follow their lines within ten minutes."""
    folder = home.jobs.path.parent
    text = DailyFile(folder, "mydatafile", "", TOKYO)
    recorder = recorder_of(home.database, text)
    recorder.record(day())
    (row,) = home.rows()
    assert (row["bought_kwh"], row["missing"]) == (Decimal("5.2"), 0)
    recorder.close()
    assert home.rows() == [row]


def test_a_terminal_shows_a_bar_for_each_row(home: Home) -> None:
    add_readings(home.database, day())
    screen = Screen(columns=80, has_blocks=True)
    lines = home.says(by=By.HOUR, screen=screen).splitlines()
    bars = ["".join(char for char in line if char in "█▏▎▍▌▋▊▉") for line in lines]
    assert all(len(line) <= screen.columns for line in lines)
    assert len(bars[19]) > 15  # 18:00, the largest
    assert len(bars[1]) == pytest.approx(len(bars[19]) / 3, abs=1)
    assert bars[25] == ""  # the total
    plain = home.says(by=By.HOUR, screen=Screen(80, has_blocks=False)).splitlines()
    assert plain[19].count("#") == len(bars[19])
    assert "█" not in home.says(by=By.HOUR, screen=Screen(40, has_blocks=True))
    assert "█" not in home.says(by=By.HOUR)


def test_what_is_no_terminal_has_no_bars() -> None:
    assert screen_of(io.StringIO()) is None


def test_many_gaps_are_counted_after_the_first_ones(home: Home) -> None:
    add_readings(home.database, day()[::2])
    lines = home.says().splitlines()
    assert sum("1 half-hour" in line or "2 half-hours" in line for line in lines) == 10
    assert lines[-1] == "missing: 14 more times; --by hour shows where"


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        ("soon", "today", "--from soon: is no day"),
        ("today", "yesterday", "lies before"),
        ("1999-12-31", "today", "no smart meter before 2000"),
        ("0001-01-02", "today", "no smart meter before 2000"),
        ("2001-01-01", "today", "choose a range"),
    ],
)
def test_a_range_that_cannot_be_is_told(home: Home, begin: str, end: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        home.says(begin, end, By.HOUR)


def test_without_registers_or_a_database_it_says_so(home: Home, tmp_path: Path) -> None:
    told: list[str] = []
    home.jobs.path.write_text("")
    home.says(tell=told.append)
    assert told == ["note: no EA of BR, the half-hour register, was ever recorded"]
    (tmp_path / "other").mkdir()
    home.jobs.path.write_text('[recorder]\ndatabase = "other/kei.db"\n')
    with pytest.raises(StoreError, match="there is no database"):
        home.says()


def test_the_command_needs_no_secrets_and_writes_nothing(home: Home, tmp_path: Path) -> None:
    add_readings(home.database, day(0, 97))
    before = _written(tmp_path)
    arguments = ("energy", "--jobs", home.jobs.path, "--from", "2026-11-23", "--to", "2026-11-24")
    code, lines, errors = command(*arguments, TZ="Asia/Tokyo")
    assert (code, errors) == (0, [])
    assert [line.split()[:2] for line in lines] == [
        ["day", "bought"],
        ["2026-11-23", "5.2"],
        ["2026-11-24", "5.2"],
        ["total", "10.4"],
    ]
    assert _written(tmp_path) == before
    code, lines, errors = command(*arguments, "--by", "week")
    assert (code, lines, len(errors)) == (2, [], 1)
    code, lines, errors = command(*arguments[:-2])
    assert (code, lines, len(errors)) == (2, [], 1)
    assert "--to" in errors[0]


def _written(folder: Path) -> dict[str, int]:
    """When each file was written, but for the memory that SQLite shares between processes."""
    files = (path for path in folder.iterdir() if not path.name.endswith("-shm"))
    return {path.name: path.stat().st_mtime_ns for path in files}
