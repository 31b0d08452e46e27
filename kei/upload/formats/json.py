"""The format `json`: one object with the source and a list of readings or summaries."""

import json
from collections.abc import Sequence
from datetime import tzinfo

from kei.core.clock import local
from kei.core.reading import Reading, Summary, plain
from kei.store.rows import Row
from kei.upload.batch import Batch, fitting, idempotency_key
from kei.upload.verdict import Verdict, by_status

_TAIL = b"]}"


class JsonFormat:
    """A body that any web service can read; repeats carry the same `Idempotency-Key`.

    Args:
        target: its name, part of the idempotency key.
        key: sent as bearer token; None sends none.
        source: name of this machine.
        zone: whose offset the times have.
    """

    compressible = True

    def __init__(self, target: str, key: str | None, source: str, zone: tzinfo) -> None:
        self._target = target
        self._authorization = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._source = json.dumps(source)
        self._zone = zone

    def batch(self, rows: Sequence[Row], max_bytes: int) -> Batch | None:
        """Write rows; see `Format.batch`."""
        if not rows:
            return None
        name = "readings" if isinstance(rows[0].item, Reading) else "summaries"
        head = f'{{"source":{self._source},"{name}":['.encode()
        room = max_bytes - len(head) - len(_TAIL)
        items = fitting((self._item(row.item) for row in rows), room, joint=1)
        body = head + b",".join(items) + _TAIL
        taken = tuple(rows[: len(items)])
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key(self._target, taken, body),
            **self._authorization,
        }
        return Batch(rows=taken, body=body, data_bytes=len(body), headers=headers)

    def judge(self, status: int, body: bytes) -> Verdict:  # noqa: ARG002  the body is free text
        """Go by the status."""
        return by_status(status)

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
