"""The page in a real Chromium, of a real kei."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from browser import HAS_BROWSER, MISSING, Browser, driver
from fakes import TOKYO
from programs import PATIENCE_S, free_port, running, wait_until
from status_facts import FACTS
from stored import add_readings
from web_support import TARIFF, Page, page

from kei.core.clock import SystemClock
from kei.core.reading import Reading
from kei.status.as_json import to_document
from kei.status.rules import Problem, Rule
from kei.status.sentences import ENGLISH, Part, Value
from kei.store.database import Database

pytestmark = pytest.mark.skipif(not HAS_BROWSER, reason=MISSING)

GAP = timedelta(days=-3, hours=10), timedelta(days=-3, hours=14)  # from today's midnight
LEFT, RIGHT, ESCAPE, END = "\ue012", "\ue014", "\ue00c", "\ue010"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("home")
    with page(folder, solar=True, forgets=GAP) as found:
        yield found


@pytest.fixture(scope="module")
def chrome() -> Iterator[str]:
    with driver() as address:
        yield address


@pytest.fixture(scope="module")
def window(home: Page, chrome: str) -> Iterator[Browser]:
    with Browser(chrome, "en-GB") as found:
        found.size(1200, 900)
        show(found, home)
        yield found


@pytest.fixture(autouse=True)
def _no_error_and_no_stranger(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing may be asked of another machine, nor any error be on the console."""
    yield
    if "window" not in request.fixturenames:
        return
    window: Browser = request.getfixturevalue("window")
    home: Page = request.getfixturevalue("home")
    assert window.log("browser") == []
    assert [url for url in asked(window) if not url.startswith(home.url + "/")] == []


def asked(window: Browser) -> list[str]:
    """The addresses that the browser has asked for since the last call."""
    messages = [json.loads(each["message"])["message"] for each in window.log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


def show(window: Browser, home: Page) -> None:
    """Load the page, and wait until all is there."""
    window.open(home.url + "/")
    window.wait_for(
        "return ['day', 'week', 'year'].every((id) => document.querySelector(`#${id} svg`))"
        " && document.querySelector('#how dd') && document.querySelector('#forecast').textContent",
        "the charts",
    )


def test_the_figures_are_those_of_the_meter_and_change_with_it(home: Page, window: Browser) -> None:
    first = window.text("#power")
    window.wait_for(f"return document.querySelector('#power').innerText !== '{first}'", "a change")
    shown = abs(int(window.text("#power").replace(",", "")))
    near = abs(home.json("/api/now")["power_w"])
    assert shown == pytest.approx(near, abs=2000)
    assert "of 40\u00a0A" in window.text("#share-text")
    assert window.text("#currents").startswith("R ")
    assert "¥" in window.text("#period-cost")
    assert "expected by" in window.text("#forecast")
    assert window.text("#price").startswith("¥")
    # A machine that is held up loses the meter for some seconds.
    wait_until(lambda: "connected for" in window.text("#how"), PATIENCE_S, "the meter")
    wait_until(lambda: window.text("#state") == "All is well", PATIENCE_S, "no problem")
    assert f"{home.url}/api/now" in asked(window)
    said = window.run("return document.querySelector('[aria-live][aria-atomic]').textContent")
    assert said.endswith("watts")


def test_every_chart_has_a_table_beside_it(window: Browser) -> None:
    for name, rows in (("day", 47), ("week", 6 * 48), ("year", 13)):
        window.run(f"document.querySelector('#{name}-table').parentElement.open = true")
        found = window.run(f"return document.querySelectorAll('#{name}-table tbody tr').length")
        assert found >= rows, name
        assert "kWh bought" in window.text(f"#{name}-table thead")
        assert "kWh sold" in window.text(f"#{name}-table thead")  # the home has solar panels


def test_a_day_with_a_gap_has_the_sum_that_kei_energy_gives(home: Page, window: Browser) -> None:
    """What was used in the gap is in it, though no half-hour has it."""
    sums = window.run(
        "return [...document.querySelectorAll('#week svg .strong')].map((e) => e.textContent)"
    )
    rows = home.json("/api/energy", by="day", **{"from": "-6d", "to": "today"})["rows"]
    assert [row["state"] for row in rows] == [
        *["complete"] * 3,
        "partial",
        *["complete"] * 2,
        "running",
    ]
    assert sums[:6] == [
        f"{'≥ ' * (number == 3)}{row['bought_kwh']}" for number, row in enumerate(rows[:6])
    ]


def test_a_drag_gives_the_sum_that_kei_energy_gives(home: Page, window: Browser) -> None:
    box = window.run(
        "const e = document.querySelector('#day'); e.scrollIntoView({block: 'center'});"
        "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
    )
    left, top, width, height = box
    middle = top + height / 2
    window.drag(*((left + width * share, middle) for share in (0.3, 0.4, 0.55)))
    text = window.wait_for(
        "const t = document.querySelector('#day-said').innerText; return t.includes('kWh') && t",
        "the sum",
    )
    span, _, rest = text.partition(": ")
    begin, end = (_instant(each, home) for each in span.split(" – "))
    assert timedelta(hours=5) <= end - begin <= timedelta(hours=7)
    asked = ("energy", "--from", begin.isoformat(), "--to", end.isoformat(), "--format", "json")
    total = json.loads(home.says(*asked))["total"]
    assert float(rest.split(" kWh")[0]) == total["bought_kwh"]
    assert "¥" in rest
    assert ("sold" in rest) == (total["sold_kwh"] > 0)


def _instant(clock: str, home: Page) -> datetime:
    """The time of the last 24 hours at which a clock shows this."""
    now = datetime.fromisoformat(home.json("/api/now")["time"])
    hour, minute = map(int, clock.split(":"))
    found = now.replace(hour=hour, minute=minute, second=0)
    return found if found <= now else found - timedelta(days=1)


def test_the_keyboard_chooses_too(window: Browser) -> None:
    window.run("document.querySelector('#day').focus()")
    window.press(ESCAPE)
    assert window.text("#day-said") == ""
    window.press(LEFT, LEFT, LEFT)
    window.press(LEFT, LEFT, shift=True)
    text = window.wait_for(
        "const t = document.querySelector('#day-said').innerText; return t.includes('kWh') && t",
        "the sum",
    )
    begin, end = (each.split(":") for each in text.partition(": ")[0].split(" – "))
    minutes = (int(end[0]) * 60 + int(end[1]) - int(begin[0]) * 60 - int(begin[1])) % 1440
    assert minutes == 90
    window.press(ESCAPE)
    assert window.text("#day-said") == ""


def test_it_speaks_the_language_that_one_reads_and_keeps_a_choice(
    home: Page, window: Browser, chrome: str
) -> None:
    with Browser(chrome, "ja-JP,en") as other:
        show(other, home)
        assert other.run("return document.documentElement.lang") == "ja"
        assert other.text("#today-title") == "今日"
        assert other.text("#state") == "正常"
        assert other.log("browser") == []
    assert window.text("#today-title") == "Today"
    window.run("document.querySelector('#language').click()")
    assert window.text("#today-title") == "今日"
    show(window, home)
    assert window.text("#today-title") == "今日"
    assert "円" in window.text("#period-cost")
    window.run("document.querySelector('#language').click()")
    assert window.text("#today-title") == "Today"


def answer_with(window: Browser, path: str, document: object) -> None:
    """Have the page get a document from addresses that begin so, and ask for it at once."""
    window.run(
        "const [ask, path, answer] = [window.fetch, arguments[0], JSON.stringify(arguments[1])];"
        "window.fetch = (asked, ...more) => asked.startsWith(path)"
        " ? Promise.resolve(new Response(answer)) : ask(asked, ...more);"
        "document.dispatchEvent(new Event('visibilitychange'));",
        path,
        document,
    )


def test_a_half_hour_that_comes_twice_has_its_offset(home: Page, chrome: str) -> None:
    london = ZoneInfo("Europe/London")
    first = datetime(2026, 10, 25, tzinfo=UTC)
    times = [(first + number * timedelta(minutes=30)).astimezone(london) for number in range(6)]
    rows = [
        {"start": start.isoformat(), "end": end.isoformat(), "bought_kwh": 1, "sold_kwh": None}
        for start, end in pairwise(times)
    ]
    with Browser(chrome, "en-GB") as other:
        show(other, home)
        answer_with(other, "/api/energy", {"rows": rows})
        heads = "[...document.querySelectorAll('#week-table tbody th')].map((e) => e.textContent)"
        named = other.wait_for(f"const all = {heads}; return all.length === 5 && all", "the rows")
    assert [each.split(" ")[-1] for each in named] == [
        "01:00+01:00",
        "01:30+01:00",
        "01:00+00:00",
        "01:30+00:00",
        "02:00",
    ]


def test_the_details_of_problems_are_in_the_language_of_the_page(home: Page, chrome: str) -> None:
    values: dict[str, Value] = {
        "fault": "join_failed: check B-route ID and password",
        "state": "scan",
        "names": [("E7", 120.0), *((f"T{number}", None) for number in range(11))],
        "port": "/dev/1",
        "broker": "192.0.2.1:1883",
    }
    parts = tuple(
        Part(what, **{name: values.get(name, 7500.0) for name in re.findall(r"\{(\w+)", text)})
        for what, text in ENGLISH.items()
    )
    problems = [Problem(rule, parts) for rule in Rule]
    told = home.json("/api/status") | {"problems": to_document(FACTS, problems)["problems"]}
    with Browser(chrome, "ja-JP,en") as other:
        show(other, home)
        answer_with(other, "/api/status", told)
        shown = "[...document.querySelectorAll('#problems li')].map((each) => each.innerText)"
        texts = other.wait_for(f"const all = {shown}; return all.length && all", "the problems")
        assert len(texts) == len(Rule)
        for text in texts:
            foreign = re.sub("kei|MQTT|E7|T[0-9]+|/dev/1", "", text)
            assert re.findall(r"[A-Za-z]{3,}|[{}]|undefined", foreign) == []
            assert text.count("。") > len(parts)
        assert "メーターに 2 時間 5 分間接続できていません。" in texts[0]
        assert "メーターを探しています。" in texts[0]
        assert "E7（2 分）、T0、T1" in texts[0]
        assert "ほか 2 件" in texts[0]
        other.run("document.querySelector('#language').click()")
        (first, *_) = other.run(f"return {shown}")
        assert "not joined with the meter for 2 h 5 min; not joined; next attempt in 2 h" in first


def test_it_fits_a_phone_and_a_dark_room(home: Page, window: Browser) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    window.prefer("light")
    light = window.run(ground)
    window.prefer("dark")
    dark = window.run(ground)
    assert dark != light
    window.run("document.querySelector('#theme').click()")  # from automatic to light
    assert window.run(ground) == light
    window.run("document.querySelector('#theme').click()")
    window.run("document.querySelector('#theme').click()")
    for width in (320, 390, 768, 1600):
        window.size(width, 800)
        show(window, home)
        wide = window.run("return document.documentElement.scrollWidth")
        assert wide <= width, "it has to be moved sideways"
        drawn = window.run(
            "return document.querySelector('#day svg').getBoundingClientRect().width"
        )
        assert width / 2 < drawn <= width
    window.size(1200, 900)


def test_a_page_that_is_hidden_and_seen_again_asks_no_more_often(
    home: Page, window: Browser
) -> None:
    """A phone that is unlocked while its network comes back: each glance is during a request."""
    window.run("""
        const [set, clear, ask] = [window.setTimeout, window.clearTimeout, window.fetch];
        let hidden = false;
        [window.pending, window.answered] = [new Set(), 0];
        window.setTimeout = (run, ms) => {
            const id = set(() => { pending.delete(id); run(); }, ms);
            if (ms === 2000) pending.add(id);
            return id;
        };
        window.clearTimeout = (id) => { pending.delete(id); clear(id); };
        window.fetch = (...about) => ask(...about).finally(() => {
            if (about[0] === "/api/now") set(() => { window.answered += 1; });
        });
        Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
        for (hidden of [true, false, true, false, true, false]) {
            document.dispatchEvent(new Event("visibilitychange"));
        }
        """)
    window.wait_for("return window.answered >= 3", "the answers")
    assert window.run("return pending.size") <= 1
    show(window, home)


def test_a_kei_without_a_meter_shows_its_sensors_whatever_they_are_called(
    tmp_path: Path, chrome: str
) -> None:
    clock, port = SystemClock(TOKYO), free_port()
    with closing(Database.open(tmp_path / "kei.db", clock)) as database:
        names = ("T1", "A_sensor_with_a_long_name_" * 4)
        values = (Decimal(21), Decimal("-123456789012.1234"))
        of_sensors = zip(names, values, strict=True)
        now_ms = clock.now_ms()
        readings = [Reading(now_ms, "A1", name, value, "0") for name, value in of_sensors]
        add_readings(database, readings)
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(f'[web]\nlisten = "127.0.0.1:{port}"\n[[serial]]\nport = "sim-sensor:"\n')
    with running("--jobs", str(jobs), cwd=tmp_path) as kei, Browser(chrome, "en-GB") as window:
        kei.wait_for_event("web_listening")
        window.size(320, 800)
        window.open(f"http://127.0.0.1:{port}/")
        window.wait_for("return document.querySelectorAll('#sensors li').length > 1", "sensors")
        window.wait_for("return document.querySelector('#how dd')", "the state")
        titles = "[...document.querySelectorAll('h2')].filter((each) => each.checkVisibility())"
        shown = window.run(f"return {titles}.map((each) => each.innerText)")
        assert shown == ["Sensors", "How kei is"]
        assert window.run("return document.documentElement.scrollWidth") <= 320
        assert window.log("browser") == []


def test_without_a_tariff_or_a_kei_it_says_so(home: Page, window: Browser) -> None:
    with_tariff = home.jobs.read_text()
    home.jobs.write_text(with_tariff.replace(TARIFF, ""))
    home.kei.send(signal.SIGUSR2)
    window.wait_for("return document.querySelector('#price-note').innerText", "the hint")
    wait_until(lambda: not window.text("#period-cost"), PATIENCE_S, "costs to be gone")
    assert "[tariff]" in window.text("#price-note")
    assert window.text("#period-title") == "This month"
    assert window.text("#forecast") == ""
    home.kei.stop()
    wait_until(lambda: window.text("#notice"), PATIENCE_S, "that kei is gone")
    assert "cannot be reached" in window.text("#notice")
    window.log("browser")  # has it that there is no connection, as it should
