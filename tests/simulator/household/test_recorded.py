from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kei.core.errors import ConfigError
from kei.simulator.household.household import INSTALLED_S
from kei.simulator.household.profile import SECONDS_PER_DAY, Energy
from kei.simulator.household.recorded import RecordedHousehold

HEAD = "measured_at,sensor_id,instant_watt,instant_ampere_R\n"
MIDNIGHT = INSTALLED_S + 1000 * SECONDS_PER_DAY


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "day.csv"


def rows(*pairs: tuple[str, str]) -> str:
    return HEAD + "".join(f"{time},smartmeter,{watt},\n" for time, watt in pairs)


@pytest.fixture
def home(file: Path) -> RecordedHousehold:
    file.write_text(
        rows(
            ("2022-09-20T00:01:00+09:00", "844.0"),
            ("2022-09-20T00:01:00+09:00", ""),
            ("2022-09-20T00:03:00+09:00", "-100"),
            ("2022-09-20T12:00:00+09:00", "1000"),
        )
    )
    return RecordedHousehold(file)


def test_each_minute_is_as_recorded_and_goes_on_until_the_next(home: RecordedHousehold) -> None:
    watts = [home.watt(MIDNIGHT + 60 * minute) for minute in range(5)]
    assert watts[1:] == [844, 844, -100, -100]
    assert home.watt(MIDNIGHT + SECONDS_PER_DAY - 1) == 1000


def test_what_was_last_goes_on_after_midnight_until_the_first_row(home: RecordedHousehold) -> None:
    assert [home.watt(MIDNIGHT + second) for second in (-1, 0, 59, 60)] == [1000, 1000, 1000, 844]


def test_rows_count_from_their_own_second(file: Path) -> None:
    file.write_text(rows(("2022-09-20T00:00:00", "500"), ("2022-09-20T00:00:47", "1700")))
    home = RecordedHousehold(file)
    assert [home.watt(MIDNIGHT + second) for second in (0, 46, 47, 60)] == [500, 500, 1700, 1700]


def test_rows_need_no_order_and_the_first_of_a_time_counts(file: Path) -> None:
    file.write_text(
        rows(
            ("2022-09-20T00:02:00", "900"),
            ("2022-09-20T00:00:00", "500"),
            ("2022-09-20T00:02:00", "700"),
        )
    )
    home = RecordedHousehold(file)
    assert [home.watt(MIDNIGHT + second) for second in (119, 120)] == [500, 900]


def test_the_registers_go_on_over_the_end_of_the_day(home: RecordedHousehold) -> None:
    assert home.energy(MIDNIGHT + 10) - home.energy(MIDNIGHT - 10) == Energy(20_000, 0)


def test_a_file_of_a_spreadsheet_with_a_byte_order_mark_is_read(file: Path) -> None:
    file.write_text(rows(("2022-09-20T00:00:00", "500")), encoding="utf-8-sig")
    assert RecordedHousehold(file).watt(MIDNIGHT) == 500


def test_the_day_comes_back_every_day(home: RecordedHousehold) -> None:
    assert home.watt(MIDNIGHT + 200) == home.watt(MIDNIGHT + 200 + 7 * SECONDS_PER_DAY)


def test_both_phases_make_up_the_power(home: RecordedHousehold) -> None:
    assert sum(home.current_tenths(MIDNIGHT + 60)) == 84


DAY = rows(("2022-09-20T00:01:00", "844"), ("2022-09-20T06:00:00", "-90"))


@settings(max_examples=50, deadline=None)
@given(st.integers(INSTALLED_S, MIDNIGHT), st.integers(0, 4000))
def test_energy_is_the_integral_of_power(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "day.csv"
    file.write_text(DAY)
    home = RecordedHousehold(file)
    watts = [home.watt(second) for second in range(start, start + length)]
    used = home.energy(start + length) - home.energy(start)
    assert used == Energy(sum(max(0, watt) for watt in watts), sum(max(0, -watt) for watt in watts))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: the columns measured_at and instant_watt"),
        ("\0\1\2\n", "line 1"),
        ("measured_at,watt\n", "the columns measured_at and instant_watt"),
        (HEAD, "holds no power"),
        (rows(("2022-09-20T00:01:00", "1"), ("2022-09-21T00:01:00", "1")), "line 3: .* one day"),
        (rows(("noon", "1")), "line 2: 'noon' is no time"),
        ("instant_watt,measured_at\n500\n", "line 2: '' is no time"),
        (rows(("2022-09-20T00:01:00", "1"), ("2022-09-20T00:02:00", "lots")), "line 3: 'lots'"),
        (rows(("2022-09-20T00:01:00", "nan")), "no power"),
        (rows(("2022-09-20T00:01:00", "1e9")), "no power"),
    ],
)
def test_a_file_that_means_nothing_is_refused(file: Path, text: str, complaint: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        RecordedHousehold(file)
    assert len(caught.value.faults) == 1


def test_bytes_that_are_no_text_are_refused_where_they_stand(file: Path) -> None:
    file.write_bytes((HEAD + "2022-09-20T00:01:00,,\N{DIGIT ONE}").encode() + b"\xff,\n")
    with pytest.raises(ConfigError, match=r"line 2: .* is no power"):
        RecordedHousehold(file)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"household {tmp_path}: it is no file"):
        RecordedHousehold(tmp_path)


def test_a_missing_file_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        RecordedHousehold(file)
