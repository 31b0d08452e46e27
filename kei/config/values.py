"""One value of jobs.toml, read as the kind of its key says.

A fault of the value as a whole is raised; those of its parts are noted, and the rest is returned.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from kei.config import rules
from kei.config.errors import FaultList, KeyPath, dotted
from kei.core.likeness import most_like
from kei.core.secret import Secret
from kei.settings import keys, text_rules
from kei.settings.broute import SIMULATED_PORT
from kei.settings.keys import Kind
from kei.settings.months import Month, month
from kei.settings.serial import SIMULATED_SENSORS
from kei.settings.text_rules import Wrong, shown

INT64 = range(-(2**63), 2**63)  # TOML 1.0: what an integer must be able to be

Wanted: TypeAlias = tuple[str, str]  # what a value should be, and how to write it

TEXT: Wanted = ("a text", "write it in quotes")
_NO_TEXT: Wanted = ("a text", 'write "" to have none')
_FLAG: Wanted = ("true or false", "write one of the two, without quotes")
_WHOLE_NUMBER: Wanted = ("a whole number", "write it in digits, without quotes")
_NUMBER: Wanted = ("a number", "write it in digits, without quotes")
_DURATION: Wanted = ("a number of seconds or a text", 'write it like 10 or "10s"')
_LIST: Wanted = ("a list", "write it in brackets: [ ... ]")
_MONTHS: Wanted = ("a table of numbers by month", "write it like { 2026-11 = -1.23 }")
_TEXTS: Wanted = ("a list of texts", 'write it like ["E7", "E8"]')
_MOMENT: Wanted = ("a date or a text", 'write it like "2026-01-01"')
_HEADERS: Wanted = ("a table of texts", 'write it like { "X-Name" = "value" }')


@dataclass(frozen=True, slots=True)
class Source:
    """What all tables of one file share.

    Attributes:
        faults: where faults go.
        folder: of the file itself, absolute; relative paths begin there.
        environ: the environment variables.
        ports: those read so far, with their keys.
        with_secrets: whether to read the secrets that the file refers to.
    """

    faults: FaultList
    folder: Path
    environ: Mapping[str, str] = field(repr=False)
    ports: list[tuple[KeyPath, str]] = field(default_factory=list)
    with_secrets: bool = True

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


def read(kind: Kind, value: object, at: KeyPath, source: Source) -> object:
    """Return what a value of jobs.toml means.

    Args:
        kind: what it may be; tables and secrets are read by `kei.config.tables`.
        value: as the TOML parser has it.
        at: where it is.
        source: where faults of its parts go, and where relative paths begin.

    Raises:
        Wrong: it is not of the kind.
    """
    match kind:
        case keys.Flag():
            return _flag(value)
        case keys.Number(options):
            number = _finite(value, _NUMBER)
            return _listed(number, rules.NUMBERS[options]) if options else _within(kind, number)
        case keys.Whole() | keys.OneOf():
            return _whole(kind, value)
        case keys.Duration():
            return _duration(kind, value)
        case keys.Moment():
            return _moment(value)
        case keys.Day():
            return _day(value)
        case keys.Several() | keys.ByMonth() | keys.Epcs() | keys.Headers():
            return _read_parts(kind, value, at, source)
        case keys.FilePath(optional=True) if value == "":
            return None
        case _ if isinstance(value, str):
            return _read_text(kind, value, at, source)
        case _:
            raise wrong_type(value, _text_wanted(kind, value))


def _text_wanted(kind: Kind, value: object) -> Wanted:
    """Return what a text of the kind may be, for who has written something else."""
    match kind:
        case keys.Choice():
            names: Iterable[str] = rules.options(kind)
        case keys.Word(words):
            names = words
        case keys.Text(rule) if value is False and _takes_none(rule):
            return _NO_TEXT
        case keys.FilePath(optional=True) if value is False:
            return _NO_TEXT
        case _:
            return TEXT
    return TEXT[0], f"write one of: {', '.join(map(shown, names))}"


def _takes_none(rule: Callable[[str], object]) -> bool:
    try:
        rule("")
    except Wrong:
        return False
    return True


def _read_parts(
    kind: keys.Several | keys.ByMonth | keys.Epcs | keys.Headers,
    value: object,
    at: KeyPath,
    source: Source,
) -> object:
    match kind:
        case keys.Several(of):
            return tuple(_several(of, value, at, source))
        case keys.ByMonth(number):
            return dict(_by_month(number, value, at, source))
        case keys.Epcs():
            return tuple(_epcs(value, at, source))
        case keys.Headers():
            return tuple(_headers(value, at, source))


def _read_text(kind: Kind, written: str, at: KeyPath, source: Source) -> object:
    match kind:
        case keys.Text(rule):
            return rule(written)
        case keys.Word():
            return _word(kind, written)
        case keys.Choice():
            return _choice(rules.options(kind), written)
        case keys.FilePath():
            return source.folder / text_rules.file_path(written)
        case keys.Port(sensors):
            port = rules.sensor_port(written) if sensors else rules.port(written)
            if not port.startswith((SIMULATED_PORT, SIMULATED_SENSORS)):
                port = str(source.folder / port)
            source.ports.append((at, port))
            return port
    raise NotImplementedError(f"a kind that cannot be read: {kind}")


def _choice(options: Mapping[str, object], written: str) -> object:
    if written in options:
        return options[written]
    by_lower = {name.lower(): name for name in options}
    near = most_like(written.lower(), by_lower)
    hint = f"did you mean {shown(by_lower[near[0]])}? " if near else ""
    raise Wrong(f"{shown(written)} is not possible", f"{hint}it is one of: {', '.join(options)}")


def _word(kind: keys.Word, written: str) -> object:
    words = {**kind.words, **kind.others}
    if written.lower() in words:
        return words[written.lower()]
    raise Wrong(f"{shown(written)} is not possible", f"it is one of: {', '.join(kind.words)}")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise wrong_type(value, _FLAG)


def _whole(kind: keys.Whole | keys.OneOf, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(value, _WHOLE_NUMBER)
    number = int(_finite(value, _WHOLE_NUMBER))
    if isinstance(kind, keys.OneOf):
        if number not in kind.numbers:
            listed = ", ".join(map(str, kind.numbers))
            raise Wrong(f"{number} is not possible", f"it is one of: {listed}")
    elif not kind.low <= number <= kind.high:
        raise Wrong(f"{number} is out of range", f"it must be from {kind.low} to {kind.high}")
    return number


def _listed(number: Decimal, allowed: Sequence[Decimal]) -> Decimal:
    """Return the equal number of a list, with as many decimals as it has there."""
    for each in allowed:
        if each == number:
            return each
    listed = ", ".join(map(str, allowed))
    raise Wrong(f"{number:f} is not possible", f"it is one of: {listed}")


def _within(kind: keys.Number, number: Decimal) -> Decimal:
    """Return the number, if it is within the bounds of its kind and has no more decimals."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "finite"
    if kind.places is not None and -exponent > kind.places:
        raise Wrong(f"{number} is too exact", f"write at most {kind.places} decimals")
    low, high = kind.low, kind.high
    if (low is not None and number < low) or (high is not None and number > high):
        raise Wrong(f"{number} is out of range", f"it must be from {low} to {high}")
    return number


def _duration(kind: keys.Duration, value: object) -> float:
    if isinstance(value, str):
        seconds = text_rules.duration(value, kind.low, kind.high)
    else:
        # As a float, like the bounds: the decimal 0.1 is less than the float of that name.
        seconds = float(_finite(value, _DURATION))
    if kind.low <= seconds <= kind.high:
        return kind.rule(seconds)
    low, high = map(text_rules.show_duration, (kind.low, kind.high))
    is_bare = isinstance(value, int | Decimal) and value > 0
    likely = text_rules.likely_duration(str(value), kind.low, kind.high) if is_bare else None
    hint = f'did you mean "{likely}"? ' if likely else ""
    raise Wrong(f"{shown(value)} is out of range", f"{hint}it must be from {low} to {high}")


def _moment(value: object) -> date | datetime | None:
    written = value.isoformat() if isinstance(value, date) else value
    if isinstance(written, str):
        return text_rules.moment(written)
    raise wrong_type(value, _MOMENT)


def _day(value: object) -> date:
    try:
        found = _moment(value)
    except Wrong:
        found = None
    if found is None or isinstance(found, datetime):
        raise Wrong(f"{shown(value)} is no date", "write it like 2026-01-01")
    return found


def _several(kind: Kind, value: object, at: KeyPath, source: Source) -> Iterable[object]:
    """Yield the good ones of a list's values; those that are wrong, or there twice, are noted."""
    if not isinstance(value, list):
        raise wrong_type(value, _LIST)
    if not value:
        raise Wrong("is an empty list", "name at least one, or leave the key out")
    good: dict[KeyPath, object] = {}
    for index, item in enumerate(value):
        try:
            good[*at, index] = read(kind, item, (*at, index), source)
        except Wrong as fault:
            source.faults.add((*at, index), fault)
    source.unique(((each, str(item)) for each, item in good.items()), "keep one of the two")
    return good.values()


def _by_month(
    kind: keys.Number, value: object, at: KeyPath, source: Source
) -> Iterator[tuple[Month, Decimal]]:
    """Yield the good months of a table with their numbers; the others are noted."""
    if not isinstance(value, dict):
        raise wrong_type(value, _MONTHS)
    for name, item in value.items():
        try:
            number = read(kind, item, (*at, name), source)
            assert isinstance(number, Decimal), "of a number"
            yield month(name), number
        except Wrong as fault:
            source.faults.add((*at, name), fault)


def _epcs(value: object, at: KeyPath, source: Source) -> Iterable[int]:
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
    return good.values()


def _headers(value: object, at: KeyPath, source: Source) -> Iterable[tuple[str, Secret]]:
    if not isinstance(value, dict):
        raise wrong_type(value, _HEADERS)
    good: dict[str, Secret] = {}
    for name, item in value.items():
        try:
            text_rules.header_name(name)
            good[name] = Secret(text_rules.header_value(text(item)))
        except Wrong as fault:
            source.faults.add((*at, name), fault)
    # HTTP does not tell upper from lower case here.
    source.unique((((*at, name), name.lower()) for name in good), "keep one of the two")
    return good.items()


def text(value: object) -> str:
    """Return a value that has to be a text."""
    if isinstance(value, str):
        return value
    raise wrong_type(value, TEXT)


def wrong_type(value: object, wanted: Wanted) -> Wrong:
    """Return the fault of a value that is something else than wanted."""
    return Wrong(f"found {kind_name(value)}, wanted {wanted[0]}", wanted[1])


def _finite(value: object, wanted: Wanted) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise wrong_type(value, wanted)
    if isinstance(value, Decimal) and not math.isfinite(value):
        raise Wrong(f"{float(value)} is not possible", "write a finite number")
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
        Decimal: "a number with a point",
        str: "a text",
        dict: "a table",
        date: "a date",
        datetime: "a date and time",
        time: "a time of day",
    }
    return names[type(value)]
