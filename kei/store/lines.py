"""Lines and names of the daily text files. No I/O."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime, tzinfo
from decimal import Decimal

from kei.core.clock import epoch_ms, local
from kei.core.errors import Malformed
from kei.core.reading import Reading, Summary, plain

SUMMARY_PREFIX = "sum"
_NOT_IN_A_NAME = frozenset("/\0")
_LINE = re.compile(
    r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d),([^,\n]+),([^,\n]+),(-?\d{1,40}(?:\.\d{1,4})?),([^,\n]*)",
    re.ASCII,
)
_SHOWN_CHARS = 80


def dated_line(reading: Reading, zone: tzinfo) -> tuple[date, str]:
    """Return the date of a reading's file, and its line there, without LF.

    Raises:
        Malformed: no line can be made of it, as its date has no four digits of a year, say.
        ArithmeticError, ValueError, OSError: nor can its time or number be written at all.
    """
    moment = local(reading.time_ms, zone)
    line = (
        f"{moment:%Y/%m/%d %H:%M:%S},{reading.unit},{reading.sensor},"
        f"{plain(reading.value)},{reading.data_id}"
    )
    if _LINE.fullmatch(line) is None:
        raise Malformed(f"no line can be made of it: {line[:_SHOWN_CHARS]!r}")
    line.encode()
    return moment.date(), line


def reading_line(reading: Reading, zone: tzinfo) -> str:
    """Return the line of a reading, without LF: `2026/11/23 07:02:30,BR,E7,512,x`."""
    moment = local(reading.time_ms, zone).strftime("%Y/%m/%d %H:%M:%S")
    return f"{moment},{reading.unit},{reading.sensor},{plain(reading.value)},{reading.data_id}"


def reading_of_line(line: str, zone: tzinfo, not_before_ms: int = 0) -> Reading:
    """Return the reading of a line; its time is a whole second, as lines have no fractions.

    Args:
        line: without LF.
        zone: the time zone of the line.
        not_before_ms: time of the line before; when the clocks go back, it tells which of the two
            equal hours is meant.

    Raises:
        Malformed: it is not a line of a reading.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise Malformed(f"not a line of readings: {line[:_SHOWN_CHARS]!r}")
    moment, unit, sensor, value, data_id = match.groups()
    try:
        naive = datetime.strptime(moment, "%Y/%m/%d %H:%M:%S")  # noqa: DTZ007 - zone comes next
    except ValueError:
        raise Malformed(f"no such time: {moment!r}") from None
    time_ms = epoch_ms(naive.replace(tzinfo=zone))
    if time_ms < not_before_ms:
        time_ms = epoch_ms(naive.replace(tzinfo=zone, fold=1))
    return Reading(time_ms, unit, sensor, Decimal(value), data_id)


def summary_line(summary: Summary, zone: tzinfo) -> str:
    """Return the line of a window, without LF: `2026/11/23 07:00,BR,E7,498.25`."""
    moment = local(summary.start_ms, zone).strftime("%Y/%m/%d %H:%M")
    return f"{moment},{summary.unit},{summary.sensor},{plain(summary.average)}"


def unknown(
    lines: Iterable[str], known: Counter[str], key: Callable[[str], str] = str
) -> list[str]:
    """Return those lines that are not known; of equal ones, as many as are missing.

    Args:
        lines: in order.
        known: how many there are, by their keys. Those that are found are taken off.
        key: what of a line is compared.
    """
    found: list[str] = []
    for line in lines:
        if known[key(line)] > 0:
            known[key(line)] -= 1
        else:
            found.append(line)
    return found


def reading_file_name(fname_base: str, day: date) -> str:
    """Return the name of the file that holds the readings of a day.

    Raises:
        ValueError: `fname_base` would lead into another folder.
    """
    if _NOT_IN_A_NAME & set(fname_base):
        raise ValueError(f"fname_base must be a plain name without '/': {fname_base!r}")
    return f"{day:%Y%m%d}-{fname_base}.txt"


def summary_file_name(fname_base: str, day: date) -> str:
    """Return the name of the file that holds the windows that began on a day; as above."""
    return SUMMARY_PREFIX + reading_file_name(fname_base, day)
