"""Single values in the table `state`, changed in the same transaction as what they belong to."""

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
    """Return a whole number: 0 if there is no value, `if_damaged` if it is no number."""
    text = load_state(connection, key)
    try:
        return int(text or 0)
    except (ValueError, TypeError):
        log_damaged(key)
        return if_damaged


def log_damaged(key: str) -> None:
    """Log that a value is not what was saved."""
    log.warning("state_damaged", key=key, hint="kei goes on without it; is the card dying?")


def save_state(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Save a value; within the transaction of the caller, if there is one."""
    connection.execute(
        "INSERT INTO state (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
