"""Runs a probe: join the meter, ask it everything, and leave it whatever happens meanwhile."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from kei import config
from kei.app.meter_line import (
    SESSION_LIMIT_S,
    SESSION_THREAD,
    SIMULATOR_LIMIT_S,
    SIMULATOR_THREAD,
    build_session,
)
from kei.app.workers import Workers, WorkerTarget
from kei.commands.probe.questions import ask_everything
from kei.commands.probe.result import ProbeResult
from kei.config.errors import fault_line
from kei.core import logs
from kei.core.clock import Clock, Instant
from kei.core.errors import ConfigError, NotReady, Stopping
from kei.core.signals import LAST_LINES_S, STOP_SIGNALS, SignalQueue
from kei.echonet.frame import Property
from kei.settings.broute import Broute
from kei.wisun.interfaces import Answer
from kei.wisun.session import Session

JOIN_LIMIT_S = 300.0  # four scans of growing length take 70 s, a join that fails 40 s
POLL_S = 0.1  # between two looks at what is waited for; a signal ends the wait at once


def probe(
    path: Path, *, environ: Mapping[str, str], clock: Clock, signals: SignalQueue
) -> ProbeResult | None:
    """Find out what dongle and meter are; faults on the way are logged to stderr at once.

    Nothing is stored and nothing that was stored is used: the meter is found by a real scan.

    Returns:
        the result; None when HUP, INT or TERM ended the probe.

    Raises:
        ConfigError: jobs.toml does not validate, or has no dongle.
        NotReady: the meter was not joined in time; the text says how far the probe got.
        OSError: there is no pseudo terminal for a simulated port.
    """
    broute = config.load(path, environ=environ).broute
    if broute is None:
        remedy = "add the table with port, broute_id and broute_pwd"
        raise ConfigError([fault_line(path, 1, "broute", "there is no dongle to probe", remedy)])
    logs.masker.hide([broute.broute_id, broute.broute_pwd])
    logs.configure_stderr(environ)
    try:
        return join_and_ask(broute, clock=clock, signals=signals)
    finally:
        logs.flush(LAST_LINES_S)  # before what is found is written, maybe to the same terminal


def join_and_ask(
    broute: Broute, *, clock: Clock, signals: SignalQueue, limit_s: float = JOIN_LIMIT_S
) -> ProbeResult | None:
    """Join the meter within so many seconds, ask it everything, and leave; see `probe`."""
    listener, stop = _JoinListener(), threading.Event()
    rng = random.Random()  # noqa: S311 - jitter
    session, simulator = build_session(broute, _NoMemory(), listener, clock=clock, rng=rng)
    try:
        # The pool ends last: a question that is still open ends with the session.
        with ThreadPoolExecutor(1, "probe") as pool, _running(session, simulator, stop, clock):
            deadline = clock.monotonic() + limit_s
            is_joined = listener.ready_once.is_set
            _wait(signals, lambda: is_joined() or clock.monotonic() >= deadline)
            if not is_joined():
                raise NotReady(_how_far(session, broute.port, limit_s))
            asking = pool.submit(ask_everything, session.get, clock, stop)
            _wait(signals, asking.done)
            dongle, network, lqi = session.dongle, session.network, session.status().lqi
            assert dongle is not None, "it was identified before the join"
            assert network is not None, "it was found before the join"
            return ProbeResult.of(dongle, network, lqi, asking.result())
    except Stopping:
        return None


class _JoinListener:
    """A listener of the session that waits for the first join."""

    def __init__(self) -> None:
        self.ready_once = threading.Event()

    def joined(self, meter: str, first: Answer) -> None:
        """Ignore the first answer: its properties are asked for again."""

    def ready(self) -> None:
        """End the wait."""
        self.ready_once.set()

    def notified(self, properties: tuple[Property, ...], at: Instant) -> None:
        """Ignore what the meter sends by itself: nothing is recorded here."""


class _NoMemory:
    """A memory for the session that is always empty, so that it scans for the meter."""

    def get_state(self, key: str) -> str | None:  # noqa: ARG002 - a protocol
        return None

    def set_state(self, key: str, value: str) -> None:
        """Drop it: the running kei has a memory of its own."""


@contextmanager
def _running(
    session: Session, simulator: WorkerTarget | None, stop: threading.Event, clock: Clock
) -> Iterator[None]:
    """Run session and simulator in threads of their own; end both at the end, the session first."""
    workers = Workers(clock)
    try:
        if simulator is not None:
            workers.start(SIMULATOR_THREAD, simulator)
        workers.start(SESSION_THREAD, session)
        yield
    finally:
        stop.set()
        workers.stop(SESSION_THREAD, limit_s=SESSION_LIMIT_S)
        workers.stop(SIMULATOR_THREAD, limit_s=SIMULATOR_LIMIT_S)


def _wait(signals: SignalQueue, is_over: Callable[[], bool]) -> None:
    """Wait until something is over.

    Raises:
        Stopping: HUP, INT or TERM came first.
    """
    while not is_over():
        if signals.wait(POLL_S) in STOP_SIGNALS:
            raise Stopping("a signal ends the probe")


def _how_far(session: Session, port: str, limit_s: float) -> str:
    """Return in one line what a probe that gives up could not get past."""
    if session.dongle is None:
        stuck = (
            f"no dongle answers on {port}; is it plugged in, is it the right port, "
            "and does no other program use it?"
        )
    elif session.network is None:
        stuck = "the meter was not found; check the B-route ID, and move the dongle closer to it"
    else:
        stuck = (
            "the meter was found but not joined; check the B-route password, "
            "and that no other device holds the meter's only session"
        )
    return f"gave up after {limit_s:g} s: {stuck}"
