import pytest
from simulator_bench import BROUTE_ID, BROUTE_PWD, METER, Bench, answers

from kei.simulator.air.timing import JOIN_S, Timing

JOINED = f"EVENT 25 {METER} 0"
FAILED = f"EVENT 24 {METER} 0"


def test_a_join_takes_its_steps() -> None:
    bench = Bench(timing=Timing.of(0.0, 0.0, None))
    bench.join()
    assert bench.time_to(JOINED, 5) == pytest.approx(JOIN_S)
    assert bench.time_to("01028801", 5) == pytest.approx(0.3)


def test_a_join_nobody_answers_fails_after_about_40_s() -> None:
    bench = Bench(timing=Timing.of(0.0, 0.0, None))
    bench.type(f"SKSETPWD C {BROUTE_PWD}", f"SKSETRBID {BROUTE_ID}", f"SKJOIN {METER}")
    assert 38 <= bench.time_to(FAILED, 60) <= 41


def test_the_time_of_joining_can_be_chosen() -> None:
    bench = Bench(timing=Timing.of(0.0, 0.0, 5.0))
    bench.join()
    assert bench.time_to(JOINED, 10) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("broute_id", "password"),
    [(BROUTE_ID, "BA9876543210"), ("F" * 32, BROUTE_PWD)],
)
def test_wrong_credentials_stop_half_way(broute_id: str, password: str) -> None:
    bench = Bench()
    said = bench.type(
        f"SKSETPWD C {password}",
        f"SKSETRBID {broute_id}",
        "SKSREG S3 8888",
        f"SKJOIN {METER}",
    )
    assert said.count("02CC 02CC") == 2
    assert said.endswith(f"{FAILED}\n")
    assert bench.type("SKTERM").endswith("FAIL ER10\n")


def test_another_join_is_refused_while_one_runs() -> None:
    bench = Bench(timing=Timing.of(0.0, 0.0, None))
    bench.join()
    assert bench.type(f"SKJOIN {METER}") == f"SKJOIN {METER}\nFAIL ER10\n"


def test_a_reset_ends_the_session() -> None:
    bench = Bench()
    bench.join()
    bench.type("SKRESET", "SKSREG S3 8888")
    assert f"EVENT 21 {METER} 0 01\nOK\n" in bench.send()


def test_without_automatic_renewal_the_session_ends_with_its_lifetime() -> None:
    bench = Bench()
    bench.type("SKSREG S17 0")
    bench.join()
    said = bench.wait(86_399)
    assert "EVENT 2" not in said
    assert [line for line in bench.wait(100).splitlines() if "EVENT" in line] == [
        f"EVENT 29 {METER} 0"
    ]
    assert f"EVENT 21 {METER} 0 01\nOK\n" in bench.send()


def test_the_session_is_renewed_every_day() -> None:
    bench = Bench()
    bench.join()
    assert bench.wait(10 * 69_120 + 60).count(JOINED) == 10


def test_while_it_is_renewed_nothing_is_sent() -> None:
    bench = Bench(timing=Timing.of(0.0, 0.0, None), faults=("expire@1",))
    bench.join()
    bench.wait(5)
    assert f"EVENT 29 {METER} 0\nEVENT 21 {METER} 0 01\nOK\n" in bench.send()
    assert JOINED in bench.wait(5)
    assert answers(bench.send())
