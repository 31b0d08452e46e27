"""One value of jobs.toml, read as the kind of its key says.

A fault of the value as a whole is raised; those of its parts are noted, and the rest is returned.
"""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from functools import singledispatch
from typing import TypeAlias

from kei.config import rules
from kei.config.credentials import Outside
from kei.config.errors import FaultList, KeyPath, dotted
from kei.core.secret import Secret
from kei.settings import text_rules
from kei.settings.keys import (
    Choice,
    Duration,
    Epcs,
    FilePath,
    Flag,
    Headers,
    Kind,
    Moment,
    Number,
    OneOf,
    OptionalPath,
    Port,
    SensorPort,
    Text,
    Url,
    Whole,
    Word,
)
from kei.settings.text_rules import Wrong, shown

INT64 = range(-(2**63), 2**63)  # TOML 1.0: what an integer must be able to be

Wanted: TypeAlias = tuple[str, str]  # what a value should be, and how to write it

TEXT: Wanted = ("a text", "write it in quotes")
_FLAG: Wanted = ("true or false", "write it without quotes")
_WHOLE_NUMBER: Wanted = ("a whole number", "write it in digits, without quotes")
_NUMBER: Wanted = ("a number", "write it in digits, without quotes")
_DURATION: Wanted = ("a number of seconds or a text", 'write it like 10 or "10s"')
_TEXTS: Wanted = ("a list of texts", 'write it like ["E7", "E8"]')
_MOMENT: Wanted = ("a date or a text", 'write it like "2026-01-01"')
_HEADERS: Wanted = ("a table of texts", 'write it like { "X-Name" = "value" }')


@dataclass(frozen=True, slots=True)
class Source:
    """What all tables of one file share.

    Attributes:
        faults: where faults go.
        outside: where secrets and files come from.
        ports: those read so far, with their keys.
    """

    faults: FaultList
    outside: Outside
    ports: list[tuple[KeyPath, str]] = field(default_factory=list)

    def unique(self, items: Iterable[tuple[KeyPath, str]], remedy: str) -> None:
        """Note every item whose text came before; placeholders (empty texts) do not count."""
        first: dict[str, KeyPath] = {}
        for at, text in items:
            if not text:
                continue
            earlier = first.setdefault(text, at)
            if earlier != at:
                line = self.faults.line(earlier)
                what = f"{shown(text)} is already at {dotted(earlier)} (line {line})"
                self.faults.add(at, Wrong(what, remedy))


@singledispatch
def read(kind: Kind, value: object, at: KeyPath, source: Source) -> object:
    """Return what a value of jobs.toml means.

    Args:
        kind: what it may be; tables and secrets are read by `kei.config.tables`.
        value: as the TOML parser has it.
        at: where it is.
        source: where faults of its parts go, and what relative paths begin at.

    Raises:
        Wrong: it is not of the kind.
    """
    raise NotImplementedError(f"a kind without a reader: {kind}")


@read.register
def _(kind: Text, value: object, _at: KeyPath, _source: Source) -> object:
    return kind.rule(text(value))


@read.register
def _(_kind: Url, value: object, _at: KeyPath, _source: Source) -> object:
    return text_rules.target_url(text(value))


@read.register
def _(kind: Word, value: object, _at: KeyPath, _source: Source) -> object:
    written = text(value)
    words = {**kind.words, **kind.others}
    if written.lower() not in words:
        raise Wrong(f"{shown(written)} is not possible", f"it is one of: {', '.join(kind.words)}")
    return words[written.lower()]


@read.register
def _(kind: Choice, value: object, _at: KeyPath, _source: Source) -> object:
    written, options = text(value), rules.options(kind)
    if written in options:
        return options[written]
    by_lower = {name.lower(): name for name in options}
    near = difflib.get_close_matches(written.lower(), by_lower, n=1)
    hint = f"did you mean {shown(by_lower[near[0]])}? " if near else ""
    raise Wrong(f"{shown(written)} is not possible", f"{hint}it is one of: {', '.join(options)}")


@read.register
def _(_kind: Flag, value: object, _at: KeyPath, _source: Source) -> object:
    if isinstance(value, bool):
        return value
    raise wrong_type(value, _FLAG)


@read.register
def _(_kind: Number, value: object, _at: KeyPath, _source: Source) -> object:
    return _finite(value, _NUMBER)


@read.register
def _(kind: Whole, value: object, _at: KeyPath, _source: Source) -> object:
    number = _whole(value)
    if kind.low <= number <= kind.high:
        return number
    raise Wrong(f"{shown(value)} is out of range", f"it must be from {kind.low} to {kind.high}")


@read.register
def _(kind: OneOf, value: object, _at: KeyPath, _source: Source) -> object:
    number = _whole(value)
    if number in kind.numbers:
        return number
    raise Wrong(
        f"{shown(value)} is not possible", f"it is one of: {', '.join(map(str, kind.numbers))}"
    )


@read.register
def _(kind: Duration, value: object, _at: KeyPath, _source: Source) -> object:
    # As a float, like the bounds: the decimal 0.1 is less than the float of that name.
    is_text = isinstance(value, str)
    seconds = text_rules.duration(text(value)) if is_text else float(_finite(value, _DURATION))
    if kind.low <= seconds <= kind.high:
        return kind.rule(seconds)
    low, high = map(text_rules.show_duration, (kind.low, kind.high))
    raise Wrong(f"{shown(value)} is out of range", f"it must be from {low} to {high}")


@read.register
def _(_kind: Moment, value: object, _at: KeyPath, _source: Source) -> object:
    written = value.isoformat() if isinstance(value, date) else value
    if isinstance(written, str):
        return text_rules.moment(written)
    raise wrong_type(value, _MOMENT)


@read.register
def _(_kind: FilePath, value: object, _at: KeyPath, source: Source) -> object:
    return source.outside.folder / text_rules.file_path(text(value))


@read.register
def _(_kind: OptionalPath, value: object, at: KeyPath, source: Source) -> object:
    return read(FilePath(), value, at, source) if text(value) else None


@read.register
def _(_kind: Port, value: object, at: KeyPath, source: Source) -> object:
    return _port(rules.port(text(value)), at, source)


@read.register
def _(_kind: SensorPort, value: object, at: KeyPath, source: Source) -> object:
    return _port(rules.sensor_port(text(value)), at, source)


def _port(port: str, at: KeyPath, source: Source) -> str:
    if not port.startswith((rules.SIMULATOR, rules.SENSOR_SIMULATOR)):
        port = str(source.outside.folder / port)
    source.ports.append((at, port))
    return port


@read.register
def _(_kind: Epcs, value: object, at: KeyPath, source: Source) -> object:
    if not isinstance(value, list):
        raise wrong_type(value, _TEXTS)
    if not value:
        raise Wrong("is an empty list", "name at least one")
    good: dict[KeyPath, int] = {}
    for index, item in enumerate(value):
        try:
            good[*at, index] = rules.epc(text(item))
        except Wrong as fault:
            source.faults.add((*at, index), fault)
    named = ((each, f"{epc:02X}") for each, epc in good.items())
    source.unique(named, "one answer has it once: keep one")
    return tuple(good.values())


@read.register
def _(_kind: Headers, value: object, at: KeyPath, source: Source) -> object:
    if not isinstance(value, dict):
        raise wrong_type(value, _HEADERS)
    good = tuple(_good_headers(value, at, source))
    # HTTP does not tell upper from lower case here.
    source.unique((((*at, name), name.lower()) for name, _ in good), "keep one of the two")
    return good


def _good_headers(
    value: Mapping[str, object], at: KeyPath, source: Source
) -> Iterator[tuple[str, Secret]]:
    for name, item in value.items():
        try:
            yield text_rules.header_name(name), Secret(text_rules.header_value(text(item)))
        except Wrong as fault:
            source.faults.add((*at, name), fault)


def text(value: object) -> str:
    """Return a value that has to be a text."""
    if isinstance(value, str):
        return value
    raise wrong_type(value, TEXT)


def wrong_type(value: object, wanted: Wanted) -> Wrong:
    """Return the fault of a value that is something else than wanted."""
    return Wrong(f"found {kind_name(value)}, wanted {wanted[0]}", wanted[1])


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(_finite(value, _WHOLE_NUMBER))
    raise wrong_type(value, _WHOLE_NUMBER)


def _finite(value: object, wanted: Wanted) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(value, wanted)
    if isinstance(value, float) and not math.isfinite(value):
        raise Wrong(f"{value} is not possible", "write a finite number")
    if isinstance(value, int) and value not in INT64:
        raise Wrong("is too large a number", "TOML has 64 bits for it")
    return Decimal(str(value))


def kind_name(value: object) -> str:
    """Return what a value of TOML is, for a person."""
    if isinstance(value, list):
        tables = bool(value) and all(isinstance(item, dict) for item in value)
        return "an array of tables" if tables else "a list"
    names: dict[type, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number with a point",
        str: "a text",
        dict: "a table",
        date: "a date",
        datetime: "a date and time",
        time: "a time of day",
    }
    return names[type(value)]
