"""A server is told that all is well, or what is not."""

import random
from collections.abc import Iterator, Sequence

import pytest
import structlog
from fakes import FakeClock
from structlog.testing import LogCapture
from upload_support import Server, answer, events

from kei.core.clock import SystemClock
from kei.jobs import heartbeat
from kei.jobs.heartbeat import HeartbeatSender, HeartbeatStatus, fail_url
from kei.settings.heartbeat import Heartbeat
from kei.upload.http import Http


class Rig:
    """A sender that tells a server what the list `problems` has."""

    def __init__(self, server: Server) -> None:
        self.problems: list[str] = []
        url = f"{server.url}?create=1"
        http = Http(SystemClock())
        self.sender = HeartbeatSender(
            Heartbeat(url, 60.0), self._look, http, FakeClock(), random.Random(1)
        )

    def _look(self) -> Sequence[str]:
        return self.problems


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("http_proxy", raising=False)
    running = Server()
    yield running
    running.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """What has been logged."""
    capture = LogCapture()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[capture], wrapper_class=structlog.stdlib.BoundLogger
    )
    monkeypatch.setattr(heartbeat, "log", logger)
    monkeypatch.setattr(heartbeat, "PAUSE_MAX", 0.0)  # no pauses
    return capture


@pytest.fixture
def rig(server: Server, told: LogCapture) -> Iterator[Rig]:
    made = Rig(server)
    yield made
    made.sender.stop()


def test_all_is_well_by_a_get_and_problems_by_a_post_to_fail(server: Server, rig: Rig) -> None:
    rig.sender.run()
    rig.problems = ["not_joined: not joined for 12 min", "upload_failing: 家"]
    rig.sender.run()
    well, not_well = server.posts
    assert (well.method, well.path, well.body) == ("GET", "/upload.php?create=1", b"")
    assert (not_well.method, not_well.path) == ("POST", "/upload.php/fail?create=1")
    assert not_well.body.decode().splitlines() == rig.problems


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (answer(404), "status 404"),
        (answer(200, b"OK (not found)"), "does not know this url"),
        (answer(302, Location="http://127.0.0.2/"), "redirected"),
    ],
)
def test_a_server_that_does_not_take_it_is_tried_three_times_and_told_once(
    server: Server, rig: Rig, told: LogCapture, behaviour: object, reason: str
) -> None:
    server.always(behaviour)  # type: ignore[arg-type]  # of `Behaviour`
    rig.sender.run()
    rig.sender.run()
    assert len(server.posts) == 2 * heartbeat.TRIES
    (fault,) = events(told, "heartbeat_failing")
    netloc = f"127.0.0.1:{server.port}"
    assert fault["server"] == netloc
    status = rig.sender.status()
    assert (status.server, status.told_ms, status.fault) == (netloc, None, fault["reason"])
    assert reason in str(fault["reason"])
    assert "create" not in str(fault)
    server.always(answer(200, b"OK"))
    rig.sender.run()
    assert events(told, "fault_ended")
    assert rig.sender.status() == HeartbeatStatus(netloc, FakeClock().now_ms(), None)


def test_a_lost_request_is_made_good_at_once(server: Server, rig: Rig, told: LogCapture) -> None:
    server.then(answer(500))
    rig.sender.run()
    assert len(server.posts) == 2
    assert events(told, "heartbeat_failing") == []


def test_a_server_that_is_not_there_is_named_without_its_address(
    server: Server, rig: Rig, told: LogCapture
) -> None:
    server.close()
    rig.sender.run()
    (fault,) = events(told, "heartbeat_failing")
    assert fault["reason"] == "Connection refused"
    assert "upload.php" not in str(fault)


def test_one_that_is_stopped_says_nothing(server: Server, rig: Rig) -> None:
    rig.sender.stop()
    rig.sender.run()
    assert server.posts == []


@pytest.mark.parametrize(
    ("url", "fail"),
    [
        ("https://hc-ping.com/abc", "https://hc-ping.com/abc/fail"),
        ("https://hc-ping.com/abc/", "https://hc-ping.com/abc/fail"),
        ("https://hc-ping.com/key/slug?create=1", "https://hc-ping.com/key/slug/fail?create=1"),
    ],
)
def test_the_address_for_problems(url: str, fail: str) -> None:
    assert fail_url(url) == fail
