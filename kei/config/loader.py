"""From a file to a `Config`, or to all that is wrong with it."""

import math
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from kei.config.errors import FaultList, fault_line
from kei.config.tables import build_config
from kei.config.toml_lines import locate
from kei.config.values import Source
from kei.core.errors import ConfigError
from kei.core.printable import printable
from kei.jobs import kinds
from kei.settings.config import Config

MAX_BYTES = 1024 * 1024  # a thousand serial ports with ten checks each fit

# What word processors and Japanese input methods put where TOML wants plain ASCII.
_LOOKALIKES = {
    **dict.fromkeys("\u201c\u201d\u201e\uff02\u300c\u300d", '"'),
    **dict.fromkeys("\u2018\u2019\uff07", "'"),
    **{chr(0xFEE0 + ord(plain)): plain for plain in "0123456789=[]{},.#-_"},
    "\u3000": "a blank",
}

_PYTHON = re.compile(r"(import|from|def|class)\s|\w+\s*=\s*(\w+\(|None|True|False|\{\s*$)")
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: Path, *, environ: Mapping[str, str], with_secrets: bool = True) -> Config:
    """Read and check a configuration file.

    Files that hold secrets are read as well; nothing is written and no device is touched.

    Args:
        path: of the file; fault lines and the result name it as it is given here.
        environ: where `KEY_env` and `CREDENTIALS_DIRECTORY` are looked up.
        with_secrets: False for a command that needs none, and whose user may not be allowed to
            read them: those that do not stand in the file itself are empty then.

    Raises:
        ConfigError: with every fault of the file, each `FILE:LINE: KEY: what is wrong; what to do`.
    """
    text = _text(path)
    try:
        document: dict[str, object] = tomllib.loads(text, parse_float=_number)
        lines = locate(text)
    except RecursionError:
        raise _fault(path, 1, "is nested too deeply", "use fewer brackets") from None
    except ValueError as error:
        raise _syntax(path, text, error) from None
    faults = FaultList(path, lines)
    source = Source(faults, path.absolute().parent, environ, with_secrets=with_secrets)
    config = build_config(document, path, kinds.tables(), source)
    faults.raise_if_any()
    return config


def _number(written: str) -> Decimal:
    """Return a number exactly; one that is too large or too small for a float as infinity or 0.

    A Decimal cannot have every exponent, and written out it may be as long as its exponent says.
    """
    rough = float(written)
    return Decimal(written) if rough and math.isfinite(rough) else Decimal(rough)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        where = "there is no such file" + ("" if path.is_absolute() else f" in {Path.cwd()}")
        remedy = "name yours with --jobs FILE; the jobs.toml that comes with kei is an example"
        raise _unreadable(path, where, remedy) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        remedy = "give the path of a jobs.toml that kei's user may read"
        raise _unreadable(path, f"cannot be read ({reason})", remedy) from None
    if len(data) > MAX_BYTES:
        raise _fault(path, 1, f"has more than {MAX_BYTES} bytes", "is it a jobs.toml?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _fault(path, line, "is not UTF-8", "save it as UTF-8 in the editor") from None


def _syntax(path: Path, text: str, error: ValueError) -> ConfigError:
    """Return the fault for what tomllib says; its words carry the position at their end."""
    found = _POSITION.search(str(error))
    if found is None:  # Python's own limit for digits, which tomllib lets through
        return _fault(path, 1, "a number is too long", "look for one of thousands of digits")
    if found[1] is None:  # the end of the document
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    else:
        line, column = int(found[1]), int(found[2])
    said = _POSITION.sub("", str(error))
    remedy = _remedy(said, text.split("\n")[line - 1])
    return _fault(path, line, f"TOML syntax error at column {column}: {said}", remedy)


def _remedy(said: str, line: str) -> str:
    """Return what to do about a syntax error, by tomllib's words and the line itself."""
    if said.startswith(("Cannot overwrite", "Cannot declare")):
        return "it is there twice: remove one of them"
    code = line.split("#", maxsplit=1)[0]
    if odd := [character for character in code if character in _LOOKALIKES]:
        return f"write {_LOOKALIKES[odd[0]]} instead of {odd[0]}, as typed without an input method"
    if _PYTHON.match(code):
        return (
            "this is Python, like keilog's keiconf.py; docs/from-keilog.md shows what it is in TOML"
        )
    return "look for a missing quote, bracket or equals sign"


def _unreadable(path: Path, what: str, remedy: str) -> ConfigError:
    """Return the fault of a file that has no line, as nothing of it could be read."""
    return ConfigError([printable(f"{path}: {what}; {remedy}")])


def _fault(path: Path, line: int, what: str, remedy: str) -> ConfigError:
    return ConfigError([fault_line(path, line, "file", what, remedy)])
