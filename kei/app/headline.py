"""What a running kei is doing, in one line for `systemctl status`."""

from collections.abc import Iterator
from dataclasses import dataclass

from kei.wisun.interfaces import State

_ON_THE_WAY = {
    State.INIT: "waiting for the dongle's port",
    State.OPEN: "looking for a dongle at the port",
    State.SETUP: "setting the dongle up",
    State.SCAN: "scanning for the meter",
    State.JOIN: "joining the meter",
    State.JOINED: "meter joined",
}


@dataclass(frozen=True, slots=True)
class Doings:
    """What is being done, and what is in the way; to be had without waiting for anybody.

    Attributes:
        meter: how far the way to the meter has been gone; None without a meter.
        ports: of sensors, by whether each is open.
        full: the places that readings cannot be written to at present.
        failing: names of the upload targets whose last attempt failed.
    """

    meter: State | None
    ports: tuple[bool, ...]
    full: tuple[str, ...]
    failing: tuple[str, ...]


def headline(doings: Doings) -> str:
    """Say it in one line for people, without times or counters: it changes when something does."""
    return "; ".join(_parts(doings)) or "nothing to record"


def _parts(doings: Doings) -> Iterator[str]:
    if doings.meter is not None:
        yield _ON_THE_WAY[doings.meter]
    if doings.ports:
        yield f"{sum(doings.ports)} of {len(doings.ports)} sensor ports open"
    for place in doings.full:
        yield f"{place} cannot be written, readings wait in memory"
    if doings.failing:
        yield f"upload failing: {', '.join(doings.failing)}"
