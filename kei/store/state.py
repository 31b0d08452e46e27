"""Single values that outlive a restart, changed together with what they belong to."""

import sqlite3


def load_state(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a value, None if there is none."""
    row: tuple[str] | None = connection.execute(
        "SELECT value FROM state WHERE key = ?", (key,)
    ).fetchone()
    return None if row is None else row[0]


def save_state(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Keep a value; within the transaction of the caller, if there is one."""
    connection.execute(
        "INSERT INTO state (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
