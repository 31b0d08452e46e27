"""A B-route client that others wrote reads the virtual meter through a real pseudo terminal."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from fakes import TOKYO, FastClock
from momonga import EchonetServiceCode, Momonga, MomongaError
from simulator_bench import BP35A1, BP35C2, BROUTE_ID, BROUTE_PWD, DSS, IPS

from kei.core.clock import Clock
from kei.simulator.household.household import Household
from kei.simulator.options import parse_sim_port
from kei.simulator.port.server import Simulator

SEED = 0
DEADLINE_S = 60.0
MODELS = (DSS, IPS, BP35A1, BP35C2)


@dataclass(frozen=True, slots=True)
class Visit:
    """What the client read, and the local seconds between which it did.

    Attributes:
        power: W.
        energy: kWh.
        current: A, by phase.
        refused: the getters that failed, of all that the client has, and why.
        notices: what the meter said by itself, until it was silent.
        yesterday: the registers at the half-hours of the day that was selected by a Set.
        seconds: local ones.
    """

    power: int | None
    energy: float | None
    current: dict[str, float | None]
    refused: dict[str, str]
    notices: list[object]
    yesterday: list[object]
    seconds: range


def local_second(clock: Clock) -> int:
    return clock.now_ms() // 1000 + 9 * 3600


def visit(model: str) -> Visit:
    instant = "latency=0,scan-time=0,join-time=0"
    takes_sa2 = ",takes-sa2" if model in {IPS, BP35A1} else ""
    options = parse_sim_port(
        f"sim:dongle={model},seed={SEED},next-gen,fault=infc@5,{instant}{takes_sa2}"
    )
    clock = FastClock(1, TOKYO)  # which does not repeat a notice while the client is held up
    simulator = Simulator(options, clock=clock)
    thread = threading.Thread(target=simulator.run)
    thread.start()
    try:
        client = Momonga(BROUTE_ID, BROUTE_PWD, simulator.port)
        client.internal_xmit_interval = 0
        start = local_second(clock)
        with client:
            return Visit(
                power=client.get_instantaneous_power(),
                energy=client.get_measured_cumulative_energy(),
                current=client.get_instantaneous_current(),
                refused=refused(client),
                notices=list(notices(client)),
                yesterday=yesterday(client),
                seconds=range(start, local_second(clock) + 1),
            )
    finally:
        simulator.stop()
        thread.join(DEADLINE_S)


def refused(client: Momonga) -> dict[str, str]:
    found = {}
    getters = [name for name in dir(client) if name.startswith("get_")]
    for name in getters:
        if name == "get_notification":
            continue
        try:
            getattr(client, name)()
        except MomongaError as error:
            found[name] = repr(error)
    assert len(getters) > 25
    return found


def notices(client: Momonga) -> Iterator[object]:
    """Take what comes, which the client confirms, until nothing comes for longer than a repeat."""
    while (notice := client.get_notification(2.5)) is not None:
        yield notice["esv"]


def yesterday(client: Momonga) -> list[object]:
    client.set_day_for_historical_data_1(1)
    assert client.get_day_for_historical_data_1() == 1
    values = client.get_historical_cumulative_energy_1(1)
    return [value["cumulative energy"] for value in values]


@pytest.fixture(scope="module")
def visits() -> dict[str, Visit]:
    """One visit for each dongle, all at once: the client waits for two seconds when it opens."""
    with ThreadPoolExecutor(len(MODELS)) as pool:
        return dict(zip(MODELS, pool.map(visit, MODELS), strict=True))


@pytest.mark.parametrize("model", MODELS)
def test_momonga_can_read_everything_that_it_knows(visits: dict[str, Visit], model: str) -> None:
    assert visits[model].refused == {}


@pytest.mark.parametrize("model", MODELS)
def test_momonga_confirms_a_notice_which_then_comes_no_more(
    visits: dict[str, Visit], model: str
) -> None:
    assert visits[model].notices == [EchonetServiceCode.infc]


@pytest.mark.parametrize("model", MODELS)
def test_momonga_selects_a_day_and_reads_its_half_hours(
    visits: dict[str, Visit], model: str
) -> None:
    found = visits[model]
    days = {second // 86_400 - 1 for second in (found.seconds[0], found.seconds[-1])}
    registers = [
        [Household(SEED).energy(day * 86_400 + slot * 1800).normal // 3600 for slot in range(48)]
        for day in days
    ]
    assert found.yesterday in [[pytest.approx(each / 1000) for each in day] for day in registers]


@pytest.mark.parametrize("model", MODELS)
def test_momonga_reads_the_power_of_the_household(visits: dict[str, Visit], model: str) -> None:
    found = visits[model]
    assert found.power in {Household(SEED).watt(second) for second in found.seconds}


@pytest.mark.parametrize("model", MODELS)
def test_momonga_reads_the_energy_of_the_household(visits: dict[str, Visit], model: str) -> None:
    found = visits[model]
    assert found.energy is not None
    assert round(found.energy * 1000) in {
        Household(SEED).energy(second).normal // 3600 for second in found.seconds
    }


@pytest.mark.parametrize("model", MODELS)
def test_momonga_reads_the_current_of_the_household(visits: dict[str, Visit], model: str) -> None:
    found = visits[model]
    tenths = tuple(round(ampere * 10) for ampere in found.current.values() if ampere is not None)
    assert tenths in {Household(SEED).current_tenths(second) for second in found.seconds}
