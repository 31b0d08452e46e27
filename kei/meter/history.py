"""Asks a meter for what it remembers of a day: set, read back, read, and look at the answer."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Protocol, TypeVar

import structlog

from kei.core.clock import Clock, epoch_ms, local
from kei.core.errors import KeiError, Malformed, NotReady, RetryLater, Stopping
from kei.echonet.frame import Property
from kei.echonet.history import (
    DAYS_MAX,
    EPC_DAY,
    EPC_DAY_NORMAL,
    EPC_DAY_REVERSE,
    EPC_HALF_HOURS,
    EPC_HALF_HOURS_FROM,
    EPC_MINUTES,
    EPC_MINUTES_FROM,
    HALF_HOUR,
    HALF_HOURS_MAX,
    MINUTE,
    DayHistory,
    Registers,
    Selector,
    decode_day,
    decode_day_history,
    decode_segments,
    decode_selector,
    encode_day,
)
from kei.echonet.meter_class import HALF_HOURS_A_DAY, METER_ZONE
from kei.wisun.interfaces import Answer

log = structlog.stdlib.get_logger("kei.history")

NORMAL, REVERSE = "EA", "EB"  # SensorIDs of the half-hour registers
ANSWER_S = 60.0  # response timer 2 of the application interface specification: E2 even alone
SETTING_S = 20.0  # response timer 1
MIDNIGHT_S = 120.0  # nothing is asked so near to the meter's
TIMES_CHANGED = 5  # that somebody else has set the day meanwhile, until that is left for later
LOOK_AGAIN_S = 10.0  # while midnight passes
REST_MAX_S = 5.0  # between two questions, however long the last answer took
AIR_TIME_SAVED_S = 300.0  # so many seconds' worth of questions may be asked without a pause
DAY_S = 86_400.0
LEAST_S = 5.0  # before midnight comes near: for one try
STEP_MS = 2000  # of the clock, while a day is read

T = TypeVar("T")
Counts = dict[int, int | None]
"""A register by time, milliseconds since 1970; None where the meter says that it has no value."""


class Asked(Protocol):
    """What is used of the session."""

    def get(self, epcs: tuple[int, ...], budget_s: float, *, gives_way: bool) -> Answer:
        """Ask for properties."""

    def set(self, item: Property, budget_s: float, *, gives_way: bool) -> bool:
        """Set a property."""

    def rest(self, seconds: float) -> None:
        """Wait, while others may ask."""


class Refused(KeiError):
    """The meter does not take the day, or does not give its history: it has no such thing."""


class _DayEnds(KeiError):
    """The meter's midnight is so near that it is not to be asked."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a meter can be asked.

    Attributes:
        by_day: E5 with E2; or else ED with EC.
        has_reverse: whether the register of sold energy comes with it.
    """

    by_day: bool
    has_reverse: bool


def ways(readable: frozenset[int] | None, *, wants_reverse: bool) -> list[Way]:
    """Return how a meter can be asked, the best way first; none if it has no history.

    Args:
        readable: its property map; None if that is not known.
        wants_reverse: whether sold energy is wanted, too.
    """
    if readable is None:
        return [Way(by_day, has_reverse=wants_reverse) for by_day in (True, False)]
    found = []
    if {EPC_DAY, EPC_DAY_NORMAL} <= readable:
        found.append(Way(by_day=True, has_reverse=wants_reverse and EPC_DAY_REVERSE in readable))
    if {EPC_HALF_HOURS_FROM, EPC_HALF_HOURS} <= readable:
        found.append(Way(by_day=False, has_reverse=wants_reverse))
    return sorted(found, key=lambda way: way.has_reverse, reverse=True)  # stable


@dataclass(frozen=True, slots=True)
class _Segments:
    """A history that is asked for by time and number: its properties, and its step."""

    selector: int
    values: int
    step: timedelta


_HALF_HOURS = _Segments(EPC_HALF_HOURS_FROM, EPC_HALF_HOURS, HALF_HOUR)
_MINUTES = _Segments(EPC_MINUTES_FROM, EPC_MINUTES, MINUTE)


@dataclass(slots=True)
class HistoryReader:
    """Reads days from a meter's memory, one question at a time.

    Attributes:
        session: with the meter.
        clock: the machine's.
        ahead_s: returns how far the meter's clock is ahead of it.
        pause_s: from one question to the next on average, for the air time.
    """

    session: Asked
    clock: Clock
    ahead_s: Callable[[], float]
    pause_s: float
    _last_took_s: float = field(default=0.0, init=False)
    _is_stopped: bool = field(default=False, init=False)
    _may_ask_at: float = field(default=0.0, init=False)  # monotonic

    def stop(self) -> None:
        """Make what is being done end after the question that is asked; any thread."""
        self._is_stopped = True

    def rest(self, seconds: float) -> None:
        """Wait, while others may ask.

        Raises:
            Stopping: kei, or this reader, is being stopped.
        """
        if self._is_stopped:
            raise Stopping("the history is not read any more")
        self.session.rest(seconds)

    def now(self) -> datetime:
        """Return the meter's time."""
        return local(self.clock.now_ms() + round(self.ahead_s() * 1000), METER_ZONE)

    def read(self, day: date, way: Way, hours: range = range(0)) -> Mapping[str, Counts]:
        """Return the registers of a day, by their SensorIDs.

        Args:
            day: by the meter's calendar.
            way: how it is asked.
            hours: of ED and EC, the half-hours of the day that are wanted, 0..47.

        Raises:
            Refused: the meter does not have it.
            NotReady: the session is not up.
            RetryLater: no answer in time, or others set the day all the time.
            Stopping: kei, or this reader, is being stopped.
        """

        def once() -> Mapping[str, Counts] | None:
            days_ago = (self.now().date() - day).days
            if not 0 <= days_ago <= DAYS_MAX:
                raise Refused(f"no meter remembers {day}")
            if way.by_day:
                return self._by_day(day, days_ago, way)
            return self._by_half_hours(day, way, hours)

        return self._until_it_fits(once, day.isoformat())

    def _until_it_fits(self, read: Callable[[], T | None], what: str) -> T:
        """Read again and again until nobody has set anything else, and the day is the same."""
        for _ in range(TIMES_CHANGED):
            self._let_midnight_pass()
            today, setting_ms = self.now().date(), self._setting_ms
            try:
                found = read()
            except _DayEnds:
                continue
            if (
                found is not None
                and self.now().date() == today
                and self._day_left_s > 0
                and abs(self._setting_ms - setting_ms) <= STEP_MS
            ):
                return found
            log.info("history_day_changed", of=what, hint="asked again")
        raise RetryLater(f"the day that the meter tells of was changed {TIMES_CHANGED} times")

    @property
    def _setting_ms(self) -> float:
        """The meter's time minus monotonic time."""
        return epoch_ms(self.now()) - self.clock.monotonic() * 1000

    @property
    def _day_left_s(self) -> float:
        """For how long the meter may be asked until its midnight comes near; 0 if it is near."""
        now = self.now()
        since_s = (now - datetime.combine(now.date(), time(), METER_ZONE)).total_seconds()
        return max(0.0, DAY_S - MIDNIGHT_S - since_s) if since_s >= MIDNIGHT_S else 0.0

    def _let_midnight_pass(self) -> None:
        while self._day_left_s < LEAST_S:
            self.rest(LOOK_AGAIN_S)

    def _by_day(self, day: date, days_ago: int, way: Way) -> Mapping[str, Counts] | None:
        """Set E5, and read it, E2 and E4; return None if another day was set meanwhile.

        Where the meter does not answer E4, that register is left out; where it does not give it, it
        has no values.
        """
        self._set(Property(EPC_DAY, encode_day(days_ago)))
        if self._decoded(EPC_DAY, decode_day, SETTING_S) != days_ago:
            return None
        found: dict[str, Counts] = {}
        start = datetime.combine(day, time(), METER_ZONE)
        for sensor, epc in ((NORMAL, EPC_DAY_NORMAL), (REVERSE, EPC_DAY_REVERSE)):
            if sensor == REVERSE and not way.has_reverse:
                continue
            try:
                history: DayHistory = self._decoded(epc, decode_day_history, ANSWER_S)
            except (Refused, RetryLater) as error:
                if sensor == NORMAL or isinstance(error, NotReady):
                    raise
                log.debug("history_without_reverse", reason=str(error))
                if isinstance(error, Refused):
                    found[sensor] = {}
                continue
            if history.days_ago != days_ago:
                return None
            found[sensor] = {
                epoch_ms(start + number * HALF_HOUR): count
                for number, count in enumerate(history.counts)
            }
        return found

    def _by_half_hours(self, day: date, way: Way, hours: range) -> Mapping[str, Counts] | None:
        """Set ED, and read it and EC, as often as it takes; return None as `_by_day`."""
        wanted = hours or range(HALF_HOURS_A_DAY)
        start = datetime.combine(day, time(), METER_ZONE)
        found: dict[str, Counts] = {NORMAL: {}, REVERSE: {}}
        newest = wanted[-1]
        while newest >= wanted[0]:
            number = min(HALF_HOURS_MAX, newest - wanted[0] + 1)
            values = self._segments(_HALF_HOURS, Selector(start + newest * HALF_HOUR, number))
            if values is None:
                return None
            for each in values:
                found[NORMAL][epoch_ms(each.at)] = each.normal
                found[REVERSE][epoch_ms(each.at)] = each.reverse
            newest -= number
        return found if way.has_reverse else {NORMAL: found[NORMAL]}

    def read_minutes(self, newest: datetime, number: int) -> tuple[Registers, ...]:
        """Return both registers at so many minutes up to one, the newest first, by EF and EE.

        Args:
            newest: a full minute.
            number: 1..10.

        Raises:
            KeiError: as of `read`.
        """
        return self._until_it_fits(
            lambda: self._segments(_MINUTES, Selector(newest, number)), newest.isoformat()
        )

    def _segments(self, kind: _Segments, wanted: Selector) -> tuple[Registers, ...] | None:
        """Set ED or EF, read it back, and read EC or EE; return None if others have set another."""
        self._set(Property(kind.selector, wanted.encode()))
        if self._decoded(kind.selector, decode_selector, SETTING_S) != wanted:
            return None
        answered, values = self._decoded(
            kind.values, lambda edt: decode_segments(edt, kind.step), ANSWER_S
        )
        return values if answered == wanted else None

    def _set(self, item: Property) -> None:
        def question(budget_s: float) -> bool:
            return self.session.set(item, budget_s, gives_way=True)

        if not self._in_turn(question, SETTING_S):
            raise Refused(f"the meter does not take {item.epc:02X}")

    def ask(self, epcs: tuple[int, ...]) -> Answer:
        """Ask for properties that are no history, as `Session.get`, when it is this reader's turn.

        Raises:
            KeiError: as of `read`.
        """
        while True:
            self._let_midnight_pass()
            with suppress(_DayEnds):
                return self._get(epcs, SETTING_S)

    def _get(self, epcs: tuple[int, ...], budget_s: float) -> Answer:
        return self._in_turn(lambda s: self.session.get(epcs, s, gives_way=True), budget_s)

    def _in_turn(self, question: Callable[[float], T], budget_s: float) -> T:
        """Ask a question; before it, leave the meter alone for as long as the last answer took.

        Air time that has not been used within the last minutes may be used at once.

        Raises:
            _DayEnds: it cannot be asked, or was not answered, before midnight comes near.
        """
        self._may_ask_at = self.pause_s + max(
            self._may_ask_at, self.clock.monotonic() - AIR_TIME_SAVED_S
        )
        rest_s = self._may_ask_at - self.clock.monotonic()
        self.rest(max(0.0, rest_s, min(self._last_took_s, REST_MAX_S)))
        budget_s = min(budget_s, self._day_left_s)
        if budget_s < LEAST_S:
            raise _DayEnds("it is nearly midnight")
        begun = self.clock.monotonic()
        try:
            return question(budget_s)
        except RetryLater as error:
            if isinstance(error, NotReady) or self._day_left_s >= LEAST_S:
                raise
            raise _DayEnds(str(error)) from None
        finally:
            self._last_took_s = self.clock.monotonic() - begun

    def _decoded(self, epc: int, decode: Callable[[bytes], T], budget_s: float) -> T:
        answer = self._get((epc,), budget_s)
        edt = answer.properties.get(epc)
        if edt is None:
            raise Refused(f"the meter does not give {epc:02X}")
        try:
            return decode(edt)
        except Malformed as error:
            raise RetryLater(f"{epc:02X}: {error}") from None
