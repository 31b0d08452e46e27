"""The format `keilog`: lines of a daily file in a form field, as the original's server takes it."""

from collections.abc import Sequence
from datetime import date, tzinfo
from itertools import takewhile
from urllib.parse import urlencode

from kei.core.clock import local
from kei.core.reading import Reading
from kei.store.lines import reading_file_name, reading_line, summary_file_name, summary_line
from kei.store.rows import Row
from kei.upload.batch import Batch, fitting
from kei.upload.verdict import Verdict, by_status

_BLANK_START = b"\xef\xbb\xbf \t\r\n"  # a BOM and empty lines, which PHP files like to begin with


class KeilogFormat:
    """`type=text`, `key`, `fname`, `data`; the answer says `OK...` or `Error...`.

    Args:
        key: the form field of that name; None sends an empty one.
        fname_base: base of the daily files' names.
        zone: in which the files are written.
    """

    compressible = False

    def __init__(self, key: str | None, fname_base: str, zone: tzinfo) -> None:
        self._key = key or ""
        self._fname_base = fname_base
        self._zone = zone

    def batch(self, rows: Sequence[Row], max_bytes: int) -> Batch | None:
        """Write rows of one daily file; see `Format.batch`."""
        if not rows:
            return None
        first_date = self._date(rows[0])
        same_file = takewhile(lambda row: self._date(row) == first_date, rows)
        lines = fitting((self._line(row) for row in same_file), max_bytes)
        data = b"".join(lines)
        form = {
            "type": "text",
            "key": self._key,
            "fname": self._file_name(rows[0], first_date),
            "data": data,
        }
        return Batch(
            rows=tuple(rows[: len(lines)]),
            body=urlencode(form).encode("ascii"),
            data_bytes=len(data),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )

    def judge(self, status: int, body: bytes) -> Verdict:
        """Believe the body: only `OK` is success, and `Error` always counts as temporary."""
        said = body.lstrip(_BLANK_START)
        if said.startswith(b"Error"):
            return Verdict.LATER
        verdict = by_status(status)
        if verdict is Verdict.ACCEPTED and not said.startswith(b"OK"):
            return Verdict.LATER  # a login page of the network, a PHP warning, nothing at all
        return verdict

    def _date(self, row: Row) -> date:
        item = row.item
        time_ms = item.time_ms if isinstance(item, Reading) else item.start_ms
        return local(time_ms, self._zone).date()

    def _line(self, row: Row) -> bytes:
        item = row.item
        if isinstance(item, Reading):
            return f"{reading_line(item, self._zone)}\n".encode()
        return f"{summary_line(item, self._zone)}\n".encode()

    def _file_name(self, row: Row, day: date) -> str:
        name = reading_file_name if isinstance(row.item, Reading) else summary_file_name
        return name(self._fname_base, day)
