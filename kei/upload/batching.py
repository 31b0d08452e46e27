"""Batches: what a format is, and which rows go into the next batch. No I/O."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from kei.settings.upload import UploadTarget
from kei.store.rows import Row
from kei.upload.health import Health, HealthReport
from kei.upload.retry import Verdict, by_status

IDEMPOTENCY_KEY_CHARS = 32  # 128 bits: no two batches of a lifetime share one

# Failures of the server in a row, with growing pauses, until the rows may be the reason. What a
# server that is only busy or down fails on is then taken, or the probe row fails as well.
FAILURES_OF_BATCH = 3
FAILURES_OF_ROW = 5
REACH_MAX = 512  # rows; a quarter of the largest batch


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows from the front of a queue, written for one POST.

    Attributes:
        rows: the rows, in the order of their ids; none in a batch of health alone.
        body: the POST's body, not yet compressed.
        data_bytes: how many bytes of `max_bytes` it uses.
        headers: those that belong to this body, `Content-Type` among them.
    """

    rows: tuple[Row, ...]
    body: bytes
    data_bytes: int
    headers: Mapping[str, str]


class Format(ABC):
    """Writes rows as the body of a POST and reads the server's answer. No I/O, no state."""

    @abstractmethod
    def batch(self, rows: Sequence[Row], max_bytes: int) -> Batch | None:
        """Write as many rows from the front as fit together into one POST.

        Args:
            rows: in the order of their ids, either all readings or all summaries.
            max_bytes: bytes of data at most; a first row that is larger goes alone.

        Returns:
            the batch, equal for equal arguments; None if there are no rows.
        """

    def with_health(self, batch: Batch | None, health: Health) -> Batch:
        """Return a batch with a kei's health added, or one of that alone.

        What tells a repeat of the batch from new data stays as it is. Only asked of a format whose
        `FormatSpec.has_health` is set.
        """
        raise NotImplementedError

    def judge(self, status: int, body: bytes) -> Verdict:  # noqa: ARG002  free text for most
        """Return what an answer means, by its status and the beginning of its body."""
        return by_status(status)


@dataclass(frozen=True, slots=True)
class Origin:
    """The kei that sends.

    Attributes:
        source: name of the site.
        fname_base: end of the daily files' names.
        zone: local time.
        health: says how it is, where the target is to know that.
    """

    source: str
    fname_base: str
    zone: tzinfo
    health: HealthReport | None = None


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """What jobs.toml and the sender know of a format: the constant `FORMAT` of its module.

    Attributes:
        name: `format` in jobs.toml.
        needs_key: whether `upload_key` has to be set.
        compressible: whether servers of this format take a compressed body.
        build: makes the format of a target.
        has_health: whether `Format.with_health` can do it.
        query: parameters that `target_url` has to have; those that are not given are added.
        order: place in lists of formats; those of the same order go by name.
    """

    name: str
    needs_key: bool
    compressible: bool
    build: Callable[[UploadTarget, Origin], Format]
    has_health: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    order: int = 100


def with_query(url: str, wanted: Mapping[str, str]) -> str:
    """Return an address with these parameters added, where it has none of their names."""
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    added = urlencode({name: text for name, text in wanted.items() if name not in given})
    query = "&".join(filter(None, (parts.query, added)))
    return urlunsplit(parts._replace(query=query))


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


def idempotent_batch(
    target: UploadTarget, rows: Sequence[Row], body: bytes, content_type: str, key_scheme: str
) -> Batch:
    """Return a batch whose repeats a server recognises by the header `Idempotency-Key`.

    Args:
        target: where to; its key, if it has one, goes into the header `Authorization`.
        rows: those that the body has.
        body: the data and nothing else.
        content_type: of the body.
        key_scheme: what stands before the key in `Authorization`.
    """
    headers = {
        "Content-Type": content_type,
        "Idempotency-Key": idempotency_key(target.name, rows, body),
    }
    if target.upload_key is not None:
        headers["Authorization"] = f"{key_scheme} {target.upload_key.reveal()}"
    return Batch(rows=tuple(rows), body=body, data_bytes=len(body), headers=headers)


class RowSelector:
    """Selects the rows of the next batch, by what became of the batches before.

    A batch that the server may or may not have is repeated with exactly the same rows, or else the
    server could not tell the repeat from new data. In one that was refused, or on which the server
    failed again and again, the bad row is searched for by halving. For suspect row and probe row
    see `kei.upload.sender`.

    Attributes:
        max_bytes: bytes of data in the next batch at most; fewer once a server has said so.
        suspect: the suspect row, while its probe row is to be sent; else None.
        suspect_failed: whether the server fails on the suspect row; or else it was refused.
        reach: how far behind the suspect row the probe row is, in rows; 1 unless earlier ones were
            not taken.
        refuses_all: whether the server has lately refused whatever it was sent as it does with a
            wrong address or key.
        refused_rows: single rows that were refused for what they are, since one was accepted.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.suspect: Row | None = None
        self.suspect_failed = False
        self.reach = 1
        self.refuses_all = False
        self.refused_rows = 0
        self._behind = 0  # rows behind the suspect row, among which its probe rows are
        self._failures = 0  # of the server, since it accepted something
        self._configured_bytes = max_bytes
        self._repeat: tuple[int, int] | None = None  # first and last id of a batch
        self._search_until: int | None = None  # a bad row is among those up to this id

    @property
    def is_searching(self) -> bool:
        """Whether a bad row is being looked for, so that nothing else may be in a POST."""
        return self._search_until is not None

    def select(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows from which the next batch is to be made.

        Returns:
            some of them, without gaps; none if there are none, or no probe row yet.
        """
        if self.suspect is not None:
            behind = [row for row in rows if row.id > self.suspect.id][:REACH_MAX]
            self._behind = len(behind)
            return behind[: self.reach][-1:]
        if self._repeat is not None:
            first, last = self._repeat
            again = [row for row in rows if first <= row.id <= last]
            if again:
                return again
            self._repeat = None  # the bounded queue has dropped them
        if self._search_until is not None:
            searched = [row for row in rows if row.id <= self._search_until]
            if searched:
                return searched[: max(1, len(searched) // 2)]
            self._search_until = None
        return rows

    def resume(self, last_id: int) -> None:
        """After a restart: the server may have the rows up to this id, so they go together."""
        self._repeat = (0, last_id)

    def unknown(self, sent: Sequence[Row]) -> None:
        """The server may or may not have these rows: the same go next, the suspect row first."""
        if self.suspect is None:
            self._repeat = (sent[0].id, sent[-1].id)
        self.suspect = None

    def accepted(self, sent: Sequence[Row]) -> None:
        """The server has these rows, which leave the queue."""
        was_found = self.suspect is not None and self.suspect_failed
        is_searching = self._search_until is not None and sent[-1].id < self._search_until
        self._repeat = self.suspect = None
        self.reach = 1
        self.refuses_all = False
        self.refused_rows = 0
        if not is_searching:
            self._search_until = None
            # The row behind one that was found may be like it, and is not waited for as long again.
            self._failures = FAILURES_OF_BATCH if was_found else 0

    def failed(self, sent: Sequence[Row]) -> bool:
        """The server failed on these rows; return whether to go on looking for a bad one at once.

        If not, the same rows go next. A single row that is not to be sent again is the suspect row.
        """
        self._failures += 1
        if len(sent) > 1:
            is_searching = self._search_until is not None or self._failures >= FAILURES_OF_BATCH
        else:
            is_searching = self._failures >= FAILURES_OF_ROW
        if not is_searching:
            self.unknown(sent)
        elif len(sent) > 1:
            self._repeat, self._search_until = None, sent[-1].id
        else:
            self.start_probe(sent[0])
            self.suspect_failed = True
        return is_searching

    def refused(self, sent: Sequence[Row]) -> None:
        """One of these rows is bad; if it is a single row, it leaves the queue."""
        self._repeat = self.suspect = None
        self._failures = 0
        self.refused_rows += len(sent) == 1
        self._search_until = sent[-1].id if len(sent) > 1 else None

    def too_large(self, sent: Sequence[Row], data_bytes: int) -> None:
        """These rows are too many bytes for the server; a single row leaves the queue."""
        self._repeat = self.suspect = None
        self.max_bytes = data_bytes // 2 if len(sent) > 1 else self._configured_bytes

    def start_probe(self, suspect: Row) -> None:
        """Only this row was sent, and it was refused: the row behind it goes next."""
        self._repeat = None
        self._search_until, self.suspect = suspect.id, suspect
        self.suspect_failed = False

    def cancel_probe(self) -> None:
        """There is no probe row: the suspect row goes next, alone, if it is still there."""
        self.suspect = None

    def probe_not_taken(self) -> None:
        """As above; the next probe row is another one, as this one may be bad, too.

        Twice as far away each time; behind the last row it begins anew with the next odd number, so
        that each row comes once before one comes again.
        """
        self.suspect = None
        if self.suspect_failed:
            odd = self.reach // (self.reach & -self.reach)
            following = (2 * self.reach, odd + 2)
            self.reach = next((reach for reach in following if reach <= self._behind), 1)

    def probe_refused(self) -> None:
        """The probe row was refused, too: the server refuses everything."""
        self._repeat = self._search_until = self.suspect = None
        self.refuses_all = True

    def set_aside(self) -> None:
        """The rows that were sent leave the queue all together."""
        self._repeat = self._search_until = None
        self._failures = 0
