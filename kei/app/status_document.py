"""What a running kei says of itself, as a document that another kei can read."""

import json
import math
from dataclasses import asdict, dataclass, is_dataclass
from types import NoneType, UnionType
from typing import get_args, get_origin, get_type_hints

from kei.core.errors import Malformed
from kei.core.logs import LogLine
from kei.sensors.counters import ReaderStatus
from kei.store.write_queue import RecorderStatus
from kei.upload.traffic import Sent

TEXT_MAX_CHARS = 300  # of each free text, so that the document has a bound


@dataclass(frozen=True, slots=True)
class ClockState:
    """The machine's clock.

    Attributes:
        synchronised: whether a time service has set it.
        likely_wrong: whether it would be better to wait for that.
    """

    synchronised: bool
    likely_wrong: bool


@dataclass(frozen=True, slots=True)
class SessionState:
    """The session with the meter.

    Attributes:
        state: as `kei.wisun.states.State` names it.
        joined: whether the meter has been joined.
        since_s: for how many seconds that has been so.
        dongle: its kind; None until it has been recognised.
        firmware: what it says of its version; None as above.
        channel: of the meter's network, 33..60; None until it is known.
        pan_id: of the network, 4 hex digits; None as above.
        lqi: link quality of the last frame, 0..255; None as above.
        rssi_dbm: the same as received power.
        answered: requests since the start.
        missed: requests since the start that got no answer.
        held_back: requests since the start that could not be sent.
        ignored_frames: late, double, foreign and damaged ones since the start.
    """

    state: str
    joined: bool
    since_s: float
    dongle: str | None
    firmware: str | None
    channel: int | None
    pan_id: str | None
    lqi: int | None
    rssi_dbm: float | None
    answered: int
    missed: int
    held_back: int
    ignored_frames: int


@dataclass(frozen=True, slots=True)
class UploadState:
    """How an upload target is doing.

    Attributes:
        target: its name.
        last_success_ms: wall clock of the last accepted batch; None if not since the start.
        last_error: why the last attempt failed; None if it did not.
        failures: failed attempts in a row.
        refused: whether it refuses everything, so that all is set aside.
        sent: bytes of requests by the day, headers included.
    """

    target: str
    last_success_ms: int | None
    last_error: str | None
    failures: int
    refused: bool
    sent: Sent


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
    """

    version: str
    pid: int
    up_s: float
    clock: ClockState
    session: SessionState | None
    recorder: RecorderStatus
    sensors: tuple[ReaderStatus, ...]
    uploads: tuple[UploadState, ...]
    lines: tuple[LogLine, ...]


def clipped(text: str | None) -> str | None:
    """Return the beginning of a free text, as much as fits into a document."""
    return None if text is None else text[:TEXT_MAX_CHARS]


def encode(snapshot: Snapshot) -> bytes:
    """Return the document: one JSON object."""
    return json.dumps(asdict(snapshot)).encode()


def decode(document: bytes) -> Snapshot:
    """Read a document that need not be ours.

    What this version does not know is passed over, so that an older kei may go on running
    while a newer one asks.

    Raises:
        Malformed: it is not such a document.
    """
    try:
        data: object = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no status: {type(error).__name__}") from None
    snapshot = _built(Snapshot, data)
    assert isinstance(snapshot, Snapshot), "that is what was to be built"
    return snapshot


def _built(kind: object, data: object) -> object:
    """Return data as this type of a dataclass's field, which decides what is allowed."""
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


_LARGEST = 1 << 53  # a float has every integer up to here
