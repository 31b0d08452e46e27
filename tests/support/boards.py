"""The other end of a serial port: a board with sensors, played by a test on a pseudo terminal."""

import os
import select
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from programs import Program, wait_until

WRITE_LIMIT_S = 20.0


class Board:
    """A board whose port has a name of its own, and which can be plugged in and out."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self._master = -1

    def plug_in(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.link.symlink_to(os.ttyname(slave))
        os.close(slave)
        os.set_blocking(self._master, False)

    def unplug(self) -> None:
        if self._master >= 0:
            self.link.unlink(missing_ok=True)
            os.close(self._master)
            self._master = -1

    def send(self, data: bytes) -> None:
        """Write everything, as fast as it is read at the other end."""
        while data:
            _, ready, _ = select.select([], [self._master], [], WRITE_LIMIT_S)
            assert ready, f"nobody reads {self.link}"
            data = data[os.write(self._master, data) :]

    def lines(self, *lines: str) -> None:
        self.send("".join(f"{line}\r\n" for line in lines).encode())


@contextmanager
def board(link: Path) -> Iterator[Board]:
    """A board that is plugged in, and is gone when the block ends."""
    made = Board(link)
    made.plug_in()
    try:
        yield made
    finally:
        made.unplug()


def wait_for_port(kei: Program, board: Board, count: int = 1) -> None:
    """Wait until kei has opened the port of a board, for the how-manieth time."""

    def opened() -> bool:
        events = kei.events("sensor_port_opened")
        return sum(event["port"] == str(board.link) for event in events) >= count

    kei.wait_for(opened, 20, f"{board.link} opened")


def write_serial_jobs(folder: Path, *ports: Path | str, more: str = "", below: str = "") -> Path:
    """A jobs.toml with sensors only; returns its path.

    Args:
        folder: for it and for its files.
        ports: one table each.
        more: goes into each of these tables.
        below: stands at the end.
    """
    tables = [f'[[serial]]\nport = "{port}"\n{more}\n' for port in ports]
    path = folder / "jobs.toml"
    path.write_text("".join(tables) + below)
    return path


def wait_for_lines(condition: Callable[[], int], count: int, what: str) -> None:
    wait_until(lambda: condition() >= count, 30, f"{count} {what}")
