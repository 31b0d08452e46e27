"""The vocabulary in which the tables of jobs.toml are declared.

Each field of a table's dataclass says with `key()` what may stand in the file: its kind, one
sentence, and the default. `kei.config` reads and checks tables by that, and documents them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, TypeVar, dataclass_transform, runtime_checkable

from kei.settings.text_rules import Wrong

T = TypeVar("T")

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0

# The name of a key, or the way from the table to one that is deeper, and what is wrong with it.
Conflict: TypeAlias = tuple[str | tuple[str | int, ...], Wrong]


class Kind:
    """What a value of jobs.toml may be; `span` says for a person what a rule takes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """A text that a rule takes, changes or refuses; a hidden one is not shown in logs.

    Attributes:
        parts: of it, that other programs have as keys of their own.
    """

    rule: Callable[[str], object]
    span: str = ""
    hidden: bool = False
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Word(Kind):
    """One of a few words, in upper or lower case: what they and other spellings stand for."""

    words: Mapping[str, object]
    others: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of the values of an enumeration, or of a list of names that `kei.config.rules` has."""

    options: type[StrEnum] | str


@dataclass(frozen=True, slots=True)
class SecretText(Kind):
    """A text that is not shown; it may be in a file or in the environment instead."""

    rule: Callable[[str], str]
    span: str = ""


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    """True or false."""


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A finite number, exactly as it is written: a `Decimal`.

    Attributes:
        options: name of a list of numbers that `kei.config.rules` has; empty if any number will do.
        low: the least; None if there is none.
        high: the most.
        places: decimals at most.
    """

    options: str = ""
    low: Decimal | None = None
    high: Decimal | None = None
    places: int | None = None


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A whole number in a range, both ends included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class OneOf(Kind):
    """A whole number that is one of a few."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Duration(Kind):
    """Seconds in a range, both ends included, that a rule takes; the field ends with `_s`."""

    low: float
    high: float
    rule: Callable[[float], float] = float
    span: str = ""


@dataclass(frozen=True, slots=True)
class FilePath(Kind):
    """A path; a relative one begins in the folder of jobs.toml, an optional one may be empty."""

    optional: bool = False


@dataclass(frozen=True, slots=True)
class Port(Kind):
    """The port of the dongle, or of sensors: a device or a simulator; each once in a file."""

    sensors: bool = False


@dataclass(frozen=True, slots=True)
class Epcs(Kind):
    """Codes of properties that kei knows, at least one, each once."""


@dataclass(frozen=True, slots=True)
class Headers(Kind):
    """Names and values of HTTP headers; the values are secrets."""


@dataclass(frozen=True, slots=True)
class Moment(Kind):
    """A date, or a date-time with its offset; None for an empty text."""


@dataclass(frozen=True, slots=True)
class Day(Kind):
    """A date."""


@dataclass(frozen=True, slots=True)
class Several(Kind):
    """A list with at least one value of a kind, each once; a tuple."""

    of: Kind


@dataclass(frozen=True, slots=True)
class ByMonth(Kind):
    """A table of numbers by month, `2026-11 = -1.23`: a `Month` for each key."""

    number: Number


@dataclass(frozen=True, slots=True)
class Table(Kind):
    """A table; one that is left out has its defaults, unless the key has a default."""

    table: type


@dataclass(frozen=True, slots=True)
class Tables(Kind):
    """An array of tables.

    Attributes:
        table: of each of them.
        by: the fields that tell one from another.
        unique: what to do if two have the same; empty if they may.
    """

    table: type
    by: tuple[str, ...]
    unique: str = ""


@dataclass(frozen=True, slots=True)
class Group(Kind):
    """Keys that stand in the table itself, and have a dataclass of their own."""

    table: type


@dataclass(frozen=True, slots=True)
class Derived:
    """A default that comes from the other fields of the table; `text` says what it is."""

    text: str
    of: Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True, slots=True)
class Key:
    """What is declared of a key.

    Attributes:
        kind: what its value may be.
        sentence: what it is for.
        default: the field's value where the key is left out; MISSING if it has to be there.
        derived: such a value that is not fixed.
        example: a value as jobs.toml has it; empty if the default is one, or, of a table, if that
            has an example of its own.
        is_alternative: whether it takes the place of a key before it, so that an example has one
            of the two.
        name: of the key.
        field: of the dataclass.
    """

    kind: Kind
    sentence: str
    default: object
    derived: Derived | None
    example: str
    name: str
    is_alternative: bool = False
    field: str = ""

    @property
    def forms(self) -> tuple[str, ...]:
        """The names under which the value may be given."""
        if isinstance(self.kind, SecretText):
            return self.name, f"{self.name}_file", f"{self.name}_env"
        return (self.name,)

    @property
    def is_required(self) -> bool:
        """Whether the key has to be there."""
        has_default = self.default is not MISSING or self.derived is not None
        return not has_default and not isinstance(self.kind, Table | Group)


def key(
    kind: Kind,
    sentence: str = "",
    *,
    default: Any = MISSING,
    derived: Derived | None = None,
    example: str = "",
    name: str = "",
    is_alternative: bool = False,
) -> Any:
    """Declare a field as a key of the table; for the arguments see `Key`.

    The name is by default that of the field, without `_s`; a key without any default is required.
    """
    declared = Key(kind, sentence, default, derived, example, name, is_alternative)
    hidden = isinstance(kind, Text) and kind.hidden
    return field(default=default, repr=not hidden, metadata={Key: declared})


@dataclass_transform(frozen_default=True, field_specifiers=(key, field))
def table(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """Make a class a frozen dataclass with slots; the first line of its docstring describes it."""
    return dataclass(frozen=True, slots=True, kw_only=kw_only)


def keys(table: type) -> Iterator[Key]:
    """Yield the keys of a table in their order; those of a `Group` as one."""
    for each in fields(table):
        if (found := each.metadata.get(Key)) is not None:
            yield replace(found, field=each.name, name=found.name or each.name.removesuffix("_s"))


def table_keys(tables: Mapping[str, type]) -> Iterator[Key]:
    """Yield keys for tables that are not fields of a dataclass, by their names."""
    for name, each in tables.items():
        yield Key(Table(each), "", MISSING, None, "", name, field=name)


@runtime_checkable
class Checked(Protocol):
    """A table with rules that concern several keys."""

    def conflicts(self) -> Iterable[Conflict]:
        """Yield what contradicts: the key to mend, and what is wrong with it."""
