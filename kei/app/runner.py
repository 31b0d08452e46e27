"""The main job: one engine at a time, signals, reloading, and an orderly end."""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

import structlog

from kei import __version__, config
from kei.app.engine import Engine
from kei.app.systemd import ServiceManager
from kei.app.terminal import REFRESH_S, Terminal
from kei.config.diff import differences
from kei.core import logs
from kei.core.clock import Clock
from kei.core.errors import ConfigError, KeiError, StoreError
from kei.core.secret import Secret, holds_secret
from kei.core.signals import (
    LAST_LINES_S,
    RELOAD_SIGNAL,
    STOP_SIGNALS,
    TOGGLE_SIGNAL,
    SignalQueue,
)
from kei.settings.config import Config

log = structlog.stdlib.get_logger("kei.runner")

CHECK_S = 2.0  # how often the file and the threads are checked; a reload is promised in 10 s
MISSING_CHECKS = 3  # then it is no editor that replaces the file


class Runner:
    """Runs kei until a signal ends it.

    Args:
        path: jobs.toml.
        environ: the environment.
        clock: wall and monotonic time.
        signals: already installed, so that none is missed while kei starts.
    """

    def __init__(
        self, path: Path, *, environ: Mapping[str, str], clock: Clock, signals: SignalQueue
    ) -> None:
        self._path = path
        self._environ = environ
        self._clock = clock
        self._signals = signals
        self._service_manager = ServiceManager(environ, clock)
        self._seen: tuple[int, ...] | None = None
        self._missing_checks = 0  # in a row
        self._all_ended = True  # whether no job of an engine goes on after its end

    def run(self) -> None:
        """Run until HUP, INT or TERM.

        Raises:
            ConfigError: jobs.toml does not validate at the start.
            StoreError: the files cannot be opened at the start, or another kei writes to them.
            KeiError: the log file cannot be opened.
        """
        self._seen = self._signature()
        current = config.load(self._path, environ=self._environ)
        try:
            self._set_up_logs(current)
        except OSError as error:
            hint = "let kei's user write there, or name another file"
            raise KeiError(
                f"{self._path}: log.file: {current.log.file}: {error.strerror}; {hint}"
            ) from error
        engine = self._engine(current)
        log.info("kei_started", version=__version__, pid=os.getpid(), jobs=str(self._path))
        sink = logs.terminal()
        terminal = None if sink is None else Terminal(sink, self._clock)
        try:
            self._run(self._start(engine), terminal)
        finally:
            if terminal is not None:
                terminal.close()
        if not self._all_ended:
            logs.flush(LAST_LINES_S)
            os._exit(0)  # all files are closed, and the interpreter would wait for that upload

    def _run(self, engine: Engine, terminal: Terminal | None) -> None:
        self._service_manager.ready()
        pace_s = CHECK_S if terminal is None else min(CHECK_S, REFRESH_S)
        while True:
            self._service_manager.report(engine.status.summary(), engine.status.stuck())
            if terminal is not None:
                terminal.refresh(*engine.status.live())
            number = self._signals.wait(self._service_manager.pace_s(pace_s))
            if number in STOP_SIGNALS:
                break
            if number == TOGGLE_SIGNAL:
                log.info("log_level", now=logs.toggle_debug(engine.config.log.level.value))
            if number == RELOAD_SIGNAL or self._file_changed():
                engine = self._reload(engine)
            try:
                engine.supervise()
            except StoreError:
                self._signals.end_in_time()
                engine.stop()
                raise
        assert number is not None, "the loop ends with a signal"
        log.info("kei_stopping", signal=number.name)
        self._service_manager.stopping()
        self._all_ended &= engine.stop()
        self._signals.ignore()
        log.info("kei_stopped")

    def _engine(self, wanted: Config) -> Engine:
        return Engine(wanted, clock=self._clock, rng=random.Random())  # noqa: S311 - jitter

    def _start(self, engine: Engine) -> Engine:
        try:
            engine.start()
        except BaseException:
            engine.stop()
            raise
        return engine

    def _set_up_logs(self, wanted: Config) -> None:
        logs.masker.hide(list(_secrets(wanted)))
        logs.configure(wanted.log.level.value, wanted.log.file, self._environ)

    def _reload(self, engine: Engine) -> Engine:
        """Put a changed file into effect; a file that does not validate changes nothing."""
        self._seen = self._signature()
        try:
            wanted = config.load(self._path, environ=self._environ)
        except ConfigError as error:
            return _refused(engine, error.faults)
        changes = differences(engine.config, wanted)
        if not changes:
            engine.refused = ()
            log.info("config_unchanged")
            return engine
        log.info("config_changed", changes=changes)
        try:
            self._set_up_logs(wanted)
        except OSError as error:
            return _refused(engine, [f"log.file: {error}"])
        if engine.can_change_to(wanted):
            try:
                engine.change_to(wanted)
            except (ConfigError, OSError) as error:
                _refused(engine, _faults(error))
                self._set_up_logs(engine.config)
            else:
                engine.refused = ()
            return engine
        return self._replace(engine, wanted)

    def _replace(self, engine: Engine, wanted: Config) -> Engine:
        """Start over with another configuration; if that fails, with the one before."""
        self._all_ended &= engine.stop()
        try:
            return self._start(self._engine(wanted))
        except (KeiError, OSError) as error:
            _refused(engine, _faults(error))
            self._set_up_logs(engine.config)
            again = self._engine(engine.config)
            again.refused = engine.refused
            return self._start(again)

    def _file_changed(self) -> bool:
        now = self._signature()
        self._missing_checks = 0 if now is not None else self._missing_checks + 1
        if self._missing_checks == MISSING_CHECKS:
            log.warning("config_missing", jobs=str(self._path), hint="kei goes on as it is")
        return now is not None and now != self._seen

    def _signature(self) -> tuple[int, ...] | None:
        """Return what changes whenever the file does; None while the file is missing."""
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _secrets(settings: object) -> Iterator[Secret]:
    """Yield every secret of a configuration, those in the tables of kinds of jobs included.

    Of headers only those whose name says so: `Accept = "application/json"` is none.
    """
    match settings:
        case Secret():
            yield settings
        case (str(header), Secret() as value):
            if holds_secret(header):
                yield value
        case tuple():
            for item in settings:
                yield from _secrets(item)
        case Mapping():
            yield from _secrets(tuple(settings.values()))
        case _ if is_dataclass(settings):
            yield from _secrets(tuple(getattr(settings, each.name) for each in fields(settings)))


def _refused(engine: Engine, faults: Sequence[str]) -> Engine:
    """Return an engine that goes on although jobs.toml says something else now, and say so."""
    log.error("config_refused", faults=faults)
    engine.refused = faults
    return engine


def _faults(error: Exception) -> Sequence[str]:
    return error.faults if isinstance(error, ConfigError) else [str(error)]
