"""The server of a real kei: where it listens, whom it answers, and that recording goes on."""

import base64
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import requests
from fakes import FakeClock
from programs import (
    PATIENCE_S,
    SIMULATED,
    Program,
    free_port,
    readings,
    running,
    wait_until,
    write_jobs,
)
from structlog.testing import capture_logs
from web_support import web_jobs

from kei.settings.web import Web
from kei.web.guard import is_own_name
from kei.web.live import Live
from kei.web.server import WebServer


def of_e7(folder: Path) -> int:
    return sum(fields[2] == "E7" for fields in readings(folder))


def test_a_page_comes_goes_and_asks_for_a_password_while_kei_records(tmp_path: Path) -> None:
    port, secret = free_port(), "correct horse battery"
    with socket.create_server(("127.0.0.1", port)) as other:
        jobs = web_jobs(tmp_path, port=port)
        text = jobs.read_text()
        with running("--jobs", str(jobs), cwd=tmp_path) as kei:
            kei.wait_for_event("web_unavailable")
            (told,) = kei.events("web_unavailable")
            assert told["listen"] == f"127.0.0.1:{port}"
            assert told["reason"] == "Address already in use"
            kei.wait_for(lambda: of_e7(tmp_path) > 2, 20, "readings without a page")
            assert len(kei.events("web_unavailable")) == 1
            other.close()
            kei.wait_for_event("web_listening")
            url = f"http://127.0.0.1:{port}"
            assert requests.get(f"{url}/api/now", timeout=PATIENCE_S).json()["power_w"] > 0

            change(kei, jobs, text + f'password = "{secret}"\n', text)
            kei.wait_for_event("web_listening", count=2)
            check_password(url, secret)
            assert secret not in "\n".join(kei.lines)

            moved = free_port()
            change(kei, jobs, text.replace(str(port), str(moved)), text)
            kei.wait_for_event("web_listening", count=3)
            assert requests.get(f"http://127.0.0.1:{moved}/healthz", timeout=PATIENCE_S).ok
            with pytest.raises(requests.ConnectionError):
                requests.get(f"{url}/healthz", timeout=PATIENCE_S)

            change(kei, jobs, text.partition("[web]")[0] + REST, text)
            before = of_e7(tmp_path)
            kei.wait_for(lambda: of_e7(tmp_path) > before + 1, 20, "readings without a page again")
            with pytest.raises(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{moved}/healthz", timeout=PATIENCE_S)
            # A machine that stands still may lose the session: that is another reason.
            assert len(kei.events("session_joined")) <= 1 + len(kei.events("session_lost"))
            assert kei.stop() == 0


REST = '[[serial]]\nport = "sim-sensor:"\n'


def change(kei: Program, jobs: Path, text: str, before: str) -> None:
    """Put another text in place of jobs.toml, with the key behind the table that it belongs to."""
    if text.startswith(before):
        listen = next(line for line in before.splitlines() if line.startswith("listen"))
        text = before.replace(listen, listen + "\n" + text[len(before) :].strip())
    count = len(kei.events("config_changed"))
    jobs.write_text(text)
    kei.send(12)  # SIGUSR2: now, not at the next look
    kei.wait_for_event("config_changed", count=count + 1)


def check_password(url: str, secret: str) -> None:
    """Only who knows the password sees anything but whether all is well."""
    wrong = [
        None,
        ("kei", "wrong"),
        ("other", secret),
        ("kei", ""),
        ("kei", secret + "x"),
    ]
    for path in ("/", "/api/now", "/api/status", "/kei.js", "/nothing"):
        for auth in wrong:
            answer = requests.get(url + path, auth=auth, timeout=PATIENCE_S)
            assert answer.status_code == 401, (path, auth)
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    for header in ("Bearer x", "Basic", "Basic ===", "Basic " + "A" * 3000, "basic \u00e9"):
        sent = {"Authorization": header.encode("latin-1")}
        answer = requests.get(f"{url}/api/now", headers=sent, timeout=PATIENCE_S)
        assert answer.status_code == 401, header
    assert requests.get(f"{url}/api/now", auth=("kei", secret), timeout=PATIENCE_S).ok
    named = base64.b64encode(f"kei:{secret}".encode()).decode()
    sent_text = {"Authorization": f"bAsIc {named}"}
    assert requests.get(f"{url}/api/now", headers=sent_text, timeout=PATIENCE_S).ok
    health = requests.get(f"{url}/healthz", timeout=PATIENCE_S)
    assert (health.status_code, health.text) == (200, "ok\n")


def test_health_says_why_only_to_who_may_see_it(tmp_path: Path) -> None:
    port = free_port()
    web = f'[web]\nlisten = "127.0.0.1:{port}"\npassword = "long enough"'
    jobs = write_jobs(tmp_path, str(tmp_path / "nothing"), web)
    with running("--jobs", str(jobs), cwd=tmp_path) as kei:
        kei.wait_for_event("web_listening")
        (tmp_path / "kei.db").write_bytes(b"no database at all" * 100)
        url = f"http://127.0.0.1:{port}"
        kei.wait_for(
            lambda: requests.get(f"{url}/healthz", timeout=PATIENCE_S).status_code == 503, 20, "503"
        )
        assert requests.get(f"{url}/healthz", timeout=PATIENCE_S).text == "not ok\n"
        told = requests.get(f"{url}/healthz", auth=("kei", "long enough"), timeout=PATIENCE_S)
        assert told.text.startswith("not ok\n")
        assert "database_unreadable: " in told.text


@pytest.mark.parametrize("host", ["LOCALHOST", "localhost.", "127.9.9.9:1", "[::1]"])
def test_names_of_the_machine_itself(host: str) -> None:
    assert is_own_name(host)


def test_a_kei_without_a_page_loads_nothing_for_it(tmp_path: Path) -> None:
    program = (
        "import sys, threading\n"
        "from kei.cli import main\n"
        "def tell():\n"
        "    sys.stdin.readline()\n"
        "    those = {'bottle', 'waitress', 'jpholiday', 'prometheus_client'}\n"
        "    print(sorted(those & {*sys.modules}))\n"
        "    sys.stdout.flush()\n"
        "threading.Thread(target=tell, daemon=True).start()\n"
        "main()\n"
    )
    jobs = write_jobs(tmp_path, SIMULATED)
    arguments = ("--jobs", str(jobs))
    with running(*arguments, program=("-c", program), cwd=tmp_path, stdin=subprocess.PIPE) as kei:
        kei.wait_for_event("session_joined")
        kei.type("what is there?")
        kei.wait_for(lambda: "[]" in kei.lines, 10, "that nothing of it is loaded")


def test_without_the_extra_that_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "waitress.adjustments", None)  # as if it was not installed
    monkeypatch.delitem(sys.modules, "kei.web.connections", raising=False)
    server = WebServer(Web(), cast("Live", SimpleNamespace(clock=FakeClock())))
    with capture_logs() as logs:
        thread = threading.Thread(target=server.run)
        thread.start()
        wait_until(lambda: logs, PATIENCE_S, "a line")
        server.stop()
        thread.join(PATIENCE_S)
    (told,) = logs
    lacking = "waitress is missing; pip install 'kei[web]', then restart kei if it runs"
    assert (told["event"], told["reason"]) == ("web_unavailable", lacking)
    assert server.status().fault == lacking
