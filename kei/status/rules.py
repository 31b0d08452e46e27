"""The rules by which all is well, as one table; `kei status` exits with 1 if one is broken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto

from kei.meter.expected import Expected
from kei.status.facts import FUTURE_LIMIT_S, Facts, Upload
from kei.status.snapshot import doing
from kei.wisun.interfaces import SessionStatus

NOT_JOINED_LIMIT_S = 600.0
STALE_CYCLES, STALE_GRACE_S = 3, 60.0
UPLOAD_LIMIT_S = 600.0
LOOK_UP_S = 60.0  # a name look-up, which only the system ends, takes 30 s without any answer
BEHIND_LIMIT_S = 3600.0  # what a month without network leaves is sent within minutes
BROKER_LIMIT_S = 600.0
SENSOR_PORT_LIMIT_S = 60.0  # a board is unplugged and back sooner
NAMES_MAX = 10  # of series in one line


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
        detail: one line for a person.
    """

    rule: Rule
    detail: str


def problems_of(facts: Facts) -> tuple[Problem, ...]:
    """Return the rules that are broken, in the order of the table."""
    details = ((rule, check(facts)) for rule, check in _CHECKS)
    return tuple(Problem(rule, detail) for rule, detail in details if detail is not None)


def span(seconds: float) -> str:
    """Return a duration for people, its two largest parts: `12 s`, `3 min`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    for size, name, below, below_name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 0, ""),
    ):
        if whole >= size:
            rest = whole % size // below if below else 0
            return f"{whole // size} {name}" + (f" {rest} {below_name}" if rest else "")
    return f"{whole} s"


def some(names: Sequence[str]) -> str:
    """Return names in a line for people, of many the first only."""
    more = len(names) - NAMES_MAX
    return " ".join(names[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def _not_joined(facts: Facts) -> str | None:
    session = facts.snapshot.session if facts.snapshot else None
    if session is None or session.joined or session.since_s <= NOT_JOINED_LIMIT_S:
        return None
    return f"not joined with the meter for {span(session.since_s)}{_in_the_way(session)}"


def _in_the_way(session: SessionStatus) -> str:
    """Return what keeps the meter from being asked, to be put behind a problem."""
    doing_now = [] if session.joined else [what_is_done(session)]
    faults = [] if session.fault is None else [last_fault(session)]
    return "".join(f"; {each}" for each in (*doing_now, *faults))


def what_is_done(session: SessionStatus) -> str:
    """Return what a session that is not joined does, in words."""
    if session.next_try_s is not None:
        return f"next attempt in {span(session.next_try_s)}"
    return doing(session.state)


def last_fault(session: SessionStatus) -> str:
    """Return the fault of a session that has one, in words."""
    ago = "" if session.fault_s is None else f" {span(session.fault_s)} ago"
    return f"last fault{ago}: {session.fault}"


def _stale(facts: Facts) -> str | None:
    """A series without any reading is no problem, as the meter may lack it, unless all are."""
    if not facts.expected or facts.database_fault is not None:
        return None
    session = facts.snapshot.session if facts.snapshot else None
    why = ""
    if session is not None and _not_joined(facts) is None:  # which has it already
        why = f"{'' if session.joined else '; not joined'}{_in_the_way(session)}"
    if not any(reading.unit == facts.unit for reading in facts.series):
        shortest_s = min(map(_patience_s, facts.expected))
        waited_s = facts.snapshot.up_s if facts.snapshot else 0.0
        return f"no reading of the meter yet{why}" if waited_s > shortest_s else None
    stale = [text for each in facts.expected if (text := _stale_series(facts, each))]
    return f"too old: {', '.join(stale)}{why}" if stale else None


def _patience_s(expected: Expected) -> float:
    return STALE_CYCLES * expected.cycle_s + STALE_GRACE_S


def _stale_series(facts: Facts, expected: Expected) -> str | None:
    own = [r for r in facts.series if r.unit == facts.unit and r.sensor in expected.sensors]
    present = [reading for reading in own if facts.age_s(reading.time_ms) >= -FUTURE_LIMIT_S]
    newest = max(present or own, key=lambda reading: reading.time_ms, default=None)
    if newest is None:
        return None
    age_s = facts.age_s(newest.time_ms)
    if age_s < -FUTURE_LIMIT_S:
        return f"{newest.sensor} (from the future by {span(-age_s)}: a clock was wrong)"
    return f"{newest.sensor} ({span(age_s)})" if age_s > _patience_s(expected) else None


def _sensor_port_lost(facts: Facts) -> str | None:
    lost = [
        f"{port.fault} (for {span(port.since_s)})"
        for port in (facts.snapshot.sensors if facts.snapshot else ())
        if port.fault is not None and port.since_s > SENSOR_PORT_LIMIT_S
    ]
    return "; ".join(lost) or None


def _sensor_silent(facts: Facts) -> str | None:
    ports = facts.snapshot.sensors if facts.snapshot else ()
    silent = [series for port in ports for series in port.silent]
    return f"silent for too long: {some(silent)}" if silent else None


def _recorder_fault(facts: Facts) -> str | None:
    if facts.snapshot is None:
        return None
    recorder = facts.snapshot.recorder
    faults = [outlet.fault for outlet in (recorder.text, recorder.database) if outlet.fault]
    return "; ".join(faults) or None


def _upload_failing(facts: Facts) -> str | None:
    failing = [upload.name for upload in facts.uploads if _has_failed_long(facts, upload)]
    return f"upload fails: {', '.join(failing)}" if failing else None


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


def _upload_behind(facts: Facts) -> str | None:
    """Rows wait for long although the server takes what it is sent."""
    behind = []
    for upload in facts.uploads:
        live, oldest_ms = upload.live, upload.oldest_ms
        if facts.snapshot is None or live is None or live.failures or oldest_ms is None:
            continue
        age_s = facts.age_s(oldest_ms)
        if min(age_s, facts.snapshot.up_s) - upload.late_s > BEHIND_LIMIT_S:
            behind.append(f"{upload.name} ({span(age_s)})")
    return f"upload does not keep up: {', '.join(behind)}" if behind else None


def _upload_refused(facts: Facts) -> str | None:
    refused = [upload.name for upload in facts.uploads if upload.live and upload.live.refused]
    return f"server refuses everything: {', '.join(refused)}" if refused else None


def _upload_hanging(facts: Facts) -> str | None:
    hanging = [
        f"{upload.name} ({span(posting_s)})"
        for upload in facts.uploads
        if upload.live
        and (posting_s := upload.live.posting_s) is not None
        and posting_s > upload.post_limit_s + LOOK_UP_S
    ]
    return f"a POST does not end: {', '.join(hanging)}" if hanging else None


def _broker_unavailable(facts: Facts) -> str | None:
    mqtt = facts.snapshot.mqtt if facts.snapshot else None
    if mqtt is None:
        return None
    # One that throws kei out again and again is no better than one that is away.
    away_s = max(0.0 if mqtt.connected else mqtt.since_s, mqtt.failing_s or 0.0)
    if away_s <= BROKER_LIMIT_S:
        return None
    why = "" if mqtt.fault is None else f": {mqtt.fault}"
    return f"no lasting connection to {mqtt.broker} for {span(away_s)}{why}"


# Each returns a line for a person if its rule is broken.
_CHECKS: tuple[tuple[Rule, Callable[[Facts], str | None]], ...] = (
    # No process has the socket of this database.
    (Rule.NOT_RUNNING, lambda facts: None if facts.runs else "kei does not run"),
    # A process has it, but gives no status within 10 s, or none that can be decoded.
    (Rule.NOT_ANSWERING, lambda facts: facts.silence),
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
    (Rule.DATABASE_UNREADABLE, lambda facts: facts.database_fault),
)
