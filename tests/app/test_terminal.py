"""What a person at a terminal sees of the session, second by second."""

import logging
import os
from collections.abc import Iterator
from decimal import Decimal

import pytest
import structlog
from fakes import FakeClock

from kei.app.terminal import SESSION_LOGGER, Terminal
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.core.sinks import Sink, StreamPlace
from kei.wisun.interfaces import State
from kei.wisun.transitions import Pause

END = b"\0"  # what no line has


class Screen:
    """A terminal of a certain width, the object that writes to it, and a clock."""

    def __init__(self) -> None:
        self.reading, self.writing = os.openpty()
        self.sink = Sink(StreamPlace("terminal", self.writing))
        self.clock = FakeClock()
        self.terminal = Terminal(self.sink, self.clock)
        self.latest: dict[str, Reading] = {}
        self.incidents = Incidents(structlog.stdlib.get_logger("test"), self.clock)

    def event(self, level: int, name: str, **fields: object) -> None:
        record = logging.LogRecord(
            SESSION_LOGGER, level, "", 0, {"event": name, **fields}, (), None
        )
        logging.getLogger(SESSION_LOGGER).handle(record)

    def step(self, following: State, pause: Pause = Pause.NONE, pause_s: float = 0.0) -> None:
        names = {"next": following.value, "pause": pause.value}
        self.event(logging.DEBUG, "session_step", **names, pause_s=pause_s)

    def after(self, seconds: float, in_the_way: str = "") -> str:
        """The live line so many seconds later, without its time."""
        self.clock.advance(seconds)
        self.terminal.refresh(self.latest, self.incidents.latest(), in_the_way)
        self.sink.drain(5)
        return self.sink._shown_live_line.decode()[len("HH:MM:SS  ") :]

    def lines(self) -> list[str]:
        """The lines above, without their times."""
        self.sink.drain(5)
        os.write(self.writing, END)
        seen = b""
        while not seen.endswith(END):  # the kernel takes its time
            seen += os.read(self.reading, 65_536)
        text = seen.removesuffix(END).decode()
        return [
            line.rpartition("\x1b[K")[2][len("HH:MM:SS ") :] for line in text.split("\r\n")[:-1]
        ]

    def close(self) -> None:
        self.terminal.close()
        self.sink.close()
        os.close(self.reading)


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.close()


def test_each_scan_says_how_long_it_takes_and_how_far_it_is(screen: Screen) -> None:
    for duration, about in ((4, 5), (5, 9)):
        screen.event(logging.DEBUG, "scan_started", duration=duration, seconds=about + 0.2)
        what = f"scanning for the meter, duration {duration}"
        assert screen.lines()[-1] == f"{what}: about {about} s"
        assert screen.after(3) == f"{what}: 3 s (about {about} s)"


def test_a_join_says_what_to_expect_and_then_there_are_readings(screen: Screen) -> None:
    screen.step(State.JOIN)
    screen.event(logging.INFO, "meter_rests", seconds=8.5)
    assert screen.after(2) == "letting the meter rest before it is joined: 2 s (8 s)"
    screen.event(logging.DEBUG, "join_started")
    assert screen.after(2).startswith("joining the meter: 2 s (usually")
    screen.step(State.JOINED)
    assert screen.after(1) == "joined, no reading yet"
    for sensor, value in (("E7", "512"), ("E8R", "2.0"), ("E8T", "3.1"), ("E0", "35293.3")):
        reading = Reading(screen.clock.now_ms(), "BR", sensor, Decimal(value), "x")
        screen.latest[sensor] = reading
    assert screen.after(7) == "512 W  2.0 + 3.1 A  35293.3 kWh  7 s ago"
    assert screen.after(0, "upload failing: home").endswith("7 s ago  upload failing: home")


def test_what_keeps_the_meter_away_is_told_again_each_minute_until_it_ends(screen: Screen) -> None:
    screen.incidents.raised("meter_not_found", hint="check the B-route ID")
    screen.step(State.INIT, Pause.GROWING)
    assert screen.after(30) == "waiting before the next attempt: 30 s  meter_not_found"
    assert not any(line.startswith("still") for line in screen.lines())
    screen.event(logging.DEBUG, "scan_started", duration=4, seconds=4.8)
    assert (
        screen.after(30) == "scanning for the meter, duration 4: 30 s (about 5 s)  meter_not_found"
    )
    assert screen.lines()[-1] == "still meter_not_found after 60 s: check the B-route ID"
    screen.after(59)
    screen.after(1)
    assert screen.lines()[-1] == "still meter_not_found after 120 s: check the B-route ID"
    screen.incidents.ended("meter_not_found")
    assert "meter_not_found" not in screen.after(60)


def test_a_long_pause_says_how_long_it_is(screen: Screen) -> None:
    screen.step(State.OPEN, Pause.LONG, 612.0)
    assert screen.after(61) == "waiting before the next attempt: 61 s (10 min)"
    assert screen.lines() == ["waiting before the next attempt: 10 min"]


def test_a_port_that_is_looked_for_every_second_is_no_line_a_second(screen: Screen) -> None:
    screen.incidents.raised("port_lost", reason="it is not there")
    for seconds in range(5):
        screen.step(State.INIT, Pause.SHORT)
        live = f"waiting for the dongle's port: {seconds} s  port_lost"
        assert screen.after(0) == live
        screen.after(1)
    assert screen.lines() == ["waiting for the dongle's port"]


def test_a_session_that_is_lost_says_why_and_again_each_minute(screen: Screen) -> None:
    screen.step(State.JOINED)
    screen.after(1)
    screen.incidents.raised("port_lost", reason="unplugged")
    screen.step(State.INIT, Pause.SHORT)
    screen.incidents.raised("port_lost", reason="in use by minicom (pid 12)")
    assert screen.after(30) == "waiting for the dongle's port: 30 s  port_lost"
    screen.after(30)
    assert screen.lines()[-1] == "still port_lost after 60 s: in use by minicom (pid 12)"
    for _ in range(3):
        screen.incidents.raised("dongle_failing", reason="no reply")
        screen.after(1)
        screen.incidents.raised("port_lost", reason="unplugged")
        screen.after(1)
    assert sum(line.startswith("still") for line in screen.lines()) == 0, "once a minute each"


def test_a_session_that_is_taken_up_again_and_a_scan_that_there_is_not_are_told(
    screen: Screen,
) -> None:
    screen.step(State.ADOPT)
    assert screen.lines() == ["resuming the session with the meter"]
    assert screen.after(1) == "resuming the session with the meter: 1 s"
    screen.step(State.SETUP)
    assert screen.after(1) == "setting the dongle up: 1 s"
    screen.event(logging.DEBUG, "scan_started", duration=8, seconds=72.0)
    assert screen.after(0) == "scanning for the meter, duration 8: 0 s (about 72 s)"
    screen.event(logging.DEBUG, "scan_not_available", duration=8)
    assert screen.lines()[-1] == "this dongle has no scan of duration 8"


def test_the_live_line_fits_into_the_terminal_and_holds_nothing_that_steers(screen: Screen) -> None:
    screen.incidents.raised("join_failed", hint="\x1b[2J")
    screen.after(61)
    assert screen.lines()[-1] == r"still join_failed after 61 s: \x1b[2J"
    assert len(screen.after(0, "x" * 500)) == 79 - len("HH:MM:SS  ")


def test_what_is_no_fault_for_a_person_is_not_shown(screen: Screen) -> None:
    def is_shown(level: int, **fields: object) -> bool:
        record = logging.LogRecord("kei.request", level, "", 0, fields, (), None)
        return bool(screen.sink.filter(record))

    assert not is_shown(logging.INFO, event="requests_waiting")
    assert not is_shown(logging.INFO, event="fault_ended", fault="requests_waiting")
    assert is_shown(logging.INFO, event="fault_ended", fault="port_lost")
    assert is_shown(logging.INFO, event="session_joined")
