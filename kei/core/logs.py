"""Logging: structlog over the standard library, one JSON object a line, secrets masked.

APScheduler, urllib3, requests and warnings log through the standard library and so have the same
format. Masking is applied to the finished line, so that it covers every field, traceback and
library.
"""

import json
import logging
import os
import re
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from kei.core.secret import MASK, Secret

_QUIET_LIBRARIES = ("apscheduler", "urllib3", "requests")
# sd-daemon(3): the priority of a line in angle brackets.
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
_DEBUG_PRIORITY = 7
RECENT_LINES = 10
RECENT_MAX_CHARS = 300  # of one line


class Masker:
    """Replaces secrets in text, also in their hexadecimal and JSON forms."""

    def __init__(self) -> None:
        self._pattern: re.Pattern[str] | None = None
        self._variants: set[str] = set()

    def hide(self, secrets: list[Secret]) -> None:
        """Mask these secrets, too, from now on."""
        for secret in secrets:
            text = secret.reveal()
            if text:
                self._variants |= {text, text.encode().hex(), json.dumps(text)[1:-1]}
        longest_first = sorted(self._variants, key=len, reverse=True)
        pattern = "|".join(re.escape(variant) for variant in longest_first)
        self._pattern = re.compile(pattern, re.IGNORECASE) if pattern else None

    def mask(self, text: str) -> str:
        """Return the text with every secret replaced by `***`."""
        return self._pattern.sub(MASK, text) if self._pattern else text


masker = Masker()


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders and masks a record; for the journal, with its priority in front."""

    def __init__(self, renderer: Processor, *, journal: bool) -> None:
        processors: list[Processor] = [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ]
        super().__init__(processors=processors, foreign_pre_chain=_shared_processors())
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        line = masker.mask(super().format(record))
        if not self._journal:
            return line
        return f"<{_PRIORITIES.get(record.levelno, _DEBUG_PRIORITY)}>{line}"


class _IgnoringOsErrors(logging.Handler):
    """A handler that drops a line when its reader has gone or the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Drop the line: it cannot be reported anywhere, and recording must go on."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _StreamHandler(_IgnoringOsErrors, logging.StreamHandler[TextIO]):
    pass


class _FileHandler(_IgnoringOsErrors, WatchedFileHandler):
    pass


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log, as `kei status` shows it.

    Attributes:
        time_ms: when it was logged, milliseconds since 1970 in UTC.
        level: `warning` to `critical`.
        logger: the part of kei that logged it.
        text: the event and its fields in one line, masked, at most 300 characters.
    """

    time_ms: int
    level: str
    logger: str
    text: str


class _RecentLines(logging.Handler):
    """Keeps the last lines of level WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(_Formatter(_one_line, journal=False))
        self.lines: deque[LogLine] = deque(maxlen=RECENT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - as all handlers of logging do
            self.handleError(record)
            return
        level, time_ms = record.levelname.lower(), round(record.created * 1000)
        self.lines.append(LogLine(time_ms, level, record.name, text[:RECENT_MAX_CHARS]))


def _one_line(_logger: WrappedLogger, _method: str, fields: EventDict) -> str:
    """Render the event and its fields; of a traceback only the last line."""
    event = fields.pop("event", "")
    for beside in ("timestamp", "level", "logger", "stack"):
        fields.pop(beside, None)
    if trace := str(fields.pop("exception", "")).strip():
        fields["exception"] = trace.splitlines()[-1]
    text = " ".join([str(event), *(f"{name}={value}" for name, value in fields.items())])
    return "".join(char if char.isprintable() else " " for char in text)


def _shared_processors() -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.UnicodeDecoder(),
    ]


_recent = _RecentLines()


def recent_lines() -> tuple[LogLine, ...]:
    """Return the last 10 lines of level WARNING and above, the newest last."""
    return tuple(_recent.lines.copy())


def configure(level: str, file: Path | None, environ: Mapping[str, str]) -> None:
    """Configure logging; may be repeated with other settings.

    Args:
        level: `debug` to `critical`; `DEBUG` in the environment, whatever its value, overrides.
        file: receives JSON lines besides stdout, and is opened again when it has been renamed;
            None for no file.
        environ: the environment.

    Raises:
        OSError: the file cannot be opened.
    """
    debug = "DEBUG" in environ
    handlers: list[logging.Handler] = [_StreamHandler(sys.stdout)]
    if debug or sys.stdout.isatty():
        handlers[0].setFormatter(_Formatter(_readable(sys.stdout), journal=False))
    else:
        handlers[0].setFormatter(_Formatter(_json(), journal=_stdout_is_journal(environ)))
    if file:
        handlers.append(_FileHandler(file, encoding="utf-8"))
        handlers[-1].setFormatter(_Formatter(_json(), journal=False))
    _install(handlers, "debug" if debug else level)


def configure_stderr(environ: Mapping[str, str]) -> None:
    """Configure logging for a command that prints its result: on stderr, warnings and worse.

    Args:
        environ: the environment; with `DEBUG` in it, everything is written.
    """
    handler = _StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(_readable(sys.stderr), journal=False))
    _install([handler], "debug" if "DEBUG" in environ else "warning")


def _install(handlers: list[logging.Handler], level: str) -> None:
    """Replace all handlers by these, and connect structlog to them."""
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in (*handlers, _recent):
        root.addHandler(handler)
    set_level(level)
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _readable(stream: TextIO) -> Processor:
    """Return a renderer for people, coloured if the stream is a terminal."""
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _json() -> Processor:
    return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)


def set_level(level: str) -> None:
    """Log lines of this level and above."""
    logging.getLogger().setLevel(level.upper())


def toggle_debug(usual: str) -> str:
    """Switch to DEBUG, or from DEBUG to the usual level (INFO if that is DEBUG); return the new."""
    at_debug = logging.getLogger().level == logging.DEBUG
    back = "info" if usual == "debug" else usual
    level = back if at_debug else "debug"
    set_level(level)
    return level


def _stdout_is_journal(environ: Mapping[str, str]) -> bool:
    """Return whether stdout is the journal's socket: JOURNAL_STREAM names its device and inode."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    if not (device.isdigit() and inode.isdigit()):
        return False
    try:
        stat = os.fstat(sys.stdout.fileno())
    except OSError:
        return False
    return (stat.st_dev, stat.st_ino) == (int(device), int(inode))
