"""What an answer of the server means for a batch, and how long to leave the server alone."""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from random import Random

from kei.core.backoff import Backoff
from kei.core.clock import epoch_ms

BACKOFF_FIRST_S = 5.0  # upper end of the first wait; most faults of a network are over by then
BACKOFF_MAX_S = 600.0  # contract: up to 10 min
RETRY_AFTER_MAX_S = 21_600.0  # 6 h, the limit urllib3 has too: no server silences kei for good


def wait_s(backoff: Backoff, retry_after_s: float | None = None) -> float:
    """Return how long to leave the server alone; `retry_after_s` is what it asked for."""
    return max(backoff.after_failure(), retry_after_s or 0.0)


def new_backoff(random: Random) -> Backoff:
    """Return the waits of one target: up to 5 s, then doubling to 10 min, with full jitter."""
    return Backoff(random, first_s=BACKOFF_FIRST_S, max_s=BACKOFF_MAX_S, jitter=(0.0, 1.0))


def retry_after_s(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Read `Retry-After`, seconds or a date; 0 to 6 h, whatever the server says.

    A date is compared with the server's own `Date` where it sends one, because the clock of a
    small machine may be wrong by years.

    Returns:
        None if there is no such header, or it cannot be understood.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    until_ms = _http_date_ms(text)
    if until_ms is None:
        return None
    server_ms = _http_date_ms(headers.get("Date", ""))
    asked_s = (until_ms - (now_ms if server_ms is None else server_ms)) / 1000
    return min(max(0.0, asked_s), RETRY_AFTER_MAX_S)


def _http_date_ms(text: str) -> int | None:
    """Return ms since 1970; None for what is no date, or one that no calendar has."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter: a year or an offset of 10^10
        return None
    return epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


# Too slow, too early, too many: RFC 9110, 8470 and 6585 say that the same request may be repeated.
# Down, no room, a log-in page before the network: no row can be the reason.
_LATER = frozenset({408, 425, 429, 503, 507, 511})

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

    FAILED = auto()
    """The server failed on it: the same batch again, too; but one row may always be the reason."""

    TOO_LARGE = auto()
    """Fewer bytes at a time."""

    REFUSED = auto()
    """At least one of the rows is bad."""

    DOUBTFUL = auto()
    """Either one row, or the whole target (wrong address or key)."""


def by_status(status: int) -> Verdict:
    """Return what the HTTP status alone means.

    1xx and 3xx that get here say that this is not the right address (a redirect that is not
    followed): the rows wait.
    """
    if 200 <= status <= 299:
        return Verdict.ACCEPTED
    if status in _LATER or not 400 <= status <= 599:
        return Verdict.LATER
    if status >= 500:
        return Verdict.FAILED
    if status == _TOO_LARGE:
        return Verdict.TOO_LARGE
    return Verdict.DOUBTFUL if status in _DOUBTFUL else Verdict.REFUSED
