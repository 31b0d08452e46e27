"""The document of a running kei: read back as it was, and anything else refused."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from status_facts import SNAPSHOT

from kei.core.errors import Malformed
from kei.core.logs import LogLine
from kei.meter.expected import Expected
from kei.mqtt.status import MqttStatus
from kei.sensors.counters import ReaderStatus
from kei.settings.upload import What
from kei.status.outline import Outline, Target, unknown
from kei.status.snapshot import Snapshot, decode, encode
from kei.store.sinks import RecorderStatus, SinkStatus
from kei.upload.traffic import UploadStatus
from kei.wisun.interfaces import SessionStatus

finite = st.floats(allow_nan=False, allow_infinity=False)
state = st.builds(SessionStatus, since_s=finite, rssi_dbm=st.none() | finite)
outlet = st.builds(SinkStatus)
ports = st.builds(ReaderStatus, since_s=finite, heard_s=st.none() | finite)
path = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]))
targets = st.builds(Target, what=st.sampled_from(What).map(str), late_s=finite, post_limit_s=finite)
outlines = st.builds(
    Outline,
    directory=path,
    fname_base=path,
    utc_offset_s=st.floats(-50_000, 50_000),
    expected=st.lists(st.builds(Expected, cycle_s=finite), max_size=3).map(tuple),
    targets=st.lists(targets, max_size=3).map(tuple),
)
snapshots = st.builds(
    Snapshot,
    up_s=finite,
    session=st.none() | state,
    recorder=st.builds(RecorderStatus, outlet, outlet),
    sensors=st.lists(ports, max_size=3).map(tuple),
    uploads=st.lists(st.builds(UploadStatus), max_size=3).map(tuple),
    lines=st.lists(st.builds(LogLine), max_size=3).map(tuple),
    mqtt=st.none() | st.builds(MqttStatus, since_s=finite, failing_s=st.none() | finite),
    outline=st.none() | outlines,
    refused=st.none() | st.lists(st.text(), max_size=3).map(tuple),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
TARGET = {"name": "a", "what": "pictures", "late_s": 1.0, "post_limit_s": 1.0}
PLAIN = json.loads(encode(SNAPSHOT))


@pytest.mark.usefixtures("unmeasured")  # a property
@given(snapshots)
def test_a_snapshot_comes_back_as_it_was(snapshot: Snapshot) -> None:
    assert decode(encode(snapshot)) == snapshot


@pytest.mark.parametrize(
    "wrong", [{"directory": "a\0"}, {"utc_offset_s": 1e9}, {"targets": [TARGET]}], ids=str
)
def test_settings_of_no_kei_of_this_version_are_malformed(wrong: dict[str, object]) -> None:
    outline = asdict(unknown(Path("kei.db"), FakeClock()))
    assert decode(json.dumps({**PLAIN, "outline": outline}).encode()).outline
    with pytest.raises(Malformed):
        decode(json.dumps({**PLAIN, "outline": {**outline, **wrong}}).encode())


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_snapshot_or_malformed(document: bytes) -> None:
    with pytest.raises(Malformed):
        decode(document)


@given(st.sampled_from(sorted(PLAIN)), values)
def test_a_field_with_anything_in_it_is_taken_or_malformed(name: str, value: object) -> None:
    document = json.dumps({**PLAIN, name: value}).encode()
    try:
        decode(document)
    except Malformed:
        return


OPTIONAL = {"session", "meter_clock", "history", "mqtt", "outline", "refused", "page", "heartbeat"}


@pytest.mark.parametrize("name", sorted(set(PLAIN) - OPTIONAL))
def test_a_field_that_is_missing_is_malformed(name: str) -> None:
    document = json.dumps({k: v for k, v in PLAIN.items() if k != name}).encode()
    with pytest.raises(Malformed):
        decode(document)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", '"1"', "true"])
def test_a_number_that_is_none_is_malformed(number: str) -> None:
    document = json.dumps({**PLAIN, "up_s": "HERE"}).replace('"HERE"', number).encode()
    with pytest.raises(Malformed):
        decode(document)


def test_deep_nesting_is_malformed() -> None:
    with pytest.raises(Malformed):
        decode(b"[" * 200_000)


def test_fields_of_a_newer_kei_are_passed_over() -> None:
    assert decode(json.dumps({**PLAIN, "mood": "good"}).encode()) == SNAPSHOT


def test_a_whole_number_of_seconds_is_taken() -> None:
    assert decode(json.dumps({**PLAIN, "up_s": 5}).encode()).up_s == 5.0
