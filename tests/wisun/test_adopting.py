"""A dongle that still has the session of a kei that was killed, and what only looks like one."""

from collections.abc import Callable

import pytest
from programs import PATIENCE_S, wait_until
from session_bench import Bench, Memory
from structlog.testing import capture_logs

from kei.core.errors import PortLost
from kei.wisun.interfaces import OnData, State
from kei.wisun.remembered import NETWORK_KEY, REST_AFTER_LEAVING_S, SESSION_KEY

Start = Callable[..., Bench]

POWER = (0xE7,)
METER = b"FE80:0000:0000:0000:021D:1290:1234:5678"
FOREIGN = b"FE80:0000:0000:0000:021D:1290:8765:4321"
ENDS_OR_DISTURBS = (b"SKTERM", b"SKRESET", b"SKJOIN", b"SKSCAN", b"SKSET", b"SKSREG S", b"WOPT")
READS = b"SKSREG SA\r\n"  # a register is only read


def killed(bench: Bench, *, leaves: bool = False) -> Memory:
    """End a session without a word to the dongle; return what was remembered when it was killed.

    Args:
        bench: of a session that is joined; what it sends from now on is lost.
        leaves: the dongle's session is ended, but nobody has noted that.
    """
    bench.wait_for_join()
    memory = Memory(bench.memory)
    bench.is_deaf = not leaves
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    return memory


def before_join(bench: Bench) -> bytes:
    """What was sent until the meter was joined anew."""
    wait_until(lambda: b"SKJOIN" in bench.sent, 20, "a join")
    return bytes(bench.sent[: bench.sent.index(b"SKJOIN")])


def in_order(said: bytes, *words: bytes) -> bool:
    at = [said.find(word) for word in words]
    return -1 not in at and at == sorted(at)


@pytest.mark.parametrize("dongle", ["RL7023-DSS", "RL7023-IPS", "BP35A1", "BP35C2"])
def test_a_living_session_is_taken_over_as_it_is(start: Start, dongle: str) -> None:
    before = start(f",dongle={dongle}")
    memory = killed(before)
    began = before.clock.monotonic()
    with capture_logs() as logs:
        bench = start(memory=memory, beside=before)
        bench.wait_for_join()
    assert bench.clock.monotonic() - began < REST_AFTER_LEAVING_S
    sent = bytes(bench.sent).replace(READS, b"")
    assert [word for word in ENDS_OR_DISTURBS if word in sent] == []
    ((meter, first),) = bench.listener.joins
    assert meter == "001D129012345678"
    assert set(first.properties) == {0x80}
    (joined,) = [line for line in logs if line["event"] == "session_joined"]
    assert (joined["adopted"], joined["channel"], joined["pan_id"]) == (True, 33, "8888")
    assert len(bench.session.get(POWER, 5).properties[0xE7]) == 4
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    assert bench.sent.endswith(b"SKTERM\r\n")
    assert bench.memory[SESSION_KEY].startswith("left ")


def test_the_session_of_a_meter_that_answers_one_property_at_a_time_is_taken_over(
    start: Start,
) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        several = data.startswith(b"SKSENDTO") and data[-5:-4] > b"\x01"
        if several:
            say(b"EVENT 21 " + METER + b" 0 00\r\nOK\r\n")
        return several

    before = start(meddle=meddle)
    bench = start(memory=killed(before), beside=before, meddle=meddle)
    bench.wait_for_join()
    assert b"SKJOIN" not in bench.sent


def test_a_session_that_was_taken_over_may_be_taken_over_again_and_may_end(start: Start) -> None:
    before = start()
    again = start(memory=killed(before), beside=before)
    bench = start(memory=killed(again), beside=before)
    bench.wait_for_join()
    assert b"SKJOIN" not in bench.sent
    bench.says(b"EVENT 26 " + METER + b" 0\r\n")
    bench.wait_for_join(2)
    assert bench.sent.count(b"SKJOIN") == 1


def refuses(number: int) -> Callable[[bytes, OnData], None]:
    """The dongle refuses to send."""
    return lambda _data, say: say(f"FAIL ER{number:02d}\r\n".encode())


def hangs_up(data: bytes, say: OnData) -> None:
    """The meter ends the session."""
    assert data
    say(b"EVENT 26 " + METER + b" 0\r\n")


def answers_for_another(data: bytes, say: OnData) -> None:
    """The answer comes, with the right TID, but from the meter of a neighbour."""
    frame = b"\x10\x81" + data[-12:-10] + bytes.fromhex("02880105FF017201800130")
    head = FOREIGN + b" " + METER + f" 0E1A 0E1A 001D129087654321 1 0 {len(frame):04X} ".encode()
    say(b"EVENT 21 " + METER + b" 0 00\r\nOK\r\n")
    say(b"ERXUDP " + head + frame.hex().upper().encode() + b"\r\n")


@pytest.mark.parametrize(
    "reply",
    [refuses(10), refuses(5), hangs_up, answers_for_another],
    ids=["ER10", "ER05", "EVENT-26", "another-meter"],
)
def test_a_session_that_does_not_answer_is_ended_and_the_meter_joined_anew(
    start: Start, reply: Callable[[bytes, OnData], None]
) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if not data.startswith(b"SKSENDTO") or asked:
            return False
        asked.append(data)
        reply(data, say)
        return True

    asked: list[bytes] = []
    before = start()
    bench = start(memory=killed(before), beside=before, meddle=meddle)
    assert in_order(before_join(bench), b"SKSENDTO", b"SKTERM", b"SKRESET", b"SKSETPWD")
    assert before_join(bench).count(b"SKSENDTO") == 1
    bench.wait_for_join(deadline_s=30)
    assert b"SKSCAN" not in bench.sent


def test_a_meter_that_has_forgotten_the_session_is_waited_for_shortly(start: Start) -> None:
    before = start(",fault=lost@2")
    before.wait_for_join()
    bench = start(memory=killed(before), beside=before)
    began = bench.clock.monotonic()
    said = before_join(bench)
    assert bench.clock.monotonic() - began < 20
    assert said.count(b"SKSENDTO") == 1
    bench.wait_for_join()


def test_a_session_that_was_ended_just_now_is_joined_anew_after_a_rest(start: Start) -> None:
    before = start()
    memory = killed(before, leaves=True)
    assert memory[SESSION_KEY] == "open"
    began = before.clock.monotonic()
    bench = start(memory=memory, beside=before)
    assert in_order(before_join(bench), b"SKSENDTO", b"SKTERM")
    assert bench.clock.monotonic() - began >= REST_AFTER_LEAVING_S
    bench.wait_for_join()


def test_a_session_whose_end_is_told_late_is_joined_anew_after_a_rest(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_asked = data.startswith(b"SKSENDTO") and b"SKJOIN" not in bench.sent
        if is_asked:
            say(b"EVENT 27 " + METER + b" 0\r\n")
        return is_asked

    before = start()
    memory = killed(before, leaves=True)
    began = before.clock.monotonic()
    bench = start(memory=memory, beside=before, meddle=meddle)
    before_join(bench)
    assert bench.clock.monotonic() - began >= REST_AFTER_LEAVING_S


def test_the_rest_after_leaving_goes_on_over_a_restart(start: Start) -> None:
    memory = Memory()

    def die_during_the_set_up(data: bytes, say: OnData) -> bool:
        assert callable(say)
        if data.startswith(b"SKSETRBID"):
            memory.update(resting.memory)
            resting.is_deaf = True
            resting.session.stop()
        return resting.is_deaf

    before = start()
    before.wait_for_join()
    before.session.stop()
    before.session_thread.join(PATIENCE_S)
    left = before.clock.monotonic()
    resting = start(memory=before.memory, beside=before, meddle=die_during_the_set_up)
    resting.session_thread.join(PATIENCE_S)
    assert b"SKSETRBID" in resting.sent
    bench = start(memory=memory, beside=before)
    bench.wait_for_join()
    assert REST_AFTER_LEAVING_S - 1 <= bench.clock.monotonic() - left < 2 * REST_AFTER_LEAVING_S
    assert b"SKSENDTO" not in before_join(bench)
    assert b"SKJOIN" not in resting.sent


def test_a_dongle_without_our_network_is_not_asked(start: Start) -> None:
    memory = killed(start())
    bench = start(memory=memory)  # another dongle, or one that was without power
    assert b"SKSENDTO" not in before_join(bench)
    bench.wait_for_join()
    assert b"SKSCAN" not in bench.sent


@pytest.mark.parametrize("reply", [b"ESREG 87654321\r\nOK\r\n", b"FAIL ER06\r\n"])
def test_a_dongle_that_was_given_another_id_is_not_asked(start: Start, reply: bytes) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if data == READS:
            say(reply)
        return data == READS

    before = start()
    bench = start(memory=killed(before), beside=before, meddle=meddle)
    is_other = reply.startswith(b"ESREG")
    if is_other:
        assert b"SKSENDTO" not in before_join(bench)
    bench.wait_for_join()
    assert (b"SKJOIN" in bench.sent) == is_other


def test_a_dongle_that_does_not_say_how_it_is_tuned_is_set_up_anew(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if data.startswith(b"SKINFO"):
            say(b"FAIL ER10\r\n")
        return data.startswith(b"SKINFO")

    before = start()
    memory = killed(before)
    bench = start(memory=memory, beside=before, dongle="RL7023-DSS", meddle=meddle)
    assert b"SKSENDTO" not in before_join(bench)
    bench.wait_for_join()


def test_a_session_of_other_credentials_is_ended_unasked(start: Start) -> None:
    before = start()
    bench = start(memory=killed(before), beside=before, password="BA9876543210")
    wait_until(lambda: b"SKSCAN" in bench.sent, 10, "a scan")
    said = bytes(bench.sent)
    assert b"SKSENDTO" not in said
    assert in_order(said, b"SKTERM", b"SKRESET", b"SKSCAN")


def test_a_session_is_not_sought_where_none_was_left(start: Start) -> None:
    before = start()
    memory = killed(before)
    del memory[SESSION_KEY]
    bench = start(memory=memory, beside=before)
    assert b"SKSENDTO" not in before_join(bench)
    bench.wait_for_join()
    assert NETWORK_KEY in memory


@pytest.mark.parametrize(
    ("command", "ends"), [(b"SKVER", False), (b"SKSENDTO", True)], ids=["unknown", "asking"]
)
def test_a_stop_ends_a_session_that_was_left_open_if_the_dongle_is_known(
    start: Start, command: bytes, *, ends: bool
) -> None:
    """Before that, nobody knows what it would understand; the next start asks the meter."""

    def meddle(data: bytes, say: OnData) -> bool:
        assert callable(say)
        return data.startswith(command)

    before = start()
    bench = start(memory=killed(before), beside=before, meddle=meddle)
    wait_until(lambda: command in bench.sent, 10, "the command")
    assert (bench.session.state is State.ADOPT) == (command == b"SKSENDTO")
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    assert bench.sent.endswith(b"SKTERM\r\n") is ends
    assert bench.memory[SESSION_KEY].startswith("left " if ends else "open")


def test_a_port_that_was_away_for_a_moment_costs_no_join(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        assert callable(say)
        if data.endswith(b"\xe7\x00") and not lost:
            lost.append(data)
            raise PortLost("a loose plug")
        return False

    lost: list[bytes] = []
    bench = start(meddle=meddle)
    bench.wait_for_join()
    with pytest.raises(Exception, match="loose plug"):
        bench.session.get(POWER, 5)
    bench.wait_for_join(2)
    assert bench.sent.count(b"SKJOIN") == 1
    assert 0xE7 in bench.session.get(POWER, 5).properties


def test_the_end_of_the_transmission_limit_is_waited_for_and_costs_no_join(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if data.endswith(b"\xe7\x00") and not lost:
            lost.append(data)
            say(b"EVENT 32 " + METER + b" 0\r\n")
            raise PortLost("a loose plug")
        return False

    lost: list[bytes] = []
    bench = start(meddle=meddle)
    bench.wait_for_join()
    with pytest.raises(Exception, match="loose plug"):
        bench.session.get(POWER, 5)
    wait_until(lambda: READS in bench.sent, 10, "the dongle is known again")
    wait_until(lambda: bench.session.state is not State.OPEN, 10, "the next step")
    assert bench.session.state is State.ADOPT
    bench.says(b"EVENT 33 " + METER + b" 0\r\n")
    bench.wait_for_join(2)
    assert b"SKTERM" not in bench.sent[bench.sent.index(READS) :]
    assert bench.sent.count(b"SKJOIN") == 1


def test_a_dongle_that_refuses_what_it_is_asked_is_reset_although_its_session_lives(
    start: Start,
) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_refused = data.endswith(b"\xe7\x00") and b"SKRESET" not in bench.sent[joined_at:]
        if is_refused:
            say(b"FAIL ER09\r\n")
        return is_refused

    joined_at = 0
    bench = start(meddle=meddle)
    bench.wait_for_join()
    joined_at = len(bench.sent)
    with pytest.raises(Exception, match="ER09"):
        bench.session.get(POWER, 5)
    bench.wait_for_join(2)
    assert 0xE7 in bench.session.get(POWER, 5).properties
