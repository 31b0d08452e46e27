"""The declared keys of a table, and the dataclass that comes of them."""

from dataclasses import FrozenInstanceError
from decimal import Decimal

import pytest

from kei.settings.keys import DAY_S, Duration, Group, Text, Whole, key, keys, table
from kei.settings.serial import PortSettings, SeriesCheck
from kei.settings.text_rules import plain


@table()
class Inner:
    """Keys of their own."""

    size: int = key(Whole(1, 9), "How large.", default=3)


@table(kw_only=True)
class Example:
    """A table."""

    color: str = key(Text(plain), "Its colour.", default="red", name="colour")
    address: str = key(Text(plain, hidden=True), "Where it is.", example='"here"')
    pause_s: float = key(Duration(0, DAY_S), "How long it rests.", default=1.0)
    inner: Inner = key(Group(Inner))


def test_a_key_has_the_name_of_its_field_without_the_unit_unless_it_has_its_own() -> None:
    assert [(each.name, each.field) for each in keys(Example)] == [
        ("colour", "color"),
        ("address", "address"),
        ("pause", "pause_s"),
        ("inner", "inner"),
    ]


def test_a_key_without_a_default_is_required() -> None:
    assert [each.name for each in keys(Example) if each.is_required] == ["address"]


def test_a_table_is_frozen_and_shows_nothing_that_is_hidden() -> None:
    example = Example(address="secret place", inner=Inner())
    assert "secret place" not in repr(example)
    assert (example.color, example.pause_s, example.inner.size) == ("red", 1.0, 3)
    with pytest.raises(FrozenInstanceError):
        example.color = "blue"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("checked", "names"),
    [
        (SeriesCheck("A1", "T1", Decimal(1), Decimal(1), Decimal(1)), []),
        (SeriesCheck("A1", "T1", Decimal(2), Decimal(1), Decimal(0)), ["min", "variation"]),
        (PortSettings(dtr=False), []),
        (PortSettings(dtr=False, drops_dtr=False), ["dtr"]),
    ],
)
def test_keys_that_contradict_are_named(
    checked: SeriesCheck | PortSettings, names: list[str]
) -> None:
    assert [name for name, _ in checked.conflicts()] == names
