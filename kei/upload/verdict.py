"""What an answer of the server means for the batch."""

from enum import Enum, auto

# Too slow, too early, too many: RFC 9110, 8470 and 6585 say that the same request may be repeated.
_LATER = frozenset({408, 425, 429})

# By RFC 9110 these are about the address, the headers or the sender, so most likely nothing of
# this target gets through. But the filter in front of a server gives them for a single line, too.
_DOUBTFUL = frozenset(
    {401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 417, 421, 426, 428, 431, 451}
)

_TOO_LARGE = 413


class Verdict(Enum):
    """What to do with the batch."""

    ACCEPTED = auto()
    """The server has it: move on."""

    LATER = auto()
    """Nothing is wrong with the rows: the same batch again, after a while."""

    TOO_LARGE = auto()
    """Fewer bytes at a time."""

    REFUSED = auto()
    """At least one row is not to the server's liking."""

    DOUBTFUL = auto()
    """Either one row, or the whole target (wrong address or key)."""


def by_status(status: int) -> Verdict:
    """Judge by the HTTP status alone.

    1xx and 3xx that get here say that this is not the right address (a redirect that is not
    followed): the rows wait.
    """
    if 200 <= status <= 299:
        return Verdict.ACCEPTED
    if status in _LATER or not 400 <= status <= 499:
        return Verdict.LATER
    if status == _TOO_LARGE:
        return Verdict.TOO_LARGE
    return Verdict.DOUBTFUL if status in _DOUBTFUL else Verdict.REFUSED
