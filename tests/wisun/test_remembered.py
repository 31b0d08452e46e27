"""What is remembered over a restart: networks, credentials that work, and the last session."""

import pytest
import structlog
from fakes import FakeClock
from session_bench import Memory

from kei.core.errors import StoreError
from kei.core.incidents import Incidents
from kei.core.secret import Secret
from kei.wisun.network import Network
from kei.wisun.remembered import (
    NETWORK_KEY,
    REST_AFTER_LEAVING_S,
    SESSION_KEY,
    KnownNetworks,
    LastSession,
    Notes,
    fingerprint,
)

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


OURS, OTHERS = "0123abcd", "ffff0000"  # fingerprints


def notes_in(memory: Memory | None) -> Notes:
    return Notes(memory, Incidents(structlog.stdlib.get_logger("test"), FakeClock()))


def networks_of(memory: Memory, credentials: str = OURS) -> KnownNetworks:
    return KnownNetworks(notes_in(memory), credentials)


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


def test_a_network_that_was_joined_with_other_credentials_is_not_recalled() -> None:
    memory = Memory()
    before = networks_of(memory)
    before.replace([NEAR])
    before.credentials_taken()
    before.joined()
    assert networks_of(memory).recall()
    assert not networks_of(memory, OTHERS).recall()


def test_other_credentials_that_are_taken_do_not_inherit_the_network() -> None:
    memory = Memory()
    before = networks_of(memory)
    before.replace([NEAR])
    before.credentials_taken()
    before.joined()
    networks_of(memory, OTHERS).credentials_taken()
    assert not networks_of(memory, OTHERS).recall()


def test_a_network_of_an_older_kei_is_recalled_but_proves_no_credentials() -> None:
    networks = networks_of(Memory({NETWORK_KEY: NEAR.to_text()}))
    assert networks.recall()
    assert not networks.are_credentials_proven


def test_credentials_that_were_taken_are_known_to_be_right_for_good() -> None:
    memory = Memory()
    before = networks_of(memory)
    before.replace([NEAR])
    before.credentials_taken()
    while not before.failed():
        pass
    after = networks_of(memory)
    assert not after.recall()
    assert after.are_credentials_proven
    changed = networks_of(memory, OTHERS)
    changed.recall()
    assert not changed.are_credentials_proven


def test_a_fingerprint_tells_credentials_apart_and_gives_nothing_away() -> None:
    ids, passwords = ("00112233445566778899AABBCCDDEEFF", "0" * 32), ("0123456789AB", "A" * 12)
    found = {fingerprint(Secret(i), Secret(p)) for i in ids for p in passwords}
    assert len(found) == 4
    assert {len(text) for text in found} == {8}


def last_session(memory: Memory | None, clock: FakeClock) -> LastSession:
    last = LastSession(notes_in(memory), clock)
    last.recall()
    return last


def test_a_session_that_nobody_ended_is_open_for_the_next_start() -> None:
    memory, clock = Memory(), FakeClock()
    assert not last_session(memory, clock).is_open
    last_session(memory, clock).opened()
    assert last_session(memory, clock).is_open


def test_a_session_that_was_ended_is_not_open_and_leaves_the_rest_of_its_rest() -> None:
    memory, clock = Memory(), FakeClock()
    last = last_session(memory, clock)
    last.opened()
    last.ended(rest=True)
    clock.advance(4)
    after = last_session(memory, clock)
    assert not after.is_open
    assert after.rest_until - clock.monotonic() == REST_AFTER_LEAVING_S - 4


@pytest.mark.parametrize("ticks", [1000.0006, 1000.0004])
def test_whoever_starts_at_once_rests_too(ticks: float) -> None:
    memory, clock = Memory(), FakeClock()
    clock.ticks = ticks
    last_session(memory, clock).ended(rest=True)
    assert last_session(memory, clock).rest_until > ticks + REST_AFTER_LEAVING_S - 1


def test_a_session_that_was_lost_needs_no_rest() -> None:
    memory, clock = Memory(), FakeClock()
    last = last_session(memory, clock)
    last.opened()
    last.ended(rest=False)
    after = last_session(memory, clock)
    assert (after.is_open, after.rest_until) == (False, 0.0)


def test_noting_that_there_is_no_session_does_not_shorten_a_rest() -> None:
    memory, clock = Memory(), FakeClock()
    last = last_session(memory, clock)
    last.ended(rest=True)
    last.ended(rest=False)
    assert last.rest_until == last_session(memory, clock).rest_until > clock.monotonic()


@pytest.mark.parametrize(
    "text", ["left 999.0", "left 1011.0", "left nan", "left inf", "left", "left X", "opened", "\0"]
)
def test_a_rest_that_is_over_or_damaged_or_of_another_boot_is_none(text: str) -> None:
    after = last_session(Memory({SESSION_KEY: text}), FakeClock())
    assert (after.is_open, after.rest_until) == (False, 0.0)


def test_what_is_kept_nowhere_is_known_in_this_life_only() -> None:
    clock = FakeClock()
    last = last_session(None, clock)
    last.opened()
    assert last.is_open
    assert not last_session(None, clock).is_open


def test_a_session_mark_that_cannot_be_kept_stops_nobody() -> None:
    last = last_session(Broken(), FakeClock())
    last.opened()
    last.ended(rest=True)
    assert last.rest_until > 0
