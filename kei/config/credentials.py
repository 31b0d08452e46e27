"""Secrets that do not stand in jobs.toml itself: in a file, or in the environment.

A fault never repeats the name it was given: people write the secret itself there by mistake.
"""

from collections.abc import Mapping
from pathlib import Path

from kei.settings.text_rules import Wrong, file_path

MAX_BYTES = 4096  # of a secret's first line; the longest known key has a tenth of that
CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"  # systemd.exec(5), LoadCredential=


def read_file(name: str, folder: Path, environ: Mapping[str, str]) -> str:
    """Return the first line of a file, without its line end.

    Args:
        name: of the file; a bare one is looked up in `$CREDENTIALS_DIRECTORY` first.
        folder: where relative paths begin.
        environ: the environment variables.

    Raises:
        Wrong: there is no such file, it cannot be read, or its first line is empty or too long.
    """
    path = folder / file_path(name)
    directory = environ.get(CREDENTIALS_DIRECTORY)
    try:
        if directory and Path(name).name == name and (Path(directory) / name).is_file():
            path = Path(directory) / name
        # A pipe would be waited for, and a device may never end.
        if not path.is_file():
            raise Wrong("there is no such file", "name a file, relative to this one's folder")
        with path.open("rb") as file:
            line = file.readline(MAX_BYTES + 1)
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise Wrong("the file is no UTF-8 text", "write the secret into its first line") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Wrong(f"the file cannot be read ({reason})", "let kei's user read it") from None
    if not text:
        raise Wrong("the first line of the file is empty", "write the secret into it")
    if len(line) > MAX_BYTES:
        raise Wrong("the first line of the file is too long", f"it has {MAX_BYTES} bytes at most")
    return text


def read_env(name: str, environ: Mapping[str, str]) -> str:
    """Return an environment variable.

    Raises:
        Wrong: it is not set, or empty.
    """
    text = environ.get(name)
    if text is None:
        raise Wrong("there is no such environment variable", "set it, or mend the name")
    if not text:
        raise Wrong("the environment variable is empty", "set it to the secret")
    return text
