"""How long to leave a server alone."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

from kei.core.backoff import Backoff
from kei.core.clock import epoch_ms

BACKOFF_FIRST_S = 5.0  # upper end of the first wait; most faults of a network are over by then
BACKOFF_MAX_S = 600.0  # contract: up to 10 min
RETRY_AFTER_MAX_S = 21_600.0  # 6 h, the limit urllib3 has too: no server silences kei for good


def wait_s(backoff: Backoff, retry_after_s: float | None = None) -> float:
    """Return for how many seconds to leave the server alone after a failure.

    Args:
        backoff: counts the failures.
        retry_after_s: what the server asked for, honoured up to 6 h.
    """
    return max(backoff.after_failure(), min(retry_after_s or 0.0, RETRY_AFTER_MAX_S))


def new_backoff(random: Random) -> Backoff:
    """Return the waits of one target: up to 5 s, then doubling to 10 min, with full jitter."""
    return Backoff(random, first_s=BACKOFF_FIRST_S, max_s=BACKOFF_MAX_S, jitter=(0.0, 1.0))


def retry_after_s(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Read `Retry-After`, seconds or a date; None if there is none or it cannot be understood.

    A date is compared with the server's own `Date` where it sends one, because the clock of a
    small machine may be wrong by years.

    Args:
        headers: of the answer, looked up by their usual names.
        now_ms: wall clock.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    now = _http_date(headers.get("Date", ""))
    reference_ms = now_ms if now is None else epoch_ms(now)
    return max(0.0, (epoch_ms(until) - reference_ms) / 1000)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
