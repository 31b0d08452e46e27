"""Which network is tried next, and which one is remembered."""

import structlog
from fakes import FakeClock
from session_bench import Memory

from kei.core.errors import StoreError
from kei.core.incidents import Incidents
from kei.wisun.interfaces import Network
from kei.wisun.remembered import NETWORK_KEY, KnownNetworks

NEAR, FAR, FURTHER = (
    Network(33, 0x8888, "001D129012345678", 225),
    Network(40, 0x1234, "001D129087654321", 80),
    Network(60, 0x0001, "001D129000000001", 40),
)


class Broken(Memory):
    def get_state(self, key: str) -> str | None:
        raise StoreError(f"no disk to read {key} from")

    def set_state(self, key: str, value: str) -> None:
        raise StoreError(f"no disk to write {key} to, {len(value)} characters")


def networks_of(memory: Memory) -> KnownNetworks:
    return KnownNetworks(memory, Incidents(structlog.stdlib.get_logger("test"), FakeClock()))


def test_the_network_of_the_last_join_is_recalled() -> None:
    memory = Memory()
    before = networks_of(memory)
    before.replace([NEAR])
    before.joined()
    after = networks_of(memory)
    assert after.recall()
    assert after.current == NEAR


def test_nothing_is_recalled_the_first_time() -> None:
    assert not networks_of(Memory()).recall()


def test_a_single_network_is_tried_twice_and_then_forgotten() -> None:
    memory = Memory({NETWORK_KEY: NEAR.to_text()})
    networks = networks_of(memory)
    networks.recall()
    assert [networks.failed(), networks.failed()] == [False, True]
    assert not networks_of(memory).recall()


def test_each_of_several_networks_is_tried_before_looking_again() -> None:
    networks = networks_of(Memory())
    networks.replace([NEAR, FAR, FURTHER])
    tried = [networks.current]
    while not networks.failed():
        tried.append(networks.current)
    assert tried == [NEAR, FAR, FURTHER]


def test_a_join_forgives_earlier_failures() -> None:
    networks = networks_of(Memory())
    networks.replace([NEAR])
    networks.failed()
    networks.joined()
    assert not networks.failed()


def test_a_network_that_fails_is_not_recalled_even_if_it_cannot_be_forgotten() -> None:
    class ReadOnly(Memory):
        def set_state(self, key: str, value: str) -> None:
            raise StoreError(f"no disk to write {key} to, {len(value)} characters")

    networks = networks_of(ReadOnly({NETWORK_KEY: NEAR.to_text()}))
    networks.recall()
    while not networks.failed():
        networks.recall()
    assert not networks.recall()


def test_failures_count_on_however_often_the_network_is_recalled() -> None:
    networks = networks_of(Memory({NETWORK_KEY: NEAR.to_text()}))
    outcomes = []
    for _ in range(2):
        networks.recall()
        outcomes.append(networks.failed())
    assert outcomes == [False, True]


def test_a_network_that_was_heard_twice_is_tried_as_one() -> None:
    networks = networks_of(Memory())
    networks.replace([NEAR, FAR, NEAR])
    tried = [networks.current]
    while not networks.failed():
        tried.append(networks.current)
    assert tried == [NEAR, FAR]


def test_a_memory_that_fails_stops_nobody() -> None:
    networks = networks_of(Broken())
    assert not networks.recall()
    networks.replace([NEAR])
    networks.joined()
    assert networks.current == NEAR
