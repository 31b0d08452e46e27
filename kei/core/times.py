"""Days and times as people write them: `yesterday`, `-7d`, `2026-11-23T07:30`."""

import re
from datetime import date, datetime, timedelta

from kei.core.clock import Clock, epoch_ms, local
from kei.core.errors import ConfigError

EXAMPLES = "write 2026-11-23, 2026-11-23T07:30, today, yesterday, or -7d for seven days ago"

DAYS_AGO = re.compile(r"-([0-9]{1,5})d")
_NAMED = {"today": 0, "yesterday": 1}


def instant(option: str, text: str, clock: Clock, *, is_end: bool) -> int:
    """Return the instant that a text of the command line means.

    Args:
        option: what it is called, for the message.
        text: a day, a local time, a time with an offset, `today`, `yesterday`, or `-7d`, the day
            seven days before today.
        clock: for today and the local time zone.
        is_end: whether a day is included: the instant is then the end of that day.

    Returns:
        milliseconds since 1970 in UTC.

    Raises:
        ConfigError: it is none of these.
    """
    try:
        day = _day(text, clock)
        if day is not None:
            day += timedelta(days=1 if is_end else 0)
            return epoch_ms(datetime(day.year, day.month, day.day, tzinfo=clock.zone))
        moment = datetime.fromisoformat(text.replace("/", "-"))
        return epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=clock.zone))
    except (ValueError, OverflowError):
        raise ConfigError([f"{option} {text}: is no day and no time; {EXAMPLES}"]) from None


def span(
    begin: str, end: str, clock: Clock, names: tuple[str, str] = ("--from", "--to")
) -> tuple[int, int]:
    """Return the range of time from one text to another, milliseconds since 1970 in UTC.

    Args:
        begin: as of `instant`.
        end: the same; a day is included.
        clock: for today and the local time zone.
        names: of the two, for messages.

    Raises:
        ConfigError: one of them is no day and no time, or they are in the wrong order.
    """
    from_ms = instant(names[0], begin, clock, is_end=False)
    to_ms = instant(names[1], end, clock, is_end=True)
    if to_ms <= from_ms:
        raise ConfigError([f"{names[1]} {end}: lies before {names[0]} {begin}"])
    return from_ms, to_ms


def written(at: datetime, form: str = "%Y-%m-%d %H:%M") -> str:
    """Return a local time for a person, with its offset in an hour that comes twice."""
    is_twice = at.replace(fold=0).utcoffset() != at.replace(fold=1).utcoffset()
    return at.strftime(f"{form}%z" if is_twice else form)


def _day(text: str, clock: Clock) -> date | None:
    """Return the day that a text names; None if it may be a time. ValueError, OverflowError."""
    ago = DAYS_AGO.fullmatch(text)
    days = int(ago[1]) if ago else _NAMED.get(text.lower())
    if days is not None:
        return local(clock.now_ms(), clock.zone).date() - timedelta(days=days)
    if len(text) <= len("YYYY-MM-DD"):
        return date.fromisoformat(text.replace("/", "-"))
    return None
