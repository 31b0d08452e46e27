"""The rules by which all is well, as one table; `kei status` exits with 1 if one is broken."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum, auto

from kei.meter.expected import Expected
from kei.status.facts import FUTURE_LIMIT_S, Facts, Upload
from kei.status.sentences import Named, Part
from kei.wisun.interfaces import SessionStatus

NOT_JOINED_LIMIT_S = 600.0
STALE_CYCLES, STALE_GRACE_S = 3, 60.0
UPLOAD_LIMIT_S = 600.0
LOOK_UP_S = 60.0  # a name look-up, which only the system ends, takes 30 s without any answer
BEHIND_LIMIT_S = 3600.0  # what a month without network leaves is sent within minutes
BROKER_LIMIT_S = 600.0
SENSOR_PORT_LIMIT_S = 60.0  # a board is unplugged and back sooner


class Rule(StrEnum):
    """A rule, named by what is wrong when it is broken."""

    NOT_RUNNING = auto()
    NOT_ANSWERING = auto()
    NOT_JOINED = auto()
    STALE_READINGS = auto()
    SENSOR_PORT_LOST = auto()
    SENSOR_SILENT = auto()
    RECORDER_FAULT = auto()
    UPLOAD_FAILING = auto()
    UPLOAD_BEHIND = auto()
    UPLOAD_REFUSED = auto()
    UPLOAD_HANGING = auto()
    BROKER_UNAVAILABLE = auto()
    DATABASE_UNREADABLE = auto()


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that is broken.

    Attributes:
        rule: which.
        parts: what is wrong in detail.
    """

    rule: Rule
    parts: tuple[Part, ...]

    @property
    def detail(self) -> str:
        """One line for a person, in English."""
        return "; ".join(map(str, self.parts))


def problems_of(facts: Facts) -> tuple[Problem, ...]:
    """Return the rules that are broken, in the order of the table."""
    found = ((rule, tuple(check(facts))) for rule, check in _CHECKS)
    return tuple(Problem(rule, parts) for rule, parts in found if parts)


def _not_joined(facts: Facts) -> Iterator[Part]:
    session = facts.snapshot.session if facts.snapshot else None
    if session is None or session.joined or session.since_s <= NOT_JOINED_LIMIT_S:
        return
    yield Part("not_joined_for", for_s=session.since_s)
    yield from _in_the_way(session)


def _in_the_way(session: SessionStatus) -> Iterator[Part]:
    """Yield what keeps the meter from being asked, to be put behind a problem."""
    if not session.joined:
        yield what_is_done(session)
    if session.fault is not None:
        yield last_fault(session, session.fault)


def what_is_done(session: SessionStatus) -> Part:
    """Return what a session that is not joined does."""
    if session.next_try_s is not None:
        return Part("next_try", in_s=session.next_try_s)
    return Part("doing", state=session.state)


def last_fault(session: SessionStatus, fault: str) -> Part:
    """Return the fault of a session that has one."""
    if session.fault_s is None:
        return Part("last_fault", fault=fault)
    return Part("last_fault_ago", fault=fault, ago_s=session.fault_s)


def _stale(facts: Facts) -> Iterator[Part]:
    """A series without any reading is no problem, as the meter may lack it, unless all are."""
    if not facts.expected or facts.database_fault is not None:
        return
    if not any(reading.unit == facts.unit for reading in facts.series):
        shortest_s = min(map(_patience_s, facts.expected))
        waited_s = facts.snapshot.up_s if facts.snapshot else 0.0
        if waited_s <= shortest_s:
            return
        yield Part("no_reading")
    else:
        ages = [found for each in facts.expected if (found := _stale_series(facts, each))]
        old = [(name, age_s) for name, age_s in ages if age_s >= 0]
        future = [(name, -age_s) for name, age_s in ages if age_s < 0]
        if old:
            yield Part("too_old", names=old)
        if future:
            yield Part("from_future", names=future)
        if not ages:
            return
    session = facts.snapshot.session if facts.snapshot else None
    if session is not None and not any(_not_joined(facts)):  # which has it already
        if not session.joined:
            yield Part("not_joined")
        yield from _in_the_way(session)


def _patience_s(expected: Expected) -> float:
    return STALE_CYCLES * expected.cycle_s + STALE_GRACE_S


def _stale_series(facts: Facts, expected: Expected) -> tuple[str, float] | None:
    """Return the newest of the series of a property and its age if that is wrong."""
    own = [r for r in facts.series if r.unit == facts.unit and r.sensor in expected.sensors]
    present = [reading for reading in own if facts.age_s(reading.time_ms) >= -FUTURE_LIMIT_S]
    newest = max(present or own, key=lambda reading: reading.time_ms, default=None)
    if newest is None:
        return None
    age_s = facts.age_s(newest.time_ms)
    is_right = -FUTURE_LIMIT_S <= age_s <= _patience_s(expected)
    return None if is_right else (newest.sensor, age_s)


def _sensor_port_lost(facts: Facts) -> Iterator[Part]:
    for port in facts.snapshot.sensors if facts.snapshot else ():
        if port.fault is not None and port.since_s > SENSOR_PORT_LIMIT_S:
            yield Part("sensor_port", port=port.port, fault=port.fault, for_s=port.since_s)


def _sensor_silent(facts: Facts) -> Iterator[Part]:
    ports = facts.snapshot.sensors if facts.snapshot else ()
    yield from _named("silent", [(series, None) for port in ports for series in port.silent])


def _recorder_fault(facts: Facts) -> Iterator[Part]:
    if facts.snapshot is None:
        return
    recorder = facts.snapshot.recorder
    for outlet in (recorder.text, recorder.database):
        if outlet.fault:
            yield Part("not_written", fault=outlet.fault)


def _named(what: str, names: Named) -> Iterator[Part]:
    """Yield a part about names, if there are any."""
    if names:
        yield Part(what, names=names)


def _upload_failing(facts: Facts) -> Iterator[Part]:
    failing = [(upload.name, None) for upload in facts.uploads if _has_failed_long(facts, upload)]
    yield from _named("upload_failing", failing)


def _has_failed_long(facts: Facts, upload: Upload) -> bool:
    """Tell whether attempts fail, and have done so for longer than allowed.

    They began to fail after there was something to send, after the last success and after the
    start of kei; and at most a cycle after the last of these.
    """
    live, oldest_ms = upload.live, upload.oldest_ms
    if facts.snapshot is None or live is None or not live.failures or oldest_ms is None:
        return False
    waits_s = [facts.age_s(oldest_ms) - upload.late_s, facts.snapshot.up_s]
    if live.last_success_ms is not None:
        waits_s.append(facts.age_s(live.last_success_ms) - upload.late_s)
    return min(waits_s) > UPLOAD_LIMIT_S


def _upload_behind(facts: Facts) -> Iterator[Part]:
    """Rows wait for long although the server takes what it is sent."""
    behind = []
    for upload in facts.uploads:
        live, oldest_ms = upload.live, upload.oldest_ms
        if facts.snapshot is None or live is None or live.failures or oldest_ms is None:
            continue
        age_s = facts.age_s(oldest_ms)
        if min(age_s, facts.snapshot.up_s) - upload.late_s > BEHIND_LIMIT_S:
            behind.append((upload.name, age_s))
    yield from _named("upload_behind", behind)


def _upload_refused(facts: Facts) -> Iterator[Part]:
    lives = [(upload.name, upload.live) for upload in facts.uploads]
    refused = [(name, None) for name, live in lives if live and live.refused]
    yield from _named("upload_refused", refused)


def _upload_hanging(facts: Facts) -> Iterator[Part]:
    hanging = [
        (upload.name, posting_s)
        for upload in facts.uploads
        if upload.live
        and (posting_s := upload.live.posting_s) is not None
        and posting_s > upload.post_limit_s + LOOK_UP_S
    ]
    yield from _named("upload_hanging", hanging)


def _broker_unavailable(facts: Facts) -> Iterator[Part]:
    mqtt = facts.snapshot.mqtt if facts.snapshot else None
    if mqtt is None:
        return
    # One that throws kei out again and again is no better than one that is away.
    away_s = max(0.0 if mqtt.connected else mqtt.since_s, mqtt.failing_s or 0.0)
    if away_s <= BROKER_LIMIT_S:
        return
    yield Part("no_broker", broker=mqtt.broker, for_s=away_s)
    if mqtt.fault is not None:
        yield Part("because", fault=mqtt.fault)


def _fault(what: str, fault: str | None) -> Iterator[Part]:
    if fault is not None:
        yield Part(what, fault=fault)


# Each yields what is wrong if its rule is broken.
_CHECKS: tuple[tuple[Rule, Callable[[Facts], Iterable[Part]]], ...] = (
    # No process has the socket of this database.
    (Rule.NOT_RUNNING, lambda facts: [] if facts.runs else [Part("not_running")]),
    # A process has it, but gives no status within 10 s, or none that can be decoded.
    (Rule.NOT_ANSWERING, lambda facts: _fault("not_answering", facts.silence)),
    # The meter has not been joined for more than 10 minutes.
    (Rule.NOT_JOINED, _not_joined),
    # The newest reading of a requested series is older than 3 cycles and a minute.
    (Rule.STALE_READINGS, _stale),
    # A port with sensors has not been there for more than a minute.
    (Rule.SENSOR_PORT_LOST, _sensor_port_lost),
    # A sensor has sent nothing for longer than `stale_after` of its port.
    (Rule.SENSOR_SILENT, _sensor_silent),
    # The disk does not take readings; they wait in memory.
    (Rule.RECORDER_FAULT, _recorder_fault),
    # A server has taken nothing for more than 10 minutes, and attempts fail.
    (Rule.UPLOAD_FAILING, _upload_failing),
    # A server takes what it is sent, but the oldest row has waited for more than an hour.
    (Rule.UPLOAD_BEHIND, _upload_behind),
    # A server refuses everything that it is sent: a wrong address or key.
    (Rule.UPLOAD_REFUSED, _upload_refused),
    # A POST goes on for longer than three times the target's `timeout` and a minute.
    (Rule.UPLOAD_HANGING, _upload_hanging),
    # The MQTT broker has not been connected for more than 10 minutes.
    (Rule.BROKER_UNAVAILABLE, _broker_unavailable),
    # The database is damaged, or may not be read by the user who asks.
    (Rule.DATABASE_UNREADABLE, lambda facts: _fault("database", facts.database_fault)),
)
