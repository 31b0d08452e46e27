"""On which line each key of a TOML text stands; the standard parser does not tell.

The text has been accepted by `tomllib` before, so nothing is checked here: the walker only has to
know where a key, a value and a header begin and end.
"""

import re
import tomllib
from bisect import bisect_right

from kei.config.errors import KeyPath

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY_PART = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[A-Za-z0-9_-]+')
# The multi-line strings first; their closing quotes may follow one or two that belong to the text.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, of every key and array element of a valid TOML text.

    A table stands at its header, or at the first key that brings it about; an array of tables at
    its first header.

    Args:
        text: what `tomllib.loads` accepts.

    Raises:
        RecursionError: arrays or inline tables are nested deeper than Python can follow.
    """
    return _Walker(text).walk()


class _Walker:
    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._line_ends = [found.start() for found in re.finditer("\n", self._text)]
        self._pos = 0
        self._lines: dict[KeyPath, int] = {}
        self._headers: dict[KeyPath, int] = {}  # arrays of tables: how many headers so far

    def walk(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self._pos < len(self._text):
            if self._text[self._pos] == "[":
                table = self._header()
            else:
                self._assignment(table)
            self._skip(_BLANK)
        return self._lines

    def _header(self) -> KeyPath:
        line = self._line()
        double = self._text.startswith("[[", self._pos)
        self._pos += 2 if double else 1
        *outer, last = self._key()
        self._pos += 2 if double else 1
        table: KeyPath = ()
        for name in outer:
            table = self._newest((*table, name))
            self._lines.setdefault(table, line)
        table = (*table, last)
        if double:
            self._lines.setdefault(table, line)
            self._headers[table] = self._headers.get(table, 0) + 1
            table = self._newest(table)
        self._lines[table] = line
        return table

    def _newest(self, table: KeyPath) -> KeyPath:
        """Return where a header that goes through this key leads: into the last of an array."""
        count = self._headers.get(table)
        return table if count is None else (*table, count - 1)

    def _assignment(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for name in self._key():
            path = (*path, name)
            self._lines.setdefault(path, line)
        self._pos += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> list[str]:
        """Read a dotted key and the space around it."""
        names: list[str] = []
        while True:
            self._skip(_SPACE)
            names.append(_unquoted(self._take(_KEY_PART)))
            self._skip(_SPACE)
            if self._text[self._pos] != ".":
                return names
            self._pos += 1

    def _value(self, path: KeyPath) -> None:
        match self._text[self._pos]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._take(_STRING)
            case _:
                self._take(_BARE_VALUE)

    def _array(self, path: KeyPath) -> None:
        index = 0
        while self._next_member("]"):
            self._lines[*path, index] = self._line()
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        while self._next_member("}"):
            self._assignment(path)

    def _next_member(self, closing: str) -> bool:
        """Step over what stands before a member (bracket, comma, blanks), or over the end."""
        self._skip(_BLANK)
        if self._text[self._pos] in "[{,":
            self._pos += 1
            self._skip(_BLANK)
        if self._text[self._pos] != closing:
            return True
        self._pos += 1
        return False

    def _line(self) -> int:
        return bisect_right(self._line_ends, self._pos) + 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._take(pattern)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._pos)
        assert found is not None, "the text was not checked by tomllib before"
        self._pos = found.end()
        return found.group()


def _unquoted(name: str) -> str:
    if name[0] not in "\"'":
        return name
    (key,) = tomllib.loads(f"{name} = 0")
    return key
