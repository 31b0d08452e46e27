"""A line of CSV, as `kei export` and `kei energy` print it."""

import csv
import io
from collections.abc import Iterable
from decimal import Decimal

from kei.core.reading import plain


def csv_line(values: Iterable[str | int | Decimal | None]) -> str:
    """Return a line with its end; numbers are written exactly, and what is not known is empty."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        plain(each) if isinstance(each, Decimal) else each for each in values
    )
    return line.getvalue()
