"""The status server of a running kei: a local socket that gives everybody the status document.

It listens on an abstract unix socket, whose name comes from the path of the database: so it needs
no file that a crash could leave behind, there is no limit to the length of a path, and two kei
with different databases have different sockets. Abstract sockets exist on Linux only, separately
in each network namespace (unix(7), network_namespaces(7)). They have no permissions: the document
must contain nothing that not everybody on the machine may know, and any process may take the name.
So a client believes only a process of the user who owns the database, of root, or of its own user.

There are no requests: each connection gets one document and is closed. What a client sends is
never read, and a client that does not read is disconnected after a second.
"""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from kei.core.abstract_sockets import Peer, owner, peer, socket_name
from kei.core.clock import Clock
from kei.core.errors import RetryLater
from kei.core.incidents import Incidents

log = structlog.stdlib.get_logger("kei.control")

ANSWER_MAX_BYTES = 256 * 1024  # a dozen uploads and ten log lines have 10 KiB
SEND_LIMIT_S = 1.0  # a usual answer fits into the socket's buffer, so that nothing blocks
REUSE_S = 0.25  # so long a document is sent again: a flood of clients must not cost much
QUEUE_LENGTH = 16  # clients that wait; further ones try again by themselves
RETRY_S = 1.0
ASK_LIMIT_S = 10.0  # a disk that stalls holds an answer up for 5 s
LOOK_AGAIN_S = 0.05
_RECEIVE_BYTES = 65_536


def address(database: Path) -> str:
    """Return the name of the socket of a database, the same for each spelling of its path."""
    return socket_name("status", os.path.realpath(database))


class Impostor(RetryLater):
    """A process of another user has taken the name of kei's status socket."""


class StatusServer:
    """Sends the present status document to each client that connects.

    Args:
        database: that this kei uses.
        answer: makes the document, at most 256 KiB; called in the thread of `run`.
        clock: for the age of a document.
    """

    def __init__(self, database: Path, answer: Callable[[], bytes], clock: Clock) -> None:
        self._address = address(database)
        self._answer = answer
        self._clock = clock
        self._incidents = Incidents(log, clock)
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._document = b""
        self._made: float | None = None

    def run(self) -> None:
        """Answer until `stop`; never raises, whatever clients and the system do."""
        while not self._stopping.is_set():
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                    listener.bind(self._address)
                    listener.listen(QUEUE_LENGTH)
                    self._incidents.ended("status_unavailable")
                    # Before the look at `_stopping`, and `stop` has it the other way round.
                    self._listener = listener
                    self._serve(listener)
            except OSError as error:
                self._incidents.raised(
                    "status_unavailable",
                    reason=error.strerror or str(error),
                    held_by=_described(owner(self._address)),
                )
                self._stopping.wait(RETRY_S)

    def stop(self) -> None:
        """Make `run` return soon; any thread."""
        self._stopping.set()
        listener = self._listener
        if listener is not None:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            except OSError as error:
                log.debug("status_stopped_already", reason=str(error))

    def _serve(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if self._stopping.is_set():
                    return
                self._incidents.raised("status_not_accepting", reason=error.strerror or str(error))
                self._stopping.wait(RETRY_S)
                continue
            self._incidents.ended("status_not_accepting")
            with connection:
                self._send_document(connection)

    def _send_document(self, connection: socket.socket) -> None:
        document = self._present_document()
        try:
            connection.settimeout(SEND_LIMIT_S)
            connection.sendall(document)
        except OSError as error:
            log.debug("status_not_taken", reason=str(error))

    def _present_document(self) -> bytes:
        """Return a document of at most `REUSE_S` ago; an empty one if none can be made."""
        now = self._clock.monotonic()
        if self._made is None or now - self._made >= REUSE_S:
            try:
                self._document = self._answer()
                if len(self._document) > ANSWER_MAX_BYTES:
                    raise ValueError(f"a status of {len(self._document)} bytes")
                self._incidents.ended("status_failed")
            except Exception as error:  # noqa: BLE001 - our own mistake; it must not end the thread
                self._document = b""
                self._incidents.raised("status_failed", reason=repr(error))
            self._made = now
        return self._document


def ask(database: Path, clock: Clock, limit_s: float = ASK_LIMIT_S) -> bytes | None:
    """Return the status document of the running kei.

    Args:
        database: that it uses.
        clock: for the time limit.
        limit_s: how long it may take altogether.

    Returns:
        the document, at most 256 KiB, from a program that may be any other; None if no kei runs.

    Raises:
        Impostor: a process of another user has the name; nothing was read from it.
        RetryLater: one runs, but does not answer.
    """
    believed = _believed_users(database)
    deadline = clock.monotonic() + limit_s
    pause = threading.Event()
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.settimeout(0)  # or else a full queue would be waited for without limit
                connection.connect(address(database))
                if (other := peer(connection)).uid not in believed:
                    whose = f"its status socket belongs to {_described(other)}"
                    raise Impostor(f"{whose}, who is not believed")
                return _received(connection, deadline, clock)
            except ConnectionRefusedError:
                return None
            except BlockingIOError:  # too many others wait for their turn
                if clock.monotonic() >= deadline:
                    raise RetryLater("kei does not answer: too many others ask") from None
            except TimeoutError:
                raise RetryLater(f"kei does not answer within {limit_s:g} s") from None
            except OSError as error:
                raise RetryLater(f"kei does not answer: {error.strerror or error}") from None
        pause.wait(LOOK_AGAIN_S)


def _believed_users(database: Path) -> frozenset[int]:
    """Return the users whose process may be the kei of a database, which need not exist yet."""
    mine = {0, os.geteuid()}
    for path in (database, *database.absolute().parents):
        try:
            return frozenset({path.stat().st_uid, *mine})
        except FileNotFoundError:
            continue
        except OSError:
            break
    return frozenset(mine)


def _described(other: Peer | None) -> str | None:
    return None if other is None else f"process {other.pid} of user {other.uid}"


def _received(connection: socket.socket, deadline: float, clock: Clock) -> bytes:
    document = bytearray()
    while len(document) <= ANSWER_MAX_BYTES:
        left_s = deadline - clock.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        piece = connection.recv(_RECEIVE_BYTES)
        if not piece:
            return bytes(document)
        document += piece
    raise RetryLater("kei's answer has no end")
