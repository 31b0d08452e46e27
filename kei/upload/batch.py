"""A batch of rows as one POST, and what every format has to offer."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kei.store.rows import Row
from kei.upload.verdict import Verdict

IDEMPOTENCY_KEY_CHARS = 32  # 128 bits: no two batches of a lifetime share one


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows from the front of a queue, written for one POST.

    Attributes:
        rows: the rows, in the order of their ids, at least one.
        body: the POST's body, not yet compressed.
        data_bytes: how many bytes of `max_bytes` it uses.
        headers: those that belong to this body, `Content-Type` among them.
    """

    rows: tuple[Row, ...]
    body: bytes
    data_bytes: int
    headers: Mapping[str, str]


class Format(Protocol):
    """A way to write rows and to read the server's answer. No I/O, no state."""

    @property
    def compressible(self) -> bool:
        """Whether servers of this format take a compressed body."""

    def batch(self, rows: Sequence[Row], max_bytes: int) -> Batch | None:
        """Write as many rows from the front as fit together into one POST.

        Args:
            rows: in the order of their ids, all of one kind.
            max_bytes: bytes of data at most; a first row that is larger goes alone.

        Returns:
            the batch, equal for equal arguments; None if there are no rows.
        """

    def judge(self, status: int, body: bytes) -> Verdict:
        """Say what the server's answer means for the batch.

        Args:
            status: of HTTP.
            body: the beginning of the answer's body.
        """


def fitting(pieces: Iterable[bytes], room: int, joint: int = 0) -> list[bytes]:
    """Return the pieces from the front that fit into `room` bytes, always at least the first.

    Args:
        pieces: read no further than needed.
        room: bytes.
        joint: bytes between two pieces.
    """
    taken: list[bytes] = []
    for piece in pieces:
        room -= len(piece) + (joint if taken else 0)
        if room < 0 and taken:
            break
        taken.append(piece)
    return taken


def idempotency_key(target: str, rows: Sequence[Row], body: bytes) -> str:
    """Return a text that is the same for the same batch only, in every run of the program."""
    digest = hashlib.sha256()
    for part in (target.encode(), *(b"%d" % row.id for row in rows)):
        digest.update(part + b"\0")
    digest.update(body)
    return digest.hexdigest()[:IDEMPOTENCY_KEY_CHARS]
