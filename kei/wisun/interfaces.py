"""Where the session ends and others begin: what it is given, and whom it tells."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kei.core.secret import Secret
from kei.echonet.frame import Property
from kei.wisun.commands import Dongle, Network
from kei.wisun.dialects import Dialect
from kei.wisun.requests import Answer
from kei.wisun.states import State
from kei.wisun.transport import OnData, OnLost, Transport


@dataclass(frozen=True, slots=True)
class Settings:
    """What the session needs to know from the configuration.

    Attributes:
        broute_id: 32 hex digits.
        broute_pwd: 12 characters.
        dialect: of the dongle; None to recognise it.
        first_epcs: what to ask right after joining, as the proof of the session.
    """

    broute_id: Secret
    broute_pwd: Secret
    dialect: Dialect | None
    first_epcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """What the session is doing, for people and programs to see.

    Attributes:
        state: how far the way to the meter has been gone.
        since_s: seconds since the meter was joined, or since it has been no more (or not yet).
        network: the meter's, the last one that was tried; None until one was found.
        dongle: None until it has been recognised.
        lqi: link quality of the meter's last frame, 0..255; None if no frame told it.
        answered: requests since the start that the meter answered.
        missed: requests since the start that it did not answer.
        held_back: requests since the start that could not be put to it.
        ignored_frames: late, double, foreign and damaged ones since the start.
        noise_lines: lines of the dongle since the start that mean nothing.
    """

    state: State
    since_s: float
    network: Network | None
    dongle: Dongle | None
    lqi: int | None
    answered: int
    missed: int
    held_back: int
    ignored_frames: int
    noise_lines: int


class Memory(Protocol):
    """Where the session keeps what it wants to know after a restart."""

    def get_state(self, key: str) -> str | None:
        """Return what was kept under the key; StoreError if that fails."""

    def set_state(self, key: str, value: str) -> None:
        """Keep a text under the key; StoreError if that fails."""


class Listener(Protocol):
    """Who wants to hear of the meter; called in the keeper's thread, and may ask the meter."""

    def joined(self, meter: str, first: Answer) -> None:
        """Take the MAC address of the meter that has been joined and its first answer."""

    def ready(self) -> None:
        """Hear that the meter can be asked from now on."""

    def notified(self, properties: tuple[Property, ...], at_ms: int) -> None:
        """Take what the meter sent by itself."""


OpenPort = Callable[[OnData, OnLost], Transport]
