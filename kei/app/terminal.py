"""The main job on a terminal: progress of scan and join, and one live line below the log.

What the session does is heard from its own log events, those of level DEBUG included, whatever
level is written.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

from kei.core.clock import Clock, local
from kei.core.incidents import Lasting
from kei.core.printable import printable
from kei.core.reading import Reading, plain
from kei.core.sinks import Sink
from kei.status.sentences import span
from kei.status.snapshot import doing
from kei.wisun.interfaces import State
from kei.wisun.transitions import Pause

SESSION_LOGGER = "kei.session"
REFRESH_S = 1.0
REMIND_S = 60.0  # a fault that keeps the meter from being joined is told again so often
LONG_PAUSE_S = 60.0  # of which a person is told how long it is
JOIN_USUALLY = "usually 4 to 8 s, up to a minute if it fails"
_LAST_WORDS_S = 0.3
_FALLBACK_COLUMNS = 80
# Told by the live line while it lasts, and no fault in the eyes of a person.
_SHOWN_ANYWAY = frozenset({"requests_waiting"})


@dataclass(slots=True)
class _Step:
    """What the session does: since when (monotonic), and about how long it takes."""

    what: str
    since: float
    expected: str = ""


class Terminal(logging.Handler):
    """Shows a person what goes on.

    Args:
        sink: of the terminal.
        clock: wall and monotonic time.
    """

    def __init__(self, sink: Sink, clock: Clock) -> None:
        super().__init__(logging.DEBUG)
        self._sink = sink
        self._clock = clock
        self._step = _Step("starting", clock.monotonic())
        self._is_joined = False
        self._told_minutes: dict[str, int] = {}  # of faults that keep the meter from being joined
        session = logging.getLogger(SESSION_LOGGER)
        session.setLevel(logging.DEBUG)
        session.addHandler(self)
        sink.addFilter(_is_for_people)

    def close(self) -> None:
        """Remove the live line, and be silent from now on."""
        session = logging.getLogger(SESSION_LOGGER)
        session.removeHandler(self)
        session.setLevel(logging.NOTSET)
        self._sink.removeFilter(_is_for_people)
        self._sink.show("")
        self._sink.drain(_LAST_WORDS_S)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Follow an event of the session."""
        match record.msg:
            case {"event": "scan_started", "duration": duration, "seconds": float(seconds)}:
                self._begin(
                    f"scanning for the meter, duration {duration}", f"about {seconds:.0f} s"
                )
            case {"event": "scan_not_available", "duration": int(duration)}:
                self._say(f"this dongle has no scan of duration {duration}")
            case {"event": "meter_rests", "seconds": float(seconds)}:
                self._begin("letting the meter rest before it is joined", f"{seconds:.0f} s")
            case {"event": "join_started"}:
                self._begin(doing(State.JOIN), JOIN_USUALLY)
            case {
                "event": "session_step",
                "next": following,
                "pause": pause,
                "pause_s": float(seconds),
            }:
                self._follow(State(following), Pause(pause), seconds)

    def _follow(self, following: State, pause: Pause, pause_s: float) -> None:
        self._is_joined = following is State.JOINED
        what = doing(following, is_pausing=pause in (Pause.GROWING, Pause.LONG))
        if pause is not Pause.NONE or following is State.ADOPT:
            self._begin(what, span(pause_s) if pause_s >= LONG_PAUSE_S else "")
        elif following is not State.SCAN:  # each scan says by itself that it begins
            self._step = _Step(what, self._clock.monotonic())

    def _begin(self, what: str, expected: str = "") -> None:
        if what == self._step.what and not expected:
            return  # a port that is missing is looked for every second
        self._step = _Step(what, self._clock.monotonic(), expected)
        self._say(f"{what}: {expected}" if expected else what)

    def _say(self, text: str) -> None:
        self._sink.write_line(f"{self._time()} {text}")

    def _time(self) -> str:
        return f"{local(self._clock.now_ms(), self._clock.zone):%H:%M:%S}"

    def refresh(
        self, latest: Mapping[str, Reading] | None, fault: Lasting | None, in_the_way: str
    ) -> None:
        """Write the live line anew; to be called each second.

        Args:
            latest: the meter's readings by SensorID; None where there is no meter.
            fault: what keeps the meter from being joined; None if nothing does.
            in_the_way: what else does not work at present, in words.
        """
        parts = [in_the_way] if in_the_way else []
        if latest is not None:
            self.acquire()
            try:
                parts = [*self._power(latest), *self._progress(fault), *parts]
            finally:
                self.release()
        text = "  ".join([self._time(), *parts])
        self._sink.show(text[: self._columns() - 1] if self._is_in_foreground() else "")

    def _power(self, latest: Mapping[str, Reading]) -> list[str]:
        """Return W, A, kWh and the age of the former."""
        parts = []
        for sensors, unit in ((("E7",), "W"), (("E8R", "E8T"), "A"), (("E0",), "kWh")):
            values = [plain(latest[sensor].value) for sensor in sensors if sensor in latest]
            parts += [f"{' + '.join(values)} {unit}"] if values else []
        newest = max((reading.time_ms for reading in latest.values()), default=None)
        if newest is not None:
            parts.append(f"{max(0, self._clock.now_ms() - newest) // 1000} s ago")
        elif self._is_joined:
            parts.append("joined, no reading yet")
        return parts

    def _progress(self, fault: Lasting | None) -> list[str]:
        """Return how far the session is, until it is joined; tell again what is in the way."""
        if self._is_joined:
            return []
        if fault is not None and fault.why:
            self._remind(fault)
        step = self._step
        expected = f" ({step.expected})" if step.expected else ""
        doing_for = f"{step.what}: {self._clock.monotonic() - step.since:.0f} s{expected}"
        return [doing_for] if fault is None else [doing_for, fault.fault]

    def _remind(self, fault: Lasting) -> None:
        minutes = int(fault.since_s / REMIND_S)
        if minutes > self._told_minutes.get(fault.fault, 0):
            self._say(f"still {fault.fault} after {fault.since_s:.0f} s: {printable(fault.why)}")
        self._told_minutes[fault.fault] = minutes

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._sink.descriptor).columns or _FALLBACK_COLUMNS
        except OSError:
            return _FALLBACK_COLUMNS

    def _is_in_foreground(self) -> bool:
        """Return whether this program has the terminal; in the background the shell has it."""
        try:
            return os.tcgetpgrp(self._sink.descriptor) == os.getpgrp()
        except OSError:  # it controls no processes
            return True


def _is_for_people(record: logging.LogRecord) -> bool:
    if record.levelno != logging.INFO or not isinstance(record.msg, dict):
        return True
    event = record.msg.get("event")
    return (record.msg.get("fault") if event == "fault_ended" else event) not in _SHOWN_ANYWAY
