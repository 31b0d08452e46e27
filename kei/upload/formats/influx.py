"""The format `influx`: line protocol for InfluxDB v1 and v2, VictoriaMetrics and Telegraf.

A number without a suffix is a float there, `512` like `512.5`, so a series never changes its type.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kei.core.reading import Reading, Summary, plain
from kei.settings.upload import UploadTarget
from kei.store.rows import Row
from kei.upload.batching import Batch, Format, FormatSpec, Origin, fitting, idempotent_batch
from kei.upload.health import Health

_SPECIAL = re.compile(r"([,= ])")
# Nothing escapes a backslash or a line end in a tag in a way that all four servers agree on.
_IMPOSSIBLE = re.compile(r"[\\\x00-\x1f\x7f\x85\u2028\u2029]")


class InfluxFormat(Format):
    """Measurements `kei` and `kei_summary`, times in ms, which the URL says.

    The key is sent as InfluxDB token (`user:password` for v1).
    """

    def __init__(self, target: UploadTarget, origin: Origin) -> None:
        self._target = target
        self._source = origin.source

    def batch(self, rows: Sequence[Row], max_bytes: int) -> Batch | None:
        """Write rows; see `Format.batch`."""
        if not rows:
            return None
        lines = fitting((self._line(row.item) for row in rows), max_bytes)
        return self._made(rows[: len(lines)], b"".join(lines))

    def with_health(self, batch: Batch | None, health: Health) -> Batch:
        """Add a line of the measurement `kei_health`; without a time, the server's own counts."""
        tags = _tags({"source": self._source, "version": health.version})
        fields = ",".join(f"{name}={value}" for name, value in health.known().items())
        time = "" if health.time_ms is None else f" {health.time_ms}"
        line = f"kei_health{tags} {fields}{time}\n".encode()
        return self._made((), line) if batch is None else replace(batch, body=batch.body + line)

    def _made(self, rows: Sequence[Row], body: bytes) -> Batch:
        return idempotent_batch(self._target, rows, body, "text/plain; charset=utf-8", "Token")

    def _line(self, item: Reading | Summary) -> bytes:
        tags = _tags({"source": self._source, "unit": item.unit, "sensor": item.sensor})
        if isinstance(item, Reading):
            text = f"kei{tags} value={plain(item.value)} {item.time_ms}\n"
        else:
            text = (
                f"kei_summary{tags} average={plain(item.average)},min={plain(item.minimum)}"
                f",max={plain(item.maximum)},count={item.count} {item.start_ms}\n"
            )
        return text.encode()


def _tags(tags: Mapping[str, str]) -> str:
    return "".join(f",{name}={tag_text(text)}" for name, text in tags.items() if text)


def tag_text(text: str) -> str:
    """Return a tag's value escaped; a backslash or control character becomes `_`."""
    return _SPECIAL.sub(r"\\\1", _IMPOSSIBLE.sub("_", text))


FORMAT = FormatSpec(
    name="influx",
    needs_key=False,
    compressible=True,
    has_health=True,
    build=InfluxFormat,
    query={"precision": "ms"},
    order=3,
)
