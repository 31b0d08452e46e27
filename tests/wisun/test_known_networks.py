"""Which network is tried next, and which one is remembered."""

import structlog
from fakes import FakeClock
from session_bench import Memory

from kei.core.errors import StoreError
from kei.core.incidents import Incidents
from kei.wisun.commands import Network
from kei.wisun.known_networks import NETWORK_KEY, Candidates

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


def candidates_of(memory: Memory) -> Candidates:
    return Candidates(memory, Incidents(structlog.stdlib.get_logger("test"), FakeClock()))


def test_the_network_of_the_last_join_is_recalled() -> None:
    memory = Memory()
    before = candidates_of(memory)
    before.replace([NEAR])
    before.joined()
    after = candidates_of(memory)
    assert after.recall()
    assert after.current == NEAR


def test_nothing_is_recalled_the_first_time() -> None:
    assert not candidates_of(Memory()).recall()


def test_a_single_network_is_tried_twice_and_then_forgotten() -> None:
    memory = Memory({NETWORK_KEY: NEAR.to_text()})
    candidates = candidates_of(memory)
    candidates.recall()
    assert [candidates.failed(), candidates.failed()] == [False, True]
    assert not candidates_of(memory).recall()


def test_each_of_several_networks_is_tried_before_looking_again() -> None:
    candidates = candidates_of(Memory())
    candidates.replace([NEAR, FAR, FURTHER])
    tried = [candidates.current]
    while not candidates.failed():
        tried.append(candidates.current)
    assert tried == [NEAR, FAR, FURTHER]


def test_a_join_forgives_earlier_failures() -> None:
    candidates = candidates_of(Memory())
    candidates.replace([NEAR])
    candidates.failed()
    candidates.joined()
    assert not candidates.failed()


def test_a_network_that_fails_is_not_recalled_even_if_it_cannot_be_forgotten() -> None:
    class ReadOnly(Memory):
        def set_state(self, key: str, value: str) -> None:
            raise StoreError(f"no disk to write {key} to, {len(value)} characters")

    candidates = candidates_of(ReadOnly({NETWORK_KEY: NEAR.to_text()}))
    candidates.recall()
    while not candidates.failed():
        candidates.recall()
    assert not candidates.recall()


def test_failures_count_on_however_often_the_network_is_recalled() -> None:
    candidates = candidates_of(Memory({NETWORK_KEY: NEAR.to_text()}))
    outcomes = []
    for _ in range(2):
        candidates.recall()
        outcomes.append(candidates.failed())
    assert outcomes == [False, True]


def test_a_network_that_was_heard_twice_is_tried_as_one() -> None:
    candidates = candidates_of(Memory())
    candidates.replace([NEAR, FAR, NEAR])
    tried = [candidates.current]
    while not candidates.failed():
        tried.append(candidates.current)
    assert tried == [NEAR, FAR]


def test_a_memory_that_fails_stops_nobody() -> None:
    candidates = candidates_of(Broken())
    assert not candidates.recall()
    candidates.replace([NEAR])
    candidates.joined()
    assert candidates.current == NEAR
