import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from toml_documents import TABLES, Key, Node, Writer, keys_of

from kei.config.toml_lines import locate

pytestmark = pytest.mark.usefixtures("unmeasured")  # properties


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(table=TABLES, data=st.data())
def test_every_key_that_the_parser_yields_is_located_at_its_line(
    table: dict[str, Node], data: DataObject
) -> None:
    writer = Writer(data)
    writer.document(table)
    found = locate(writer.text)
    assert set(found) == set(keys_of(tomllib.loads(writer.text)))
    assert found == writer.lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# only a comment", {}),
        ("a = 1", {("a",): 1}),
        ("\n\na = 1", {("a",): 3}),
        ("a = 1\r\n\r\nb = 2\r\n", {("a",): 1, ("b",): 3}),
        ("a.b = 1\na.c = 2", {("a",): 1, ("a", "b"): 1, ("a", "c"): 2}),
        ("[a.b]\n[a]\n", {("a",): 2, ("a", "b"): 1}),
        ("[[a]]\n[[a]]\n[a.b]", {("a",): 1, ("a", 0): 1, ("a", 1): 2, ("a", 1, "b"): 3}),
        ("a = '''\nb = 1\n'''\nc = 1", {("a",): 1, ("c",): 4}),
        ("a = [\n1,\n[\n2]]", {("a",): 1, ("a", 0): 2, ("a", 1): 3, ("a", 1, 0): 4}),
        ("a = [{b = 1}]", {("a",): 1, ("a", 0): 1, ("a", 0, "b"): 1}),
        ('"\\u0061 b" = 1', {("a b",): 1}),
    ],
)
def test_lines_of(text: str, expected: dict[Key, int]) -> None:
    assert locate(text) == expected
