"""Connections to the page: how many, for how long, and who has to go.

The only module that knows waitress. Its own limits are for idle connections: one that sends a byte
now and then lives for ever, and a hundred of those keep everybody else out.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeAlias

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask

from kei.core.clock import Clock
from kei.settings.web import Address

Application: TypeAlias = Callable[..., Any]

THREADS = 3  # that answer: two may wait for the disk
CONNECTIONS_MAX = 64  # 20 browsers that all load the page have fewer at a time
REQUEST_S = 10.0  # to send a request
LIFE_S = 30.0  # to get the answer besides
HEADER_MAX_BYTES = 16_384  # a browser's have 1 KiB
BODY_MAX_BYTES = 1024  # nobody has anything to send
ANSWER_MAX_BYTES = 2 * 1024 * 1024  # in memory: the longest answer, and then some
LOOK_S = 1.0
STOP_S = 0.3


class _OneAnswer(WSGITask):
    """A request whose connection is closed behind the answer: the next one asks anew.

    Requests that a client sends all at once would otherwise fill memory with answers.
    """

    def execute(self) -> None:
        self.request.headers["CONNECTION"] = "close"
        super().execute()


class _Channel(HTTPChannel):
    """A connection."""

    task_class = _OneAnswer

    def __init__(self, server: "Connections", *args: Any, **kwargs: Any) -> None:
        self.begun = server.clock.monotonic()
        super().__init__(server, *args, **kwargs)

    def is_late(self, now: float) -> bool:
        """Whether it has had its time; one that has not asked yet has less."""
        limit_s = LIFE_S if self.requests or self.total_outbufs_len else REQUEST_S
        return now - self.begun > limit_s


class _Threads(ThreadedTaskDispatcher):
    """A few threads that answer; what takes no time does not wait behind what reads the disk."""

    def __init__(self, quick: Collection[str]) -> None:
        super().__init__()
        self._quick = quick

    def add_task(self, task: _Channel) -> None:
        """Have a connection's request answered; any thread."""
        is_quick = getattr(task.requests[0], "path", "") in self._quick  # a broken one has none
        with self.lock:
            (self.queue.appendleft if is_quick else self.queue.append)(task)
            self.queue_cv.notify()


class Connections(TcpWSGIServer):
    """All connections to one address; see `serve`."""

    channel_class = _Channel

    def __init__(self, application: Application, clock: Clock, **kwargs: Any) -> None:
        self.clock = clock
        self._looked = clock.monotonic()
        super().__init__(application, **kwargs)

    def handle_accept(self) -> None:
        """Accept a connection; of too many the oldest that nothing is done for is closed."""
        super().handle_accept()
        if len(self.active_channels) > CONNECTIONS_MAX:
            waiting = [each for each in self.active_channels.values() if not each.requests]
            if waiting:
                min(waiting, key=lambda each: each.begun).handle_close()

    def maintenance(self, now: float) -> None:
        """Do nothing: waitress goes by the wall clock, which may be set."""

    def run(self, stopping: threading.Event) -> None:
        """Serve until it is to stop."""
        while not stopping.is_set():
            self.asyncore.loop(timeout=LOOK_S, use_poll=True, map=self._map, count=1)
            now = self.clock.monotonic()
            if now - self._looked >= LOOK_S:
                self._looked = now
                for channel in list(self.active_channels.values()):
                    if channel.is_late(now):
                        channel.handle_close()

    def wake(self) -> None:
        """Have `run` look whether it is to stop; any thread."""
        self.pull_trigger()


@contextlib.contextmanager
def serve(
    application: Application, address: Address, clock: Clock, quick: Collection[str] = ()
) -> Iterator[Connections]:
    """Listen at an address for as long as the block lasts.

    Args:
        application: WSGI; called by one of a few threads.
        address: where.
        clock: by which connections have their time.
        quick: paths that are answered before all others.

    Raises:
        OSError: that is not to be had.
    """
    settings = Adjustments(
        listen=str(address),
        threads=THREADS,
        connection_limit=4 * CONNECTIONS_MAX,  # never reached, see `handle_accept`
        max_request_header_size=HEADER_MAX_BYTES,
        max_request_body_size=BODY_MAX_BYTES,
        outbuf_overflow=ANSWER_MAX_BYTES,
        inbuf_overflow=2 * BODY_MAX_BYTES,
        ident=None,
        expose_tracebacks=False,
        log_socket_errors=False,
        clear_untrusted_proxy_headers=True,
    )
    threads = _Threads(quick)
    sockets: dict[int, Any] = {}
    try:
        server = Connections(application, clock, map=sockets, dispatcher=threads, adj=settings)
        threads.set_thread_count(THREADS)
        yield server
    finally:
        threads.shutdown(timeout=STOP_S)
        for each in list(sockets.values()):
            each.close()
