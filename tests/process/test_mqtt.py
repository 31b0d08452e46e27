"""A real broker is told by a real kei what is now; a broken one costs nobody anything."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from fakes import TOKYO
from mosquitto import mosquitto
from mqtt_support import LONG, WELCOME, Listener, OddBroker, listener, needs_mosquitto
from programs import (
    BROUTE_ID,
    PATIENCE_S,
    SIMULATED,
    Program,
    command,
    free_port,
    readings,
    running,
    write_jobs,
)
from recorded_home import record_home
from upload_support import Server
from web_support import TARIFF, Page, web_jobs

from kei.core.clock import SystemClock

SITE = '[site]\nname = "house-07"'
BASE = "kei/house-07"
CONFIG = "homeassistant/device/kei_001d129012345678/config"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as at:
        yield at


@pytest.fixture
def alive() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def ear(port: int) -> Iterator[Listener]:
    with listener(port) as made:
        yield made


def requests(*groups: tuple[str, float]) -> str:
    made = (
        f"[[broute.requests]]\nepc = {json.dumps(epcs.split())}\ncycle = {cycle}"
        for epcs, cycle in groups
    )
    return "\n".join(made)


def jobs(
    folder: Path, port: int, *more: str, groups: str = requests(("E7", 0.5), ("E0 E3", 1))
) -> Path:
    mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {port}'
    return write_jobs(folder, SIMULATED, SITE, "\n".join((mqtt, *more)), requests=groups)


def connections(kei: Program) -> int:
    return len(kei.events("mqtt_connected"))


@needs_mosquitto
def test_a_broker_is_told_and_reloads_keep_its_connection(
    tmp_path: Path, port: int, ear: Listener
) -> None:
    path = jobs(tmp_path, port)
    with running("--jobs", str(path)) as kei:
        ear.wait_for(lambda: len(ear.of(f"{BASE}/BR/E7")) > 1, "values")
        ear.wait_for(lambda: ear.of(f"{BASE}/BR/E0"), "a register")
        ear.wait_for(lambda: ear.of(f"{BASE}/meter/status")[-1:] == ["online"], "the meter")
        ear.wait_for(lambda: "E3" in ear.of(CONFIG)[-1], "all of the device")
        value = json.loads(ear.of(f"{BASE}/BR/E7")[0])
        assert datetime.fromisoformat(value["time"]).utcoffset() is not None
        recorded = {fields[3] for fields in readings(tmp_path) if fields[2] == "E7"}
        assert str(value["value"]) in recorded
        assert json.loads(ear.of(f"{BASE}/health")[-1])["problems"] == []

        code, lines, _ = command("status", "--jobs", path)
        assert code == 0
        (line,) = (each for each in lines if each.startswith("mqtt"))
        assert f"127.0.0.1:{port}: connected for" in line

        jobs(tmp_path, port, groups=requests(("E7", 0.5), ("E0", 1)))
        kei.send(signal.SIGUSR2)
        ear.wait_for(lambda: "E3" not in json.loads(ear.of(CONFIG)[-1])["cmps"], "E3 deleted")
        assert json.loads(ear.of(CONFIG)[-2])["cmps"]["E3"] == {"p": "sensor"}
        assert connections(kei) == 1

        jobs(tmp_path, port, 'topic = "home/power"', groups=requests(("E7", 0.5), ("E0", 1)))
        kei.send(signal.SIGUSR2)
        ear.wait_for(lambda: ear.of("home/power/house-07/BR/E7"), "values at another topic")
        assert "offline" in ear.of(f"{BASE}/status")
        assert connections(kei) == 2
        assert kei.stop() == 0
    assert ear.of("home/power/house-07/status")[-1] == "offline"
    assert ear.of("home/power/house-07/meter/status")[-1] == "offline"
    everything = "".join(topic + payload for topic, payload, _ in ear.heard)
    assert BROUTE_ID not in everything.upper()


@needs_mosquitto
def test_a_half_hour_from_the_meters_memory_is_told_without_another_connection(
    tmp_path: Path, port: int, ear: Listener
) -> None:
    path = jobs(tmp_path, port, "[history]\ndays = 1", groups=requests(("E7", 1)))
    with running("--jobs", str(path)) as kei:
        ear.wait_for(lambda: ear.of(f"{BASE}/BR/EA"), "a register")
        time = datetime.fromisoformat(json.loads(ear.of(f"{BASE}/BR/EA")[-1])["time"])
        assert (time.minute % 30, time.second) == (0, 0)
        assert connections(kei) == 1
        assert kei.stop() == 0


@needs_mosquitto
def test_costs_are_those_of_the_page_and_end_with_the_tariff(
    tmp_path: Path, port: int, ear: Listener
) -> None:
    record_home(tmp_path / "kei.db", SystemClock(TOKYO), days=2)
    mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\ntopic = "costs"\ndiscovery = "costs"'
    at = free_port()
    path = web_jobs(tmp_path, SITE, mqtt, TARIFF, port=at)
    told, site = "costs/house-07", "costs/device/kei_site_house-07/config"

    def values() -> list[float]:
        return [json.loads(ear.of(f"{told}/{name}")[-1])["value"] for name in ("cost", "price")]

    with running("--jobs", str(path), cwd=tmp_path, TZ="Asia/Tokyo") as kei:
        home = Page(kei, path, f"http://127.0.0.1:{at}")
        ear.wait_for(lambda: ear.of(f"{told}/cost") and ear.of(f"{told}/price"), "costs")
        now = home.json("/api/now")
        assert values() == [now["period"]["cost"], now["price"]]
        cost = json.loads(ear.of(f"{told}/cost")[-1])
        assert [cost["from"], cost["until"]] == [now["period"]["from"], now["period"]["until"]]
        assert cost["value"] == json.loads(home.says("bill", "--format", "json"))["total"]
        assert {"cost", "price"} <= json.loads(ear.of(site)[-1])["cmps"].keys()
        web_jobs(tmp_path, SITE, mqtt, port=at)
        kei.send(signal.SIGUSR2)
        ear.wait_for(lambda: "cost" not in json.loads(ear.of(site)[-1])["cmps"], "cost deleted")
        assert json.loads(ear.of(site)[-2])["cmps"]["price"] == {"p": "sensor"}
        assert kei.stop() == 0


@needs_mosquitto
def test_a_kei_that_is_killed_is_offline_and_only_registers_stay(
    tmp_path: Path, port: int, ear: Listener
) -> None:
    path = jobs(tmp_path, port, 'topic = "killed"')
    base = "killed/house-07"
    with running("--jobs", str(path)) as kei:
        told = {f"{base}/BR/{sensor}" for sensor in ("E7", "E0", "E3")} | {f"{base}/meter/status"}
        ear.wait_for(lambda: told <= {topic for topic, *_ in ear.heard}, "values")
        kei.kill()
    ear.wait_for(lambda: ear.of(f"{base}/status")[-1] == "offline", "the last will")
    with listener(port) as late:
        late.publish(f"{base}/end", "")
        late.wait_for(lambda: late.of(f"{base}/end"), "all that is retained, and this after it")
        kept = {topic for topic, _, is_retained in late.heard if is_retained}
    assert {f"{base}/BR/E0", f"{base}/BR/E3", f"{base}/meter/status"} <= kept
    assert f"{base}/BR/E7" not in kept
    assert f"{base}/health" not in kept


@needs_mosquitto
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_broker_with_tls_and_a_password_in_a_file(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", *arguments.split(), *subject.split(), *files],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    users = tmp_path / "users"
    hashing = ["mosquitto_passwd", "-b", "-c", str(users), "kei", "correct horse"]
    subprocess.run(hashing, check=True, stderr=subprocess.DEVNULL)
    settings = (
        f"password_file {users}",
        f"cafile {certificate}",
        f"certfile {certificate}",
        f"keyfile {key}",
    )
    (tmp_path / "password").write_text("wrong horse\n")
    with mosquitto(tmp_path, *settings) as port:
        login = (
            "tls = true",
            f'ca_file = "{certificate}"',
            'user = "kei"',
            'password_file = "password"',
        )
        path = jobs(tmp_path, port, *login)
        with running("--jobs", str(path)) as kei:
            kei.wait_for_event("mqtt_unavailable")
            assert "user and password of [mqtt]" in str(kei.events("mqtt_unavailable")[0]["reason"])
            (tmp_path / "password").write_text("correct horse\n")
            kei.send(signal.SIGUSR2)
            kei.wait_for_event("mqtt_connected")
            assert "horse" not in kei.output()
            jobs(tmp_path, port, "tls = true", *login[2:])
            kei.send(signal.SIGUSR2)
            kei.wait_for_event("mqtt_unavailable", count=2)
            assert "certificate refused" in str(kei.events("mqtt_unavailable")[1]["reason"])
            assert kei.stop() == 0


def test_a_broker_that_hangs_or_lies_delays_no_reading_no_reload_and_no_stop(
    tmp_path: Path,
) -> None:
    in_a_packet, lying = OddBroker(WELCOME[:2]), OddBroker(WELCOME + LONG)
    hanging = OddBroker(WELCOME, reads=False)
    brokers = (in_a_packet, lying, hanging)
    path = jobs(tmp_path, lying.port, groups=requests(("E7", 0.2)))

    def count() -> int:
        return sum(fields[2] == "E7" for fields in readings(tmp_path))

    def goes_on(kei: Program, broker: OddBroker) -> None:
        """Kei comes to this broker, and its readings go on."""
        kei.wait_for(lambda: broker.connections, PATIENCE_S, "the connection")
        wanted = count() + 3
        kei.wait_for(lambda: count() >= wanted, PATIENCE_S, "readings")

    try:
        with running("--jobs", str(path)) as kei:
            kei.wait_for_event("session_joined")
            for broker in brokers:
                jobs(tmp_path, broker.port, groups=requests(("E7", 0.2)))
                kei.send(signal.SIGUSR2)
                goes_on(kei, broker)
            status = json.loads("\n".join(command("status", "--jobs", path, "--json")[1]))
            assert status["session"]["missed"] == 0
            assert status["mqtt"]["connected"]
            assert kei.stop(limit_s=5) == 0
    finally:
        for broker in brokers:
            broker.close()
    assert not kei.events("thread_died")
    assert not kei.events("mqtt_failed")


def test_a_kei_without_a_broker_does_not_load_paho_and_tells_that_it_lives(
    tmp_path: Path, alive: Server
) -> None:
    heartbeat = f'[heartbeat]\nurl = "{alive.url}"\nevery = "10s"'
    path = write_jobs(tmp_path, SIMULATED, SITE, heartbeat, requests=requests(("E7", 0.5)))
    code = (
        "import sys, threading\n"
        "from kei.cli import main\n"
        "threading.Timer(1, lambda: print('paho' in sys.modules)).start()\n"
        f"sys.exit(main(['--jobs', {str(path)!r}]))"
    )
    with running(program=("-c", code), measured=False) as kei:
        kei.wait_for_event("session_joined")
        kei.wait_for(lambda: {"True", "False"} & set(kei.lines), 10, "the answer")
        assert "False" in kei.lines
        alive.wait_for_post()
        assert alive.posts[0].method == "GET"
        assert kei.stop() == 0
