"""What is wrong, in parts: each names a sentence and its values, and is a line in any language.

The English ones are here; those of the page's other languages in `kei/web/page/words.js`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kei.status.snapshot import doing

NAMES_MAX = 10  # in one line

Named: TypeAlias = Sequence[tuple[str, float | None]]
Value: TypeAlias = str | float | Named

ENGLISH = {
    "not_running": "kei does not run",
    "not_answering": "{fault}",
    "not_joined_for": "not joined with the meter for {for_s}",
    "not_joined": "not joined",
    "next_try": "next attempt in {in_s}",
    "doing": "{state}",
    "last_fault": "last fault: {fault}",
    "last_fault_ago": "last fault {ago_s} ago: {fault}",
    "no_reading": "no reading of the meter yet",
    "too_old": "too old: {names}",
    "from_future": "from the future, as a clock was wrong: {names}",
    "sensor_port": "{fault} (for {for_s})",
    "silent": "silent for too long: {names}",
    "not_written": "{fault}",
    "upload_failing": "upload fails: {names}",
    "upload_behind": "upload does not keep up: {names}",
    "upload_refused": "server refuses everything: {names}",
    "check_target": "are target_url and the key, or the headers, right?",
    "upload_hanging": "a POST does not end: {names}",
    "no_broker": "no lasting connection to {broker} for {for_s}",
    "because": "{fault}",
    "database": "{fault}",
    "refused": "jobs.toml is not in force: {names}",
}


@dataclass(frozen=True, slots=True, init=False)
class Part:
    """One of the sentences of a problem.

    Attributes:
        what: its name in `ENGLISH`.
        values: what it says by name. One whose name ends in `_s` is a duration in seconds; `state`
            is a name of the session's states; `names` are names, each with a duration or None.
    """

    what: str
    values: dict[str, Value]

    def __init__(self, what: str, **values: Value) -> None:
        object.__setattr__(self, "what", what)
        object.__setattr__(self, "values", values)

    def __str__(self) -> str:
        """Return it in English."""
        shown = {name: _shown(name, value) for name, value in self.values.items()}
        return ENGLISH[self.what].format_map(shown)


def span(seconds: float) -> str:
    """Return a duration for people, its two largest parts: `12 s`, `3 min`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    for size, name, below, below_name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 0, ""),
    ):
        if whole >= size:
            rest = whole % size // below if below else 0
            return f"{whole // size} {name}" + (f" {rest} {below_name}" if rest else "")
    return f"{whole} s"


def some(names: Sequence[str], between: str = " ") -> str:
    """Return names in a line for people, of many the first only."""
    more = len(names) - NAMES_MAX
    return between.join(names[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def _shown(name: str, value: Value) -> str:
    if isinstance(value, float):
        return span(value)
    if isinstance(value, str):
        return doing(value) if name == "state" else value
    return some([each if s is None else f"{each} ({span(s)})" for each, s in value], ", ")
