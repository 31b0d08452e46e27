#!/usr/bin/env python3
"""Writes docs/configuration.md and the comments in jobs.toml from the keys of kei/settings."""

import argparse
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING
from decimal import Decimal
from pathlib import Path

from _project import ROOT, use_project

use_project()

from kei.config import rules
from kei.config.errors import FaultList
from kei.config.values import Source, read
from kei.jobs import kinds
from kei.settings import keys
from kei.settings.config import Config
from kei.settings.keys import Key, Kind
from kei.settings.text_rules import show_duration

COMMENT_COLUMN = 28  # of the comments in jobs.toml, where the values leave room

_HEADER = re.compile(r"#?\[+([a-z_.]+)\]+")
_ASSIGNMENT = re.compile(r"(#?([a-z_]+) *= *(.+?))( *# .*)?")

MADE = "<!-- Made from kei/settings from here on; `scripts/reference.py` renews it. -->"


def described(text: str) -> str:
    """Return docs/configuration.md anew: its introduction, and a section for each table."""
    introduction, _, _ = text.partition(MADE)
    return "\n".join((f"{introduction}{MADE}\n", *(_section(*table) for table in _tables())))


def annotated(text: str) -> str:
    """Return a jobs.toml with the sentence of each key behind its first appearance.

    Where the value is not the default, that is added. Keys that are commented out count, too.

    Raises:
        KeyError: a table or a key is unknown.
    """
    declared = {
        (name, form): key
        for name, kind, _ in _tables()
        for key in _flat(kind.table)
        for form in key.forms
    }
    table, lines = "", []
    explained: set[tuple[str, str]] = set()
    for line in text.split("\n"):
        written = line
        if header := _HEADER.match(line):
            table = header[1]
        elif found := _ASSIGNMENT.fullmatch(line):
            code, name, value = found[1], found[2], found[3]
            place, key = (table, name), declared[table, name]
            comment = "" if place in explained else _comment(key, value)
            explained.add(place)
            written = f"{code:<{COMMENT_COLUMN - 2}}  # {comment}" if comment else code
        lines.append(written)
    return "\n".join(lines)


def main() -> None:
    """Renew both files."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for name, renewed in (("docs/configuration.md", described), ("jobs.toml", annotated)):
        path = ROOT / name
        path.write_text(renewed(path.read_text("utf-8")), "utf-8")


def _tables() -> Iterator[tuple[str, keys.Table | keys.Tables, bool]]:
    """Yield every table of jobs.toml with its name, those inside another one behind it.

    The last is whether it has an example of its own: not if it is in that of the table around it.
    """
    for key in (*keys.keys(Config), *keys.table_keys(kinds.tables())):
        yield from _with_inner(key.name, key, has_example=True)


def _with_inner(
    name: str, key: Key, *, has_example: bool
) -> Iterator[tuple[str, keys.Table | keys.Tables, bool]]:
    if isinstance(key.kind, keys.Table | keys.Tables):
        has_example = has_example and not key.example
        yield name, key.kind, has_example
        for inner in keys.keys(key.kind.table):
            yield from _with_inner(f"{name}.{inner.name}", inner, has_example=has_example)


def _flat(table: type) -> Iterator[Key]:
    """Yield the keys that stand in a table, those of its groups among them."""
    for key in keys.keys(table):
        if isinstance(key.kind, keys.Group):
            yield from _flat(key.kind.table)
        else:
            yield key


def _section(name: str, kind: keys.Table | keys.Tables, has_example: bool) -> str:  # noqa: FBT001 - of `_tables`
    header = f"[[{name}]]" if isinstance(kind, keys.Tables) else f"[{name}]"
    rows, example = [], [header]
    for key in _flat(kind.table):
        default = _default(key)
        rows.append(f"| `{key.name}` | {_type(key.kind)} | {default} | {_sentence(key)} |")
        if key.example or not isinstance(key.kind, keys.Table | keys.Tables):
            mark = "# or: " if key.is_alternative else ""
            example.append(f"{mark}{key.name} = {key.example or _written(key.kind, key.default)}")
    return "\n".join(
        (
            f"## `{header}`\n\n{_first_line(kind.table)}\n",
            "| key | type and range | default | what it is |\n|---|---|---|---|",
            *rows,
            *(("\n```toml", *example, "```\n") if has_example else ("",)),
        )
    )


def _first_line(table: type) -> str:
    return (table.__doc__ or "").partition("\n")[0]


def _sentence(key: Key) -> str:
    if isinstance(key.kind, keys.Table | keys.Tables):
        return _first_line(key.kind.table)
    return key.sentence


def _default(key: Key) -> str:
    if key.derived is not None:
        return key.derived.text
    if key.is_required:
        return "*required*"
    return "none" if key.default in (None, (), MISSING) else f"`{_written(key.kind, key.default)}`"


def _comment(key: Key, value: str) -> str:
    """Return what stands behind a key with this value."""
    sentence = key.sentence
    if isinstance(key.kind, keys.Choice):
        sentence += f" One of: {', '.join(rules.options(key.kind))}."
    if key.default in (None, (), MISSING):
        return sentence
    nowhere = Source(FaultList(Path(), {}), Path(), {})
    meant = read(
        key.kind, tomllib.loads(f"value = {value}", parse_float=Decimal)["value"], (), nowhere
    )
    default = _written(key.kind, key.default)
    is_default = _written(key.kind, meant) == default
    return sentence if is_default else f"{sentence} Default: {default}"


def _type(kind: Kind) -> str:
    """Return type and range of a value, for a person."""
    match kind:
        case keys.Text(span=span) | keys.SecretText(span=span):
            return _listed("secret" if isinstance(kind, keys.SecretText) else "text", span)
        case keys.Word(words):
            return _listed("text", " ".join(f"`{_json(word)}`" for word in words))
        case keys.Choice():
            return _listed("text", " ".join(f"`{_json(name)}`" for name in rules.options(kind)))
        case keys.Whole(low, high):
            return f"whole number, {low} to {high}"
        case keys.OneOf(numbers):
            return _listed("whole number", " ".join(map(str, numbers)))
        case keys.Number():
            return _number(kind)
        case keys.Several(of):
            return f"list, each: {_type(of)}"
        case keys.Duration(low, high, span=span):
            return _listed(f"duration, {show_duration(low)} to {show_duration(high)}", span)
        case keys.Epcs():
            return _listed("list of texts", " ".join(rules.KNOWN_EPCS))
    return _PLAIN_TYPES[type(kind)]


def _number(kind: keys.Number) -> str:
    if kind.options:
        return _listed("number", " ".join(map(str, rules.NUMBERS[kind.options])))
    return "number" if kind.low is None else f"number, {kind.low} to {kind.high}"


_PLAIN_TYPES: dict[type[Kind], str] = {
    keys.Flag: "`true` or `false`",
    keys.Day: "date",
    keys.ByMonth: "table of numbers by month",
    keys.FilePath: "path",
    keys.Port: "text: a path, or a simulator with its options",
    keys.Headers: "table of texts",
    keys.Moment: "date, or date and time with offset",
    keys.Table: "table",
    keys.Tables: "array of tables",
}


def _listed(what: str, span: str) -> str:
    return f"{what}: {span}" if span else what


def _written(kind: Kind, value: object) -> str:
    """Return a value as jobs.toml has it."""
    match kind:
        case keys.Word(words):
            return next(_json(word) for word, meant in words.items() if meant == value)
        case keys.Duration() if isinstance(value, int | float):
            return _json(show_duration(value)) if value else "0"
        case keys.Epcs() if isinstance(value, tuple):
            return _json([f"{epc:02X}" for epc in value])
        case keys.Tables() if isinstance(value, tuple):
            return ", ".join(map(_inline, value))
        case keys.Number() if isinstance(value, Decimal):
            return str(value)
        case keys.Text():
            return _json(str(value))
    return _json(str(value) if isinstance(value, Path) else value)


def _inline(table: object) -> str:
    pairs = (
        f"{key.name} = {_written(key.kind, getattr(table, key.field))}"
        for key in _flat(type(table))
    )
    return f"{{ {', '.join(pairs)} }}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
