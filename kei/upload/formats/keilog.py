"""The format `keilog`: lines of a daily file in a form field, as the original's server takes it."""

from collections.abc import Sequence
from datetime import date
from itertools import takewhile
from urllib.parse import urlencode

from kei.core.clock import local
from kei.core.reading import Reading
from kei.core.secret import Secret
from kei.settings.upload import UploadTarget
from kei.store.lines import reading_file_name, reading_line, summary_file_name, summary_line
from kei.store.rows import Row
from kei.upload.batching import Batch, Format, FormatSpec, Origin, fitting
from kei.upload.retry import Verdict, by_status

_BLANK_START = b"\xef\xbb\xbf \t\r\n"  # a BOM and empty lines, which PHP files like to begin with


class KeilogFormat(Format):
    """`type=text`, `key`, `fname`, `data`; the answer says `OK...` or `Error...`."""

    def __init__(self, target: UploadTarget, origin: Origin) -> None:
        self._key = target.upload_key or Secret("")
        self._fname_base = origin.fname_base
        self._zone = origin.zone

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
            "key": self._key.reveal(),
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
        """Believe the body: only `OK` is success, and `Error` is a failure of the server."""
        said = body.lstrip(_BLANK_START)
        if said.startswith(b"Error"):
            return Verdict.FAILED
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


FORMAT = FormatSpec(name="keilog", needs_key=True, compressible=False, build=KeilogFormat, order=1)
