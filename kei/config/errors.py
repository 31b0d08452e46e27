"""Incidents of a configuration: collected, each one complete line, told all at once."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from kei.core.errors import ConfigError, KeiError

KeyPath: TypeAlias = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN_CHARACTERS = 40  # of a wrong value: enough to recognise it, and the line stays a line


class Wrong(KeiError):
    """A value breaks a rule; never leaves this package.

    Attributes:
        what: what is wrong, without file, line and key.
        remedy: what to do.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


class FaultList:
    """All that is wrong with one file.

    Args:
        path: of the file, as it was given.
        lines: the line of each key in it, counted from 1.
    """

    def __init__(self, path: Path, lines: Mapping[KeyPath, int]) -> None:
        self._path = path
        self._lines = lines
        self._incidents: list[tuple[int, str]] = []

    def add(self, key: KeyPath, what: str, remedy: str) -> None:
        """Note a fault of a key; one that is not in the file stands at its table's line."""
        line = self.line(key)
        self._incidents.append((line, fault_line(self._path, line, dotted(key), what, remedy)))

    def line(self, key: KeyPath) -> int:
        """Return the line of a key, or of the innermost table around it that has one."""
        while key and key not in self._lines:
            key = key[:-1]
        return self._lines.get(key, 1)

    def raise_if_any(self) -> None:
        """Raise ConfigError with all faults in the order of their lines, if there are any."""
        if self._incidents:
            ordered = sorted(self._incidents, key=lambda fault: fault[0])
            raise ConfigError([text for _, text in ordered])


def fault_line(path: Path, line: int, key: str, what: str, remedy: str) -> str:
    """Return the one line that names file, line, key, fault and remedy."""
    return _printable(f"{path}:{line}: {key}: {what}; {remedy}")


def dotted(key: KeyPath) -> str:
    """Return a key as people write it: `broute.requests[1].cycle`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            text += f".{name}" if text else name
    return text


def shown(value: object) -> str:
    """Return a value that is no secret as a fault line has it: texts in quotes, long ones cut."""
    if isinstance(value, str):
        short = value[:_SHOWN_CHARACTERS] + ("..." if len(value) > _SHOWN_CHARACTERS else "")
        return json.dumps(short, ensure_ascii=False)
    return str(value)


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
