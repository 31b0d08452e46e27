"""A B-route client that others wrote reads the virtual meter through a real pseudo terminal."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from fakes import TOKYO
from momonga import Momonga
from simulator_bench import BP35A1, BP35C2, BROUTE_ID, BROUTE_PWD, DSS, IPS

from kei.clock import SystemClock
from kei.simulator.household import Household
from kei.simulator.options import parse_sim_port
from kei.simulator.pty import Simulator

SEED = 7
DEADLINE_S = 5.0
MODELS = (DSS, IPS, BP35A1, BP35C2)


@dataclass(frozen=True, slots=True)
class Visit:
    """What the client read, and the local seconds between which it did."""

    power: int | None
    energy: float | None
    current: dict[str, float | None]
    seconds: range


def local_second() -> int:
    return SystemClock(TOKYO).now_ms() // 1000 + 9 * 3600


def visit(model: str) -> Visit:
    options = parse_sim_port(f"sim:dongle={model},seed={SEED},latency=0,scan-time=0,join-time=0")
    simulator = Simulator(options, clock=SystemClock(TOKYO))
    thread = threading.Thread(target=simulator.run)
    thread.start()
    try:
        client = Momonga(BROUTE_ID, BROUTE_PWD, simulator.port)
        client.internal_xmit_interval = 0
        start = local_second()
        with client:
            power = client.get_instantaneous_power()
            energy = client.get_measured_cumulative_energy()
            current = client.get_instantaneous_current()
        return Visit(power, energy, current, range(start, local_second() + 1))
    finally:
        simulator.stop()
        thread.join(DEADLINE_S)


@pytest.fixture(scope="module")
def visits() -> dict[str, Visit]:
    """One visit for each dongle, all at once: the client waits for two seconds when it opens."""
    with ThreadPoolExecutor(len(MODELS)) as pool:
        return dict(zip(MODELS, pool.map(visit, MODELS), strict=True))


@pytest.mark.parametrize("model", MODELS)
def test_momonga_reads_the_power_of_the_household(visits: dict[str, Visit], model: str) -> None:
    found = visits[model]
    assert found.power in {Household(SEED).watt(second) for second in found.seconds}


@pytest.mark.parametrize("model", MODELS)
def test_momonga_reads_the_energy_of_the_household(visits: dict[str, Visit], model: str) -> None:
    found = visits[model]
    assert found.energy is not None
    assert round(found.energy * 10) in {
        Household(SEED).energy(second).normal // 360_000 for second in found.seconds
    }


@pytest.mark.parametrize("model", MODELS)
def test_momonga_reads_the_current_of_the_household(visits: dict[str, Visit], model: str) -> None:
    found = visits[model]
    tenths = tuple(round(ampere * 10) for ampere in found.current.values() if ampere is not None)
    assert tenths in {Household(SEED).current_tenths(second) for second in found.seconds}
