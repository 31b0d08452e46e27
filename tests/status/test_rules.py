"""Each rule on its own: what breaks it, and what just does not."""

from dataclasses import replace

import pytest
from status_facts import FACTS, LIVE, NOW_MS, OUTLET, PORT, SESSION, SNAPSHOT, reading

from kei.mqtt.status import MqttStatus
from kei.status.facts import Facts, Upload
from kei.status.rules import Rule, problems_of
from kei.status.sentences import span
from kei.store.queue import Waiting
from kei.store.sinks import RecorderStatus
from kei.upload.traffic import UploadStatus


def broken(facts: Facts) -> set[Rule]:
    return {problem.rule for problem in problems_of(facts)}


def test_nothing_is_wrong_when_all_is_well() -> None:
    assert problems_of(FACTS) == ()


def test_a_kei_that_does_not_run_is_not_well() -> None:
    assert broken(replace(FACTS, snapshot=None)) == {Rule.NOT_RUNNING}


def test_a_kei_that_does_not_answer_is_not_well() -> None:
    facts = replace(FACTS, snapshot=None, silence="no answer within 10 s")
    assert broken(facts) == {Rule.NOT_ANSWERING}


@pytest.mark.parametrize(("since_s", "wrong"), [(600.0, False), (601.0, True)])
def test_a_session_may_be_away_for_ten_minutes(since_s: float, *, wrong: bool) -> None:
    session = replace(SESSION, state="scan", joined=False, since_s=since_s)
    facts = replace(FACTS, snapshot=replace(SNAPSHOT, session=session))
    assert broken(facts) == ({Rule.NOT_JOINED} if wrong else set())


SEEN = "last fault 5 s ago: join_failed: check B-route ID and password"


@pytest.mark.parametrize(
    ("session", "since_s", "detail"),
    [
        ("scan", 100.0, f"too old: E7 (2 min); not joined; scanning for the meter; {SEEN}"),
        ("joined", 100.0, f"too old: E7 (2 min); {SEEN}"),
        ("scan", 700.0, "too old: E7 (2 min)"),  # `not_joined` says it
    ],
)
def test_readings_that_are_too_old_have_their_cause(
    session: str, since_s: float, detail: str
) -> None:
    status = replace(
        SESSION,
        state=session,
        joined=session == "joined",
        since_s=since_s,
        fault="join_failed: check B-route ID and password",
        fault_s=5.0,
    )
    facts = replace(
        FACTS, snapshot=replace(SNAPSHOT, session=status), series=(reading("E7", "1", 120),)
    )
    problems = {problem.rule: problem.detail for problem in problems_of(facts)}
    assert problems.pop(Rule.STALE_READINGS) == detail
    assert all(SEEN in each for each in problems.values())


def test_a_start_without_any_reading_has_its_cause() -> None:
    session = replace(SESSION, state="init", joined=False, since_s=100.0, next_try_s=31.0)
    facts = replace(FACTS, series=(), snapshot=replace(SNAPSHOT, session=session, up_s=100.0))
    (problem,) = problems_of(facts)
    assert problem.detail == "no reading of the meter yet; not joined; next attempt in 31 s"


def test_a_sensor_logger_needs_no_session() -> None:
    facts = replace(FACTS, snapshot=replace(SNAPSHOT, session=None), unit=None, expected=())
    assert problems_of(facts) == ()


def test_a_server_may_not_refuse_everything() -> None:
    upload = replace(FACTS.uploads[0], live=replace(LIVE, refused=True))
    assert broken(replace(FACTS, uploads=(upload,))) == {Rule.UPLOAD_REFUSED}


@pytest.mark.parametrize(("posting_s", "wrong"), [(None, False), (90.0, False), (91.0, True)])
def test_a_post_may_not_go_on_for_ever(posting_s: float | None, *, wrong: bool) -> None:
    upload = replace(FACTS.uploads[0], live=replace(LIVE, posting_s=posting_s), post_limit_s=30.0)
    assert broken(replace(FACTS, uploads=(upload,))) == ({Rule.UPLOAD_HANGING} if wrong else set())


@pytest.mark.parametrize(
    ("connected", "since_s", "failing_s", "wrong"),
    [
        (True, 6000.0, None, False),
        (False, 600.0, 600.0, False),
        (False, 601.0, 590.0, True),
        (True, 20.0, 601.0, True),  # and gone again and again
    ],
)
def test_a_broker_may_be_away_for_ten_minutes(
    since_s: float, failing_s: float | None, *, connected: bool, wrong: bool
) -> None:
    mqtt = MqttStatus("broker:1883", connected, since_s, 12, "timed out", failing_s)
    problems = problems_of(replace(FACTS, snapshot=replace(SNAPSHOT, mqtt=mqtt)))
    details = [each.detail for each in problems if each.rule is Rule.BROKER_UNAVAILABLE]
    told = "no lasting connection to broker:1883 for 10 min; timed out"
    assert details == ([told] if wrong else [])


@pytest.mark.parametrize(("since_s", "wrong"), [(60.0, False), (60.1, True)])
def test_a_port_with_sensors_may_be_away_for_a_minute(since_s: float, *, wrong: bool) -> None:
    port = replace(PORT, fault="/dev/ttyACM0: unplugged", since_s=since_s)
    facts = replace(FACTS, snapshot=replace(SNAPSHOT, sensors=(port, PORT)))
    assert broken(facts) == ({Rule.SENSOR_PORT_LOST} if wrong else set())


def test_a_sensor_may_not_be_silent() -> None:
    port = replace(PORT, silent=("A1,T1",))
    (problem,) = problems_of(replace(FACTS, snapshot=replace(SNAPSHOT, sensors=(PORT, port))))
    assert problem.rule is Rule.SENSOR_SILENT
    assert problem.detail == "silent for too long: A1,T1"


@pytest.mark.parametrize(
    ("sensor", "age_s", "wrong"),
    [
        ("E7", 90, False),
        ("E7", 91, True),
        ("E0", 960, False),
        ("E0", 961, True),
        ("E7", -60, False),  # the meter's clock may be ahead
        ("E7", -61, True),  # but not a clock that was wrong
        ("T1", 10**6, False),  # nobody asks for it
    ],
)
def test_a_requested_series_may_be_three_cycles_and_a_minute_old(
    sensor: str, age_s: float, *, wrong: bool
) -> None:
    others = tuple(each for each in FACTS.series if each.sensor != sensor)
    facts = replace(FACTS, series=(*others, reading(sensor, "1", age_s)))
    assert broken(facts) == ({Rule.STALE_READINGS} if wrong else set())


def test_the_same_sensor_of_another_unit_does_not_make_a_series_fresh() -> None:
    facts = replace(FACTS, series=(reading("E7", "1", 1000), reading("E7", "1", 1, unit="A1")))
    assert broken(facts) == {Rule.STALE_READINGS}


def test_one_of_two_phases_is_enough() -> None:
    facts = replace(FACTS, series=(*FACTS.series, reading("E8T", "1", 10_000)))
    assert problems_of(facts) == ()


def test_a_phase_from_the_future_does_not_hide_the_other() -> None:
    facts = replace(FACTS, series=(*FACTS.series, reading("E8T", "1", -100_000)))
    assert problems_of(facts) == ()


def test_a_series_that_never_had_a_reading_is_no_fault_while_others_have() -> None:
    assert problems_of(replace(FACTS, series=FACTS.series[:1])) == ()


@pytest.mark.parametrize(("up_s", "wrong"), [(90.0, False), (91.0, True)])
def test_no_reading_at_all_is_a_fault_after_a_while(up_s: float, *, wrong: bool) -> None:
    facts = replace(FACTS, series=(), snapshot=replace(SNAPSHOT, up_s=up_s))
    assert broken(facts) == ({Rule.STALE_READINGS} if wrong else set())


@pytest.mark.parametrize("outlet", ["text", "database"])
def test_a_disk_that_takes_nothing_is_a_fault(outlet: str) -> None:
    recorder = RecorderStatus(OUTLET, OUTLET)
    failing = replace(OUTLET, fault="/data: No space left on device")
    recorder = (
        replace(recorder, text=failing) if outlet == "text" else replace(recorder, database=failing)
    )
    facts = replace(FACTS, snapshot=replace(SNAPSHOT, recorder=recorder))
    assert broken(facts) == {Rule.RECORDER_FAULT}


def upload_facts(live: UploadStatus, oldest_s: float, up_s: float = 10_000.0) -> Facts:
    waiting = Waiting(3, NOW_MS - round(oldest_s * 1000), 0)
    snapshot = replace(SNAPSHOT, up_s=up_s)
    return replace(FACTS, uploads=(Upload("server", 60.0, waiting, live),), snapshot=snapshot)


FAILING = replace(LIVE, last_success_ms=None, last_error="status 503", failures=4)


def test_an_upload_that_fails_for_long_is_a_fault() -> None:
    assert broken(upload_facts(FAILING, oldest_s=661)) == {Rule.UPLOAD_FAILING}


def test_an_upload_that_began_to_fail_a_moment_ago_is_none() -> None:
    assert problems_of(upload_facts(FAILING, oldest_s=660)) == ()


def test_an_upload_that_does_not_keep_up_is_a_fault() -> None:
    (problem,) = problems_of(upload_facts(LIVE, oldest_s=3661))
    assert (problem.rule, problem.detail) == (
        Rule.UPLOAD_BEHIND,
        "upload does not keep up: server (1 h 1 min)",
    )


def test_an_upload_has_an_hour_to_catch_up() -> None:
    assert problems_of(upload_facts(LIVE, oldest_s=3660)) == ()
    assert problems_of(upload_facts(LIVE, oldest_s=100_000, up_s=3660)) == ()


def test_an_old_row_is_no_fault_soon_after_a_success() -> None:
    recent = replace(FAILING, last_success_ms=NOW_MS - 600_000)
    assert problems_of(upload_facts(recent, oldest_s=100_000)) == ()


def test_an_old_row_is_no_fault_soon_after_the_start() -> None:
    assert problems_of(upload_facts(FAILING, oldest_s=100_000, up_s=600)) == ()


def test_a_server_that_fails_with_nothing_to_send_is_none() -> None:
    facts = replace(FACTS, uploads=(Upload("server", 60.0, Waiting(0, None, 0), FAILING),))
    assert problems_of(facts) == ()


def test_a_database_that_cannot_be_read_is_the_only_fault_told_of_it() -> None:
    uploads = (Upload("server", 60.0, None, FAILING),)
    facts = replace(FACTS, database_fault="kei.db: malformed", series=(), uploads=uploads)
    assert broken(facts) == {Rule.DATABASE_UNREADABLE}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_400, "1 d"),
        (100_000, "1 d 3 h"),
    ],
)
def test_durations_are_told_in_their_two_largest_parts(seconds: float, text: str) -> None:
    assert span(seconds) == text
