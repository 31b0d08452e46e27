"""Servers that are closed again, and logs that can be looked at."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
import structlog
from fakes import TOKYO, FakeClock
from structlog.stdlib import BoundLogger
from structlog.testing import LogCapture
from upload_support import ORIGIN, TARGET, FakeQueue, Make, RunningClock, Server

from kei.settings.upload import UploadTarget
from kei.upload.batching import Origin
from kei.upload.http import Http
from kei.upload.sender import Sender


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def http() -> Iterator[Http]:
    client = Http(RunningClock())
    yield client
    client.stop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(zone=TOKYO)


@pytest.fixture
def target(server: Server) -> UploadTarget:
    return replace(TARGET, target_url=f"{server.url}?token=query-secret")


@pytest.fixture
def make(target: UploadTarget, http: Http, clock: FakeClock, log: BoundLogger) -> Iterator[Make]:
    made: list[Sender] = []

    def sender(*queues: FakeQueue, origin: Origin = ORIGIN, **changes: object) -> Sender:
        wanted = replace(target, **changes)  # type: ignore[arg-type]  # checked by the tests
        one = Sender(wanted, queues, origin, http, clock=clock, random=Random(1), log=log)
        made.append(one)
        return one

    yield sender
    for one in made:
        one.stop()


@pytest.fixture
def capture() -> LogCapture:
    return LogCapture()


@pytest.fixture
def log(capture: LogCapture) -> BoundLogger:
    logger: BoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[capture], wrapper_class=BoundLogger
    )
    return logger
