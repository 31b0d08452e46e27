"""The format `json`: one object with the source and a list of readings or summaries."""

import json
from collections.abc import Sequence
from dataclasses import replace

from kei.core.clock import local
from kei.core.reading import Reading, Summary, plain
from kei.settings.upload import UploadTarget
from kei.store.rows import Row
from kei.upload.batching import Batch, Format, FormatSpec, Origin, fitting, idempotent_batch
from kei.upload.health import Health

_TAIL = b"]}"


class JsonFormat(Format):
    """A body that any web service can read; repeats carry the same `Idempotency-Key`.

    The key is sent as bearer token. Times have the offset of local time.
    """

    def __init__(self, target: UploadTarget, origin: Origin) -> None:
        self._target = target
        self._source = json.dumps(origin.source)
        self._zone = origin.zone

    def batch(self, rows: Sequence[Row], max_bytes: int) -> Batch | None:
        """Write rows; see `Format.batch`."""
        if not rows:
            return None
        name = "readings" if isinstance(rows[0].item, Reading) else "summaries"
        head = f'{{"source":{self._source},"{name}":['.encode()
        room = max_bytes - len(head) - len(_TAIL)
        items = fitting((self._item(row.item) for row in rows), room, joint=1)
        return self._made(rows[: len(items)], head + b",".join(items) + _TAIL)

    def with_health(self, batch: Batch | None, health: Health) -> Batch:
        """Add the object `health`."""
        said = f'"health":{json.dumps({"version": health.version, **health.known()})}}}'.encode()
        if batch is None:
            return self._made((), f'{{"source":{self._source},'.encode() + said)
        return replace(batch, body=batch.body.removesuffix(b"}") + b"," + said)

    def _made(self, rows: Sequence[Row], body: bytes) -> Batch:
        return idempotent_batch(self._target, rows, body, "application/json", "Bearer")

    def _item(self, item: Reading | Summary) -> bytes:
        # Numbers go in as text: json.dumps would take a Decimal through a float.
        if isinstance(item, Reading):
            start = self._start(item.time_ms, item.unit, item.sensor)
            text = f'{start},"value":{plain(item.value)},"id":{json.dumps(item.data_id)}}}'
        else:
            start = self._start(item.start_ms, item.unit, item.sensor)
            text = (
                f'{start},"average":{plain(item.average)},"min":{plain(item.minimum)}'
                f',"max":{plain(item.maximum)},"count":{item.count}}}'
            )
        return text.encode()

    def _start(self, time_ms: int, unit: str, sensor: str) -> str:
        places = "milliseconds" if time_ms % 1000 else "seconds"
        time = local(time_ms, self._zone).isoformat(timespec=places)
        return f'{{"time":"{time}","unit":{json.dumps(unit)},"sensor":{json.dumps(sensor)}'


FORMAT = FormatSpec(
    name="json", needs_key=False, compressible=True, build=JsonFormat, has_health=True, order=2
)
