"""What can be known of a jobs.toml that has mistakes."""

import re
import tomllib
from pathlib import Path

from kei.config.loader import MAX_BYTES
from kei.settings.recorder import RecorderSettings

# Only `[recorder]` has such a key.
_DATABASE = re.compile(r"^[ \t]*(?:recorder[ \t]*\.[ \t]*)?(database[ \t]*=.*)$", re.MULTILINE)


def database_of(path: Path) -> Path | None:
    """Return the database that a jobs.toml names, or would have if it names none.

    Args:
        path: of the file; where TOML cannot be made of it, the line of the key alone counts.

    Returns:
        None if the file cannot be read, or has no usable value of that key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8-sig", "replace")
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        return None
    try:
        try:
            recorder = tomllib.loads(text).get("recorder", {})
        except ValueError:
            line = _DATABASE.search(text)
            recorder = tomllib.loads(line[1]) if line else {}
    except (ValueError, RecursionError):
        return None
    default = str(RecorderSettings().database)
    name = recorder.get("database", default) if isinstance(recorder, dict) else None
    return path.absolute().parent / name if isinstance(name, str) and "\0" not in name else None
