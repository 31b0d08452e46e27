"""The status of a running kei: a document that another kei can read, and a summary in one line."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from types import NoneType, UnionType
from typing import get_args, get_origin, get_type_hints

from kei.core.errors import Malformed
from kei.core.logs import LogLine
from kei.jobs.heartbeat import HeartbeatStatus
from kei.meter.meter_clock import MeterClockStatus
from kei.meter.progress import HistoryStatus
from kei.mqtt.status import MqttStatus
from kei.sensors.counters import ReaderStatus
from kei.status.outline import Outline
from kei.store.sinks import RecorderStatus
from kei.timekeeping.monitor import ClockStatus
from kei.upload.traffic import UploadStatus
from kei.wisun.interfaces import SessionStatus, State

TEXT_MAX_CHARS = 300  # of each free text, so that the document has a bound
_LARGEST = 1 << 53  # a float has every integer up to here
_DOING: dict[str, str] = {
    State.INIT: "waiting for the dongle's port",
    State.OPEN: "looking for a dongle at the port",
    State.ADOPT: "resuming the session with the meter",
    State.SETUP: "setting the dongle up",
    State.SCAN: "scanning for the meter",
    State.JOIN: "joining the meter",
    State.JOINED: "meter joined",
}
PAUSING = "waiting before the next attempt"


@dataclass(frozen=True, slots=True)
class PageStatus:
    """How the page is: where it listens, and why it is not served at present."""

    url: str
    fault: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A running kei at one moment.

    Attributes:
        version: of the program.
        pid: of the process.
        up_s: seconds since the start, or since a reload that started over.
        clock: how far its times are to be trusted.
        session: None without a `[broute]` table.
        recorder: how recording is going.
        sensors: ports, in the order of the configuration.
        uploads: in the order of the configuration.
        lines: the last log lines of level WARNING and above, the newest last.
        meter_clock: the meter's time beside this machine's; None without a `[broute]` table.
        history: how far the record of half-hours has been made complete; None if nobody asked.
        mqtt: the connection to the broker; None without a `[mqtt]` table.
        outline: of the settings in force; None from an older version of kei.
        refused: why a changed jobs.toml is not in force, one line each; None as above.
        page: whether the page is served; None without a `[web]` table.
        heartbeat: whether the server of `[heartbeat]` is told; None without that table.
    """

    version: str
    pid: int
    up_s: float
    clock: ClockStatus
    session: SessionStatus | None
    recorder: RecorderStatus
    sensors: tuple[ReaderStatus, ...]
    uploads: tuple[UploadStatus, ...]
    lines: tuple[LogLine, ...]
    meter_clock: MeterClockStatus | None = None
    history: HistoryStatus | None = None
    mqtt: MqttStatus | None = None
    outline: Outline | None = None
    refused: tuple[str, ...] | None = None
    page: PageStatus | None = None
    heartbeat: HeartbeatStatus | None = None


def clipped(text: str | None) -> str | None:
    """Return the beginning of a free text, as much as fits into a document."""
    return None if text is None else text[:TEXT_MAX_CHARS]


def encode(snapshot: Snapshot) -> bytes:
    """Return the document: one JSON object."""
    return json.dumps(asdict(snapshot)).encode()


def decode(document: bytes) -> Snapshot:
    """Read a document, which may be of another version of kei or of another program.

    Fields that this version does not know are ignored.

    Raises:
        Malformed: it is not such a document.
    """
    try:
        data: object = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no status: {type(error).__name__}") from None
    snapshot = _built(Snapshot, data)
    assert isinstance(snapshot, Snapshot), "it was built as one"
    return snapshot


def _built(kind: object, data: object) -> object:
    """Return JSON data as a value of the type of a dataclass's field."""
    if get_origin(kind) is UnionType:
        (present,) = (each for each in get_args(kind) if each is not NoneType)
        return None if data is None else _built(present, data)
    if get_origin(kind) is tuple and isinstance(data, list):
        return tuple(_built(get_args(kind)[0], item) for item in data)
    if get_origin(kind) is dict and isinstance(data, dict):
        return {name: _built(get_args(kind)[1], value) for name, value in data.items()}
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(data, dict):
        fields = get_type_hints(kind)
        return kind(**{name: _built(field, data.get(name)) for name, field in fields.items()})
    if kind is float and type(data) is int:
        data = float(data) if abs(data) < _LARGEST else data
    if type(data) is not kind or (isinstance(data, float) and not math.isfinite(data)):
        raise Malformed(f"no status: a {type(data).__name__} where a {kind} belongs")
    return data


def doing(state: str, *, is_pausing: bool = False) -> str:
    """Return what a session does, in words; its name for a state that this version does not have.

    Args:
        state: a name of `State`.
        is_pausing: whether it waits before the next attempt to join.
    """
    return PAUSING if is_pausing else _DOING.get(state, state)


def status_summary(
    meter: str | None, ports: Sequence[bool], full: Sequence[str], failing: Sequence[str]
) -> str:
    """Return one line for people, without times or counters: it changes when something does.

    Args:
        meter: what the session does, in words; None without a meter.
        ports: of sensors, whether each is open.
        full: the places that readings cannot be written to at present.
        failing: names of the upload targets whose last attempt failed.
    """
    parts = [] if meter is None else [meter]
    if ports:
        parts.append(f"{sum(ports)} of {len(ports)} sensor ports open")
    parts += [f"{place} cannot be written, readings wait in memory" for place in full]
    if failing:
        parts.append(f"upload failing: {', '.join(failing)}")
    return "; ".join(parts)
