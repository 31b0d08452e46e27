"""`kei dead-letters`: lists rows that upload servers refused, resends or deletes them."""

import json
from collections.abc import Iterator, Mapping
from datetime import tzinfo
from enum import StrEnum
from pathlib import Path

from kei import config
from kei.core.clock import Clock, local
from kei.core.errors import ConfigError, KeiError
from kei.core.printable import printable, printable_json
from kei.core.reading import Reading, plain
from kei.store import dead_letters
from kei.store.dead_letters import DeadLetter, Filter
from kei.store.lines import reading_line, summary_line


class Action(StrEnum):
    """What to do with dead letters."""

    LIST = "list"
    RETRY = "retry"
    DROP = "drop"


def carry_out(
    path: Path,
    action: Action,
    selected: Filter,
    *,
    as_json: bool,
    environ: Mapping[str, str],
    clock: Clock,
) -> Iterator[str]:
    """Yield lines for stdout, each with its end.

    Args:
        path: jobs.toml.
        action: what to do.
        selected: with which dead letters.
        as_json: list them as JSON, one object a line.
        environ: the environment.
        clock: for the time zone.

    Raises:
        ConfigError: the file does not validate, or has no such target.
        StoreError: the database cannot be read or written.
        KeiError: no dead letter has an id that is to be sent again or deleted; nothing is changed.
    """
    wanted = config.load(path, environ=environ, with_secrets=False)
    names = [target.name for target in wanted.upload]
    if selected.target is not None and selected.target not in names:
        known = ", ".join(names) or "none"
        what = f"no [[upload]] is named '{selected.target}'"
        raise ConfigError([f"{path}: {what}; there is: {known}"])
    database = wanted.recorder.database
    if action is not Action.LIST:
        _check_ids(database, selected)
    match action:
        case Action.RETRY:
            count = dead_letters.retry(database, selected)
            yield f"{count} to be sent once more, with the next flushes of a running kei\n"
        case Action.DROP:
            yield f"{dead_letters.drop(database, selected)} forgotten; the recorded data stay\n"
        case Action.LIST:
            show = _as_json if as_json else _as_text
            letter = None
            for letter in dead_letters.find(database, selected):
                yield show(letter, clock.zone) + "\n"
            if letter is None and not as_json:
                yield "none\n"


def _check_ids(database: Path, selected: Filter) -> None:
    """Raise KeiError for ids that no dead letter has; StoreError."""
    found = {letter.id for letter in dead_letters.find(database, selected)}
    if unknown := [str(each) for each in selected.ids if each not in found]:
        where = f" of {selected.target}" if selected.target else ""
        raise KeiError(
            f"no dead letter{where} has the id {', '.join(unknown)}; `kei dead-letters` lists them"
        )


def _as_text(letter: DeadLetter, zone: tzinfo) -> str:
    when = f"{local(letter.time_ms, zone):%Y-%m-%d %H:%M:%S}"
    state = "to be sent once more" if letter.is_due else "refused"
    return printable(
        f"{letter.id}  {when}  {letter.target}  {_line(letter, zone)}  {state}: {letter.reason}"
    )


def _line(letter: DeadLetter, zone: tzinfo) -> str:
    match letter.item:
        case None:
            return f"({letter.what.value} {letter.row_id}, no longer in the database)"
        case Reading() as reading:
            return reading_line(reading, zone)
        case summary:
            return summary_line(summary, zone)


def _as_json(letter: DeadLetter, zone: tzinfo) -> str:
    item = letter.item
    document: dict[str, object] = {
        "id": letter.id,
        "time": local(letter.time_ms, zone).isoformat(timespec="seconds"),
        "target": letter.target,
        "what": letter.what.value,
        "reason": letter.reason,
        "retry": letter.is_due,
    }
    if isinstance(item, Reading):
        document["row"] = _row(item.time_ms, item.unit, item.sensor, zone) | {
            "value": float(plain(item.value))
        }
    elif item is not None:
        document["row"] = _row(item.start_ms, item.unit, item.sensor, zone) | {
            "average": float(plain(item.average))
        }
    return printable_json(json.dumps(document, ensure_ascii=False))


def _row(time_ms: int, unit: str, sensor: str, zone: tzinfo) -> dict[str, object]:
    time = local(time_ms, zone).isoformat(timespec="milliseconds")
    return {"time": time, "unit": unit, "sensor": sensor}
