"""Faults of a configuration: collected, each one complete line, told all at once."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from kei.core.errors import ConfigError
from kei.core.printable import printable
from kei.settings.text_rules import Wrong

KeyPath: TypeAlias = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class FaultList:
    """All that is wrong with one file.

    Args:
        path: of the file, as it was given.
        lines: the line of each key in it, counted from 1.
    """

    def __init__(self, path: Path, lines: Mapping[KeyPath, int]) -> None:
        self._path = path
        self._lines = lines
        self._faults: list[tuple[int, str]] = []

    def add(self, key: KeyPath, fault: Wrong) -> None:
        """Note a fault of a key; one that is not in the file stands at its table's line."""
        line = self.line(key)
        text = fault_line(self._path, line, dotted(key), fault.what, fault.remedy)
        self._faults.append((line, text))

    @property
    def count(self) -> int:
        """How many there are so far."""
        return len(self._faults)

    def line(self, key: KeyPath) -> int:
        """Return the line of a key, or of the innermost table around it that has one."""
        while key and key not in self._lines:
            key = key[:-1]
        return self._lines.get(key, 1)

    def raise_if_any(self) -> None:
        """Raise ConfigError with all faults in the order of their lines, if there are any."""
        if self._faults:
            ordered = sorted(self._faults, key=lambda fault: fault[0])
            raise ConfigError([text for _, text in ordered])


def fault_line(path: Path, line: int, key: str, what: str, remedy: str) -> str:
    """Return the one line that names file, line, key, fault and remedy."""
    return printable(f"{path}:{line}: {key}: {what}; {remedy}")


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
