"""The status as one JSON object, for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal

from kei.core.clock import local
from kei.core.logs import LogLine
from kei.core.printable import printable_json
from kei.core.reading import Reading
from kei.status.facts import Facts, Upload
from kei.status.rules import Problem

_LIVE = (
    "version",
    "pid",
    "up_s",
    "clock",
    "meter_clock",
    "history",
    "session",
    "sensors",
    "mqtt",
    "page",
    "heartbeat",
)  # as the running kei says


def to_json(facts: Facts, problems: Sequence[Problem]) -> str:
    """Return the document as JSON with a line end; nothing in it steers a terminal."""
    return printable_json(json.dumps(to_document(facts, problems), ensure_ascii=False)) + "\n"


def to_document(facts: Facts, problems: Sequence[Problem]) -> dict[str, object]:
    """Return one JSON object; times are RFC 3339, durations seconds.

    What only the running kei knows is null when it does not run or answer.
    """
    snapshot = asdict(facts.snapshot) if facts.snapshot else {}
    return {
        "time": _time(facts, facts.now_ms),
        "well": not problems,
        "problems": [_problem(each) for each in problems],
        "running": facts.runs,
        **{name: snapshot.get(name) for name in _LIVE},
        "series": [_series(facts, reading) for reading in facts.series],
        "recorder": snapshot.get("recorder"),
        "uploads": [_upload(facts, upload) for upload in facts.uploads],
        "errors": [_error(facts, line) for line in facts.snapshot.lines]
        if facts.snapshot
        else None,
    }


def _problem(problem: Problem) -> dict[str, object]:
    parts = [{"what": each.what, **each.values} for each in problem.parts]
    return {"rule": problem.rule.value, "detail": problem.detail, "parts": parts}


def _error(facts: Facts, line: LogLine) -> dict[str, str | None]:
    time = _time(facts, line.time_ms)
    return {"time": time, "level": line.level, "logger": line.logger, "text": line.text}


def _series(facts: Facts, reading: Reading) -> dict[str, object]:
    return {
        "unit": reading.unit,
        "sensor": reading.sensor,
        "value": _number(reading.value),
        "quantity": facts.unit_of_measure(reading),
        "time": _time(facts, reading.time_ms),
        "age_s": facts.age_s(reading.time_ms),
    }


def _upload(facts: Facts, upload: Upload) -> dict[str, object]:
    waiting, live = upload.waiting, upload.live
    return {
        "target": upload.name,
        "waiting": waiting.rows if waiting else None,
        "oldest": _time(facts, upload.oldest_ms),
        "set_aside": waiting.set_aside if waiting else None,
        "dropped": waiting.dropped if waiting else None,
        "last_success": _time(facts, live.last_success_ms) if live else None,
        "last_error": live.last_error if live else None,
        "failures": live.failures if live else None,
        "refused": live.refused if live else None,
        "posting_s": live.posting_s if live else None,
        "sent": asdict(live.sent) if live else None,
    }


def _time(facts: Facts, time_ms: int | None) -> str | None:
    return None if time_ms is None else local(time_ms, facts.zone).isoformat(timespec="seconds")


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
