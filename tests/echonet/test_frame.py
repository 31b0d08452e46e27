"""The ECHONET Lite codec, against frames of real meters and arbitrary bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.core.errors import Malformed
from kei.echonet.frame import (
    CONTROLLER,
    METER,
    NODE_PROFILE,
    Esv,
    Frame,
    Property,
    decode,
    encode_property_map,
    get_request,
    property_map,
)

_TWO_LISTS = (Esv.SETGET, Esv.SETGET_RES, Esv.SETGET_SNA)
_properties = st.lists(
    st.builds(Property, st.integers(0x80, 0xFF), st.binary(max_size=30)), max_size=8
).map(tuple)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    esv = draw(st.sampled_from(Esv))
    return Frame(
        tid=draw(st.integers(0, 0xFFFF)),
        seoj=draw(st.integers(0, 0xFFFFFF)),
        deoj=draw(st.integers(0, 0xFFFFFF)),
        esv=esv,
        properties=draw(_properties),
        get_properties=draw(_properties) if esv in _TWO_LISTS else (),
    )


@given(frames())
def test_what_is_encoded_is_decoded_again(frame: Frame) -> None:
    assert decode(frame.encode()) == frame


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_a_frame_or_malformed(data: bytes) -> None:
    try:
        frame = decode(data)
    except Malformed:
        return
    assert data.startswith(frame.encode())


@given(frames(), st.data())
def test_a_frame_that_was_cut_short_is_malformed(frame: Frame, data: st.DataObject) -> None:
    whole = frame.encode()
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(Malformed):
        decode(whole[:cut])


def test_get_request_of_power_has_the_bytes_of_the_standard() -> None:
    assert get_request(1, (0xE7,)).encode().hex().upper() == "1081000105FF010288016201E700"


def test_partial_answer_keeps_the_good_values() -> None:
    frame = decode(bytes.fromhex("1081000402880105FF015203D300D70106E10101"))
    assert frame == Frame(
        4,
        METER,
        CONTROLLER,
        Esv.GET_SNA,
        (Property(0xD3), Property(0xD7, b"\x06"), Property(0xE1, b"\x01")),
    )


def test_instance_list_comes_from_the_node_profile() -> None:
    frame = decode(bytes.fromhex("108100010EF0010EF0017301D50401028801"))
    assert (frame.seoj, frame.esv) == (NODE_PROFILE, Esv.INF)


def test_a_number_too_large_for_its_field_is_refused() -> None:
    with pytest.raises(ValueError, match="not encodable"):
        Frame(0x10000, CONTROLLER, METER, Esv.GET, ()).encode()


@given(st.frozensets(st.integers(0x80, 0xFF)))
def test_property_map_round_trip(epcs: frozenset[int]) -> None:
    assert property_map(encode_property_map(epcs)) == epcs


def test_property_map_of_a_real_meter() -> None:
    epcs = frozenset(
        bytes.fromhex("808182888A8D97989D9E9FD3D7E0E1E2E3E4E5E7E8EAEBECED"),
    )
    edt = bytes.fromhex("1941414160404000624300414040430202")
    assert property_map(edt) == epcs
    assert encode_property_map(epcs) == edt


@given(st.binary(max_size=20))
def test_arbitrary_bytes_are_a_property_map_or_malformed(edt: bytes) -> None:
    try:
        assert len(property_map(edt)) <= 128
    except Malformed:
        assert len(edt) < 17
