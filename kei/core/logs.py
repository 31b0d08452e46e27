"""Logging: structlog over the standard library, one JSON object a line, secrets masked.

APScheduler, urllib3, requests and warnings log through the standard library and so have the same
format. Masking is applied to all values of a line before it is rendered, tracebacks among them.
Nobody who logs waits for a terminal, a pipe or a disk: see `sinks`.
"""

import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from kei.core.clock import SystemClock, local_zone
from kei.core.masking import Masker
from kei.core.printable import printable, printable_json
from kei.core.sinks import FilePlace, Place, Sink, StreamPlace

log = structlog.stdlib.get_logger("kei.log")

_QUIET_LIBRARIES = ("apscheduler", "urllib3", "requests")
# sd-daemon(3): the priority of a line in angle brackets.
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
_DEBUG_PRIORITY = 7
_TRACES = frozenset({"exception", "stack"})
_OWN_FIELDS = frozenset({"timestamp", "level", "logger"})
RECENT_LINES = 10
RECENT_MAX_CHARS = 300  # of one line


masker = Masker()


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders a record whose values are masked; for the journal, with its priority in front."""

    def __init__(self, renderer: Processor, *, journal: bool = False) -> None:
        processors: list[Processor] = [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _plain_values,
            renderer,
        ]
        super().__init__(processors=processors, foreign_pre_chain=_shared_processors())
        self._journal = journal
        self._renderer = renderer

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; never raises, as those who log go on whatever they say."""
        try:
            line = super().format(record)
        except Exception as error:  # noqa: BLE001 - a message that does not fit its arguments, say
            line = self._instead_of(record, error)
        if not self._journal:
            return line
        return f"<{_PRIORITIES.get(record.levelno, _DEBUG_PRIORITY)}>{line}"

    def _instead_of(self, record: logging.LogRecord, error: Exception) -> str:
        fields: EventDict = {
            "event": "log_line_failed",
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "reason": type(error).__name__,
            "where": f"{record.pathname}:{record.lineno}",
        }
        return str(self._renderer(None, record.levelname.lower(), fields))


def _plain_values(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """Mask everything but what kei itself has added, and make it what JSON can hold."""
    return {
        name: value
        if name in _OWN_FIELDS and isinstance(value, str)
        else masker.plain_under(name, value)
        for name, value in fields.items()
    }


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
        self.setFormatter(_Formatter(_one_line))
        self.lines: deque[LogLine] = deque(maxlen=RECENT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
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
    return printable(text)


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
_sinks: dict[str, Sink] = {}  # by the name of the place


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
    # Opened before anything is changed.
    to_file = None if file is None else _sink(str(file), lambda: FilePlace(file))
    sinks = []
    if sys.stdout is not None:  # it is where the parent has closed it
        sinks.append(_stream_sink(sys.stdout))
        if debug or sys.stdout.isatty():
            sinks[0].setFormatter(_Formatter(_readable(sys.stdout)))
        else:
            journal = _stdout_is_journal(environ)
            sinks[0].setFormatter(_Formatter(_json, journal=journal))
    if to_file is not None:
        sinks.append(to_file)
        to_file.setFormatter(_Formatter(_json))
    _install(sinks, "debug" if debug else level)


def configure_stderr(environ: Mapping[str, str], level: str = "warning") -> None:
    """Configure logging for a command that prints its result: readable, on stderr.

    Args:
        environ: the environment; with `DEBUG` in it, everything is written.
        level: otherwise lines of this level and above.
    """
    sinks = []
    if sys.stderr is not None:
        sinks.append(_stream_sink(sys.stderr))
        sinks[0].setFormatter(_Formatter(_readable(sys.stderr)))
    _install(sinks, "debug" if "DEBUG" in environ else level)


def terminal() -> Sink | None:
    """Return where lines go that a person reads as they come; None if nobody does.

    `configure` comes first. A terminal that knows no control characters (`dumb`) takes lines only.
    """
    if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    return _sinks.get(sys.stdout.name)


def flush(limit_s: float) -> None:
    """Wait until all lines are written, for so long at most: the process is about to end."""
    clock = SystemClock()
    end = clock.monotonic() + limit_s
    for sink in tuple(_sinks.values()):
        sink.drain(max(0.0, end - clock.monotonic()))


def _sink(name: str, make: Callable[[], Place]) -> Sink:
    """Return the sink of this name, the same whenever logging is configured: its lines wait."""
    if name not in _sinks:
        _sinks[name] = Sink(make())
    return _sinks[name]


def _stream_sink(stream: TextIO) -> Sink:
    return _sink(stream.name, lambda: StreamPlace(stream.name.strip("<>"), stream.fileno()))


def _install(sinks: Sequence[Sink], level: str) -> None:
    """Replace all handlers by these, and connect structlog to them."""
    root = logging.getLogger()
    for old in root.handlers[:]:
        if old not in sinks:
            root.removeHandler(old)
            old.close()
    for name, sink in tuple(_sinks.items()):
        if sink not in sinks:
            del _sinks[name]
    for handler in (*sinks, _recent):
        root.addHandler(handler)  # once, also if it is there
    set_level(level)
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook, threading.excepthook = _on_crash, _on_thread_crash
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


def _on_crash(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    """Log what ends the program, masked, where Python would print it."""
    log.critical("crashed", exc_info=(kind, error, at))


def _on_thread_crash(crash: threading.ExceptHookArgs) -> None:
    """Log what ends a thread; see `_on_crash`."""
    if crash.exc_value is not None and crash.exc_type is not SystemExit:
        thread = crash.thread.name if crash.thread is not None else None
        error = (crash.exc_type, crash.exc_value, crash.exc_traceback)
        log.critical("thread_crashed", thread=thread, exc_info=error)


def _readable(stream: TextIO) -> Processor:
    """Return a renderer for people; on a terminal coloured, and with the local time of day."""
    is_terminal, zone = stream.isatty(), local_zone()
    render = structlog.dev.ConsoleRenderer(
        colors=is_terminal, exception_formatter=structlog.dev.plain_traceback
    )

    def processor(logger: WrappedLogger, method: str, fields: EventDict) -> str:
        shown = {name: _printable_value(name, value) for name, value in fields.items()}
        if is_terminal:
            moment = datetime.fromisoformat(str(fields["timestamp"])).astimezone(zone)
            shown["timestamp"] = f"{moment:%H:%M:%S}"
        return render(logger, method, shown)

    return processor


def _printable_value(name: str, value: object) -> object:
    """Return a plain value without control characters; a traceback keeps its lines."""
    if isinstance(value, str):
        return printable(value, keep="\n" if name in _TRACES else "")
    return value if isinstance(value, int | float | None) else printable(repr(value))


def _json(_logger: WrappedLogger, _method: str, fields: EventDict) -> str:
    return printable_json(json.dumps(fields, ensure_ascii=False))


def set_level(level: str) -> None:
    """Log lines of this level and above."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for handler in root.handlers:  # some loggers let more pass: see `app.terminal`
        if isinstance(handler, Sink):
            handler.setLevel(root.level)


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
