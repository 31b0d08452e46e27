"""Runs a probe: join the meter, ask it everything, and leave it whatever happens meanwhile."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from kei import config
from kei.app.meter_line import (
    SESSION_LIMIT_S,
    SESSION_THREAD,
    SIMULATOR_LIMIT_S,
    SIMULATOR_THREAD,
    build_session,
)
from kei.app.workers import Workers, WorkerTarget
from kei.commands.probe.questions import ask_everything, withhold
from kei.commands.probe.result import ProbeResult
from kei.config.errors import fault_line
from kei.core import logs
from kei.core.clock import Clock, Instant
from kei.core.errors import ConfigError, NotReady, PortBusy, PortLost, Stopping
from kei.core.signals import LAST_LINES_S, STOP_SIGNALS, SignalQueue
from kei.echonet.frame import Property
from kei.serialport import discovery
from kei.serialport.port import SerialPort
from kei.settings.broute import SIMULATED_PORT, Broute
from kei.settings.serial import PortSettings
from kei.status.snapshot import doing
from kei.wisun.interfaces import Answer, State
from kei.wisun.quality import rssi_dbm
from kei.wisun.session import Session

JOIN_LIMIT_S = 300.0  # a round of scans takes 70 s, the next one 140 s, a join that fails 40 s
POLL_S = 0.1  # between two looks at what is waited for; a signal ends the wait at once
TELL_EVERY_S = 30.0  # what is being tried, until the meter is joined

Tell: TypeAlias = Callable[[str], None]
"""Takes a line for a person."""


def probe(
    path: Path, *, environ: Mapping[str, str], clock: Clock, signals: SignalQueue, tell: Tell
) -> ProbeResult | None:
    """Find out what dongle and meter are; faults on the way are logged to stderr at once.

    Nothing is stored and nothing that was stored is used: the meter is found by a real scan.
    Until it is joined, `tell` is given a line each half minute. It gives up before its
    time when the next attempt to join would come too late.

    Returns:
        the result; None when HUP, INT or TERM ended the probe.

    Raises:
        ConfigError: jobs.toml does not validate, or has no dongle.
        PortBusy: another program has the port; the text names it, if the system tells.
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
        return join_and_ask(broute, clock=clock, signals=signals, tell=tell)
    finally:
        logs.flush(LAST_LINES_S)  # before what is found is written, maybe to the same terminal


def join_and_ask(
    broute: Broute, *, clock: Clock, signals: SignalQueue, tell: Tell, limit_s: float = JOIN_LIMIT_S
) -> ProbeResult | None:
    """Join the meter within so many seconds, ask it everything, and leave; see `probe`."""
    if not broute.port.startswith(SIMULATED_PORT):
        _check_not_busy(broute)
    listener, stop = _JoinListener(), threading.Event()
    rng = random.Random()  # noqa: S311 - jitter
    session, simulator = build_session(broute, _NoMemory(), listener, clock=clock, rng=rng)
    try:
        # The pool ends last: a question that is still open ends with the session.
        with ThreadPoolExecutor(1, "probe") as pool, _running(session, simulator, stop, clock):
            begun, told = clock.monotonic(), 0
            while not listener.ready_once.is_set():
                tried_s = clock.monotonic() - begun
                next_try_s = session.status().next_try_s or 0.0
                if tried_s + next_try_s >= limit_s:
                    raise NotReady(f"gave up after {tried_s:.0f} s: {_stuck(session, broute.port)}")
                if tried_s >= (told + 1) * TELL_EVERY_S:
                    told += 1
                    _check_not_shared(session, broute.port)
                    tell(f"{tried_s:.0f} s: {_doing(session, broute)}")
                _wait_a_moment(signals)
            asking = pool.submit(ask_everything, session.get, clock, stop)
            while not asking.done():
                _wait_a_moment(signals)
            dongle, network, lqi = session.dongle, session.network, session.lqi
            assert dongle is not None, "it was identified before the join"
            assert network is not None, "it was found before the join"
            got = withhold(asking.result(), broute.broute_id.reveal())
            return ProbeResult.of(dongle, network, lqi, got, broute.energy_unit)
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


def _wait_a_moment(signals: SignalQueue) -> None:
    """Wait until it is worth looking again.

    Raises:
        Stopping: HUP, INT or TERM came.
    """
    if signals.wait(POLL_S) in STOP_SIGNALS:
        raise Stopping("a signal ends the probe")


def _check_not_busy(broute: Broute) -> None:
    """Check that no other program has the port for itself.

    Raises:
        PortBusy: one has.
    """
    try:
        SerialPort(broute.port, PortSettings(broute.baudrate, drops_dtr=None)).close()
    except PortBusy:
        raise
    except PortLost:
        return  # it may be plugged in while the probe runs; the session tells what is wrong


def _check_not_shared(session: Session, port: str) -> None:
    """Check that no other program, which does not respect the lock, takes the answers away.

    Raises:
        PortBusy: nothing has answered so far, and another program has the port open.
    """
    if session.dongle is None and discovery.holders(port):
        raise PortBusy(f"{port}: {discovery.describe_use(port)}")


def _doing(session: Session, broute: Broute) -> str:
    """Return in one line what is being tried now."""
    network, status = session.network, session.status()
    if session.dongle is not None and status.next_try_s is not None:
        why = "" if status.fault is None else f"; {logs.masker.mask(status.fault)}"
        return f"next attempt in {status.next_try_s:.0f} s{why}"
    match session.state:
        case State.SCAN:
            return "scanning for the meter; each scan takes longer, up to 72 s"
        case State.JOIN if network is not None:
            signal = f"LQI {network.lqi:.0f}, {rssi_dbm(network.lqi)} dBm"
            return f"joining the meter on channel {network.channel} ({signal}), a minute at most"
        case _ if session.dongle is None:
            port = f"{broute.port} at {broute.baudrate} baud"
            return f"asking {port} for a Wi-SUN dongle; nothing has answered so far"
        case state:
            return doing(state)


def _stuck(session: Session, port: str) -> str:
    """Return in one line what a probe that gives up could not get past."""
    if session.dongle is None:
        return (
            f"no dongle answers on {port}; is it plugged in, is it the right port, "
            "and does no other program use it?"
        )
    if session.network is None:
        return "the meter was not found; check the B-route ID, and move the dongle closer to it"
    if session.are_credentials_proven:
        return (
            "the meter has taken ID and password, but does not answer; is the signal good "
            f"({session.status().rssi_dbm} dBm, -88 or better is)?"
        )
    why = "check the B-route password; another device may hold the meter's only session"
    if (fault := session.fault) is not None:
        why = logs.masker.mask(fault.why)
    return f"the meter was found but not joined; {why}"
