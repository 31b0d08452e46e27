"""A real session over a real pseudo terminal to the simulator, in this process."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from fakes import FastClock
from programs import wait_until

from kei.core.clock import Instant
from kei.echonet.frame import Property
from kei.simulator.port.server import Simulator
from kei.wisun.interfaces import Answer, OnData, State, Transport
from kei.wisun.session import Session

FAST = "sim:latency=0,scan-time=0,join-time=0"


class Memory(dict[str, str]):
    """What the session keeps."""

    def get_state(self, key: str) -> str | None:
        return self.get(key)

    def set_state(self, key: str, value: str) -> None:
        self[key] = value


@dataclass
class Listener:
    """What the session tells."""

    joins: list[tuple[str, Answer]] = field(default_factory=list)
    notifications: list[tuple[Property, ...]] = field(default_factory=list)

    def joined(self, meter: str, first: Answer) -> None:
        self.joins.append((meter, first))

    def ready(self) -> None:
        assert self.joins

    def notified(self, properties: tuple[Property, ...], at: Instant) -> None:
        assert at.time_ms > 0
        self.notifications.append(properties)


@dataclass
class Bench:
    """A session, the simulator that it talks to, and what it said.

    Attributes:
        is_deaf: the dongle hears nothing more, as if the process had been killed.
    """

    session: Session
    simulator: Simulator
    listener: Listener
    memory: Memory
    sent: bytearray
    clock: FastClock
    began: float
    session_thread: threading.Thread
    is_deaf: bool = False

    def says(self, data: bytes) -> None:
        """Have the dongle say something by itself."""
        self.session._link.on_data(data)

    def when(self, state: State, do: Callable[[], object]) -> None:
        """Do something, in the session's thread, whenever it goes on to a state from now on."""
        machine = self.session._machine
        go_on = machine.move_to

        def move_to(to: State) -> None:
            go_on(to)
            if to is state:
                do()

        vars(machine)["move_to"] = move_to

    def pause(self, seconds: float = 1.0) -> None:
        """Let so much time of the session pass."""
        threading.Event().wait(self.clock.wait_s(seconds))

    def wait_for_join(self, count: int = 1, deadline_s: float = 20.0) -> None:
        wait_until(
            lambda: len(self.listener.joins) >= count and self.session.is_joined,
            deadline_s,
            f"{count} joins",
        )


# Is shown what the session sends and may answer by itself: then the dongle does not hear of it.
Meddle = Callable[[bytes, OnData], bool]


class Recording:
    """A transport that also keeps what was sent, and lets somebody meddle."""

    def __init__(
        self, inner: Transport, sent: bytearray, on_data: OnData, meddle: Meddle | None
    ) -> None:
        self._inner = inner
        self._sent = sent
        self._on_data = on_data
        self._meddle = meddle

    def write(self, data: bytes) -> None:
        self._sent += data
        if self._meddle is None or not self._meddle(data, self._on_data):
            self._inner.write(data)

    def holders(self) -> tuple[str, ...]:
        return self._inner.holders()

    def close(self) -> None:
        self._inner.close()
