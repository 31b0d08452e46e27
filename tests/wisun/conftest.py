"""Starts sessions for the tests of this folder and ends them."""

import random
import threading
from collections.abc import Callable, Iterator

import pytest
from fakes import FastClock
from programs import BROUTE_ID, BROUTE_PWD
from session_bench import FAST, Bench, Listener, Memory, Recording

from kei.secret import Secret
from kei.simulator.options import parse_sim_port
from kei.simulator.pty import Simulator
from kei.wisun.seams import Settings
from kei.wisun.session import Session
from kei.wisun.transport import OnData, OnLost, SerialTransport, Transport

Start = Callable[..., Bench]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a session against a simulator with these options; everything ends with the test."""
    benches: list[tuple[Bench, list[threading.Thread]]] = []

    def start_one(
        options: str = "",
        *,
        memory: Memory | None = None,
        password: str = BROUTE_PWD,
        speed: float = 10.0,
    ) -> Bench:
        clock = FastClock(speed)
        simulator = Simulator(parse_sim_port(FAST + options), clock=clock)
        sent = bytearray()

        def open_port(on_data: OnData, on_lost: OnLost) -> Transport:
            return Recording(SerialTransport(simulator.port, 115200, on_data, on_lost), sent)

        listener, memory = Listener(), Memory() if memory is None else memory
        settings = Settings(Secret(BROUTE_ID), Secret(password), None, (0xD3, 0xE1))
        session = Session(settings, open_port, memory, listener, clock=clock, rng=random.Random(1))
        bench = Bench(session, simulator, listener, memory, sent)
        threads = [threading.Thread(target=body.run) for body in (simulator, session)]
        benches.append((bench, threads))
        for thread in threads:
            thread.start()
        return bench

    yield start_one
    for bench, threads in benches:
        bench.session.stop()
        threads[1].join(10)
        bench.simulator.stop()
        threads[0].join(10)
        assert not any(thread.is_alive() for thread in threads)
