"""What the tests of uploading share: a server that misbehaves on demand, a queue, rows."""

import contextlib
import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from fakes import TOKYO, FakeClock
from structlog.testing import LogCapture

from kei.core.reading import Reading, Summary
from kei.core.secret import Secret
from kei.settings.upload import Compress, UploadTarget, What
from kei.store.rows import Row
from kei.upload.batching import Origin
from kei.upload.sender import Sender

LIMIT_S = 60.0  # no test waits longer for anything, however busy the machine is
LONG_AGO_S = 1000.0  # longer than any back-off
KEY = "0123456789abcdef"
TARGET = UploadTarget(
    name="server",
    target_url="http://127.0.0.1/",
    upload_key=Secret(KEY),
    format="json",
    what=What.READINGS,
    cycle_s=60.0,
    max_bytes=65_536,
    min_interval_s=0.0,
    timeout_s=0.3,
    compress=Compress.NONE,
    headers=(),
    since=None,
)
ORIGIN = Origin("host", "base", TOKYO)


class RunningClock(FakeClock):
    """Real seconds for waits on the network, a wall clock that stands still."""

    def monotonic(self) -> float:
        return time.monotonic()


def reading_row(number: int, *, sensor: str = "E7", time_ms: int = 1_700_000_000_000) -> Row:
    value = Decimal(number)
    return Row(number, Reading(time_ms + number * 1000, "BR", sensor, value, "x"))


def summary_row(number: int) -> Row:
    average, low, high = Decimal(number), Decimal(number - 1), Decimal(number + 1)
    start_ms = 1_700_000_000_000 + number * 600_000
    return Row(number, Summary(start_ms, "BR", "E7", average, low, high, 60))


class FakeQueue:
    """The upload queue in memory, for the readings of a target named `server`."""

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self.rows = list(rows)
        self.cursor = 0
        self.aside: list[tuple[int, str]] = []
        self.advance_error: Exception | None = None
        self.sent_until: int | None = None

    def pending(self, target: str, what: What, limit: int) -> list[Row]:
        assert (target, what) == ("server", What.READINGS)
        return [row for row in self.rows if row.id > self.cursor][:limit]

    @property
    def backlog(self) -> int:
        return len([row for row in self.rows if row.id > self.cursor])

    def in_flight(self, target: str, what: What) -> int | None:
        assert (target, what) == ("server", What.READINGS)
        return self.sent_until

    def sending(self, target: str, what: What, last_id: int) -> None:
        assert (target, what) == ("server", What.READINGS)
        self.sent_until = last_id

    def shorten(self, target: str, what: What) -> int:
        assert (target, what) == ("server", What.READINGS)
        return 0

    def advance(self, target: str, what: What, last_id: int) -> None:
        assert (target, what) == ("server", What.READINGS)
        if self.advance_error is not None:
            raise self.advance_error
        self.cursor = max(self.cursor, last_id)
        self.sent_until = None

    def set_aside(self, target: str, what: What, rows: Sequence[Row], reason: str) -> None:
        assert (target, what) == ("server", What.READINGS)
        self.aside += [(row.id, reason) for row in rows]
        self.cursor = max(self.cursor, rows[-1].id)
        self.sent_until = None


@dataclass(frozen=True)
class Post:
    """A request as the server saw it."""

    path: str
    headers: dict[str, str]
    body: bytes
    port: int
    method: str = "POST"


Behaviour = Callable[["Handler", Post], None]


def answer(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Answer as a server should; underscores in names of headers stand for hyphens."""

    def behave(handler: "Handler", post: Post) -> None:
        handler.send_response(status)
        for name, text in headers.items():
            handler.send_header(name.replace("_", "-"), text)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def hang(handler: "Handler", post: Post) -> None:
    """Say nothing until the server is closed."""
    handler.close_connection = True
    handler.board.closing.wait(LIMIT_S)


def drip(start: bytes, piece: bytes) -> Behaviour:
    """Send a beginning at once, then a piece every 20 ms until the other side has enough."""

    def behave(handler: "Handler", post: Post) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(start)
            handler.wfile.flush()
            while not handler.board.closing.wait(0.02):
                handler.wfile.write(piece)
                handler.wfile.flush()

    return behave


def raw(data: bytes) -> Behaviour:
    """Send these bytes and hang up."""

    def behave(handler: "Handler", post: Post) -> None:
        handler.close_connection = True
        handler.wfile.write(data)

    return behave


@dataclass
class Board:
    """What tests and handler threads share."""

    script: "queue.SimpleQueue[Behaviour]" = field(default_factory=queue.SimpleQueue)
    always: Behaviour = field(default_factory=lambda: answer(204))
    posts: list[Post] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    closing: threading.Event = field(default_factory=threading.Event)


Make = Callable[..., Sender]
"""Makes a sender for a queue; other fields of the target by keyword."""


class Handler(BaseHTTPRequestHandler):
    """Does what the board says."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together
    board: ClassVar[Board]

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(size)
        if len(body) < size:  # whoever sent it was killed
            return
        post = Post(self.path, dict(self.headers), body, self.client_address[1], self.command)
        try:
            behave = self.board.script.get_nowait()
        except queue.Empty:
            behave = self.board.always
        self.board.posts.append(post)
        self.board.arrived.release()
        with contextlib.suppress(OSError):
            behave(self, post)
            self.wfile.flush()

    do_GET = do_POST  # noqa: N815 - the base class's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        pass


class Server:
    """An HTTP server on a free port of loopback; answers 204 unless told otherwise."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.board = Board()
        self._scheme = "http" if tls is None else "https"
        handler = type("BoundHandler", (Handler,), {"board": self.board})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if tls is not None:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # part of the game
        self.http.daemon_threads = True
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.http.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/upload.php"

    @property
    def posts(self) -> list[Post]:
        return self.board.posts

    @property
    def bodies(self) -> list[bytes]:
        return [post.body for post in self.board.posts]

    def then(self, *behaviours: Behaviour) -> None:
        """Do these for the next requests, one each."""
        for behave in behaviours:
            self.board.script.put(behave)

    def always(self, behave: Behaviour) -> None:
        """Do this for every request that has nothing else planned."""
        self.board.always = behave

    def wait_for_post(self) -> None:
        """Return when another POST has arrived."""
        assert self.board.arrived.acquire(timeout=LIMIT_S), "no POST arrived"

    def close(self) -> None:
        self.board.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self._thread.join(LIMIT_S)


def rows(count: int) -> FakeQueue:
    return FakeQueue([reading_row(number) for number in range(1, count + 1)])


def values(post: Post) -> list[int]:
    return [item["value"] for item in json.loads(post.body)["readings"]]


def sent(server: Server) -> list[list[int]]:
    return [values(post) for post in server.posts]


def refusing(status: int, *poisoned: int) -> Callable[[Handler, Post], None]:
    """Refuse a batch with one of these values in it, take any other."""

    def behave(handler: Handler, post: Post) -> None:
        bad = not set(poisoned).isdisjoint(values(post))
        answer(status if bad else 204, b"bad data")(handler, post)

    return behave


def taken(server: Server, *poisoned: int) -> list[int]:
    """The values of all batches that `refusing` has taken."""
    good = [batch for batch in sent(server) if set(poisoned).isdisjoint(batch)]
    return [value for batch in good for value in batch]


@contextlib.contextmanager
def silent_listener() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def events(capture: LogCapture, name: str) -> list[dict[str, object]]:
    return [dict(entry) for entry in capture.entries if entry["event"] == name]
