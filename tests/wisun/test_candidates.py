"""Which network is tried next, and which one is remembered."""

from session_bench import Memory

from kei.errors import StoreError
from kei.wisun.bringup import Network
from kei.wisun.candidates import NETWORK_KEY, Candidates

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


def test_the_network_of_the_last_join_is_recalled() -> None:
    memory = Memory()
    before = Candidates(memory)
    before.replace([NEAR])
    before.joined()
    after = Candidates(memory)
    assert after.recall()
    assert after.current == NEAR


def test_nothing_is_recalled_the_first_time() -> None:
    assert not Candidates(Memory()).recall()


def test_a_single_network_is_tried_twice_and_then_forgotten() -> None:
    memory = Memory({NETWORK_KEY: NEAR.to_text()})
    candidates = Candidates(memory)
    candidates.recall()
    assert [candidates.failed(), candidates.failed()] == [False, True]
    assert not Candidates(memory).recall()


def test_each_of_several_networks_is_tried_before_looking_again() -> None:
    candidates = Candidates(Memory())
    candidates.replace([NEAR, FAR, FURTHER])
    tried = [candidates.current]
    while not candidates.failed():
        tried.append(candidates.current)
    assert tried == [NEAR, FAR, FURTHER]


def test_a_join_forgives_earlier_failures() -> None:
    candidates = Candidates(Memory())
    candidates.replace([NEAR])
    candidates.failed()
    candidates.joined()
    assert not candidates.failed()


def test_a_memory_that_fails_stops_nobody() -> None:
    candidates = Candidates(Broken())
    assert not candidates.recall()
    candidates.replace([NEAR])
    candidates.joined()
    assert candidates.current == NEAR
