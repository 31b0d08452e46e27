"""Single values that outlive a restart, changed together with what they belong to."""

import sqlite3

import structlog

log = structlog.stdlib.get_logger("kei.store")


def load_state(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a value, None if there is none."""
    row: tuple[str] | None = connection.execute(
        "SELECT value FROM state WHERE key = ?", (key,)
    ).fetchone()
    return None if row is None else row[0]


def load_number(connection: sqlite3.Connection, key: str, *, if_damaged: int = 0) -> int:
    """Return a value that is a whole number, 0 if there is none.

    Args:
        connection: of whoever asks.
        key: of the value.
        if_damaged: what to go on with if a dying card has made something else of it.
    """
    text = load_state(connection, key)
    try:
        return int(text or 0)
    except (ValueError, TypeError):
        damaged(key)
        return if_damaged


def damaged(key: str) -> None:
    """Tell of a value that is not what was saved."""
    log.warning("state_damaged", key=key, hint="kei goes on without it; is the card dying?")


def save_state(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Keep a value; within the transaction of the caller, if there is one."""
    connection.execute(
        "INSERT INTO state (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
