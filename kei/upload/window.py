"""Which rows go next: the memory of batches that failed, without I/O.

Two things must be remembered from one POST to the next. A batch whose fate is unknown has to go
again with exactly the same rows, or else the server could not tell the repeat from new data. And
of a batch that was refused, some row is to blame: it is found by halving.
"""

from collections.abc import Sequence

from kei.store.rows import Row


class Window:
    """A view of the front of one queue.

    Args:
        max_bytes: bytes of data in one batch at most.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._room = max_bytes
        self._repeat: tuple[int, int] | None = None  # first and last id of a batch
        self._suspect_to: int | None = None  # among the rows up to this id is one to blame
        self._accused: int | None = None
        self._refuses_all = False

    @property
    def refuses_all(self) -> bool:
        """Whether the server has refused all that it was sent lately, whatever was in it."""
        return self._refuses_all

    @property
    def max_bytes(self) -> int:
        """Bytes of data in the next batch at most; less than allowed once a server said so."""
        return self._room

    @property
    def accused(self) -> int | None:
        """The id of a row that stands at the front and waits for the fate of the next one."""
        return self._accused

    def choose(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows from which the next batch is to be made.

        Args:
            rows: the front of the queue.

        Returns:
            rows in a row; empty if there are none, or none behind the accused one.
        """
        if self._accused is not None:
            rest = [row for row in rows if row.id > self._accused]
            return rest[:1]
        if self._repeat is not None:
            first, last = self._repeat
            again = [row for row in rows if first <= row.id <= last]
            if again:
                return again
            self._repeat = None  # the bounded queue has dropped them
        if self._suspect_to is not None:
            suspects = [row for row in rows if row.id <= self._suspect_to]
            if suspects:
                return suspects[: max(1, len(suspects) // 2)]
            self._suspect_to = None
        return rows

    def resume(self, last_id: int) -> None:
        """Nobody knows whether the server has the rows up to this id: they go first, together."""
        self._repeat = (0, last_id)

    def unknown(self, sent: Sequence[Row]) -> None:
        """Nobody knows whether the server has these rows: the same ones go next."""
        if self._accused is None:
            self._repeat = (sent[0].id, sent[-1].id)
        self._accused = None

    def accepted(self, sent: Sequence[Row]) -> None:
        """The server has these rows, which leave the queue."""
        self._repeat = self._accused = None
        self._refuses_all = False
        if self._suspect_to is not None and sent[-1].id >= self._suspect_to:
            self._suspect_to = None

    def refused(self, sent: Sequence[Row]) -> None:
        """One of these rows is to blame; if it is a single row, it leaves the queue."""
        self._repeat = self._accused = None
        self._suspect_to = sent[-1].id if len(sent) > 1 else None

    def too_large(self, sent: Sequence[Row], data_bytes: int) -> None:
        """These rows are too many bytes for the server; a single row leaves the queue."""
        self._repeat = self._accused = None
        self._room = data_bytes // 2 if len(sent) > 1 else self._max_bytes

    def accuse(self, row: Row) -> None:
        """This row alone was refused, but it may be that nothing gets through at all.

        The row behind it goes next, as a witness: until its fate is known, nobody is to blame.
        """
        self._repeat = None
        self._suspect_to = self._accused = row.id

    def acquit(self) -> None:
        """The fate of the witness is unknown: the accused row goes next, alone."""
        self._accused = None

    def all_refused(self) -> None:
        """The witness was refused, too: it is not a row that is to blame."""
        self._repeat = self._suspect_to = self._accused = None
        self._refuses_all = True

    def gone(self) -> None:
        """The rows that were sent leave the queue all together."""
        self._repeat = self._suspect_to = None
