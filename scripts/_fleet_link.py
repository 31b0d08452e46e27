"""The network between a fleet and its server, which fails as networks do.

An HTTP proxy on loopback for `rehearse_fleet.py`: what every site asks, and what it was answered,
is kept. The first part of a path is the site's name: `/house-001/write` is `/write` of the server.
"""

import asyncio
import contextlib
import gzip
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

HOST = "127.0.0.1"
BACKLOG = 1024  # connections that wait to be accepted; a herd must not be turned away here
LATENCY_S = 0.3, 1.5  # 3G from a meter box: a packet there and back, and a TCP start
BYTES_A_S = 2_000, 30_000
CUT_SHARE = 0.4  # of the POSTs
PIECE_BYTES = 1_000


class Weather(Enum):
    """How the network is."""

    CLEAR = "all is well"
    REFUSING = "the server is down: connections are refused"
    SILENT = "connections are taken, and nothing is ever answered"
    BUSY = "every POST is answered with 503"
    SLOW = "slow links: 2 to 30 kB/s, 0.3 to 1.5 s"
    CUTTING = "the server takes the rows, but its answer is cut off, four times in ten"


@dataclass(frozen=True, slots=True)
class Post:
    """A POST that has arrived, and ended.

    Attributes:
        site: whose.
        size: of the body as sent, bytes.
        lines: of the body.
        status: of the server's answer, or 503 of this link; None if it never got to the server.
        is_answered: whether the site has got all of the answer.
    """

    site: str
    size: int
    lines: tuple[str, ...]
    status: int | None
    is_answered: bool

    @property
    def is_taken(self) -> bool:
        """Whether the server has its lines."""
        return self.status is not None and 200 <= self.status < 300


class Link:
    """Listens on a port of its own, in a thread of its own.

    Args:
        server_port: of the server behind, on loopback.
        seed: for the speeds and the cuts.

    Attributes:
        port: where sites are to post to.
        posts: in the order in which they ended.
        arrivals: when each began, monotonic seconds, and whose it was.
    """

    def __init__(self, server_port: int, seed: int) -> None:
        self.port = 0
        self.posts: list[Post] = []
        self.arrivals: list[tuple[float, str]] = []
        self._server_port = server_port
        self._rng = Random(seed)
        self._weather = Weather.CLEAR
        self._changed = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    def be(self, weather: Weather) -> None:
        """Change the weather at once, for connections that are open, too."""
        self._do(self._be(weather))

    def close(self) -> None:
        """End all connections and the thread."""
        self._do(self._be(Weather.REFUSING))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(
            self._serve, HOST, self.port, backlog=BACKLOG, limit=2**16
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _be(self, weather: Weather) -> None:
        was, self._weather = self._weather, weather
        self._changed.set()
        self._changed = asyncio.Event()
        if weather is Weather.REFUSING:
            if self._listener is not None:
                self._listener.close()
            self._listener = None
            for writer in self._open:
                writer.transport.abort()
        elif was is Weather.REFUSING:
            await self._listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._pass_on(reader, writer):
                    pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one POST; return whether the connection may go on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        weather, changed = self._weather, self._changed
        first, *lines = head.rstrip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        _, path, _ = first.split(" ")
        _, site, rest = path.split("/", 2)
        self.arrivals.append((time.monotonic(), site))
        body = await self._body(reader, int(headers["content-length"]), weather)
        is_packed = headers.get("content-encoding") == "gzip"
        text = (gzip.decompress(body) if is_packed else body).decode()
        status, answer = None, b""
        if weather is Weather.SILENT:
            await changed.wait()
        elif weather is Weather.BUSY:
            status = 503
        else:
            packed = "Content-Encoding: gzip\r\n" if is_packed else ""
            status, answer = await self._ask(f"/{rest}", packed, body)
        is_cut = weather is Weather.SILENT or (
            weather is Weather.CUTTING and self._rng.random() < CUT_SHARE
        )
        # Counted before the site can hear of it: who looks when nothing waits any more sees all.
        self.posts.append(Post(site, len(body), (*text.splitlines(),), status, not is_cut))
        reply = f"HTTP/1.1 {status} -\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer
        if is_cut:
            writer.write(reply[: self._rng.randrange(len("HTTP/1.1 "))])
        else:
            writer.write(reply)
        await writer.drain()
        return not is_cut

    async def _body(self, reader: asyncio.StreamReader, size: int, weather: Weather) -> bytes:
        if weather is not Weather.SLOW:
            return await reader.readexactly(size)
        await asyncio.sleep(self._rng.uniform(*LATENCY_S))
        bytes_a_s = self._rng.uniform(*BYTES_A_S)
        body = b""
        while piece := await reader.readexactly(min(PIECE_BYTES, size - len(body))):
            body += piece
            await asyncio.sleep(len(piece) / bytes_a_s)
        return body

    async def _ask(self, path: str, more: str, body: bytes) -> tuple[int, bytes]:
        """Post to the server, over a connection of its own; return status and body."""
        reader, writer = await asyncio.open_connection(HOST, self._server_port)
        try:
            head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{more}"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            start, _, answer = (await reader.read()).partition(b"\r\n\r\n")
            return int(start.split(b" ", 2)[1]), answer
        finally:
            writer.close()
