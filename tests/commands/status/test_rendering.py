"""What people and machines get to see of some facts."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import cast

import pytest
from status_facts import FACTS, LIVE, OUTLET, PORT, SESSION, SNAPSHOT, reading

from kei.commands.status import StatusReport
from kei.jobs.heartbeat import HeartbeatStatus
from kei.meter.meter_clock import MeterClockStatus
from kei.meter.progress import HistoryStatus
from kei.mqtt.status import MqttStatus
from kei.status.facts import Facts, Upload
from kei.status.rules import problems_of
from kei.status.snapshot import PageStatus
from kei.store.queue import Waiting
from kei.store.sinks import RecorderStatus
from kei.timekeeping.monitor import ClockStatus


def text_of(facts: Facts) -> str:
    return StatusReport(facts, problems_of(facts)).to_text()


def json_of(facts: Facts) -> dict[str, object]:
    text = StatusReport(facts, problems_of(facts)).to_json()
    assert text.endswith("}\n")
    assert text.count("\n") == 1
    return cast("dict[str, object]", json.loads(text))


def test_people_see_columns_that_line_up() -> None:
    assert text_of(FACTS) == (
        "kei        runs for 3 h, version 1.2.3, pid 4711\n"
        "problems   none\n"
        "\n"
        "session    joined for 3 h\n"
        "dongle     RL7023-DSS, firmware 1.5.2\n"
        "network    channel 33, PAN 8888\n"
        "signal     LQI 225, -42.4 dBm\n"
        "requests   1100 answered, 3 missed, 4 not sent (no session, or no air time left); "
        "1 frames ignored (late, double or foreign)\n"
        "\n"
        "sensors    /dev/ttyACM0: open for 3 h, last line 2 s ago\n"
        "             2160 recorded, left out: 12 repeat, 1 fields\n"
        "\n"
        "series     UNIT  SENSOR    VALUE             AGE\n"
        "           BR    E7         -512 W           4 s\n"
        "           BR    E8R         5.0 A           4 s\n"
        "           BR    E0      10934.9 kWh       2 min\n"
        "           A1    T1        21.53      2 h 30 min\n"
        "\n"
        "recorder   text      1102 written\n"
        "           database  1090 written, 12 to be committed by 10:00:40\n"
        "\n"
        "upload     server: 3 waiting\n"
        "           last success 12 s ago\n"
        "           sent 20 KiB today, 52 KiB yesterday\n"
        "\n"
        "warnings   2026-11-23 09:59:00  warning  port_lost reason=gone\n"
    )


def test_people_see_whether_the_broker_is_connected() -> None:
    there = MqttStatus("broker:1883", True, 7200.0, published=99, fault=None, failing_s=None)
    text = text_of(replace(FACTS, snapshot=replace(SNAPSHOT, mqtt=there)))
    assert "\nmqtt       broker:1883: connected for 2 h, 99 messages sent\n\nwarnings" in text
    gone = replace(there, connected=False, since_s=12.0, fault="Connection refused")
    text = text_of(replace(FACTS, snapshot=replace(SNAPSHOT, mqtt=gone)))
    assert "broker:1883: not connected for 12 s, 99 messages sent\n" in text
    assert "           last error: Connection refused\n" in text


def test_people_see_whether_the_page_is_served_and_whether_a_heartbeat_is_told() -> None:
    well = replace(
        SNAPSHOT,
        page=PageStatus("http://127.0.0.1:8580/", None),
        heartbeat=HeartbeatStatus("hc-ping.com", FACTS.now_ms - 12_000, None),
    )
    text = text_of(replace(FACTS, snapshot=well))
    assert "\nheartbeat  hc-ping.com: last told 12 s ago\n\npage       http://127.0.0.1:85" in text
    failing = replace(
        SNAPSHOT,
        page=PageStatus("http://127.0.0.1:8580/", "Address already in use"),
        heartbeat=HeartbeatStatus("hc-ping.com", None, "status 404"),
    )
    text = text_of(replace(FACTS, snapshot=failing))
    assert "\npage       http://127.0.0.1:8580/: NOT SERVED: Address already in use\n" in text
    assert "hc-ping.com: not told since the start\n           last error: status 404\n" in text


def test_people_see_what_has_no_line_and_what_it_waits_for() -> None:
    failing = replace(OUTLET, waiting=3, fault="home.txt: No space left on device")
    recorder = RecorderStatus(failing, OUTLET, pending=3, set_aside=2)
    told = "see 'kei export --pending'\n"
    text = text_of(replace(FACTS, snapshot=replace(SNAPSHOT, recorder=recorder), pending=3))
    assert (
        f"           3 without a line wait for the disk; {told}"
        "           2 set aside, as they cannot be written;"
        " 'reading_set_aside' in the log names the first\n"
    ) in text
    text = text_of(replace(FACTS, pending=3))
    assert f"           3 without a line wait for the clock to be set; {told}" in text
    text = text_of(replace(FACTS, snapshot=None, pending=3))
    assert f"\nrecorder   3 without a line wait for the next start of kei; {told}" in text


def test_people_see_what_is_wrong_with_a_port() -> None:
    reason = "/dev/ttyACM0: no such device"
    port = replace(PORT, fault=reason, since_s=30.0, heard_s=None, rejected={}, silent=("A1,T1",))
    text = text_of(replace(FACTS, snapshot=replace(SNAPSHOT, sensors=(port,))))
    assert (
        "sensors    /dev/ttyACM0: not open for 30 s\n"
        "             FAULT /dev/ttyACM0: no such device\n"
        "             2160 recorded, left out: none\n"
        "             silent: A1,T1\n"
    ) in text


@pytest.mark.parametrize(
    ("likely_wrong", "told"),
    [(False, "not synchronised"), (True, "not synchronised, and likely to be wrong")],
)
def test_people_are_told_of_a_clock_that_is_not_synchronised(
    *, likely_wrong: bool, told: str
) -> None:
    clock = ClockStatus(synchronised=False, likely_wrong=likely_wrong)
    facts = replace(FACTS, snapshot=replace(SNAPSHOT, clock=clock))
    assert text_of(facts).splitlines()[2] == f"clock      {told}"
    assert json_of(facts)["clock"] == {"synchronised": False, "likely_wrong": likely_wrong}


@pytest.mark.parametrize(
    ("meter_clock", "told"),
    [
        (MeterClockStatus(-3600, "+09:00"), "the meter's is 1 h behind this machine's"),
        (MeterClockStatus(301, "+09:00"), "the meter's is 5 min ahead of this machine's"),
        (MeterClockStatus(0, "-05:00"), "local time is UTC-05:00, the meter's is UTC+09:00"),
    ],
)
def test_people_are_told_of_a_meter_with_another_time(
    meter_clock: MeterClockStatus, told: str
) -> None:
    text = text_of(replace(FACTS, snapshot=replace(SNAPSHOT, meter_clock=meter_clock)))
    assert text.splitlines()[2] == f"clock      {told}"


def test_a_reading_from_the_future_is_shown_as_one() -> None:
    text = text_of(replace(FACTS, series=(reading("EA", "1", -7200),)))
    assert "2 h in the future" in text


def test_people_see_what_is_known_when_kei_does_not_run() -> None:
    uploads = (replace(FACTS.uploads[0], live=None),)
    lines = text_of(replace(FACTS, snapshot=None, uploads=uploads)).splitlines()
    assert lines[0] == "kei        does not run"
    assert lines[1] == "problems   not_running: kei does not run"
    assert any("E7" in line and "-512 W" in line for line in lines)
    assert lines[-1] == "upload     server: 3 waiting"


def test_each_problem_has_a_line() -> None:
    session = replace(SESSION, state="scan", joined=False, since_s=700.0)
    facts = replace(
        FACTS,
        snapshot=replace(SNAPSHOT, session=session),
        series=(reading("E7", "1", 1000),),
    )
    assert text_of(facts).splitlines()[1:3] == [
        "problems   not_joined: not joined with the meter for 11 min; scanning for the meter",
        "           stale_readings: too old: E7 (16 min)",
    ]


def test_before_anything_is_known_the_text_says_so() -> None:
    session = replace(
        SESSION, state="init", joined=False, dongle=None, channel=None, lqi=None, since_s=2.0
    )
    facts = replace(FACTS, snapshot=replace(SNAPSHOT, session=session, lines=()), series=())
    text = text_of(facts)
    assert "session    not joined for 2 s: waiting for the dongle's port" in text
    assert text.count("not known yet") == 3
    assert "series     none yet" in text
    assert "warnings   none" in text


def test_a_session_that_is_not_joined_says_what_it_does_and_what_happened_last() -> None:
    session = replace(
        SESSION,
        state="init",
        joined=False,
        since_s=75.0,
        next_try_s=40.2,
        fault="join_failed: check B-route ID and password",
        fault_s=12.0,
    )
    lines = text_of(replace(FACTS, snapshot=replace(SNAPSHOT, session=session))).splitlines()
    assert "session    not joined for 1 min: next attempt in 40 s" in lines
    assert lines[lines.index("session    not joined for 1 min: next attempt in 40 s") + 1] == (
        "           last fault 12 s ago: join_failed: check B-route ID and password"
    )


def test_a_failing_upload_says_why() -> None:
    live = replace(LIVE, last_success_ms=None, last_error="status 503: busy", failures=4)
    facts = replace(FACTS, uploads=(Upload("server", 60.0, Waiting(9, None, 2), live),))
    assert text_of(facts).splitlines()[-6:-2] == [
        "upload     server: 9 waiting, 2 refused (kei dead-letters lists them)",
        "           last success none since the start",
        "           sent 20 KiB today, 52 KiB yesterday",
        "           last error (4 in a row): status 503: busy",
    ]


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    live = replace(LIVE, last_error="\x1b[2Jboo\nkei  all is well", failures=1)
    text = text_of(replace(FACTS, uploads=(replace(FACTS.uploads[0], live=live),)))
    assert r"\x1b[2Jboo\nkei  all is well" in text
    assert all(line.isprintable() for line in text.splitlines())


def test_a_person_sees_how_far_the_record_has_been_made_complete() -> None:
    history = HistoryStatus(filled=150, missing=96, days_left=1, doing="reading 2026-11-20")
    snapshot = replace(SNAPSHOT, history=history)
    text = text_of(replace(FACTS, snapshot=snapshot))
    assert "history    reading 2026-11-20\n" in text
    assert "150 values filled" in text
    assert "96 half-hour values of 1 day are missing still" in text
    assert "history" not in text_of(replace(FACTS, snapshot=replace(snapshot, history=None)))


def test_machines_see_one_object() -> None:
    found = json_of(FACTS)
    assert list(found) == [
        "time", "well", "problems", "running", "version", "pid", "up_s", "clock",
        "meter_clock", "history", "session", "sensors", "mqtt", "page",
        "heartbeat", "series", "recorder", "uploads", "errors",
    ]  # fmt: skip
    assert found["time"] == "2026-11-23T10:00:00+09:00"
    assert (found["well"], found["problems"], found["running"]) == (True, [], True)
    assert found["uploads"] == [
        {
            "target": "server",
            "waiting": 3,
            "oldest": "2026-11-23T09:59:48+09:00",
            "set_aside": 0,
            "dropped": 0,
            "last_success": "2026-11-23T09:59:48+09:00",
            "last_error": None,
            "failures": 0,
            "refused": False,
            "posting_s": None,
            "sent": {"today_bytes": 20_480, "yesterday_bytes": 53_248},
        }
    ]


def test_machines_see_null_for_what_only_a_running_kei_knows() -> None:
    found = json_of(replace(FACTS, snapshot=None))
    assert (found["running"], found["well"]) == (False, False)
    assert found["problems"] == [
        {"rule": "not_running", "detail": "kei does not run", "parts": [{"what": "not_running"}]}
    ]
    assert {found[name] for name in ("pid", "session", "recorder", "errors")} == {None}


def test_machines_see_whole_numbers_whole_and_others_exactly() -> None:
    values = ["512", "-0.1", "10934.90", "99999999.9999", "999998990000010000"]
    series = tuple(reading(f"S{n}", value, 1) for n, value in enumerate(values))
    found = StatusReport(replace(FACTS, series=series), ()).to_json()
    entries = json.loads(found, parse_float=Decimal)["series"]
    assert [entry["value"] for entry in entries] == [Decimal(value) for value in values]


def test_only_the_meter_has_known_quantities() -> None:
    series = (reading("E7", "1", 1), reading("E7", "1", 1, unit="A1"), reading("D3", "1", 1))
    entries = json.loads(StatusReport(replace(FACTS, series=series), ()).to_json())["series"]
    assert [entry["quantity"] for entry in entries] == ["W", None, None]


def test_of_many_series_people_see_the_meters_and_those_heard_last() -> None:
    own = [reading(f"E{n}", "1", 100_000) for n in range(3)]
    others = [reading(f"S{n}", "1", 5000 - n, unit="A1") for n in range(1000)]
    text = text_of(replace(FACTS, series=(*own, *others)))
    rows = text[text.index("series") : text.index("recorder")].splitlines()
    assert [row.split()[1] for row in rows[1:4]] == ["E0", "E1", "E2"]
    assert [row.split()[1] for row in rows[4:51]] == [f"S{n}" for n in range(953, 1000)]
    assert rows[51].strip() == "and 953 more: kei status --json has them all"


def test_of_many_silent_sensors_people_see_some() -> None:
    silent = tuple(f"A1,S{n}" for n in range(1000))
    assert SNAPSHOT is not None
    facts = replace(FACTS, snapshot=replace(SNAPSHOT, sensors=(replace(PORT, silent=silent),)))
    text = text_of(facts)
    assert "silent: A1,S0 A1,S1 " in text
    assert "A1,S9 and 990 more\n" in text
    assert max(map(len, text.splitlines())) < 200
