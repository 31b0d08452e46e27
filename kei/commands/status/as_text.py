"""The status as lines for people."""

from collections.abc import Iterator, Sequence

from kei.app.status_document import SessionState, Snapshot
from kei.commands.status.facts import Facts, Upload
from kei.commands.status.quantities import quantity
from kei.commands.status.rules import Problem, span
from kei.core.clock import local
from kei.core.reading import plain
from kei.sensors.counters import ReaderStatus
from kei.store.write_queue import SinkStatus
from kei.upload.traffic import Sent

_LABEL_WIDTH = 11

# What goes on in a state of the session that is not joined, for people.
_DOING = {
    "init": "waiting for the port",
    "open": "talking to the dongle",
    "setup": "setting the dongle up",
    "scan": "looking for the meter",
    "join": "authenticating",
}


def to_text(facts: Facts, problems: Sequence[Problem]) -> str:
    """Return the lines, each with an end; what comes from elsewhere is made printable."""
    lines = [
        *_head(facts, problems),
        *(_meter(facts.snapshot.session) if facts.snapshot and facts.snapshot.session else ()),
        *(_sensors(facts.snapshot) if facts.snapshot and facts.snapshot.sensors else ()),
        *_series(facts),
        *(_recorder(facts.snapshot) if facts.snapshot else ()),
        *(line for upload in facts.uploads for line in _upload(facts, upload)),
        *(_log(facts, facts.snapshot) if facts.snapshot else ()),
    ]
    return "".join(_printable(line).rstrip() + "\n" for line in lines)


def _labelled(label: str, lines: Sequence[str]) -> Iterator[str]:
    """Put a label before the first of some lines, and as much space before the others."""
    for number, line in enumerate(lines):
        yield f"{'' if number else label:{_LABEL_WIDTH}}{line}"


def _head(facts: Facts, problems: Sequence[Problem]) -> Iterator[str]:
    snapshot = facts.snapshot
    if snapshot is not None:
        about = f"runs for {span(snapshot.up_s)}, version {snapshot.version}, pid {snapshot.pid}"
    else:
        about = "runs, but does not answer" if facts.runs else "does not run"
    yield from _labelled("kei", [about])
    details = [f"{problem.rule.value}: {problem.detail}" for problem in problems]
    yield from _labelled("problems", details or ["none"])
    if snapshot is not None and not snapshot.clock.synchronised:
        wrong = ", and likely to be wrong" if snapshot.clock.likely_wrong else ""
        yield from _labelled("clock", [f"not synchronised{wrong}"])


def _meter(session: SessionState) -> Iterator[str]:
    unknown = "not known yet"
    yield ""
    doing = _DOING.get(session.state, session.state)
    joined = "joined" if session.joined else f"not joined ({doing})"
    yield from _labelled("session", [f"{joined} for {span(session.since_s)}"])
    dongle = f"{session.dongle}, firmware {session.firmware}" if session.dongle else unknown
    yield from _labelled("dongle", [dongle])
    known = session.channel is not None
    network = f"channel {session.channel}, PAN {session.pan_id}" if known else unknown
    yield from _labelled("network", [network])
    heard = session.lqi is not None
    signal = f"LQI {session.lqi}, {session.rssi_dbm} dBm" if heard else unknown
    yield from _labelled("signal", [signal])
    counts = f"{session.answered} answered, {session.missed} missed, {session.held_back} held back"
    yield from _labelled("requests", [f"{counts}, {session.ignored_frames} frames ignored"])


def _sensors(snapshot: Snapshot) -> Iterator[str]:
    yield ""
    yield from _labelled("sensors", [line for port in snapshot.sensors for line in _port(port)])


def _port(port: ReaderStatus) -> Iterator[str]:
    state = "open" if port.fault is None else "not open"
    heard = "" if port.heard_s is None else f", last line {span(port.heard_s)} ago"
    yield f"{port.port}: {state} for {span(port.since_s)}{heard}"
    if port.fault is not None:
        yield f"  FAULT {port.fault}"
    reasons = ", ".join(f"{count} {name}" for name, count in port.rejected.items())
    yield f"  {port.accepted} recorded, left out: {reasons or 'none'}"
    if port.silent:
        yield f"  silent: {' '.join(port.silent)}"


def _series(facts: Facts) -> Iterator[str]:
    yield ""
    if not facts.series:
        yield from _labelled("series", ["none known" if facts.database_fault else "none yet"])
        return
    rows = [("UNIT", "SENSOR", "VALUE", "", "AGE")]
    rows += [
        (
            reading.unit,
            reading.sensor,
            plain(reading.value),
            quantity(facts, reading) or "",
            span(facts.age_s(reading.time_ms)),
        )
        for reading in facts.series
    ]
    unit, sensor, value, of, age = (max(map(len, column)) for column in zip(*rows, strict=True))
    yield from _labelled(
        "series",
        [
            f"{r[0]:{unit}}  {r[1]:{sensor}}  {r[2]:>{value}} {r[3]:{of}}  {r[4]:>{age}}"
            for r in rows
        ],
    )


def _recorder(snapshot: Snapshot) -> Iterator[str]:
    yield ""
    recorder = snapshot.recorder
    outlets = (("text", recorder.text), ("database", recorder.database))
    yield from _labelled("recorder", [f"{name:8}  {_outlet(outlet)}" for name, outlet in outlets])


def _outlet(outlet: SinkStatus) -> str:
    counts = f"{outlet.written} written, {outlet.waiting} waiting, {outlet.dropped} dropped"
    return f"{counts}, FAULT {outlet.fault}" if outlet.fault else counts


def _upload(facts: Facts, upload: Upload) -> Iterator[str]:
    waiting, live = upload.waiting, upload.live
    rows = "not known"
    if waiting:
        dropped = f", {waiting.dropped} dropped" if waiting.dropped else ""
        rows = f"{waiting.rows} waiting, {waiting.set_aside} set aside{dropped}"
    yield ""
    yield from _labelled("upload", [f"{upload.name}: {rows}"])
    if live is None:
        return
    success = "none since the start"
    if live.last_success_ms is not None:
        success = f"{span(facts.age_s(live.last_success_ms))} ago"
    yield from _labelled("", [f"last success {success}"])
    yield from _labelled("", [_sent(live.sent)])
    if live.refused:
        yield from _labelled("", [f"REFUSES EVERYTHING: {live.last_error}"])
    elif live.last_error:
        yield from _labelled("", [f"last error ({live.failures} in a row): {live.last_error}"])


def _sent(sent: Sent) -> str:
    today = f"sent {sent.today_bytes / 1024:.0f} KiB today"
    if sent.yesterday_bytes is None:
        return today
    return f"{today}, {sent.yesterday_bytes / 1024:.0f} KiB yesterday"


def _log(facts: Facts, snapshot: Snapshot) -> Iterator[str]:
    yield ""
    lines = [
        f"{local(line.time_ms, facts.zone):%Y-%m-%d %H:%M:%S}  {line.level}  {line.text}"
        for line in snapshot.lines
    ]
    yield from _labelled("warnings", lines or ["none"])


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
