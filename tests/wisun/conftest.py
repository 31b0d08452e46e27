"""Starts sessions for the tests of this folder and ends them."""

import random
import threading
from collections.abc import Callable, Iterator

import pytest
import serial
from fakes import FastClock
from programs import BROUTE_ID, BROUTE_PWD, PATIENCE_S
from session_bench import FAST, Bench, Listener, Meddle, Memory, Recording

from kei.core.secret import Secret
from kei.simulator.options import parse_sim_port
from kei.simulator.port.server import Simulator
from kei.wisun.dialects import DIALECTS
from kei.wisun.interfaces import OnData, OnLost, Settings, Transport
from kei.wisun.session import Session
from kei.wisun.transport import SerialTransport

Start = Callable[..., Bench]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a session against a simulator with these options; everything ends with the test."""
    benches: list[Bench] = []
    serving: list[tuple[Simulator, threading.Thread]] = []

    def simulate(options: str, clock: FastClock) -> Simulator:
        own = {option.split("=")[0] for option in options.split(",")}
        usual = FAST.removeprefix("sim:").split(",")
        fast = [option for option in usual if option.split("=")[0] not in own]
        simulator = Simulator(parse_sim_port(f"sim:{','.join(fast)}{options}"), clock=clock)
        thread = threading.Thread(target=simulator.run)
        serving.append((simulator, thread))
        thread.start()
        return simulator

    def start_one(
        options: str = "",
        *,
        memory: Memory | None = None,
        password: str = BROUTE_PWD,
        speed: float = 10.0,
        dongle: str | None = None,
        meddle: Meddle | None = None,
        left_behind: bytes = b"",
        beside: Bench | None = None,
    ) -> Bench:
        clock = FastClock(speed) if beside is None else beside.clock
        began = clock.monotonic()
        simulator = simulate(options, clock) if beside is None else beside.simulator
        sent = bytearray()
        leave_behind(simulator.port, left_behind)

        def open_port(on_data: OnData, on_lost: OnLost) -> Transport:
            port = SerialTransport(simulator.port, 115200, on_data, on_lost)
            return Recording(port, sent, on_data, lambda *said: bench.is_deaf or meddles(*said))

        def meddles(data: bytes, on_data: OnData) -> bool:
            return meddle is not None and meddle(data, on_data)

        listener, memory = Listener(), Memory() if memory is None else memory
        dialect = None if dongle is None else DIALECTS[dongle]
        settings = Settings(Secret(BROUTE_ID), Secret(password), dialect, (0xD3, 0xE1))
        session = Session(settings, open_port, memory, listener, clock=clock, rng=random.Random(1))
        session_thread = threading.Thread(target=session.run)
        bench = Bench(session, simulator, listener, memory, sent, clock, began, session_thread)
        benches.append(bench)
        session_thread.start()
        return bench

    yield start_one
    for bench in benches:
        bench.session.stop()
        bench.session_thread.join(PATIENCE_S)
        assert not bench.session_thread.is_alive()
    for simulator, thread in serving:
        simulator.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def leave_behind(port: str, data: bytes) -> None:
    """Do what a program does that crashes in the middle of a command."""
    if data:
        with serial.Serial(port, 115200, timeout=1) as crashing:
            crashing.write(data)
            crashing.read(1)  # until the dongle has taken notice, or a second
