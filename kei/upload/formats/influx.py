"""The format `influx`: line protocol for InfluxDB v1 and v2, VictoriaMetrics and Telegraf.

A number without a suffix is a float there, `512` like `512.5`, so a series never changes its type.
"""

import re
from collections.abc import Sequence

from kei.core.reading import Reading, Summary, plain
from kei.store.rows import Row
from kei.upload.batch import Batch, fitting, idempotency_key
from kei.upload.verdict import Verdict, by_status

_SPECIAL = re.compile(r"([,= ])")
# Nothing escapes a backslash or a line end in a tag in a way that all four servers agree on.
_IMPOSSIBLE = re.compile(r"[\\\x00-\x1f\x7f\x85\u2028\u2029]")


class InfluxFormat:
    """Measurements `kei` and `kei_summary`, times in ms (the URL has to say `precision=ms`).

    Args:
        target: its name, part of the idempotency key.
        key: sent as InfluxDB token (`user:password` for v1); None sends none.
        source: name of this machine, a tag.
    """

    compressible = True

    def __init__(self, target: str, key: str | None, source: str) -> None:
        self._target = target
        self._authorization = {} if key is None else {"Authorization": f"Token {key}"}
        self._source = source

    def batch(self, rows: Sequence[Row], max_bytes: int) -> Batch | None:
        """Write rows; see `Format.batch`."""
        if not rows:
            return None
        lines = fitting((self._line(row.item) for row in rows), max_bytes)
        body = b"".join(lines)
        taken = tuple(rows[: len(lines)])
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Idempotency-Key": idempotency_key(self._target, taken, body),
            **self._authorization,
        }
        return Batch(rows=taken, body=body, data_bytes=len(body), headers=headers)

    def judge(self, status: int, body: bytes) -> Verdict:  # noqa: ARG002  the body is free text
        """Go by the status."""
        return by_status(status)

    def _line(self, item: Reading | Summary) -> bytes:
        tags = self._tags(item.unit, item.sensor)
        if isinstance(item, Reading):
            text = f"kei{tags} value={plain(item.value)} {item.time_ms}\n"
        else:
            text = (
                f"kei_summary{tags} average={plain(item.average)},min={plain(item.minimum)}"
                f",max={plain(item.maximum)},count={item.count} {item.start_ms}\n"
            )
        return text.encode()

    def _tags(self, unit: str, sensor: str) -> str:
        tags = {"source": self._source, "unit": unit, "sensor": sensor}
        return "".join(f",{name}={tag_text(text)}" for name, text in tags.items() if text)


def tag_text(text: str) -> str:
    """Return a tag's value escaped; a backslash or control character becomes `_`."""
    return _SPECIAL.sub(r"\\\1", _IMPOSSIBLE.sub("_", text))
