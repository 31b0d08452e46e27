"""The JSON of a running kei, by real HTTP: what it says, and that it agrees with the commands."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path

import pytest
import requests
from programs import PATIENCE_S, readings, wait_until
from scrapes import PROMTOOL, complaints, scraped
from web_support import Page, page

from kei.web.guard import HEADERS


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with page(tmp_path_factory.mktemp("home"), dongle="J11") as found:
        yield found


def test_now_is_what_the_meter_has_just_said(home: Page) -> None:
    wait_until(lambda: home.json("/api/now")["bought_kwh"], 20, "the register")
    now = home.json("/api/now")
    assert now["age_s"] < 60
    assert now["time"].endswith("+09:00")
    assert now["session"] == "joined"
    both = now["current_a"]["r"] + now["current_a"]["t"]
    assert now["contract_share"] == pytest.approx(both / 40, abs=1e-4)
    assert now["bought_kwh"] > 1000
    assert now["today"].keys() >= {"kwh", "cost"}
    assert now["period"]["cost"] > 311.75 * 4
    assert now["period"]["forecast"] >= now["period"]["cost"]
    assert now["price"] > 29.80
    home.kei.wait_for(lambda: home.json("/api/now")["sensors"], 20, "a sensor")
    assert home.json("/api/now")["sensors"][0].keys() == {"unit", "sensor", "value", "time"}
    before = now["time"], now["power_w"]

    def has_changed() -> bool:
        later = home.json("/api/now")
        return bool(later["time"] != before[0] and later["power_w"] != before[1])

    wait_until(has_changed, 20, "another power")


def test_prometheus_gets_the_same_costs_as_the_page(home: Page) -> None:
    text = home.get("/metrics").text
    found, now = scraped(text), home.json("/api/now")
    assert found['kei_cost_yen{range="today"}'] == now["today"]["cost"]
    assert found['kei_cost_yen{range="bill"}'] == now["period"]["cost"]
    assert found["kei_cost_forecast_yen"] == now["period"]["forecast"]
    assert found["kei_price_yen_per_kwh"] == now["price"]
    if PROMTOOL is not None:
        assert complaints(text) == ""


def test_power_of_a_day_has_few_points_and_every_extreme(home: Page) -> None:
    found = home.json("/api/power", points=100)
    assert found["series"] == "BR/E7"
    points = found["points"]
    assert 90 <= len(points) <= 100
    known = [each for each in points if each[1] is not None]
    assert all(low <= average <= high for _, low, average, high in known)
    assert all(earlier[0] < later[0] for earlier, later in pairwise(points))
    begin, end = round(points[0][0]), round(known[-1][0])
    fine = [each for each in home.json("/api/power", points=5000)["points"] if each[1] is not None]
    inside = [each for each in fine if begin <= each[0] < end]
    assert max(each[3] for each in known[:-1]) == max(each[3] for each in inside)
    assert min(each[1] for each in known[:-1]) == min(each[1] for each in inside)


def test_what_was_not_recorded_is_a_point_without_values(home: Page) -> None:
    points = home.json("/api/power", **{"from": "-3d", "to": "yesterday"})["points"]
    assert points[0][1:] == [None, None, None]
    none = home.json("/api/power", **{"from": "-30d", "to": "-20d"})["points"]
    assert [each[1:] for each in none] == [[None, None, None]]


@pytest.mark.parametrize("by", ["half-hour", "hour", "day", "month"])
def test_energy_is_the_document_of_the_command(home: Page, by: str) -> None:
    span = {"from": "-9d", "to": "-2d"}
    asked = ("energy", "--from", "-9d", "--to", "-2d", "--by", by, "--format", "json")
    assert home.json("/api/energy", by=by, **span) == json.loads(home.says(*asked))


def test_a_bill_is_the_document_of_the_command(home: Page) -> None:
    running = home.json("/api/bill")
    assert running == json.loads(home.says("bill", "--format", "json"))
    year, month = map(int, running["month"].split("-"))
    before = f"{year - (month == 1)}-{(month + 10) % 12 + 1:02}"
    asked = ("bill", "--month", before, "--format", "json")
    assert home.json("/api/bill", month=before) == json.loads(home.says(*asked))


def test_an_interval_costs_what_its_energy_does(home: Page) -> None:
    span = {"from": "-1d", "to": "-1d"}
    found = home.json("/api/cost", **span)
    energy = home.json("/api/energy", **span)
    assert found["bought_kwh"] == energy["total"]["bought_kwh"] == energy["rows"][0]["bought_kwh"]
    assert found["missing"] == 0
    each = found["cost"] / found["bought_kwh"]
    assert 29.80 + 4.18 <= round(each, 2) <= 40.49 + 4.18
    halves = [
        home.json("/api/cost", **{"from": begin, "to": end})["cost"]
        for begin, end in _halves(found["from"], found["to"])
    ]
    assert sum(halves) == pytest.approx(found["cost"], abs=0.02)


def _halves(begin: str, end: str) -> list[tuple[str, str]]:
    noon = begin[:11] + "12:00:00" + begin[19:]
    return [(begin, noon), (noon, end)]


def test_the_status_is_that_of_the_command(home: Page) -> None:
    found = home.json("/api/status")
    of_command = json.loads(home.says("status", "--json"))
    assert found.keys() == of_command.keys() | {"disk_free_bytes"}
    session = found["session"]
    assert session["joined"]
    assert (session["dongle"], session["firmware"]) == ("J11", "1.3 revision 158A")
    assert (session["channel"], session["pan_id"]) == (33, "8888")
    assert (session["lqi"], session["rssi_dbm"]) == (226, -42.0)
    assert found["problems"] == of_command["problems"] == []
    assert found["disk_free_bytes"] > 0
    health = home.get("/healthz")
    assert (health.status_code, health.text) == (200, "ok\n")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/power?from=lately", "from lately: is no day and no time"),
        ("/api/power?from=today&to=-3d", "to is not behind from"),
        ("/api/power?points=0", "points is a whole number from 1"),
        ("/api/power?points=%D9%A3", "points is a whole number from 1"),
        ("/api/power?series=E7", "series is UNIT/SENSOR"),
        ("/api/power?frm=-1d", "unknown parameter frm; known here: from, to, points, series"),
        ("/api/now?a=%E3%81%82", "unknown parameter"),
        ("/api/status?x", "unknown parameter x; none is known here"),
        ("/api/energy?by=week", "by is one of half-hour, hour, day, month"),
        ("/api/energy?from=1900-01-01&to=today", "there was no smart meter before"),
        ("/api/energy?from=2015-01-01&by=hour", "that is"),
        ("/api/energy?from=-300d&by=half-hour", "choose a range of at most 10000"),
        ("/api/energy?from=2015-01-01&by=month", "choose a range of at most 420 days"),
        ("/api/cost?from=2015-01-01", "choose a range of at most 420 days"),
        ("/api/cost?from=1900-01-01", "there was no smart meter before"),
        ("/api/bill?month=May", "month"),
        ("/api/energy?from=%FF", "from is no UTF-8 text"),
    ],
)
def test_a_wrong_parameter_is_told_in_a_sentence(home: Page, path: str, words: str) -> None:
    answer = home.get(path)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_the_end_of_all_times_costs_no_more_than_today(home: Page) -> None:
    """What has not begun is nothing, whatever year it is."""
    ever = {"from": "today", "to": "9998-12-31"}
    today = {"from": "today", "to": "today"}
    assert (
        home.json("/api/cost", **ever)["bought_kwh"]
        == home.json("/api/cost", **today)["bought_kwh"]
    )
    assert home.json("/api/energy", **ever)["rows"] == home.json("/api/energy", **today)["rows"]
    assert home.json("/api/power", **ever)["points"]
    later = {"from": "9998-01-01", "to": "9998-12-31"}
    assert home.json("/api/power", **later)["points"] == []
    assert home.json("/api/energy", **later)["rows"] == []
    assert home.json("/api/cost", **later)["bought_kwh"] is None
    assert home.json("/api/power", **{"from": "0001-01-01", "to": "today"})["points"]
    assert home.json("/api/bill", month="2999-12")["kwh"] is None


def test_the_page_can_only_be_looked_at(home: Page) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
        answer = requests.request(method, f"{home.url}/api/now", timeout=PATIENCE_S)
        assert answer.status_code == 405, method
        assert answer.headers["Allow"] == "GET, HEAD"
    assert home.get("/api/nothing").status_code == 404
    assert home.get("/../../etc/passwd").status_code == 404


def test_everything_carries_the_headers_that_keep_a_browser_safe(home: Page) -> None:
    for path in (
        "/",
        "/kei.js",
        "/kei.css",
        "/api/now",
        "/healthz",
        "/nothing",
        "/api/power?points=x",
    ):
        answer = home.get(path)
        for name, value in HEADERS:
            assert answer.headers[name] == value, path
        assert "Server" not in answer.headers
    assert "default-src 'self'" in home.get("/").headers["Content-Security-Policy"]
    tag = home.get("/kei.js").headers["ETag"]
    assert home.get("/kei.js", headers={"If-None-Match": tag}).status_code == 304


def test_script_and_style_are_small(home: Page) -> None:
    sizes = [
        len(home.get(path).content)
        for path in ("/kei.js", "/charts.js", "/text.js", "/words.js", "/kei.css")
    ]
    assert sum(sizes) <= 61_440
    assert b"<script>" not in home.get("/").content
    assert b"style=" not in home.get("/").content


def test_a_name_from_elsewhere_is_refused_at_loopback(home: Page) -> None:
    for host, status in (
        ("localhost", 200),
        ("127.0.0.1:9999", 200),  # through a tunnel
        ("[::1]:8580", 200),
        ("evil.example", 403),
        ("evil.example:8580", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("", 403),
    ):
        answer = home.get("/healthz", headers={"Host": host})
        assert answer.status_code == status, (host, answer.text)
    home.kei.wait_for_event("web_foreign_host")
    assert len(home.kei.events("web_foreign_host")) == 1


def test_hostile_clients_cost_neither_readings_nor_memory(home: Page) -> None:
    """A thousand connections, dribbled requests, POST and endless addresses, all at once."""
    host, port = home.url.removeprefix("http://").split(":")
    before_kb, begun = memory_kb(home), of_e7(home)
    with ExitStack() as enemies:
        for number in range(1000):
            enemy = enemies.enter_context(socket.create_connection((host, int(port)), PATIENCE_S))
            with suppress(OSError):  # it has been closed already
                enemy.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"[: 8 + number % 40])
            if number % 100 == 0:
                assert home.get("/" + "a" * 5000).status_code == 414
                assert home.json("/api/now")["age_s"] < 60
        wait_until(lambda: of_e7(home) >= begun + 3, PATIENCE_S, "three more readings")
    assert memory_kb(home) - before_kb < 5 * 1024
    assert home.kei.events("thread_died") == []


def of_e7(home: Page) -> int:
    return sum(fields[2] == "E7" for fields in readings(home.jobs.parent))


def memory_kb(home: Page) -> int:
    """What kei has in memory (VmRSS of proc(5))."""
    status = Path(f"/proc/{home.kei.process.pid}/status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
