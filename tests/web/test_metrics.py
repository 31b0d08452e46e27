"""What Prometheus is told: the names, what is absent when, and that a scrape waits for nothing."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import cast
from wsgiref.util import setup_testing_defaults

import pytest
import requests
from boards import Board, board, wait_for_port
from fakes import TOKYO
from jobs_file import JobsFile
from metrics_bench import JOBS, Kei
from programs import PATIENCE_S, Program, free_port, readings, running, simulator, write_jobs
from scrapes import PROMTOOL, Samples, complaints, scraped
from status_facts import LIVE, NOW_MS, PORT, SNAPSHOT
from structlog.testing import capture_logs
from web_support import TARIFF

from kei.core.errors import ConfigError, StoreError
from kei.core.reading import Reading
from kei.echonet.meter_class import UNIT_OF_SENSOR
from kei.meter.figures import Figures, PresentFigures, Sum
from kei.settings.web import Web
from kei.status.facts import Stored
from kei.timekeeping.monitor import ClockStatus
from kei.web import disk_look, recorded
from kei.web.metrics import OF_METER
from kei.web.now import now_document
from kei.web.recorded import Recorded
from kei.web.routes import METRICS, application

E7_AT = 'kei_reading_timestamp_seconds{sensor="E7",unit="BR"}'


@pytest.fixture
def kei(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kei]:
    found = Kei(JobsFile(tmp_path / "jobs.toml").load(JOBS))
    monkeypatch.setattr(recorded, "read_database", found.read_database)
    yield found
    found.disk.set()


def test_a_series_is_there_for_three_cycles(kei: Kei) -> None:
    for sensor, value in (("E7", "-512"), ("E8R", "2.5"), ("E8T", "-0.1"), ("E0", "1024.1")):
        kei.comes(sensor, value)
    kei.comes("T1", "21.53", "A1")
    kei.comes("E7", "7", "A2")  # of a board, which may call its sensors what it wants
    kei.pauses_s = {("A1", "T1"): 40.0}
    everything = {
        "kei_power_watts": -512,
        'kei_current_amperes{phase="r"}': 2.5,
        'kei_current_amperes{phase="t"}': -0.1,
        'kei_energy_joules_total{direction="bought"}': 3_686_760_000,  # exactly
        'kei_sensor_value{sensor="T1",unit="A1"}': 21.53,
        'kei_sensor_value{sensor="E7",unit="A2"}': 7,
    }
    of_series = ("kei_power", "kei_current", "kei_energy", "kei_sensor_value")
    found = kei.scrape()
    assert {name: found[name] for name in found if name.startswith(of_series)} == everything
    assert found[E7_AT] == NOW_MS / 1000
    assert found['kei_reading_timestamp_seconds{sensor="T1",unit="A1"}'] == NOW_MS / 1000

    gone = {
        30.0: ["kei_power_watts", 'kei_current_amperes{phase="r"}', E7_AT],
        120.0: ['kei_sensor_value{sensor="T1",unit="A1"}'],
        360.0: ['kei_energy_joules_total{direction="bought"}'],
    }
    begun = kei.clock.monotonic()
    for limit_s, names in gone.items():
        kei.clock.advance(begun + limit_s - kei.clock.monotonic())
        assert kei.scrape().keys() >= set(names)
        kei.clock.advance(0.1)
        assert not kei.scrape().keys() & set(names)
    assert not [name for name in kei.scrape() if name.startswith(of_series)]


def test_what_was_recorded_before_the_start_counts_unless_newer_is_known(kei: Kei) -> None:
    before = Reading(NOW_MS - 20_000, "BR", "E0", Decimal("10.5"), "x")
    ahead = Reading(NOW_MS + 86_400_000, "BR", "E3", Decimal(1), "x")
    kei.stored = replace(kei.stored, series=(before, ahead))
    bought = 'kei_energy_joules_total{direction="bought"}'
    assert kei.scrape()[bought] == 10.5 * 3.6e6
    assert 'kei_energy_joules_total{direction="sold"}' not in kei.scrape()
    kei.comes("E0", "11")
    assert kei.scrape()[bought] == 11 * 3.6e6
    kei.newest.clear()
    kei.snapshot = replace(SNAPSHOT, clock=ClockStatus(synchronised=False, likely_wrong=True))
    assert bought not in kei.scrape()  # nobody knows how old it is


def test_a_meter_that_jobs_toml_does_not_name_any_more_is_no_sensor(kei: Kei) -> None:
    before = Reading(NOW_MS - 1000, "BR", "E0", Decimal("10.5"), "x")
    kei.stored = replace(kei.stored, series=(before,))
    kei.comes("E7", "512")
    kei.comes("T1", "21.53", "A1")
    of_sensors = {"kei_sensor_value", "kei_reading_timestamp_seconds"}
    assert kei.config.broute is not None
    for broute in (None, replace(kei.config.broute, unit="B2")):
        kei.config = replace(kei.config, broute=broute)
        kei.clock.advance(3)  # what is said of the disk may be some seconds old
        names = {name for name in kei.scrape() if name.partition("{")[0] in of_sensors}
        assert names == {f'{name}{{sensor="T1",unit="A1"}}' for name in of_sensors}
        on_page = cast(
            "list[dict[str, object]]", now_document(kei.live, Recorded(kei.live))["sensors"]
        )
        assert [each["sensor"] for each in on_page] == ["T1"]


COSTS = {
    'kei_cost_yen{range="today"}': 120.5,
    'kei_cost_yen{range="bill"}': 4321.0,
    "kei_cost_forecast_yen": 9000.0,
    "kei_price_yen_per_kwh": 31.5,
}
FIGURES = Figures(
    Sum(cost=Decimal("120.5")), Sum(cost=Decimal(4321), forecast=Decimal(9000)), Decimal("31.5")
)


def test_costs_are_told_of_a_meter_with_prices_while_the_clock_is_right(
    kei: Kei, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorded, "figures", lambda _: FIGURES)
    assert not kei.scrape().keys() & COSTS
    kei.config = JobsFile(tmp_path / "prices.toml").load(JOBS + TARIFF)
    assert {name: kei.scrape().get(name) for name in COSTS} == COSTS
    kei.snapshot = replace(SNAPSHOT, clock=ClockStatus(synchronised=False, likely_wrong=True))
    assert not kei.scrape().keys() & COSTS  # they would be those of another month
    kei.snapshot = SNAPSHOT
    kei.config = replace(kei.config, broute=None)
    assert not kei.scrape().keys() & COSTS


def test_costs_that_cannot_be_computed_any_more_are_not_those_of_before(
    kei: Kei, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kei.config = JobsFile(tmp_path / "prices.toml").load(JOBS + TARIFF)
    monkeypatch.setattr(PresentFigures, "figures", lambda _: FIGURES)
    assert kei.scrape().keys() >= COSTS.keys()

    def figures(_: PresentFigures) -> Figures:
        raise ConfigError(["the prices of another [tariff] need a library"])

    monkeypatch.setattr(PresentFigures, "figures", figures)
    kei.clock.advance(recorded.FIGURES_KEPT_S)
    found = kei.scrape()
    assert "kei_disk_free_bytes" in found
    assert not found.keys() & COSTS


def test_a_clock_that_is_wrong_times_nothing(kei: Kei) -> None:
    kei.snapshot = replace(SNAPSHOT, clock=ClockStatus(synchronised=False, likely_wrong=True))
    kei.comes("E7", "512")
    kei.clock.wall_ms += 86_400_000  # set, between two scrapes
    found = kei.scrape()
    assert found["kei_power_watts"] == 512
    assert found["kei_clock_synchronised"] == 0
    assert not [name for name in found if "timestamp" in name]


def test_a_sensor_that_is_told_to_be_silent_is_absent_at_once(kei: Kei) -> None:
    kei.comes("T1", "21.53", "A1")
    kei.pauses_s = {("A1", "T1"): 3600.0}
    kei.clock.advance(10)
    assert 'kei_sensor_value{sensor="T1",unit="A1"}' in kei.scrape()
    kei.snapshot = replace(SNAPSHOT, sensors=(replace(PORT, silent=("A1,T1",)),))
    assert 'kei_sensor_value{sensor="T1",unit="A1"}' not in kei.scrape()


def test_what_kei_is_doing(kei: Kei) -> None:
    found = kei.scrape()
    assert found["kei_session_up"] == 1
    assert found["kei_signal_dbm"] == -42.4
    assert found['kei_requests_total{result="answered"}'] == 1100
    assert found['kei_requests_total{result="missed"}'] == 3
    assert found['kei_build_info{version="1.2.3"}'] == 1
    assert found["kei_clock_synchronised"] == 1
    assert found['kei_upload_backlog_rows{target="server"}'] == 3
    assert found['kei_upload_oldest_row_age_seconds{target="server"}'] == 12
    assert found['kei_upload_dead_letters{target="server"}'] == 2
    assert found['kei_upload_dropped_rows_total{target="server"}'] == 7
    assert found["kei_disk_free_bytes"] == 4096
    assert found['kei_problem{rule="stale_readings"}'] == 1
    assert found['kei_problem{rule="not_joined"}'] == 0
    assert "kei_cpu_temperature_celsius" not in found
    assert "kei_mqtt_connected" not in found
    lost = replace(SNAPSHOT.session, joined=False, since_s=3600.0)  # type: ignore[type-var]
    kei.snapshot = replace(SNAPSHOT, session=lost)
    kei.clock.advance(60)  # what is said of the disk may be some seconds old
    found = kei.scrape()
    assert found["kei_session_up"] == 0
    assert "kei_signal_dbm" not in found
    assert found['kei_problem{rule="not_joined"}'] == 1
    kei.snapshot = replace(SNAPSHOT, session=None)
    assert not [name for name in kei.scrape() if name.startswith(("kei_session", "kei_requests"))]


def test_any_name_is_written_so_that_it_comes_back(kei: Kei) -> None:
    name = '電気 "家\\1"\n# TYPE x'
    kei.snapshot = replace(
        SNAPSHOT,
        sensors=(replace(PORT, port=name),),
        uploads=(replace(LIVE, target=name, failures=4),),
    )
    for accept in ("", "application/openmetrics-text; version=1.0.0", "text/plain; version=1.0.0"):
        text = kei.text(accept)
        found = scraped(text)
        assert found[f'kei_upload_failures{{target="{name}"}}'] == 4
        assert found[f'kei_sensor_port_up{{port="{name}"}}'] == 1
        assert text.endswith("# EOF\n") == accept.startswith("application")


@pytest.mark.parametrize(
    "accept",
    ["application/openmetrics-text; version=x", "text/plain;version=1.x", ";;,=", "text/plain;=;"],
)
def test_who_asks_for_nonsense_gets_plain_text(kei: Kei, accept: str) -> None:
    assert scraped(kei.text(accept))["kei_session_up"] == 1


def test_a_disk_that_stalls_costs_a_moment_and_only_what_is_on_it(
    kei: Kei, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_look, "WAIT_S", 0.05)
    kei.disk.clear()
    kei.comes("E7", "512")
    before = threading.active_count()
    for _ in range(20):
        found = kei.scrape()
        assert found["kei_power_watts"] == 512
        assert "kei_disk_free_bytes" not in found
        assert 'kei_upload_backlog_rows{target="server"}' not in found
        monkeypatch.setattr(disk_look, "WAIT_S", PATIENCE_S)
        kei.clock.advance(PATIENCE_S)  # so that whoever asks now does not wait
        kei.comes("E7", "512")
    assert kei.looks == 1
    assert threading.active_count() == before + 1
    kei.disk.set()
    while "kei_disk_free_bytes" not in kei.scrape():
        threading.Event().wait(0.01)


@pytest.mark.parametrize(
    ("error", "event", "level"),
    [
        (StoreError("kei.db: I/O error"), "metrics_disk_not_read", "warning"),
        (ZeroDivisionError("our mistake"), "metrics_failed", "error"),
    ],
)
def test_what_goes_wrong_at_each_look_at_the_disk_is_logged_once(
    kei: Kei, monkeypatch: pytest.MonkeyPatch, error: Exception, event: str, level: str
) -> None:
    def read_database(*_: object) -> Stored:
        raise error

    with monkeypatch.context() as broken, capture_logs() as told:
        broken.setattr(recorded, "read_database", read_database)
        for _ in range(3):
            found = kei.scrape()
            assert "kei_disk_free_bytes" not in found
            assert found["kei_session_up"] == 1
    (line,) = told
    assert (line["event"], line["log_level"]) == (event, level)
    assert str(error) in line["reason"]
    assert "kei_disk_free_bytes" in kei.scrape()


def test_a_disk_that_could_not_be_looked_at_for_want_of_a_thread_is_looked_at_later(
    kei: Kei, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            kei.scrape()
    assert "kei_disk_free_bytes" in kei.scrape()


@pytest.mark.parametrize(
    ("module", "found"),
    [("core", None), ("exposition", ModuleType("prometheus_client.exposition"))],
    ids=["not-installed", "too-old"],
)
def test_without_the_library_the_page_says_what_to_install(
    module: str, found: ModuleType | None, kei: Kei, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"prometheus_client.{module}"
    monkeypatch.setitem(sys.modules, module, found)
    monkeypatch.delitem(sys.modules, "kei.web.metrics")
    answering = application(Web(), kei.live)
    for path, status in ((METRICS, "503 Service Unavailable"), ("/api/now", "200 OK")):
        told: list[str] = []
        environ: dict[str, object] = {"HTTP_HOST": "localhost"}
        setup_testing_defaults(environ)
        environ["PATH_INFO"] = path
        body = b"".join(answering(environ, lambda status, *_: told.append(status)))  # noqa: B023
        assert told == [status], body
        if path == METRICS:
            install = "pip install 'kei[web]'"
            text = f"no metrics: {module} is missing or too old; {install}"
            assert json.loads(body) == {"error": text}


def test_a_metric_has_the_series_of_its_unit() -> None:
    for unit, metric in OF_METER.items():
        assert {UNIT_OF_SENSOR[sensor] for sensor in metric.sensors} == {unit}


def test_a_real_meter_and_a_real_board_that_fall_silent(tmp_path: Path) -> None:
    port, link = free_port(), tmp_path / "meter"
    requests_ = '[[broute.requests]]\nepc = ["E7", "E8"]\ncycle = 1\n'
    requests_ += '[[broute.requests]]\nepc = ["E0"]\ncycle = 300\n'
    web = f'[web]\nlisten = "127.0.0.1:{port}"\npassword = "long enough"'
    sensors = f'[[serial]]\nport = "{tmp_path / "board"}"'
    url = f"http://127.0.0.1:{port}/metrics"

    def text() -> str:
        answer = requests.get(url, auth=("kei", "long enough"), timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return answer.text

    with board(tmp_path / "board") as sensor, simulator(link) as meter:
        jobs = write_jobs(tmp_path, str(link), web, sensors, requests=requests_)
        with running("--jobs", str(jobs), cwd=tmp_path, TZ="Asia/Tokyo") as kei:
            kei.wait_for_event("web_listening")
            assert requests.get(url, timeout=PATIENCE_S).status_code == 401
            wait_for_port(kei, sensor)
            all_there(kei, sensor, tmp_path, text)
            meter.process.send_signal(signal.SIGSTOP)
            live = ("kei_power_watts", E7_AT, 'kei_current_amperes{phase="r"}', SENSOR)
            kei.wait_for(
                lambda: not scraped(text()).keys() & {*live}, 20, "that silent series are absent"
            )
            left = scraped(text())
            assert 'kei_energy_joules_total{direction="bought"}' in left
            assert left["kei_disk_free_bytes"] > 0
            if PROMTOOL is not None:
                assert complaints(text()) == ""
            meter.process.send_signal(signal.SIGCONT)
            assert kei.stop() == 0
    if PROMTOOL is None:
        pytest.skip("promtool is not installed; Debian has it (prometheus)")


SENSOR = 'kei_sensor_value{sensor="T1",unit="A1"}'


def all_there(kei: Program, sensor: Board, folder: Path, text: Callable[[], str]) -> None:
    """Every series of meter and board is told, with values and times of the text files."""
    wanted = {
        ("BR", "E7"): ("kei_power_watts", 1),
        ("BR", "E8R"): ('kei_current_amperes{phase="r"}', 1),
        ("BR", "E8T"): ('kei_current_amperes{phase="t"}', 1),
        ("BR", "E0"): ('kei_energy_joules_total{direction="bought"}', 3_600_000),
        ("A1", "T1"): (SENSOR, 1),
    }
    numbers = iter(range(10_000))
    found: Samples = {}

    def come() -> bool:
        sensor.lines(f"A1,T1,{20 + next(numbers) / 100}")
        found.clear()
        found.update(scraped(text()))
        return found.keys() >= {name for name, _ in wanted.values()}

    kei.wait_for(come, 20, "every series")
    for (unit, sensor_id), (name, factor) in wanted.items():
        at = found[f'kei_reading_timestamp_seconds{{sensor="{sensor_id}",unit="{unit}"}}']
        time = datetime.fromtimestamp(at, TOKYO).strftime("%Y/%m/%d %H:%M:%S")

        wanted_row = [time, unit, sensor_id, found[name]]

        def is_written(wanted_row: list[object] = wanted_row, factor: int = factor) -> bool:
            return any(
                [*row[:3], float(Decimal(row[3]) * factor)] == wanted_row
                for row in readings(folder)
                if row[:3] == wanted_row[:3]
            )

        kei.wait_for(is_written, 20, f"{name} {found[name]} at {time} in the text files")
