"""Masking: what is logged, made plain and without secrets, value by value.

Finished lines are never searched: a secret that occurs in `"lqi": 225` by chance would spoil it.
"""

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias
from urllib.parse import quote, quote_plus

from kei.core.secret import MASK, MIN_SOUGHT_CHARS, Secret, holds_secret

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"

_MAX_DEPTH = 8  # of values in values; what is deeper is shown as its text
_LARGEST = 1 << 64  # a longer whole number is shown as text: readers of JSON differ beyond


class Masker:
    """Replaces secrets in what is going to be shown, in each form that they may have there."""

    def __init__(self) -> None:
        self._pattern: re.Pattern[str] | None = None
        self._forms: set[str] = set()

    def hide(self, secrets: Iterable[Secret]) -> None:
        """Mask these secrets, too, from now on; those of less than 6 characters are not sought."""
        for secret in secrets:
            text = secret.reveal()
            # Behind the scheme of `Authorization: Bearer ...` is a secret of its own.
            for part in {text, text.rpartition(" ")[2]}:
                if len(part) >= MIN_SOUGHT_CHARS:
                    self._forms |= _forms(part)
        longest_first = sorted(self._forms, key=len, reverse=True)
        pattern = "|".join(re.escape(form) for form in longest_first)
        self._pattern = re.compile(pattern, re.IGNORECASE) if pattern else None

    def mask(self, text: str) -> str:
        """Return the text with every secret replaced by `***`."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def plain(self, value: object, depth: int = 0) -> Plain:
        """Return any value as one that JSON can hold, masked; never raises.

        Numbers stay as they are.
        """
        match value:
            case None | bool():
                return value
            case int() if abs(value) < _LARGEST:
                return int(value)
            case float() if math.isfinite(value):
                return float(value)
            case bytes():
                return self.mask(value.decode("utf-8", "backslashreplace"))
            case Mapping() if depth < _MAX_DEPTH:
                named = ((_text(name), item) for name, item in value.items())
                return {
                    self.mask(name): self.plain_under(name, item, depth + 1) for name, item in named
                }
            case list() | tuple() | set() | frozenset() if depth < _MAX_DEPTH:
                return [self.plain(item, depth + 1) for item in value]
        return self.mask(_text(value))

    def plain_under(self, name: str, value: object, depth: int = 0) -> Plain:
        """Return the plain value of a field; `***` where the name is that of a secret."""
        return MASK if holds_secret(name) else self.plain(value, depth)


def _forms(secret: str) -> set[str]:
    """Return what a secret may look like: itself, in a `repr`, in JSON, in an address, as bytes."""
    as_bytes = secret.encode("utf-8", "surrogatepass")
    return {
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(as_bytes, safe=""),
        quote_plus(as_bytes),
        as_bytes.hex(),
        base64.b64encode(as_bytes).decode(),
    }


def _text(value: object) -> str:
    """Return the text of anything, also of an object that fails to say what it is."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a line of the log must not fail by what is in it
        return f"({type(value).__name__}, {type(error).__name__} in its text)"
