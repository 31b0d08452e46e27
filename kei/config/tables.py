"""From the tables of a TOML document to the dataclasses of `kei.settings`, all faults collected.

Every table is built, whatever the file says: after a fault a field has its default or an empty
placeholder. Nobody gets to see that, as `load` raises in the end, and what would be judged by it is
not judged before it is mended.
"""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from kei.config import rules
from kei.config.credentials import read_env, read_file
from kei.config.errors import KeyPath, dotted
from kei.config.values import Source, kind_name, read, text, wrong_type
from kei.core.likeness import most_like
from kei.core.secret import MASK, Secret
from kei.settings import keys
from kei.settings.config import Config
from kei.settings.keys import Key, Kind
from kei.settings.text_rules import Wrong

T = TypeVar("T")


def build_config(
    document: Mapping[str, object], path: Path, job_tables: Mapping[str, type], source: Source
) -> Config:
    """Build everything from the outermost table.

    Args:
        document: the outermost table.
        path: of the file, as it was given.
        job_tables: the dataclasses of further tables, by their names.
        source: where faults go.
    """
    top = _TableReader(document, (), source)
    fields = top.fields(keys.keys(Config))
    jobs = top.fields(keys.table_keys(job_tables))
    source.unique(source.ports, "give each table a port of its own")
    top.find_unknown()
    return Config(path=path, job_tables=jobs, **fields)


class _TableReader:
    """One table of the file.

    Args:
        values: the table.
        at: where it is in the file.
        source: what all tables of the file share.
    """

    def __init__(self, values: Mapping[str, object], at: KeyPath, source: Source) -> None:
        self._values = values
        self._at = at
        self._source = source
        self._known: list[str] = []
        self._parts: dict[str, Key] = {}
        self._forms: dict[str, str] = {}  # of each key that is given
        self._refused: set[str] = set()  # fields

    def build(self, table: type[T]) -> T:
        """Build the table's dataclass."""
        built = self._assemble(table)
        self.find_unknown()
        return built

    def fields(self, declared: Iterable[Key]) -> dict[str, Any]:
        """Return the fields of these keys."""
        declared = list(declared)
        found = {key.field: self._value(key) for key in declared}
        for key in declared:
            if key.derived is not None and found[key.field] is None:
                found[key.field] = key.derived.of(found)
        return found

    def find_unknown(self) -> None:
        """Note every key of the table that has not been read."""
        for name, value in self._values.items():
            if name in self._known:
                continue
            near = most_like(name.lower(), self._known)
            remedy = f"known here are: {', '.join(self._known)}"
            if near:
                remedy = f"did you mean {near[0]}?"
            if (meant := self._parts.get(name)) is not None:
                remedy = f"it is a part of {meant.name}: {meant.name} = {meant.example}"
            is_table = kind_name(value) in ("a table", "an array of tables")
            what = "unknown table" if is_table else "unknown key"
            self._wrong(name, Wrong(what, remedy))

    def _assemble(self, table: type[T]) -> T:
        fields = self.fields(keys.keys(table))
        built = _with_refused(table, self._refused & fields.keys())(**fields)
        with contextlib.suppress(_RefusedRead):
            for name, fault in self._conflicts(built):
                way = (self._forms.get(name, name),) if isinstance(name, str) else name
                self._source.faults.add((*self._at, *way), fault)
        return built

    def _conflicts(self, built: object) -> Iterator[keys.Conflict]:
        if isinstance(built, keys.Checked):
            yield from built.conflicts()
        yield from rules.conflicts(built, self._values)

    def _wrong(self, name: str, fault: Wrong) -> None:
        self._source.faults.add((*self._at, name), fault)

    def _value(self, key: Key) -> object:
        """Return the value of a field; one that is left out, or wrong, has its default."""
        if isinstance(key.kind, keys.Group):
            return self._assemble(key.kind.table)
        self._known += key.forms
        if isinstance(key.kind, keys.Text):
            self._parts |= dict.fromkeys(key.kind.parts, key)
        given = [form for form in key.forms if form in self._values]
        for extra in given[1:]:
            self._wrong(extra, Wrong(f"stands beside {given[0]}", "keep only one of them"))
        if given:
            self._forms[key.name] = given[0]
            before = self._source.faults.count
            try:
                found = self._read(key, given[0])
            except Wrong as fault:
                self._wrong(given[0], fault)
            else:
                if not isinstance(key.kind, keys.Table) and self._source.faults.count > before:
                    self._refused.add(key.field)  # in part
                return found
        elif key.is_required:
            is_array = isinstance(key.kind, keys.Tables)
            remedy = Wrong("is missing", f"add [[{dotted((*self._at, key.name))}]]")
            self._wrong(key.name, remedy if is_array else rules.missing(*key.forms))
        else:
            return self._default(key)
        self._refused.add(key.field)
        return self._default(key)

    def _read(self, key: Key, form: str) -> object:
        value, at = self._values[form], (*self._at, form)
        match key.kind:
            case keys.Table(table):
                if isinstance(value, dict):
                    return _TableReader(value, at, self._source).build(table)
                name = dotted(at)
                remedy = f"write [{name}] on a line of its own"
                is_inside = "[" in name  # of an array: TOML has no such line
                wanted = ("a table", "write it in braces: { ... }" if is_inside else remedy)
                raise wrong_type(value, wanted)
            case keys.Tables() as kind:
                return self._tables(kind, value, at) or key.default
            case keys.SecretText(rule):
                written, source = text(value), self._source
                if form != key.name and not source.with_secrets:
                    return Secret(MASK)  # there is one
                if form.endswith("_file"):
                    written = read_file(written, source.folder, source.environ)
                elif form.endswith("_env"):
                    written = read_env(written, source.environ)
                return Secret(rule(written))
            case kind:
                return read(kind, value, at, self._source)

    def _tables(self, kind: keys.Tables, value: object, at: KeyPath) -> tuple[object, ...]:
        name = dotted(at)
        remedy = "use double brackets" if "[" in name else f"write [[{name}]] in double brackets"
        if not isinstance(value, list):
            raise wrong_type(value, ("an array of tables", remedy))
        built: dict[KeyPath, object] = {}
        for index, item in enumerate(value):
            place: KeyPath = (*at, index)
            if isinstance(item, dict):
                built[place] = _TableReader(item, place, self._source).build(kind.table)
            else:
                fault = Wrong(f"found {kind_name(item)}, wanted a table", remedy)
                self._source.faults.add(place, fault)
        if kind.unique:
            named = (_named(kind, place, item) for place, item in built.items())
            self._source.unique(named, kind.unique)
        return tuple(built.values())

    def _default(self, key: Key) -> object:
        """Return what a field has without a value of the file."""
        if key.derived is not None:
            return None
        if isinstance(key.default, Path):
            return self._source.folder / key.default
        if key.default is not MISSING:
            return key.default
        if isinstance(key.kind, keys.Table):
            return _TableReader({}, (*self._at, key.name), self._source).build(key.kind.table)
        return _placeholder(key.kind)


class _RefusedRead(Exception):
    """Something is to be judged by a value that is not what the file says."""


def _with_refused(table: type[T], refused: Collection[str]) -> type[T]:
    """Return a table's class, some fields of which nobody can read, as they only have a default."""
    if not refused:
        return table

    def read(self: object, name: str) -> object:
        if name in refused:
            raise _RefusedRead
        return object.__getattribute__(self, name)

    return type(table.__name__, (table,), {"__slots__": (), "__getattribute__": read})


def _named(kind: keys.Tables, place: KeyPath, item: object) -> tuple[KeyPath, str]:
    """Return what has to be unique of a table, and where it is; empty if part of it is missing."""
    try:
        parts = [str(getattr(item, field)) for field in kind.by]
    except _RefusedRead:
        parts = [""]
    names = [key.name for key in keys.keys(kind.table) if key.field in kind.by]
    at = (*place, *names) if len(names) == 1 else place
    return at, ",".join(parts) if all(parts) else ""


def _placeholder(kind: Kind) -> object:
    """Return a value for a key that has to be there and is not."""
    match kind:
        case keys.Duration(low=low) | keys.Whole(low=low):
            return low
        case keys.Number():
            return Decimal()
        case keys.SecretText():
            return Secret("")
        case keys.Epcs() | keys.Tables():
            return ()
        case keys.Day():
            return date.min
    return ""
