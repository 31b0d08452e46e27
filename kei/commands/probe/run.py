"""How a probe goes: session up, questions, session down, whatever happens in between."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from kei import config
from kei.app.wiring import KEEPER, KEEPER_LIMIT_S, SIMULATOR, Line, build_line
from kei.app.workers import Body
from kei.commands.probe.found import Found
from kei.commands.probe.questions import Got, ask_everything
from kei.config.errors import fault_line
from kei.core import logs
from kei.core.clock import Clock
from kei.core.errors import ConfigError, NotReady, Stopping
from kei.core.signals import STOP_SIGNALS, SignalQueue
from kei.echonet.frame import Property
from kei.settings.broute import Broute
from kei.wisun.interfaces import Status
from kei.wisun.requests import Answer

JOIN_LIMIT_S = 300.0  # four scans of growing length take 70 s, a join that fails 40 s
SIMULATOR_LIMIT_S = 1.0  # for removing its link
LOOK_AROUND_S = 0.1  # a signal ends a look at once


def probe(
    path: Path, *, environ: Mapping[str, str], clock: Clock, signals: SignalQueue
) -> Found | None:
    """Find out what dongle and meter are; faults on the way are told on stderr at once.

    Nothing is kept and nothing that was kept is used: the meter is looked for by a real scan.

    Args:
        path: jobs.toml.
        environ: the environment.
        clock: wall and monotonic time.
        signals: already installed.

    Returns:
        what was found; None when HUP, INT or TERM ended it.

    Raises:
        ConfigError: jobs.toml does not validate, or has no dongle.
        NotReady: the meter was not joined in time; the text says how far it went.
        OSError: no pseudo terminal is to be had for a simulated port.
    """
    broute = config.load(path, environ=environ).broute
    if broute is None:
        remedy = "add the table with port, broute_id and broute_pwd"
        raise ConfigError([fault_line(path, 1, "broute", "there is no dongle to probe", remedy)])
    logs.masker.hide([broute.broute_id, broute.broute_pwd])
    logs.configure_stderr(environ)
    return find_out(broute, clock=clock, signals=signals)


def find_out(
    broute: Broute, *, clock: Clock, signals: SignalQueue, limit_s: float = JOIN_LIMIT_S
) -> Found | None:
    """Join the meter, ask it everything, and leave; see `probe`.

    Args:
        broute: the dongle and the meter behind it.
        clock: wall and monotonic time.
        signals: already installed.
        limit_s: how long joining may take.
    """
    joined, stop = _Joined(), threading.Event()
    rng = random.Random()  # noqa: S311 - jitter
    line = build_line(broute, _Forgetful(), joined, clock=clock, rng=rng)
    try:
        # The pool ends last: a question that is still open ends with the session.
        with ThreadPoolExecutor(1, "probe") as pool, _running(line, stop):
            deadline = clock.monotonic() + limit_s
            _wait(signals, lambda: joined.once.is_set() or clock.monotonic() >= deadline)
            if not joined.once.is_set():
                raise NotReady(_how_far(line.session.status(), broute.port, limit_s))
            asking = pool.submit(ask_everything, line.session, clock, stop)
            _wait(signals, asking.done)
            return _found(line.session.status(), asking.result())
    except Stopping:
        return None


class _Joined:
    """The session's listener: the first join is all that matters here."""

    def __init__(self) -> None:
        self.once = threading.Event()

    def joined(self, meter: str, first: Answer) -> None:
        """Let it go: it is asked again."""

    def ready(self) -> None:
        """Wait no more."""
        self.once.set()

    def notified(self, properties: tuple[Property, ...], at_ms: int) -> None:
        """Let it go: what is not recorded need not be kept."""


class _Forgetful:
    """The session's memory: none, so that the meter is really looked for."""

    def get_state(self, key: str) -> str | None:  # noqa: ARG002 - a protocol
        return None

    def set_state(self, key: str, value: str) -> None:
        """Forget it: the running kei has a memory of its own."""


@contextmanager
def _running(line: Line, stop: threading.Event) -> Iterator[None]:
    """Run session and simulator in threads of their own, and end them in order."""
    bodies: dict[str, Body] = {KEEPER: line.session}
    if line.simulator is not None:
        bodies[SIMULATOR] = line.simulator
    threads = {
        name: threading.Thread(target=body.run, name=name, daemon=True)
        for name, body in bodies.items()
    }
    for thread in reversed(threads.values()):
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for name, limit_s in ((KEEPER, KEEPER_LIMIT_S), (SIMULATOR, SIMULATOR_LIMIT_S)):
            if name in bodies:
                bodies[name].stop()
                threads[name].join(limit_s)


def _wait(signals: SignalQueue, is_over: Callable[[], bool]) -> None:
    """Wait until something is over.

    Raises:
        Stopping: HUP, INT or TERM came first.
    """
    while not is_over():
        if signals.wait(LOOK_AROUND_S) in STOP_SIGNALS:
            raise Stopping("a signal ends the probe")


def _how_far(status: Status, port: str, limit_s: float) -> str:
    """Return the one line that says what a probe that has to give up got stuck at."""
    if status.dongle is None:
        stuck = (
            f"no dongle answers on {port}; is it plugged in, is it the right port, "
            "and does no other program use it?"
        )
    elif status.network is None:
        stuck = "the meter was not found; check the B-route ID, and move the dongle closer to it"
    else:
        stuck = (
            "the meter was found but not joined; check the B-route password, "
            "and that no other device holds the meter's only session"
        )
    return f"gave up after {limit_s:g} s: {stuck}"


def _found(status: Status, got: Mapping[int, Got]) -> Found:
    assert status.dongle is not None, "it was identified before the join"
    assert status.network is not None, "it was found before the join"
    return Found.of(status.dongle, status.network, status.lqi, got)
