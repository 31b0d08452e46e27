"""Random TOML texts together with the line of every key in them, as their writer knows it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import DataObject

Key: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Scalar:
    """A value as it is written; it may take several lines."""

    text: str


Node: TypeAlias = "Scalar | list[Node] | dict[str, Node]"


def quoted(text: str) -> str:
    """Return a TOML basic string: JSON's, but for one character that TOML wants escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


SCALARS = st.one_of(
    st.sampled_from(
        [
            "0",
            "-17",
            "0xFF_FF",
            "3.25",
            "1e3",
            "inf",
            "nan",
            "true",
            "2026-01-01",
            "2026-01-01 07:32:00",
            "2026-01-01T07:32:00.5+09:00",
            "07:32:00",
            '""',
            "''",
            '""""""',
            "''''''",
            r'"a\"] # }"',
            r'"\\"',
            "'\\'",
            "'] # }, \"'",
            '"""one\n\\"\\"\\"two = 2\n[three]\n"""',
            '"""" ends with two quotes"""""',
            '"""a \\\n   b"""',
            "'''\n[x]\n# no comment\n'''",
            "''''quoted'''''",
        ]
    ),
    st.text(max_size=5).map(quoted),
).map(Scalar)

NAMES = st.one_of(
    st.sampled_from(["a", "b", "c", "d-e", "_1", "2", "", "x y", "a.b", "]", "#", '"', "'", "é\n"]),
    st.text(max_size=3),
)

NODES: st.SearchStrategy[Node] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(NAMES, inner, max_size=3),
        st.lists(st.dictionaries(NAMES, inner, max_size=2), min_size=1, max_size=3),
    ),
    max_leaves=12,
)
TABLES = st.dictionaries(NAMES, NODES, max_size=5)


@dataclass
class Writer:
    """Writes one document, choosing a spelling for everything."""

    data: DataObject
    text: str = ""
    lines: dict[Key, int] = field(default_factory=dict)

    def document(self, table: Mapping[str, Node]) -> None:
        self._table((), table, headed=False)

    def _here(self, key: Key, *, first: bool = False) -> None:
        line = self.text.count("\n") + 1
        if first:
            self.lines.setdefault(key, line)
        else:
            self.lines[key] = line

    def _pick(self, *choices: str) -> str:
        return self.data.draw(st.sampled_from(choices))

    def _flip(self) -> bool:
        return self.data.draw(st.booleans())

    def _name(self, name: str) -> str:
        spellings = [quoted(name)]
        if name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
            spellings.append(name)
        if name.isprintable() and "'" not in name:
            spellings.append(f"'{name}'")
        return self._pick(*spellings)

    def _space(self) -> str:
        return self._pick("", " ", "\t ")

    def _gap(self) -> str:
        return self._pick("", "", "\n", " # [no] = 'table'\n", "\r\n\n")

    def _names(self, names: list[str]) -> str:
        return f"{self._space()}.{self._space()}".join(self._name(name) for name in names)

    def _table(self, key: Key, table: Mapping[str, Node], *, headed: bool) -> None:
        """Write the table's own values below its header (if `headed`), then its sub-tables."""
        later: dict[str, Node] = {}
        for name, node in table.items():
            if _can_have_header(node) and self._flip():
                later[name] = node
                continue
            self.text += self._pick("", "\n", "# a = 1\n", " ")
            if isinstance(node, dict) and node and self._flip():
                self._dotted(key, [name], node)
            else:
                self._assign(key, [name], node)
                self.text += self._pick("\n", " # 'comment\n", "\r\n")
        for name, node in later.items():
            self._headed((*key, name), node)
        assert headed or not key

    def _headed(self, key: Key, node: Node) -> None:
        names = [part for part in key if isinstance(part, str)]
        if isinstance(node, list):
            for index, item in enumerate(node):
                assert isinstance(item, dict)
                self._here(key, first=True)
                self._here((*key, index))
                self.text += f"[[{self._space()}{self._names(names)}{self._space()}]]\n"
                self._table((*key, index), item, headed=True)
            return
        assert isinstance(node, dict)
        only_tables = node and all(_can_have_header(item) for item in node.values())
        if only_tables and self._flip():
            self._here(key)  # brought about by the header of its first sub-table
            for name, item in node.items():
                self._headed((*key, name), item)
            return
        self._here(key)
        self.text += f"[{self._space()}{self._names(names)}{self._space()}]{self._gap() or chr(10)}"
        self._table(key, node, headed=True)

    def _dotted(self, key: Key, names: list[str], table: Mapping[str, Node]) -> None:
        for name, node in table.items():
            if isinstance(node, dict) and node and self._flip():
                self._dotted(key, [*names, name], node)
            else:
                self._assign(key, [*names, name], node)
                self.text += "\n"

    def _assign(self, key: Key, names: list[str], node: Node) -> None:
        for count in range(1, len(names) + 1):
            self._here((*key, *names[:count]), first=True)
        self.text += f"{self._names(names)}{self._space()}={self._space()}"
        self._value((*key, *names), node)

    def _value(self, key: Key, node: Node) -> None:
        match node:
            case Scalar():
                self.text += node.text
            case list():
                self.text += "[" + self._gap()
                for index, item in enumerate(node):
                    self._here((*key, index))
                    self._value((*key, index), item)
                    last = index == len(node) - 1
                    self.text += self._gap() + ("" if last and self._flip() else ",") + self._gap()
                self.text += "]"
            case dict():
                self.text += "{" + self._space()
                for index, (name, item) in enumerate(node.items()):
                    self.text += "," + self._space() if index else ""
                    self._assign(key, [name], item)
                    self.text += self._space()
                self.text += "}"


def _can_have_header(node: Node) -> bool:
    if isinstance(node, list):
        return bool(node) and all(isinstance(item, dict) for item in node)
    return isinstance(node, dict)


def keys_of(value: object, key: Key = ()) -> Iterator[Key]:
    """Yield the path of every key and array element that tomllib found."""
    members: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    for part, member in members:
        yield (*key, part)
        yield from keys_of(member, (*key, part))
