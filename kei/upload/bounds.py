"""Bounds of a POST: how long all of it may take, and how much the server may say.

The time limits of requests are for one operation of a socket each: a server that says a byte now
and then, or `100 Continue` for ever, keeps within them. So the connections of this module ask the
bounds before every operation.
"""

import errno
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import allowed_gai_family

from kei.core.clock import Clock
from kei.upload.lean_requests import requests

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ANSWER_MAX_BYTES = 131_072  # headers, 64 KiB of body and what packs it; on Wi-Fi that is a moment
_PIECE_BYTES = 16_384  # one record of TLS: it goes out in one operation


class Bounds:
    """What is left of the time for a POST.

    Args:
        clock: measures it.
        limit_s: for all of it, seconds.
        silence_s: for one operation, seconds.
    """

    def __init__(self, clock: Clock, limit_s: float, silence_s: float) -> None:
        self._clock = clock
        self._end = clock.monotonic() + limit_s
        self._silence_s = silence_s

    def wait_s(self) -> float:
        """Return how long the next operation may take, seconds.

        Raises:
            TimeoutError: the time is over.
        """
        left_s = self._end - self._clock.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        return min(left_s, self._silence_s)


_present: ContextVar[Bounds] = ContextVar("bounds of the POST under way in this thread")


@contextmanager
def bounded(bounds: Bounds) -> Iterator[None]:
    """Have the connections that this thread uses keep to these bounds."""
    token = _present.set(bounds)
    try:
        yield
    finally:
        _present.reset(token)


class BoundedAdapter(requests.adapters.HTTPAdapter):
    """Sends by connections that keep to the bounds, to a server or a proxy."""

    def init_poolmanager(self, *args: Any, **settings: Any) -> None:
        """Prepare connections to servers."""
        super().init_poolmanager(*args, **settings)
        _bind(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **settings: Any) -> PoolManager:
        """Return what has the connections to a proxy."""
        return _bind(super().proxy_manager_for(proxy, **settings))


def _bind(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


class _Answer(HTTPResponse):
    """An answer that is read within the bounds."""

    def __init__(self, sock: socket.socket, *args: Any, **settings: Any) -> None:
        super().__init__(sock, *args, **settings)
        self.fp = io.BufferedReader(_Reader(sock, self.fp.detach()))

    def begin(self) -> None:
        """Read up to the body; of what comes before the answer, http.client skips 100 only."""
        super().begin()
        while 100 < self.status < 200 and self.status != HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = None  # type: ignore[assignment]  # as before the first one
            super().begin()


class _Reader(io.RawIOBase):
    """The bytes of one answer, from its status line on."""

    def __init__(self, sock: socket.socket, stream: io.RawIOBase) -> None:
        super().__init__()
        self._sock = sock
        self._stream = stream
        self._left = ANSWER_MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        if self._left <= 0:
            raise OSError(errno.EMSGSIZE, "the answer does not end")
        self._sock.settimeout(_present.get().wait_s())
        count: int | None = self._stream.readinto(buffer)
        self._left -= count or 0
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Bounded(HTTPConnection):
    response_class = _Answer

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that takes it, all of them within the bounds."""
        fault = OSError(errno.EADDRNOTAVAIL, "the host has no address")
        family = allowed_gai_family()
        for address in socket.getaddrinfo(self._dns_host, self.port, family, socket.SOCK_STREAM):
            sock = socket.socket(*address[:3])
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(_present.get().wait_s())
                sock.connect(address[4])
                sock.settimeout(_present.get().wait_s())  # for a TLS handshake as a whole
            except OSError as error:
                sock.close()
                fault = error
            else:
                return sock
        raise fault

    def send(self, data: Any) -> None:
        """Send bytes, however slowly they are taken, within the bounds."""
        if self.sock is None:
            self.connect()
        for start in range(0, len(data), _PIECE_BYTES):
            self.sock.settimeout(_present.get().wait_s())
            super().send(data[start : start + _PIECE_BYTES])


class _BoundedTls(_Bounded, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Bounded


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedTls
