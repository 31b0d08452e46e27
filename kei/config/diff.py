"""What differs between two configurations, in the words of jobs.toml, for the log."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path

from kei.settings.config import Config
from kei.settings.keys import Duration, Group, Key, Kind, Table, Tables, Text, keys
from kei.settings.web import Address

_SHOWN = (str, int, float, Decimal, Enum, Path, date, Address, type(None))


def differences(old: Config, new: Config) -> list[str]:
    """Return what the new one changes, one line for each key or table.

    Returns:
        lines such as `broute.requests E7: cycle 10s -> 5s`; without secrets. Empty if the two
        mean the same.
    """
    lines: list[str] = []
    for key in keys(Config):
        lines += _tables(key.name, key.kind, getattr(old, key.field), getattr(new, key.field))
    for name, table in new.job_tables.items():
        lines += _tables(name, Table(type(table)), old.job_tables[name], table)
    return lines


def _tables(title: str, kind: Kind, old: object, new: object) -> Iterator[str]:
    """Yield what differs in a table, or in the tables of an array."""
    before, after = (dict(_by_name(kind, value)) for value in (old, new))
    for name in dict.fromkeys((*before, *after)):
        place = f"{title} {name}".rstrip()
        if name not in after:
            yield f"{place}: removed"
        elif name not in before:
            yield f"{place}: added"
        else:
            changes = _changes(kind, before[name], after[name])
            yield from (f"{place}: {change}" for change in changes)
    for key in _arrays(kind):
        inner = (getattr(value, key.field, ()) for value in (old, new))
        yield from _tables(f"{title}.{key.name}", key.kind, *inner)


def _arrays(kind: Kind) -> Iterable[Key]:
    """Return the arrays of a table whose tables are compared one by one."""
    if not isinstance(kind, Table):
        return ()
    return [key for key in keys(kind.table) if isinstance(key.kind, Tables)]


def _by_name(kind: Kind, value: object) -> Iterator[tuple[str, object]]:
    """Yield tables with what tells them apart; those that have it in common are numbered."""
    if isinstance(kind, Tables) and isinstance(value, tuple):
        seen: Counter[str] = Counter()
        for table in value:
            name = " ".join(_name(getattr(table, field)) for field in kind.by)
            seen[name] += 1
            yield name if seen[name] == 1 else f"{name} #{seen[name]}", table
    elif value is not None:
        yield "", value


def _name(value: object) -> str:
    return " ".join(f"{epc:02X}" for epc in value) if isinstance(value, tuple) else str(value)


def _changes(kind: Kind, old: object, new: object) -> Iterator[str]:
    """Yield the keys of a table that differ, with both values where they may be shown."""
    apart = _arrays(kind)
    for key in keys(type(old)):
        before, after = getattr(old, key.field), getattr(new, key.field)
        if before == after or key in apart:
            continue
        if isinstance(key.kind, Group):
            yield from _changes(key.kind, before, after)
        elif not all(isinstance(value, _SHOWN) for value in (before, after)) or _is_hidden(key):
            yield f"{key.name} changed"
        else:
            unit = "s" if isinstance(key.kind, Duration) else ""
            yield f"{key.name} {_text(before, unit)} -> {_text(after, unit)}"


def _is_hidden(key: Key) -> bool:
    return isinstance(key.kind, Text) and key.kind.hidden


def _text(value: object, unit: str) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float() | int():
            return f"{value:.15g}{unit}"
        case _:
            return str(value)
