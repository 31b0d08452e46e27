"""Rules for the texts of jobs.toml: text in, value out, or `Wrong` with what to do about it.

A rule for a secret never repeats the text, nor does one for a text that may carry a secret.
"""

import codecs
import difflib
import os
import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from urllib.parse import urlsplit

from kei.config.errors import Wrong, shown
from kei.core.errors import ConfigError
from kei.echonet.meter_class import PROPERTIES, UNRECORDED
from kei.settings.serial import LineEnd

BROUTE_ID_DIGITS = 32
BROUTE_PWD_CHARACTERS = 12
FNAME_BASE_MAX_BYTES = 200  # a file name has 255 at most; date, `sum` and `.txt` take 16
SIMULATOR = "sim:"
SENSOR_SIMULATOR = "sim-sensor:"

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]+")
_EPC = re.compile(r"[0-9A-Fa-f]{2}")
_BROUTE_ID = re.compile(r"[0-9A-Fa-f]{32}")
_BROUTE_PWD = re.compile(r"[0-9A-Za-z]{12}")
_ASCII = "".join(map(chr, range(32, 127))) + "\r\n"
_PARITIES = {
    **{name: name[0].upper() for name in ("none", "even", "odd", "mark", "space")},
    **{name: name.upper() for name in "neoms"},
}
_LINE_ENDS = {
    **{each.value: each for each in LineEnd},
    "\n": LineEnd.LF,
    "\r\n": LineEnd.CRLF,
    "\r": LineEnd.CR,
}
_WINDOWS_PORT = re.compile(r"COM[0-9]+:?", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2: token

_KNOWN_EPCS = [f"{epc:02X}" for epc in PROPERTIES]


def duration(text: str) -> float:
    """Read `500ms`, `10s`, `5m`, `1h` or `1d`; seconds."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise Wrong(f"{shown(text)} is no duration", _duration_remedy(text))
    return float(found[1]) * _UNIT_S[found[2]]


def _duration_remedy(text: str) -> str:
    usual = 'a number of seconds, or a text like "500ms" "10s" "5m" "1h" "1d"'
    if _NUMBER.fullmatch(text):
        return f'write {text} without quotes, or "{text}s"'
    tight = re.fullmatch(r"\s*([0-9.]+)\s*(ms|[smhd])[a-z]*\s*", text, re.IGNORECASE)
    if tight and _DURATION.fullmatch(likely := tight[1] + tight[2].lower()):
        return f'write "{likely}" ({usual})'
    return f"write {usual}"


def show_duration(seconds: float) -> str:
    """Return seconds in the largest unit that keeps them short: 86400 is `1d`."""
    if seconds == 0:
        return "0"
    for unit, size_s in reversed(_UNIT_S.items()):
        if seconds >= size_s and seconds % size_s == 0:
            return f"{seconds / size_s:.0f}{unit}"
    return f"{seconds * 1000:g}ms"


def plain(text: str) -> str:
    """Take a text that has something to read in it and no control characters."""
    if not text.strip():
        raise Wrong("is empty", "write something between the quotes")
    if not text.isprintable():
        raise Wrong("contains a control character", "write it on one line, without tabs")
    return text


def identifier(text: str) -> str:
    """Take a UnitID or SensorID: ASCII letters, digits, - and _."""
    if not _IDENTIFIER.fullmatch(text):
        raise Wrong(
            f"{shown(text)} cannot be an ID in the files",
            "use at least one of the ASCII letters, digits, - and _, and nothing else",
        )
    return text


def fname_base(text: str) -> str:
    """Take the fixed part of a file name."""
    plain(text)
    if "/" in text or "\\" in text:
        raise Wrong(f"{shown(text)} has a path in it", "set recorder.directory for the folder")
    if len(text.encode()) > FNAME_BASE_MAX_BYTES:
        raise Wrong("is too long for a file name", f"use at most {FNAME_BASE_MAX_BYTES} bytes")
    return text


def file_path(text: str) -> str:
    """Take the path of a file or folder."""
    plain(text)
    if text.startswith("~"):
        raise Wrong("a path with ~ is not expanded", "write the whole path, beginning with /")
    return text


def obstacle(folder: Path) -> Path | None:
    """Return what stands where a folder is or would be made and is none, if anything does."""
    for path in (folder, *folder.parents):
        if os.path.lexists(path):  # which never raises
            return None if is_folder(path) else path
    return None


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder, as far as one may look."""
    return os.path.isdir(path)  # noqa: PTH112 - unlike Path.is_dir it never raises


def sensor_port(text: str) -> str:
    """Take the path of a serial device, or `sim-sensor:` with or without options."""
    if text.startswith(SIMULATOR):
        raise Wrong(
            "the simulator is a smart meter, not a sensor",
            f'use it as port of [broute], or "{SENSOR_SIMULATOR}" here',
        )
    if text == SENSOR_SIMULATOR.rstrip(":"):
        raise Wrong(f"{shown(text)} lacks its colon", f'write "{SENSOR_SIMULATOR}"')
    if text.startswith(SENSOR_SIMULATOR):
        # No part of the main job on a small machine.
        from kei.simulator.board.options import parse_sensor_port  # noqa: PLC0415

        _check_options(parse_sensor_port, plain(text))
        return text
    return port(text)


def parity(text: str) -> str:
    """Take a parity by its name or by its first letter; return the letter."""
    letter = _PARITIES.get(text.lower())
    if letter is None:
        raise Wrong(f"{shown(text)} is not possible", "it is one of: none, even, odd, mark, space")
    return letter


def encoding(text: str) -> str:
    """Take the name of an encoding in which ASCII is itself, as lines and IDs are ASCII."""
    try:
        if _ASCII.encode(text) == _ASCII.encode("ascii"):
            return codecs.lookup(text).name
    except (LookupError, ValueError):
        raise Wrong(
            f"{shown(text)} is no encoding", "write ascii, utf-8, shift_jis or latin-1"
        ) from None
    raise Wrong(f"{shown(text)} is not possible", "use one that contains ASCII, such as utf-8")


def line_end(text: str) -> LineEnd:
    """Take the end of a line, by its name or as it is."""
    found = _LINE_ENDS.get(text.lower())
    if found is None:
        names = ", ".join(each.value for each in LineEnd)
        raise Wrong(f"{shown(text)} is not possible", f"it is one of: {names}")
    return found


def port(text: str) -> str:
    """Take the path of a serial device, or `sim:` with or without options."""
    plain(text)
    if text.startswith(SENSOR_SIMULATOR):
        raise Wrong(
            "the simulated sensors are no smart meter",
            f'use them as port of a [[serial]], or "{SIMULATOR}" here',
        )
    if text == SIMULATOR.rstrip(":"):
        raise Wrong(f"{shown(text)} lacks its colon", f'write "{SIMULATOR}" for the simulator')
    if _WINDOWS_PORT.fullmatch(text):
        raise Wrong(
            f"{shown(text)} is the name of a port under Windows",
            "write one of the names that `ls /dev/serial/by-id/*` shows",
        )
    if text.startswith(SIMULATOR):
        # No part of the main job on a small machine.
        from kei.simulator.options import parse_sim_port  # noqa: PLC0415

        _check_options(parse_sim_port, text)
    return text


def _check_options(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        mistakes = "; ".join(error.faults)
        raise Wrong(mistakes, "`kei simulate --help` shows the options") from None


def epc(text: str) -> int:
    """Read the two hex digits of a property that kei knows."""
    known = " ".join(_KNOWN_EPCS)
    digits = text.upper().removeprefix("0X")
    count = 1 if digits in _KNOWN_EPCS else 3
    near = difflib.get_close_matches(digits, _KNOWN_EPCS, n=count, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    if not _EPC.fullmatch(text):
        remedy = f"{hint}write two hex digits, one of {known}"
        raise Wrong(f"{shown(text)} is no property code", remedy)
    code = int(text, 16)
    if code in UNRECORDED:
        what = f"{digits} is {UNRECORDED[code].kind.value}, which kei does not read"
        raise Wrong(what, f"known are {known}")
    if code not in PROPERTIES:
        raise Wrong(f"{digits} is not known to kei", f"{hint}known are {known}")
    return code


def broute_id(text: str) -> str:
    """Take the 32 hex digits of the authentication ID; upper case."""
    if _BROUTE_ID.fullmatch(text):
        return text.upper()
    found = f"found {len(text)} characters, wanted {BROUTE_ID_DIGITS} hex digits"
    if _BROUTE_PWD.fullmatch(text):
        raise Wrong(found, "this looks like the password: are ID and password swapped?")
    if len(text) == BROUTE_ID_DIGITS:
        found = f"not all of its {BROUTE_ID_DIGITS} characters are hex digits"
        if text.isascii():
            remedy = "use 0-9 and A-F only; look for the letter O in place of a zero"
            raise Wrong(found, remedy)
    raise Wrong(found, _credential_remedy(text))


def broute_pwd(text: str) -> str:
    """Take the 12 characters of the password; upper case."""
    if _BROUTE_PWD.fullmatch(text):
        return text.upper()
    found = f"found {len(text)} characters, wanted {BROUTE_PWD_CHARACTERS} of 0-9 and A-Z"
    if _BROUTE_ID.fullmatch(text):
        raise Wrong(found, "this looks like the ID: are ID and password swapped?")
    if len(text) == BROUTE_PWD_CHARACTERS:
        found = f"not all of its {BROUTE_PWD_CHARACTERS} characters are of 0-9 and A-Z"
    raise Wrong(found, _credential_remedy(text))


def _credential_remedy(text: str) -> str:
    if any(character.isspace() for character in text):
        return "write it without the spaces"
    if not text.isascii():
        return "write it in half-width ASCII characters"
    if "-" in text:
        return "write it without the hyphens"
    return "copy it anew from the power company's letter"


def upload_key(text: str) -> str:
    """Take the key of an upload server."""
    if not text:
        raise Wrong("is empty", "write the key that the server knows")
    if not text.isprintable() or text != text.strip():
        raise Wrong(
            f"its {len(text)} characters begin or end with a space, or one is a control character",
            "copy it anew",
        )
    return text


def target_url(text: str) -> str:
    """Take an http or https address with a host and without user and password."""
    if not text.isprintable() or " " in text:
        raise Wrong("contains a space or a control character", "write it as %20, or copy it anew")
    remedy = 'write it like "https://example.com/upload.php"'
    try:
        parts = urlsplit(text)
        host, at_port = parts.hostname, parts.port
    except ValueError:
        raise Wrong("is no valid address", remedy) from None
    if parts.scheme not in ("http", "https"):
        raise Wrong("does not begin with http:// or https://", remedy)
    if "@" in parts.netloc:
        raise Wrong("has a user name in it, which would get into logs", "use headers instead")
    if not host or at_port == 0:
        raise Wrong("names no host, or the port 0", remedy)
    return text


def host(url: str) -> str:
    """Return the host of an address that the rule above took."""
    return urlsplit(url).hostname or ""


def header_name(text: str) -> str:
    """Take the name of an HTTP header."""
    if not _HEADER_NAME.fullmatch(text):
        raise Wrong("is no name of a header", "use ASCII letters, digits and - only")
    return text


def header_value(text: str) -> str:
    """Take the value of an HTTP header."""
    if "\r" in text or "\n" in text:
        raise Wrong("contains a line break", "write it on one line")
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise Wrong(
            "begins or ends with a space, or has a character that is not printable ASCII",
            "copy it anew",
        )
    return text


def moment(text: str) -> date | datetime | None:
    """Read a date or an RFC 3339 date-time; an empty text is None."""
    if not text:
        return None
    remedy = 'write "2026-01-01", or "2026-01-01T00:00:00+09:00" with its offset'
    upper = text.upper()
    try:
        if _DATE.fullmatch(upper):
            return date.fromisoformat(upper)
        if _DATE_TIME.fullmatch(upper):
            return datetime.fromisoformat(upper)
    except ValueError as error:
        raise Wrong(f"{shown(text)} does not exist ({error})", remedy) from None
    raise Wrong(f"{shown(text)} is no date and no date-time of RFC 3339", remedy)
