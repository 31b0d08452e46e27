from dataclasses import replace

from simulator_bench import AT_ONCE, DSS, METER, Bench, answers

from kei.echonet.frame import Esv, decode

JOINED = f"EVENT 25 {METER} 0"
FAILED = f"EVENT 24 {METER} 0"


def joined(*faults: str, model: str = DSS) -> Bench:
    bench = Bench(model, faults=faults)
    bench.join()
    return bench


def test_a_dropped_answer_never_comes() -> None:
    bench = joined("drop@2")
    assert answers(bench.send())
    assert not answers(bench.send() + bench.wait(600))
    assert answers(bench.send())


def test_a_late_answer_comes_when_the_client_has_given_up() -> None:
    bench = joined("late@1")
    assert not answers(bench.send() + bench.wait(20))
    assert answers(bench.wait(AT_ONCE.late_s[1] - 20))


def test_a_duplicated_answer_comes_twice() -> None:
    one, other = answers(joined("duplicate@1").send())
    assert one == other


def test_a_garbled_answer_differs() -> None:
    bench = joined("garble@1")
    garbled, good = bench.send(), bench.send()
    assert garbled != good
    assert len(garbled) in range(len(good) - 4, len(good) + 5)


def test_a_wrong_transaction_number_is_all_that_is_wrong() -> None:
    [answer] = answers(joined("wrong-tid@1").send())
    assert decode(answer).tid != 1
    assert answer[4:].hex().upper() == "02880105FF017201E704000001F8"


def test_a_refusal_has_no_values() -> None:
    [answer] = answers(joined("sna@1").send())
    assert answer.hex().upper() == "1081000102880105FF015201E700"


def test_a_refused_command_fails() -> None:
    assert joined("fail@1").send().endswith(" 000E \nFAIL ER10\n")


def test_a_lost_session_is_acknowledged_and_silent_until_the_next_join() -> None:
    bench = joined("lost@1")
    for _ in range(3):
        said = bench.send()
        assert f"EVENT 21 {METER} 0 00\nOK\n" in said
        assert not answers(said)
    bench.type(f"SKJOIN {METER}")
    assert answers(bench.send())


def test_a_meter_that_lost_the_session_does_not_confirm_its_end() -> None:
    bench = joined("lost@1")
    bench.send()
    assert bench.type("SKTERM") + bench.wait(10) == f"SKTERM\nOK\nEVENT 28 {METER} 0\n"


def test_an_expiry_whose_renewal_fails_ends_the_session() -> None:
    bench = joined("expire@1", "join-fail@2")
    said = bench.send() + bench.wait(60)
    assert f"EVENT 29 {METER} 0\n" in said
    assert FAILED in said
    assert f"EVENT 21 {METER} 0 01" in bench.send()


def test_the_first_scans_can_miss_the_meter() -> None:
    bench = Bench(faults=("scan-miss:2",))
    hits = ["EPANDESC" in bench.type("SKSCAN 2 FFFFFFFF 6 0") for _ in range(4)]
    assert hits == [False, False, True, True]


def test_the_first_join_can_fail() -> None:
    bench = Bench(faults=("join-fail:1",))
    assert FAILED in bench.join()
    assert JOINED in bench.type(f"SKJOIN {METER}")


def test_a_notification_comes_in_the_middle_of_the_command() -> None:
    said = joined("inf@1").send()
    assert [decode(answer).esv for answer in answers(said)] == [Esv.INF, Esv.GET_RES]
    assert said.index("ERXUDP") < said.index("\nOK\n")


def test_a_reboot_forgets_everything_without_a_word() -> None:
    bench = joined("reboot@1")
    bench.type("SKSREG SFE 0")
    assert bench.send() == "\n"
    assert "EINFO" in bench.type("SKINFO")
    assert bench.type("SKSREG S3").endswith("ESREG FFFF\nOK\n")


def test_faults_can_come_at_a_time() -> None:
    bench = joined("expire@t10", "inf@t20", "limit@t30", "reboot@t40")
    assert "EVENT 29" in bench.wait(10.5)
    assert "EA0B" in bench.wait(10)
    assert "EVENT 32" in bench.wait(10)
    bench.wait(10)
    assert bench.type("SKSREG S3").endswith("ESREG FFFF\nOK\n")


def notices(said: str) -> list[bytes]:
    return [frame for frame in answers(said) if decode(frame).esv is Esv.INFC]


def test_what_is_not_confirmed_is_said_again_some_times() -> None:
    bench = joined("infc@1")
    [first] = notices(bench.send())
    assert notices(bench.wait(600)) == [first] * 3


def test_what_is_confirmed_is_not_said_again() -> None:
    bench = joined("infc@1")
    [notice] = notices(bench.send())
    bench.send(notice[:4] + bytes.fromhex("05FF010288017A02EA00EB00"))
    assert not notices(bench.wait(600))


def test_a_confirmation_of_something_else_does_not_count() -> None:
    bench = joined("infc@1")
    [notice] = notices(bench.send())
    bench.send(notice[:2] + b"\x77\x77" + bytes.fromhex("05FF010288017A02EA00EB00"))
    assert notices(bench.wait(600)) == [notice] * 3


def test_newer_news_take_the_place_of_what_was_not_confirmed() -> None:
    bench = joined("infc@1", "infc@2")
    [first] = notices(bench.send())
    [second] = notices(bench.send())
    assert first != second
    assert notices(bench.wait(600)) == [second] * 3


def test_repeats_wait_while_the_session_is_renewed() -> None:
    bench = Bench(timing=replace(AT_ONCE, join=1.0, repeat_s=0.2), faults=("infc@1", "expire@2"))
    bench.join()
    bench.wait(5)
    [notice] = notices(bench.send())
    said = bench.send() + bench.wait(60)
    before, after = said.split(JOINED)
    assert not notices(before)
    assert notices(after) == [notice] * 3


def test_what_belongs_to_a_session_that_is_gone_is_not_said_again() -> None:
    bench = joined("infc@1", "lost@2")
    assert notices(bench.send())
    bench.send()
    assert not notices(bench.wait(600))
