"""Facts of a kei with which all is well, for tests to spoil."""

from dataclasses import replace
from decimal import Decimal

from fakes import TOKYO

from kei.core.logs import LogLine
from kei.core.reading import Reading
from kei.meter.expected import Expected
from kei.meter.meter_clock import MeterClockStatus
from kei.sensors.counters import ReaderStatus
from kei.status.facts import Facts, Upload
from kei.status.snapshot import Snapshot
from kei.store.queue import Waiting
from kei.store.sinks import RecorderStatus, SinkStatus
from kei.timekeeping.monitor import ClockStatus
from kei.upload.traffic import Sent, UploadStatus
from kei.wisun.interfaces import SessionStatus

NOW_MS = 1_795_395_600_000  # 2026-11-23 10:00 in Japan
HOUR_S = 3600.0

SESSION = SessionStatus(
    state="joined",
    joined=True,
    since_s=3 * HOUR_S,
    dongle="RL7023-DSS",
    firmware="1.5.2",
    channel=33,
    pan_id="8888",
    lqi=225,
    rssi_dbm=-42.4,
    answered=1100,
    missed=3,
    held_back=4,
    ignored_frames=1,
)
OUTLET = SinkStatus(written=1102, waiting=0, dropped=0, fault=None)
LIVE = UploadStatus(
    "server",
    last_success_ms=NOW_MS - 12_000,
    last_error=None,
    failures=0,
    refused=False,
    sent=Sent(today_bytes=20_480, yesterday_bytes=53_248),
)
PORT = ReaderStatus(
    port="/dev/ttyACM0",
    fault=None,
    since_s=3 * HOUR_S,
    accepted=2160,
    rejected={"repeat": 12, "fields": 1},
    heard_s=2.5,
    silent=(),
)
SNAPSHOT = Snapshot(
    version="1.2.3",
    pid=4711,
    up_s=3 * HOUR_S + 20,
    clock=ClockStatus(synchronised=True, likely_wrong=False),
    session=SESSION,
    recorder=RecorderStatus(
        OUTLET, replace(OUTLET, written=1090), uncommitted=12, commit_in_s=40.0
    ),
    sensors=(PORT,),
    uploads=(LIVE,),
    lines=(LogLine(NOW_MS - 60_000, "warning", "kei.session", "port_lost reason=gone"),),
    meter_clock=MeterClockStatus(ahead_s=12, utc_offset="+09:00"),
)


def reading(sensor: str, value: str, age_s: float, unit: str = "BR") -> Reading:
    return Reading(NOW_MS - round(age_s * 1000), unit, sensor, Decimal(value), "x")


FACTS = Facts(
    now_ms=NOW_MS,
    zone=TOKYO,
    unit="BR",
    expected=(Expected(("E7",), 10.0), Expected(("E8R", "E8T"), 10.0), Expected(("E0",), 300.0)),
    snapshot=SNAPSHOT,
    silence=None,
    series=(
        reading("E7", "-512", 4),
        reading("E8R", "5.0", 4),
        reading("E0", "10934.9", 125),
        reading("T1", "21.53", 9000, unit="A1"),
    ),
    uploads=(Upload("server", 60.0, Waiting(3, NOW_MS - 12_000, 0), LIVE),),
    database_fault=None,
)
