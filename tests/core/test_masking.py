"""Values of a log line: masked, plain, and otherwise as they were."""

import json
import logging
from decimal import Decimal
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kei.core import logs
from kei.core.masking import Masker
from kei.core.printable import printable
from kei.core.secret import Secret, holds_secret


class Broken:
    def __str__(self) -> str:
        raise ValueError("no text")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.decimals() | st.builds(Broken) | st.builds(object),
    lambda inner: st.lists(inner) | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers() | st.binary(), inner),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=50)
@given(VALUES, st.lists(st.text(max_size=12).map(Secret), max_size=4))
def test_any_value_becomes_json_whatever_the_secrets(value: object, secrets: list[Secret]) -> None:
    masker = Masker()
    masker.hide(secrets)
    json.dumps(masker.plain(value), allow_nan=False)


@pytest.mark.usefixtures("unmeasured")  # a property
@settings(max_examples=50)
@given(
    st.dictionaries(st.text(min_size=1), VALUES),
    st.lists(st.text(max_size=12).map(Secret), max_size=4),
)
@example({"logger": b""}, [])
def test_any_line_stays_json_and_keeps_its_numbers(
    fields: dict[str, object], secrets: list[Secret]
) -> None:
    record = logging.LogRecord("kei.test", logging.INFO, "", 0, "", (), None)
    fields |= {"event": "joined", "level": "info", "lqi": 225}
    record.__dict__ |= {"msg": fields, "_logger": None, "_name": "info"}
    masked = Masker()
    masked.hide(secrets)
    with mock.patch.object(logs, "masker", masked):
        line = logs._Formatter(logs._json).format(record)
    assert printable(line) == line, "one line, and nothing that steers a terminal"
    assert json.loads(line)["lqi"] == 225


@given(st.text(min_size=6), st.text(), st.text())
def test_a_secret_is_found_in_any_text(secret: str, before: str, behind: str) -> None:
    masker = Masker()
    masker.hide([Secret(secret)])
    assert secret not in masker.mask(before + secret + behind).replace("***", "\0")


def test_short_secrets_are_not_sought() -> None:
    masker = Masker()
    masker.hide([Secret("1"), Secret("12345")])
    line = {"lqi": 225, "text": "12345 of 1", "deep": [{"n": 1}]}
    assert masker.plain(line) == line


def test_numbers_stay_whatever_they_are() -> None:
    masker = Masker()
    masker.hide([Secret("123456")])
    assert masker.plain({"a": 123456, "b": 123456.5, "c": True, "d": None}) == {
        "a": 123456,
        "b": 123456.5,
        "c": True,
        "d": None,
    }
    assert masker.plain("a123456b") == "a***b"


def test_what_stands_under_the_name_of_a_secret_is_masked_however_short() -> None:
    found = Masker().plain({"headers": {"Authorization": "1", "X-Level": "1"}, "upload_key": "ab"})
    assert found == {"headers": {"Authorization": "***", "X-Level": "1"}, "upload_key": "***"}


def test_numbers_that_json_does_not_have_become_texts() -> None:
    plain = Masker().plain([float("nan"), float("-inf"), 1 << 70, Decimal("0.1")])
    assert plain == ["nan", "-inf", str(1 << 70), "0.1"]


def test_the_secret_behind_a_scheme_is_masked_by_itself() -> None:
    masker = Masker()
    masker.hide([Secret("Bearer abc/def+")])
    assert masker.mask("token abc/def+ or abc%2Fdef%2B") == "token *** or ***"


@pytest.mark.parametrize(
    "name",
    ["Authorization", "X-API-Key", "Cookie", "X-Auth-Token", "broute_id", "broute_pwd", "password",
     "upload_key", "Proxy-Authorization", "apikey", "X-Secret"],
)  # fmt: skip
def test_names_that_hold_secrets(name: str) -> None:
    assert holds_secret(name)


@pytest.mark.parametrize(
    "name",
    ["Accept", "Content-Type", "X-Level", "keep-alive", "lqi", "channel", "keys", "monkey"],
)
def test_names_that_hold_none(name: str) -> None:
    assert not holds_secret(name)
