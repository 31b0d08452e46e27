"""What the texts of jobs.toml may be: text in, value out, or `Wrong` with what to do about it.

A rule for a secret never repeats the text, nor does one for a text that may carry a secret.
"""

import codecs
import json
import math
import re
from datetime import date, datetime
from urllib.parse import urlsplit

from kei.core.errors import KeiError

ID_SPAN = "ASCII letters, digits, - and _"
BROUTE_ID_DIGITS = 32
BROUTE_PWD_CHARACTERS = 12
FNAME_BASE_MAX_BYTES = 200  # a file name has 255 at most; date, `sum` and `.txt` take 16

_SHOWN_CHARACTERS = 40  # of a wrong value: enough to recognise it, and the line stays a line
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]+")
_SITE_NAME = re.compile(r"[A-Za-z0-9._-]+")
_BROUTE_ID = re.compile(r"[0-9A-Fa-f]{32}")
_BROUTE_PWD = re.compile(r"[0-9A-Za-z]{12}")
_ASCII = "".join(map(chr, range(32, 127))) + "\r\n"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2: token


class Wrong(KeiError):
    """A value breaks a rule; it becomes a line of a `ConfigError`.

    Attributes:
        what: what is wrong, without file, line and key.
        remedy: what to do.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


def shown(value: object) -> str:
    """Return a value that is no secret as a fault line has it: texts in quotes, long ones cut."""
    if isinstance(value, str):
        short = value[:_SHOWN_CHARACTERS] + ("..." if len(value) > _SHOWN_CHARACTERS else "")
        return json.dumps(short, ensure_ascii=False)
    return str(value)


def duration(text: str, low_s: float = 0, high_s: float = math.inf) -> float:
    """Read `500ms`, `10s`, `5m`, `1h` or `1d`; seconds.

    Args:
        text: the duration.
        low_s: the least that is allowed where it stands; only what is within is advised.
        high_s: the most.

    Raises:
        Wrong: it is no duration. What is out of range is returned.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise Wrong(f"{shown(text)} is no duration", _duration_remedy(text, low_s, high_s))
    return float(found[1]) * _UNIT_S[found[2]]


def likely_duration(number: str, low_s: float, high_s: float) -> str | None:
    """Return what a number without a unit probably means: seconds, or the unit of the least."""
    for unit in ("s", show_duration(low_s)[-1]):
        if unit in _UNIT_S and low_s <= float(number) * _UNIT_S[unit] <= high_s:
            return f"{number}{unit}"
    return None


def _duration_remedy(text: str, low_s: float, high_s: float) -> str:
    usual = 'a number of seconds, or a text like "500ms" "10s" "5m" "1h" "1d"'
    if _NUMBER.fullmatch(text):
        likely = likely_duration(text, low_s, high_s)
        if likely is None or likely == f"{text}s":
            return f'write {text} without quotes, or "{text}s"'
        return f'write "{likely}"'
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


def site_name(text: str) -> str:
    """Take the name of a site: ASCII letters, digits, - _ and a point."""
    if not _SITE_NAME.fullmatch(text):
        raise Wrong(
            f"{shown(text)} cannot be a name at servers",
            "use at least one of the ASCII letters, digits, - _ and ., and nothing else",
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


def target_url(text: str, example: str = "https://example.com/upload.php") -> str:
    """Take an http or https address with a host and without user and password."""
    if not text.isprintable() or " " in text:
        raise Wrong("contains a space or a control character", "write it as %20, or copy it anew")
    remedy = f'write it like "{example}"'
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
