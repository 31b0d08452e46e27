"""What a session is made of, and what its keeper's steps share."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from kei.core.backoff import Backoff
from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.wisun.counters import Tally
from kei.wisun.interfaces import Memory
from kei.wisun.known_networks import Candidates
from kei.wisun.link import Heard, Link, Tap
from kei.wisun.machine import Troubles
from kei.wisun.priority_lock import Turns
from kei.wisun.requests import Exchange
from kei.wisun.send_gate import Gate
from kei.wisun.skstack import Message


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one session.

    Attributes:
        link: the conversation with the dongle.
        turns: whose turn it is to talk.
        gate: says when not to send.
        exchange: the meter's side of the conversation.
        candidates: the networks to try.
        backoff: the pauses between attempts.
        tally: of the requests.
        troubles: where the end of the session is reported, by whoever notices it.
        incidents: are told.
        clock: wall and monotonic time.
    """

    link: Link
    turns: Turns
    gate: Gate
    exchange: Exchange
    candidates: Candidates
    backoff: Backoff
    tally: Tally
    troubles: Troubles
    incidents: Incidents
    clock: Clock

    @classmethod
    def of(
        cls,
        memory: Memory,
        on_message: Callable[[Message], Heard | None],
        *,
        clock: Clock,
        rng: random.Random,
        tap: Tap | None,
    ) -> "Parts":
        """Return the parts, wired together; see `Session` and `Link` for what is handed in."""
        incidents = Incidents(structlog.stdlib.get_logger("kei.session"), clock)
        gate = Gate(clock)
        link = Link(clock, on_message, tap)
        return cls(
            link=link,
            turns=Turns(),
            gate=gate,
            exchange=Exchange(link, gate, clock, rng),
            candidates=Candidates(memory, incidents),
            backoff=Backoff(rng, first_s=2.0, max_s=600.0, jitter=(0.5, 1.0)),
            tally=Tally(),
            troubles=Troubles(link, gate, incidents, clock),
            incidents=incidents,
            clock=clock,
        )
