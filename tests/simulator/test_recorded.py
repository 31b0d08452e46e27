from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kei.errors import ConfigError
from kei.simulator.household import INSTALLED_S, SECONDS_PER_DAY, Energy
from kei.simulator.recorded import RecordedHousehold

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
    assert watts == [844, 844, 844, -100, -100]
    assert home.watt(MIDNIGHT + SECONDS_PER_DAY - 1) == 1000


def test_the_day_comes_back_every_day(home: RecordedHousehold) -> None:
    assert home.watt(MIDNIGHT + 200) == home.watt(MIDNIGHT + 200 + 7 * SECONDS_PER_DAY)


def test_both_phases_make_up_the_power(home: RecordedHousehold) -> None:
    assert sum(home.current_tenths(MIDNIGHT)) == 84


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
        ("", "the columns measured_at and instant_watt"),
        ("measured_at,watt\n", "the columns measured_at and instant_watt"),
        (HEAD, "0 days"),
        (rows(("2022-09-20T00:01:00", "1"), ("2022-09-21T00:01:00", "1")), "2 days"),
        (rows(("noon", "1")), "line 2"),
        (rows(("2022-09-20T00:01:00", "1"), ("2022-09-20T00:02:00", "lots")), "line 3"),
        (rows(("2022-09-20T00:01:00", "nan")), "no power"),
        (rows(("2022-09-20T00:01:00", "1e9")), "no power"),
    ],
)
def test_a_file_that_means_nothing_is_refused(file: Path, text: str, complaint: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        RecordedHousehold(file)
    assert len(caught.value.faults) == 1


def test_a_missing_file_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        RecordedHousehold(file)
