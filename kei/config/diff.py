"""What differs between two configurations, in the words of jobs.toml, for the log."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path

from kei.settings.broute import RequestGroup
from kei.settings.config import Config

_SHOWN = (str, int, float, Decimal, Enum, Path, date, type(None))
_HIDDEN = "target_url"  # its query may hold a token
_SECONDS = "_s"  # at the end of a field's name; jobs.toml has the key without


def differences(old: Config, new: Config) -> list[str]:
    """Return what has changed, one line for each key or table.

    Args:
        old: what was in force.
        new: what is to be.

    Returns:
        lines such as `broute.requests E7: cycle 10s -> 5s`; without secrets. Empty if the two
        mean the same.
    """
    lines = [*_tables("broute", _one(old.broute), _one(new.broute))]
    lines += _tables("broute.requests", _requests(old), _requests(new))
    lines += _tables(
        "serial",
        {port.port: port for port in old.serial},
        {port.port: port for port in new.serial},
    )
    lines += _tables("recorder", _one(old.recorder), _one(new.recorder))
    lines += _tables("summary", _one(old.summary), _one(new.summary))
    lines += _tables(
        "upload",
        {target.name: target for target in old.upload},
        {target.name: target for target in new.upload},
    )
    lines += _tables("log", _one(old.log), _one(new.log))
    return lines


def _one(table: object | None) -> dict[str, object]:
    return {} if table is None else {"": table}


def _requests(config: Config) -> dict[str, object]:
    """Return the groups by what they ask for; several that ask for the same are numbered."""
    groups: Sequence[RequestGroup] = config.broute.requests if config.broute else ()
    seen: Counter[str] = Counter()
    found: dict[str, object] = {}
    for group in groups:
        name = " ".join(f"{epc:02X}" for epc in group.epcs)
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} #{seen[name]}"] = group
    return found


def _tables(table: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        title = f"{table} {name}".rstrip()
        if name not in new:
            yield f"{title}: removed"
        elif name not in old:
            yield f"{title}: added"
        else:
            yield from (f"{title}: {change}" for change in _changes(old[name], new[name]))


def _changes(old: object, new: object) -> Iterator[str]:
    """Yield the keys of a table that differ, with both values where they may be shown."""
    assert is_dataclass(old), "of the configuration"
    for field in fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after or field.name == "requests":
            continue
        if is_dataclass(before):
            yield from _changes(before, after)
            continue
        key = field.name.removesuffix(_SECONDS)
        may_be_shown = isinstance(before, _SHOWN) and isinstance(after, _SHOWN)
        if not may_be_shown or field.name == _HIDDEN:
            yield f"{key} changed"
            continue
        unit = "s" if field.name.endswith(_SECONDS) else ""
        yield f"{key} {_text(before, unit)} -> {_text(after, unit)}"


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
