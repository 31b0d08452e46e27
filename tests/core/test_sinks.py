"""Places for log lines that take them late, in part, or not at all."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import PATIENCE_S, wait_until
from structlog.testing import capture_logs

from kei.core.sinks import QUEUE_MAX_BYTES, FilePlace, Sink, StreamPlace

LINE = "x" * 1000


@contextmanager
def piped() -> Iterator[tuple[logging.Logger, Sink, int]]:
    """A logger, its sink, and where its lines are read."""
    reading, writing = os.pipe()
    sink = Sink(StreamPlace("pipe", writing))
    logger = logging.getLogger("test.sinks")
    logger.addHandler(sink)
    logger.setLevel(logging.INFO)
    try:
        yield logger, sink, reading
    finally:
        logger.removeHandler(sink)
        os.close(reading)
        sink.close()
        sink.drain(5)
        os.close(writing)


def all_lines(reading: int) -> list[str]:
    """Everything that comes until a line says `end`."""
    text = ""
    while not text.endswith("end\n"):
        text += os.read(reading, 65_536).decode()
    return text.splitlines()


def test_who_logs_does_not_wait_and_what_was_lost_is_told() -> None:
    with piped() as (logger, _, reading), capture_logs() as told:
        count = 2 * QUEUE_MAX_BYTES // len(LINE)
        for number in range(count):
            logger.info("%d %s", number, LINE)
        found: list[str] = []
        read = threading.Thread(target=lambda: found.extend(all_lines(reading)))
        read.start()
        wait_until(lambda: told, 10, "the count")
        logger.info("end")
        read.join(PATIENCE_S)
    numbers = [int(line.split()[0]) for line in found[:-1]]
    assert numbers == list(range(len(numbers))), "in order, and the last ones are missing"
    assert told == [
        {
            "event": "log_lines_lost",
            "log_level": "warning",
            "sink": "pipe",
            "count": count - len(numbers),
        }
    ]


def test_what_waits_has_a_bound() -> None:
    with piped() as (logger, sink, _):
        for _ in range(3 * QUEUE_MAX_BYTES // len(LINE)):
            logger.info(LINE)
        assert sum(map(len, sink._lines)) <= QUEUE_MAX_BYTES


def test_a_flush_ends_when_nobody_reads() -> None:
    with piped() as (logger, sink, _):
        for _ in range(200):
            logger.info(LINE)
        sink.drain(0.05)
        assert sink._lines


def test_a_line_that_was_torn_by_a_full_disk_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log"
    sink = Sink(FilePlace(file))
    logger = logging.getLogger("test.sinks")
    logger.addHandler(sink)
    logger.setLevel(logging.INFO)
    write = os.write
    left = [4]

    def full_disk(descriptor: int, data: bytes) -> int:
        if left and left[0] == 0:
            raise OSError(28, "no space")
        count = write(descriptor, data[: left[0]] if left else data)
        if left:
            left[0] -= count
        return count

    monkeypatch.setattr("kei.core.sinks.os.write", full_disk)
    logger.info("one line")
    sink.drain(5)
    left.clear()
    logger.info("another")
    sink.drain(5)
    sink.close()
    logger.removeHandler(sink)
    assert file.read_text().splitlines() == ["one ", "another"]


def test_a_stream_that_somebody_made_non_blocking_gets_every_line() -> None:
    with piped() as (logger, sink, reading):
        place = sink._place
        os.set_blocking(place.descriptor(), False)
        for number in range(150):
            logger.info("%d %s", number, LINE)
        logger.info("end")
        assert len(all_lines(reading)) == 151
