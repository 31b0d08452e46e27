"""Secrets: texts that are not printed by accident, and the names that they go by."""

import re

MASK = "***"
MIN_SOUGHT_CHARS = 6  # a shorter secret is found where it is not meant, in `"lqi": 225` say

_HOLDING = re.compile(
    r"auth|cookie|credential|passw|pwd|secret|session-?id|signature|token|broute_id"
    r"|(?:^|[_-])(?:key|rbid|psk)$|api-?key|upload_?key",
    re.IGNORECASE,
)


def holds_secret(name: str) -> bool:
    """Return whether a key or an HTTP header of this name holds a secret."""
    return _HOLDING.search(name) is not None


class Secret:
    """A text that shows as `***` wherever it is printed, formatted or logged.

    Two secrets with the same text are equal; a secret never equals a plain text.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the code that has to send it."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        # Ignored: a width would show how long the secret is.
        return MASK

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))
