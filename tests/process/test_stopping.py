"""HUP, INT and TERM end kei within 10 s with exit 0, whatever it is doing."""

import signal
import socket
import threading
from pathlib import Path
from typing import Self

import pytest
from programs import PATIENCE_S, SIMULATED, running, write_jobs

STATES = {
    "starting": ("sim:", "kei_started"),
    "waiting for the port": ("/dev/there-is-no-such-dongle", "port_lost"),
    "resetting": ("sim:latency=3", "session_step:open"),
    "scanning": ("sim:latency=0,scan-time=60", "scan_started"),
    "joining": ("sim:latency=0,scan-time=0,join-time=60", "session_step:join"),
    "waiting for an answer": ("sim:latency=0,scan-time=0,join-time=0,fault=drop@2-999", "joined"),
    "logging": (SIMULATED, "joined"),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("number", [signal.SIGTERM], ids=["TERM"])
def test_a_stop_signal_ends_kei_in_time(tmp_path: Path, state: str, number: int) -> None:
    port, event = STATES[state]
    jobs = write_jobs(tmp_path, port, "[log]", 'level = "debug"')
    with running("--jobs", str(jobs)) as kei:
        name, _, step = event.partition(":")
        if name == "joined":
            name = "session_joined"
        if step:
            kei.wait_for(lambda: any(e["next"] == step for e in kei.events(name)), 20, event)
        else:
            kei.wait_for_event(name, 20)
        assert kei.stop(number) == 0
        assert not kei.events("stop_timed_out")
        assert not kei.errors


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=["HUP", "INT"])
def test_hup_and_int_end_kei_like_term(tmp_path: Path, number: int) -> None:
    jobs = write_jobs(tmp_path, SIMULATED)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        assert kei.stop(number) == 0
        assert kei.events("session_left")[0]["ended"] is True


def test_a_second_signal_ends_kei_at_once(tmp_path: Path) -> None:
    jobs = write_jobs(
        tmp_path, "sim:latency=0,scan-time=0,join-time=60", "[log]", 'level = "debug"'
    )
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(
            lambda: any(e["next"] == "join" for e in kei.events("session_step")), 20, "joining"
        )
        kei.send(signal.SIGTERM)
        kei.wait_for_event("kei_stopping", 5)
        assert kei.stop(signal.SIGTERM, 1.0) == 0


def test_a_server_that_hangs_does_not_delay_the_end(tmp_path: Path) -> None:
    with HangingServer() as server:
        jobs = write_jobs(
            tmp_path,
            SIMULATED,
            "[[upload]]",
            f'target_url = "http://127.0.0.1:{server.port}/"',
            'format = "json"',
            'what = "readings"',
            "cycle = 1",
            "timeout = 60",
        )
        with running("--jobs", str(jobs)) as kei:
            assert server.connected.wait(PATIENCE_S)
            assert kei.stop() == 0


class HangingServer:
    """Takes a connection and never says anything."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connected = threading.Event()
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        try:
            self._held.append(self._listener.accept()[0])
        except OSError:
            return
        self.connected.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for held in self._held:
            held.close()


def test_a_signal_after_the_end_changes_no_exit_code(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        kei.send(signal.SIGTERM)
        kei.wait_for_event("kei_stopped", 10)
        kei.send(signal.SIGTERM)
        assert kei.wait() == 0
