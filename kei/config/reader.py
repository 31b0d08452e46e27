"""Typed access to one table of jobs.toml that collects faults instead of stopping at the first.

Every getter returns a value of its type whatever the file says: after a fault it is the default or
an empty placeholder, which nobody gets to see because `load` raises in the end.
"""

import difflib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from kei.config import rules
from kei.config.credentials import Outside, read_env, read_file
from kei.config.errors import FaultList, KeyPath, Wrong, dotted, shown
from kei.core.secret import Secret

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

INT64 = range(-(2**63), 2**63)  # TOML 1.0: what an integer must be able to be

_TEXT = ("a text", "write it in quotes")
_FLAG = ("true or false", "write it without quotes")
_WHOLE_NUMBER = ("a whole number", "write it in digits, without quotes")
_NUMBER = ("a number", "write it in digits, without quotes")
_DURATION = ("a number of seconds or a text", 'write it like 10 or "10s"')
_TEXTS = ("a list of texts", 'write it like ["E7", "E8"]')
_MOMENT = ("a date or a text", 'write it like "2026-01-01"')
_HEADERS = ("a table of texts", 'write it like { "X-Name" = "value" }')


@dataclass(frozen=True, slots=True)
class At(Generic[T]):
    """A value and the key it stands at."""

    key: KeyPath
    value: T


@dataclass(frozen=True, slots=True)
class Source:
    """What all tables of one file share.

    Attributes:
        faults: where faults go.
        outside: where secrets and files come from.
    """

    faults: FaultList
    outside: Outside


class TableReader:
    """One table: each key is asked for once, and `finish` tells of those that nobody asked for.

    Args:
        values: the table.
        key: where it is in the file.
        source: what all tables of the file share.
    """

    def __init__(self, values: Mapping[str, object], key: KeyPath, source: Source) -> None:
        self._values = values
        self._key = key
        self._source = source
        self._known: list[str] = []

    # Incidents

    def wrong(self, key: str, fault: Wrong) -> None:
        """Note a fault of one of this table's keys."""
        self._source.faults.add((*self._key, key), fault.what, fault.remedy)

    def finish(self) -> None:
        """Note every key of the table that was never asked for."""
        for key, value in self._values.items():
            if key in self._known:
                continue
            near = difflib.get_close_matches(key.lower(), self._known, n=1)
            known = f"known here are: {', '.join(self._known)}"
            what = "unknown table" if _is_table_like(value) else "unknown key"
            self.wrong(key, Wrong(what, f"did you mean {near[0]}?" if near else known))

    def unique(self, items: Iterable[At[str]], remedy: str) -> None:
        """Note every item whose text came before; placeholders (empty texts) do not count."""
        first: dict[str, KeyPath] = {}
        for item in items:
            if not item.value:
                continue
            earlier = first.setdefault(item.value, item.key)
            if earlier != item.key:
                line = self._source.faults.line(earlier)
                what = f"{shown(item.value)} is already at {dotted(earlier)} (line {line})"
                self._source.faults.add(item.key, what, remedy)

    # Tables

    def table(self, key: str, build: Callable[["TableReader"], T]) -> T:
        """Build a table that may be left out: every key then has its default."""
        return self._build(key, self._table_values(key) or {}, build)

    def optional_table(self, key: str, build: Callable[["TableReader"], T]) -> T | None:
        """Build a table; None if it was left out."""
        values = self._table_values(key)
        return None if values is None else self._build(key, values, build)

    def tables(self, key: str, build: Callable[["TableReader"], T]) -> list[At[T]]:
        """Build each table of an array of tables; none if it was left out."""
        value = self._look(key)
        if value is None:
            return []
        name = dotted((*self._key, key))
        remedy = (
            f"write [[{name}]] in double brackets" if "[" not in name else "use double brackets"
        )
        if not isinstance(value, list):
            self._wrong_type(key, value, ("an array of tables", remedy))
            return []
        built = []
        for index, item in enumerate(value):
            at: KeyPath = (*self._key, key, index)
            if isinstance(item, dict):
                built.append(At(at, _built(TableReader(item, at, self._source), build)))
            else:
                self._source.faults.add(at, f"found {_kind(item)}, wanted a table", remedy)
        return built

    def _table_values(self, key: str) -> Mapping[str, object] | None:
        value = self._look(key)
        if value is None or isinstance(value, dict):
            return value
        name = dotted((*self._key, key))
        self._wrong_type(key, value, ("a table", f"write [{name}] on a line of its own"))
        return None

    def _build(
        self, key: str, values: Mapping[str, object], build: Callable[["TableReader"], T]
    ) -> T:
        return _built(TableReader(values, (*self._key, key), self._source), build)

    # Texts

    def text(self, key: str, rule: Callable[[str], str], *, default: str | None = None) -> str:
        """Return a text that the rule took; without a default it has to be there."""
        found = self._parsed(key, rule, required=default is None)
        return (default or "") if found is None else found

    def ruled(self, key: str, rule: Callable[[str], T], *, default: T) -> T:
        """Return what the rule made of a text; the default if it was left out."""
        found = self._parsed(key, rule)
        return default if found is None else found

    def choice(self, key: str, choices: type[E], *, default: E) -> E:
        """Return the member of an enumeration that a text names."""
        return choices(self.name(key, [member.value for member in choices], default=default.value))

    def name(self, key: str, names: Collection[str], *, default: str) -> str:
        """Return a text that is one of a few."""
        text = self._parsed(key, str)
        if text is None or text in names:
            return default if text is None else text
        by_lower = {name.lower(): name for name in names}
        near = difflib.get_close_matches(text.lower(), by_lower, n=1)
        hint = f"did you mean {shown(by_lower[near[0]])}? " if near else ""
        remedy = f"{hint}it is one of: {', '.join(names)}"
        self.wrong(key, Wrong(f"{shown(text)} is not possible", remedy))
        return default

    def texts(self, key: str, rule: Callable[[str], T]) -> list[At[T]]:
        """Return what the rule made of each text of a list, which must be there and not empty."""
        value = self._look(key, required=True)
        if value is None:
            return []
        if not isinstance(value, list):
            self._wrong_type(key, value, _TEXTS)
            return []
        if not value:
            self.wrong(key, Wrong("is an empty list", "name at least one"))
        good = []
        for index, item in enumerate(value):
            at: KeyPath = (*self._key, key, index)
            try:
                good.append(At(at, rule(_checked_text(item))))
            except Wrong as fault:
                self._source.faults.add(at, fault.what, fault.remedy)
        return good

    def headers(self, key: str) -> tuple[tuple[str, Secret], ...]:
        """Return a table of HTTP headers; empty if it was left out."""
        value = self._look(key)
        if not isinstance(value, dict):
            if value is not None:
                self._wrong_type(key, value, _HEADERS)
            return ()
        table: KeyPath = (*self._key, key)
        good = []
        for name, text in value.items():
            try:
                header = rules.header_name(name)
                good.append((header, Secret(rules.header_value(_checked_text(text)))))
            except Wrong as fault:
                self._source.faults.add((*table, name), fault.what, fault.remedy)
        # HTTP does not tell upper from lower case here.
        self.unique((At((*table, name), name.lower()) for name, _ in good), "keep one of the two")
        return tuple(good)

    def moment(self, key: str) -> date | datetime | None:
        """Return a date or an aware date-time; None if it was left out or is an empty text."""
        value = self._look(key)
        if value is None:
            return None
        if isinstance(value, date | datetime):
            value = value.isoformat()
        if isinstance(value, str):
            return self._ruled(key, rules.moment, value)
        self._wrong_type(key, value, _MOMENT)
        return None

    # Paths

    def path(self, key: str, *, default: str) -> Path:
        """Return a path, absolute, relative ones being in the file's own folder."""
        return self._source.outside.folder / self.text(key, rules.file_path, default=default)

    def optional_path(self, key: str) -> Path | None:
        """Return a path as `path` does; None if it was left out or is an empty text."""
        found = self._parsed(key, lambda text: text and rules.file_path(text))
        return self._source.outside.folder / found if found else None

    def port(self, key: str, rule: Callable[[str], str]) -> str:
        """Return the port that has to be there; the path of a device is made absolute."""
        found = self.text(key, rule)
        if not found or found.startswith((rules.SIMULATOR, rules.SENSOR_SIMULATOR)):
            return found
        return str(self._source.outside.folder / found)

    # Numbers

    def integer(self, key: str, *, default: int, low: int, high: int) -> int:
        """Return a whole number in a range, both ends included."""
        value = self._whole(key)
        if value is None or not self._in_range(key, value, low, high, str):
            return default
        return value

    def one_of(self, key: str, numbers: Collection[int], *, default: int) -> int:
        """Return a whole number that is one of a few."""
        value = self._whole(key)
        if value is None or value in numbers:
            return default if value is None else value
        listed = ", ".join(str(number) for number in numbers)
        self.wrong(key, Wrong(f"{shown(value)} is not possible", f"it is one of: {listed}"))
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._look(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self._wrong_type(key, value, _FLAG)
        return default

    def number(self, key: str) -> Decimal | None:
        """Return a finite number, exactly as it is written; None if it was left out."""
        value = self._look(key)
        return None if value is None else self._finite(key, value, _NUMBER)

    def duration(self, key: str, *, low: float, high: float, default: float | None = None) -> float:
        """Return seconds in a range, both ends included; without a default it has to be there."""
        placeholder = low if default is None else default
        value = self._look(key, required=default is None)
        if value is None:
            return float(placeholder)
        seconds: float | Decimal | None
        if isinstance(value, str):
            seconds = self._ruled(key, rules.duration, value)
        else:
            seconds = self._finite(key, value, _DURATION)
        if seconds is None:
            return float(placeholder)
        # As a float, like the bounds: the decimal 0.1 is less than the float of that name.
        within = self._in_range(key, float(seconds), low, high, rules.show_duration)
        return float(seconds) if within else float(placeholder)

    def optional_duration(self, key: str, *, low: float, high: float) -> float | None:
        """Return seconds as `duration` does; None if it was left out."""
        if self._look(key) is None:
            return None
        return self.duration(key, low=low, high=high, default=low)

    def _whole(self, key: str) -> int | None:
        value = self._look(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong_type(key, value, _WHOLE_NUMBER)
            return None
        return value if self._finite(key, value, _WHOLE_NUMBER) is not None else None

    def _finite(self, key: str, value: object, wanted: tuple[str, str]) -> Decimal | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong_type(key, value, wanted)
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self.wrong(key, Wrong(f"{value} is not possible", "write a finite number"))
            return None
        if isinstance(value, int) and value not in INT64:
            self.wrong(key, Wrong("is too large a number", "TOML has 64 bits for it"))
            return None
        return Decimal(str(value))

    def _in_range(
        self,
        key: str,
        value: float | Decimal,
        low: float,
        high: float,
        show: Callable[[float], str],
    ) -> bool:
        if low <= value <= high:
            return True
        span = f"it must be from {show(low)} to {show(high)}"
        self.wrong(key, Wrong(f"{shown(self._values[key])} is out of range", span))
        return False

    # Secrets

    def secret(self, key: str, rule: Callable[[str], str]) -> Secret:
        """Return a secret that has to be there, in one of its three forms."""
        return self._secret(key, rule, required=True) or Secret("")

    def optional_secret(self, key: str, rule: Callable[[str], str]) -> Secret | None:
        """Return a secret in one of its three forms; None if it was left out."""
        return self._secret(key, rule, required=False)

    def _secret(self, key: str, rule: Callable[[str], str], *, required: bool) -> Secret | None:
        forms: dict[str, Callable[[str], str]] = {
            key: str,
            f"{key}_file": lambda name: read_file(name, self._source.outside),
            f"{key}_env": lambda name: read_env(name, self._source.outside),
        }
        self._known.extend(forms)
        given = [form for form in forms if form in self._values]
        if not given:
            if required:
                missing = Wrong("is missing", f"set {key}, {key}_file or {key}_env")
                self.wrong(key, missing)
            return None
        for extra in given[1:]:
            self.wrong(extra, Wrong(f"stands beside {given[0]}", "keep only one of them"))
        form = given[0]
        read = forms[form]
        text = self._parsed(form, lambda written: rule(read(written)))
        return None if text is None else Secret(text)

    # What all getters share

    def _look(self, key: str, *, required: bool = False) -> object | None:
        self._known.append(key)
        value = self._values.get(key)
        if value is None and required:
            self.wrong(key, Wrong("is missing", f"add it to this table: {key} = ..."))
        return value

    def _parsed(self, key: str, rule: Callable[[str], T], *, required: bool = False) -> T | None:
        value = self._look(key, required=required)
        if value is None:
            return None
        if not isinstance(value, str):
            self._wrong_type(key, value, _TEXT)
            return None
        return self._ruled(key, rule, value)

    def _ruled(self, key: str, rule: Callable[[str], T], text: str) -> T | None:
        try:
            return rule(text)
        except Wrong as fault:
            self.wrong(key, fault)
            return None

    def _wrong_type(self, key: str, value: object, wanted: tuple[str, str]) -> None:
        self.wrong(key, Wrong(f"found {_kind(value)}, wanted {wanted[0]}", wanted[1]))


def _built(table: TableReader, build: Callable[[TableReader], T]) -> T:
    built = build(table)
    table.finish()
    return built


def _checked_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise Wrong(f"found {_kind(value)}, wanted {_TEXT[0]}", _TEXT[1])


def _is_table_like(value: object) -> bool:
    return isinstance(value, dict) or _kind(value) == "an array of tables"


def _kind(value: object) -> str:
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
