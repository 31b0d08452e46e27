"""The status as lines for people."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from kei.core.clock import local
from kei.core.printable import counted, printable
from kei.core.reading import Reading, plain
from kei.jobs.heartbeat import HeartbeatStatus
from kei.meter.meter_clock import METER_UTC_OFFSET, TOLERANCE_S
from kei.meter.progress import HistoryStatus
from kei.mqtt.status import MqttStatus
from kei.sensors.counters import ReaderStatus
from kei.status.facts import FUTURE_LIMIT_S, Facts, Upload
from kei.status.rules import Problem, last_fault, what_is_done
from kei.status.sentences import some, span
from kei.status.snapshot import Snapshot
from kei.store.sinks import RecorderStatus, SinkStatus
from kei.wisun.interfaces import SessionStatus

SERIES_SHOWN = 50  # of a thousand that a wrong sketch makes up

Block: TypeAlias = dict[str, list[str]]
"""What stands together between two empty lines: lines by label."""

SHORT_POST_S = 2.0  # no longer than a busy server takes: nothing to tell a person


def to_text(facts: Facts, problems: Sequence[Problem]) -> str:
    """Return lines, each with an end; nothing in them steers the terminal."""
    return "\n".join(map(_labelled, _blocks(facts, problems)))


def _labelled(block: Block) -> str:
    """Return lines under their labels: each label stands before the first of its lines."""
    text = ""
    for label, lines in block.items():
        for number, line in enumerate(lines):
            text += f"{'' if number else label:11}{printable(line)}".rstrip() + "\n"
    return text


def _blocks(facts: Facts, problems: Sequence[Problem]) -> Iterator[Block]:
    snapshot = facts.snapshot
    yield _head(facts, problems)
    if snapshot and snapshot.session:
        yield _session(snapshot.session)
    if snapshot and (history := snapshot.history):
        yield {"history": list(_history(history))}
    if snapshot and snapshot.sensors:
        yield {"sensors": [line for port in snapshot.sensors for line in _port(port)]}
    yield {"series": _series(facts)}
    if recorder := list(_recorder(facts)):
        yield {"recorder": recorder}
    for upload in facts.uploads:
        yield {"upload": list(_upload(facts, upload))}
    if snapshot and snapshot.mqtt:
        yield {"mqtt": list(_mqtt(snapshot.mqtt))}
    if snapshot and snapshot.heartbeat:
        yield {"heartbeat": list(_heartbeat(facts, snapshot.heartbeat))}
    if snapshot and snapshot.page:
        page = snapshot.page
        yield {"page": [page.url + ("" if page.fault is None else f": NOT SERVED: {page.fault}")]}
    if snapshot:
        lines = [
            f"{local(line.time_ms, facts.zone):%Y-%m-%d %H:%M:%S}  {line.level}  {line.text}"
            for line in snapshot.lines
        ]
        yield {"warnings": lines or ["none"]}


def _head(facts: Facts, problems: Sequence[Problem]) -> Block:
    snapshot = facts.snapshot
    if snapshot is not None:
        about = f"runs for {span(snapshot.up_s)}, version {snapshot.version}, pid {snapshot.pid}"
    else:
        about = "runs, but does not answer" if facts.runs else "does not run"
    details = [f"{problem.rule.value}: {problem.detail}" for problem in problems]
    head = {"kei": [about], "problems": details or ["none"]}
    clock = [] if snapshot is None else list(_clock(snapshot))
    if facts.is_zone_foreign:
        zone = facts.zone.tzname(None)
        clock.append(f"times are in this kei's local time, {zone}; this terminal has another")
    if clock:
        head["clock"] = clock
    return head


def _clock(snapshot: Snapshot) -> Iterator[str]:
    """Yield what a person should know about the clocks; nothing when all agree."""
    if not snapshot.clock.synchronised:
        wrong = ", and likely to be wrong" if snapshot.clock.likely_wrong else ""
        yield f"not synchronised{wrong}"
    meter = snapshot.meter_clock
    if meter is None:
        return
    if meter.ahead_s is not None and abs(meter.ahead_s) > TOLERANCE_S:
        way = "ahead of" if meter.ahead_s > 0 else "behind"
        yield f"the meter's is {span(abs(meter.ahead_s))} {way} this machine's"
    if meter.utc_offset != METER_UTC_OFFSET:
        yield f"local time is UTC{meter.utc_offset}, the meter's is UTC{METER_UTC_OFFSET}"


def _session(session: SessionStatus) -> Block:
    state = f"{'joined' if session.joined else 'not joined'} for {span(session.since_s)}"
    if not session.joined:
        state += f": {what_is_done(session)}"
    dongle = network = signal = "not known yet"
    if session.dongle:
        dongle = f"{session.dongle}, firmware {session.firmware}"
    if session.channel is not None:
        network = f"channel {session.channel}, PAN {session.pan_id}"
    if session.lqi is not None:
        signal = f"LQI {session.lqi}, {session.rssi_dbm} dBm"
    requests = f"{session.answered} answered, {session.missed} missed"
    if session.held_back:
        requests += f", {session.held_back} not sent (no session, or no air time left)"
    if session.ignored_frames:
        requests += f"; {session.ignored_frames} frames ignored (late, double or foreign)"
    fault = [] if session.fault is None else [str(last_fault(session, session.fault))]
    return {
        "session": [state, *fault],
        "dongle": [dongle],
        "network": [network],
        "signal": [signal],
        "requests": [requests],
    }


def _history(history: HistoryStatus) -> Iterator[str]:
    yield history.doing
    told = f"{history.filled} values filled from the meter's memory since the start"
    if history.missing:
        days = counted(history.days_left, "day")
        told += f", {history.missing} half-hour values of {days} are missing still"
    yield told


def _port(port: ReaderStatus) -> Iterator[str]:
    state = "open" if port.fault is None else "not open"
    heard = "" if port.heard_s is None else f", last line {span(port.heard_s)} ago"
    yield f"{port.port.rstrip(':')}: {state} for {span(port.since_s)}{heard}"
    if port.fault is not None:
        yield f"  FAULT {port.fault}"
    reasons = ", ".join(f"{count} {name}" for name, count in port.rejected.items())
    yield f"  {port.accepted} recorded, left out: {reasons or 'none'}"
    if port.silent:
        yield f"  silent: {some(port.silent)}"


def _series(facts: Facts) -> list[str]:
    if not facts.series:
        return ["none known" if facts.database_fault or facts.mistakes else "none yet"]
    rows = [("UNIT", "SENSOR", "VALUE", "", "AGE")]
    rows += [
        (
            reading.unit,
            reading.sensor,
            plain(reading.value),
            facts.unit_of_measure(reading) or "",
            _age(facts.age_s(reading.time_ms)),
        )
        for reading in _shown(facts)
    ]
    unit, sensor, value, of, age = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [
        f"{r[0]:{unit}}  {r[1]:{sensor}}  {r[2]:>{value}} {r[3]:{of}}  {r[4]:>{age}}" for r in rows
    ]
    if (more := len(facts.series) - SERIES_SHOWN) > 0:
        lines.append(f"and {more} more: kei status --json has them all")
    return lines


def _shown(facts: Facts) -> Sequence[Reading]:
    """Return the series that are shown, in their order: the meter's, and those heard last."""
    by_interest = sorted(
        facts.series, key=lambda each: (each.unit == facts.unit, each.time_ms), reverse=True
    )
    shown = {(each.unit, each.sensor) for each in by_interest[:SERIES_SHOWN]}
    return [each for each in facts.series if (each.unit, each.sensor) in shown]


def _age(age_s: float) -> str:
    return span(age_s) if age_s >= -FUTURE_LIMIT_S else f"{span(-age_s)} in the future"


def _recorder(facts: Facts) -> Iterator[str]:
    recorder = facts.snapshot.recorder if facts.snapshot else None
    if recorder is not None:
        yield f"text      {_outlet(recorder.text)}"
        yield f"database  {_outlet(recorder.database)}{_next_commit(facts, recorder)}"
    if facts.pending:
        reason = "" if facts.runs else " for the next start of kei"
        if recorder is not None:
            failing = recorder.text.fault or recorder.database.fault
            reason = " for the disk" if failing else " for the clock to be set"
        yield f"{facts.pending} without a line wait{reason}; see 'kei export --pending'"
    if recorder is not None and recorder.set_aside:
        named = "'reading_set_aside' in the log names the first"
        yield f"{recorder.set_aside} set aside, as they cannot be written; {named}"


def _next_commit(facts: Facts, recorder: RecorderStatus) -> str:
    if not recorder.uncommitted or recorder.commit_in_s is None or recorder.database.fault:
        return ""
    at = local(facts.now_ms + round(recorder.commit_in_s * 1000), facts.zone)
    return f", {recorder.uncommitted} to be committed by {at:%H:%M:%S}"


def _outlet(outlet: SinkStatus) -> str:
    counts = f"{outlet.written} written"
    if outlet.waiting or outlet.fault:
        counts += f", {outlet.waiting} wait for the disk"
    if outlet.dropped:
        counts += f", {outlet.dropped} dropped, as too many waited"
    return f"{counts}, FAULT {outlet.fault}" if outlet.fault else counts


def _mqtt(mqtt: MqttStatus) -> Iterator[str]:
    state = "connected" if mqtt.connected else "not connected"
    yield f"{mqtt.broker}: {state} for {span(mqtt.since_s)}, {mqtt.published} messages sent"
    if mqtt.fault is not None:
        yield f"last error: {mqtt.fault}"


def _heartbeat(facts: Facts, heartbeat: HeartbeatStatus) -> Iterator[str]:
    told = "not told since the start"
    if heartbeat.told_ms is not None:
        told = f"last told {span(facts.age_s(heartbeat.told_ms))} ago"
    yield f"{heartbeat.server}: {told}"
    if heartbeat.fault is not None:
        yield f"last error: {heartbeat.fault}"


def _upload(facts: Facts, upload: Upload) -> Iterator[str]:
    waiting, live = upload.waiting, upload.live
    rows = "not known"
    if waiting:
        rows = f"{waiting.rows} waiting"
        if waiting.set_aside:
            rows += f", {waiting.set_aside} refused (kei dead-letters lists them)"
        if waiting.dropped:
            rows += f", {waiting.dropped} dropped (the oldest, as too many waited)"
    yield f"{upload.name}: {rows}"
    if live is None:
        return
    success = "none since the start"
    if live.last_success_ms is not None:
        success = f"{span(facts.age_s(live.last_success_ms))} ago"
    yield f"last success {success}"
    today, yesterday = live.sent.today_bytes, live.sent.yesterday_bytes
    before = "" if yesterday is None else f", {yesterday / 1024:.0f} KiB yesterday"
    yield f"sent {today / 1024:.0f} KiB today{before}"
    if live.posting_s is not None and live.posting_s > SHORT_POST_S:
        yield f"a POST has been under way for {span(live.posting_s)}"
    if live.refused:
        yield f"REFUSES EVERYTHING: {live.last_error}"
    elif live.last_error:
        yield f"last error ({live.failures} in a row): {live.last_error}"
