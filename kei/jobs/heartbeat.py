"""The job that tells a server that all is well, or what is not: a silent kei is noticed there."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

import structlog

from kei.core.clock import Clock
from kei.core.errors import RetryLater, Stopping
from kei.core.incidents import Incidents
from kei.jobs.kinds import Event, Every, Executor, Job, JobContext, JobKind, Planned
from kei.settings import text_rules
from kei.settings.config import Config
from kei.settings.heartbeat import Heartbeat

if TYPE_CHECKING:
    from kei.upload.http import Answer

log = structlog.stdlib.get_logger("kei.heartbeat")

TIMEOUT_S = 5.0  # for a sign of life; a request as a whole gets three times as long
TRIES = 3  # as healthchecks.io recommends: one lost packet must not give an alarm
PAUSE_S = 2.0  # before the second try; the third waits for twice as long
PAUSE_MAX = 0.1  # of the cycle
BODY_MAX_CHARS = 10_000  # what healthchecks.io keeps of a body is ten times that
SUCCESS = range(200, 300)
# healthchecks.io answers 200 to an address that it does not know, and says so in the body.
_NOT_COUNTED = b"OK ("


@dataclass(frozen=True, slots=True)
class HeartbeatStatus:
    """How a server is told, for the status document.

    Attributes:
        server: its host, and its port if that is not the usual one.
        told_ms: when it was told last, milliseconds since 1970 in UTC; None if not since the start.
        fault: why the last attempt failed; None if it did not.
    """

    server: str
    told_ms: int | None
    fault: str | None


class Asks(Protocol):
    """An HTTP client; see `kei.upload.http.Http`."""

    def get(self, url: str, timeout_s: float) -> Answer:
        """Ask for an address."""

    def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
        """Send a body."""

    def stop(self) -> None:
        """Let no other request begin."""


class HeartbeatSender:
    """Tells one server how kei is. `run` is called by one thread.

    Args:
        settings: where to, and how often.
        problems: what is wrong, one line each.
        http: asks that server alone.
        clock: for the log.
        rng: for jitter.
    """

    def __init__(
        self,
        settings: Heartbeat,
        problems: Callable[[], Sequence[str]],
        http: Asks,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._problems = problems
        self._http = http
        self._clock = clock
        self._rng = rng
        self._stopping = threading.Event()
        self._incidents = Incidents(log, clock)
        self._status = HeartbeatStatus(urlsplit(settings.url).netloc, None, None)

    def status(self) -> HeartbeatStatus:
        """Return how the server is told; any thread."""
        return self._status

    def run(self) -> None:
        """Say once how kei is; a server that cannot be told is a fault in the log."""
        fault: str | None = None
        pause_s = 0.0
        for _ in range(TRIES):
            if self._stopping.wait(self._clock.wait_s(pause_s)):
                return
            try:
                fault = self._tell(self._problems())
            except Stopping:
                return
            except RetryLater as error:
                fault = str(error)
            if fault is None:
                self._status = replace(self._status, told_ms=self._clock.now_ms(), fault=None)
                self._incidents.ended("heartbeat_failing")
                return
            pause_s = max(PAUSE_S, 2 * pause_s) * self._rng.uniform(0.5, 1.5)
            pause_s = min(pause_s, PAUSE_MAX * self._settings.every_s)
        self._status = replace(self._status, fault=fault)
        self._incidents.raised("heartbeat_failing", server=self._status.server, reason=fault)

    def stop(self) -> None:
        """Make a run end soon, and any later one at once; any thread."""
        self._stopping.set()
        self._http.stop()

    def _tell(self, problems: Sequence[str]) -> str | None:
        """Send one request; return why it was none, or None."""
        if problems:
            body = "\n".join(problems)[:BODY_MAX_CHARS].encode()
            kind = {"Content-Type": "text/plain; charset=utf-8"}
            answer = self._http.post(fail_url(self._settings.url), body, kind, TIMEOUT_S)
        else:
            answer = self._http.get(self._settings.url, TIMEOUT_S)
        if answer.elsewhere is not None:
            return "redirected to another address, which is not followed"
        if answer.status not in SUCCESS:
            return f"status {answer.status}"
        if answer.body.startswith(_NOT_COUNTED):
            return "the server does not know this url, or gets it too often"
        return None


def fail_url(url: str) -> str:
    """Return the address for problems: `/fail` behind the path, before a query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))


def _plan(config: Config) -> Iterator[Planned]:
    settings = config.heartbeat
    if settings is None:
        return
    host = text_rules.host(settings.url)
    yield Planned(
        id=f"heartbeat-{host}",
        what=f"tell {host} that all is well, or what is not",
        schedule=Every(settings.every_s, asks_server=True),
        executor=Executor.UPLOAD,
        origin=settings,
        build=partial(_build, settings),
        also_after=Event.READY,  # who has missed kei is to know soon that it is back
    )


def _build(settings: Heartbeat, context: JobContext) -> Job:
    from kei.upload.http import Http  # noqa: PLC0415

    http = Http(context.clock)
    sender = HeartbeatSender(settings, context.problems, http, context.clock, context.rng)
    return Job(sender.run, sender.stop, heartbeat=sender.status)


KIND = JobKind(_plan)
