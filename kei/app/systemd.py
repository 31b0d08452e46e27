"""Notifications to systemd: what kei is doing, and that it works, so that it is not restarted.

The protocol is sd_notify(3): datagrams of `NAME=value` lines to the unix socket that
`NOTIFY_SOCKET` names. Without that variable nothing is sent, and nothing else is different.
"""

import os
import socket
from collections.abc import Mapping

import structlog

from kei.core.clock import Clock
from kei.core.incidents import Incidents

log = structlog.stdlib.get_logger("kei.supervisor")

SEND_LIMIT_S = 2.0  # a busy manager takes a message within that
FEEDS_A_PERIOD = 4  # sd_watchdog_enabled(3) asks for two; one may come late on a busy machine
TEXT_MAX_CHARS = 500


class ServiceManager:
    """The service manager that has started kei, if one has. Used by one thread.

    Args:
        environ: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` of it.
        clock: for the time between two feeds of the watchdog.
    """

    def __init__(self, environ: Mapping[str, str], clock: Clock) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._clock = clock
        self._incidents = Incidents(log, clock)
        self._feed_every_s = self._period_s(environ)
        self._fed: float | None = None
        self._summary: str | None = None
        self._stuck: list[str] = []

    def _period_s(self, environ: Mapping[str, str]) -> float | None:
        """Return how often to feed the watchdog; None if this process has none."""
        limit_us = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if self._address is None or not is_ours or not limit_us.isascii():
            return None
        if not limit_us.isdigit() or int(limit_us) == 0:
            return None
        return int(limit_us) / 1e6 / FEEDS_A_PERIOD

    def pace_s(self, usual_s: float) -> float:
        """Return the time between two reports: the usual one, or less for the watchdog."""
        return usual_s if self._feed_every_s is None else min(usual_s, self._feed_every_s)

    def ready(self) -> None:
        """Report that everything has been started."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Report that kei is being stopped."""
        self._send("STOPPING=1", "STATUS=stopping")

    def report(self, summary: str, stuck: list[str]) -> None:
        """Send the status summary; feed the watchdog, but only while nothing is stuck.

        Args:
            summary: one line for people.
            stuck: names of threads that hang, so that only a restart can help.
        """
        if stuck != self._stuck:
            self._stuck = stuck
            self._log_stuck()
        if stuck:
            summary = f"hangs: {', '.join(stuck)}"
        if summary != self._summary and self._send(f"STATUS={_one_line(summary)}"):
            self._summary = summary
        if not stuck:
            self._feed()

    def _log_stuck(self) -> None:
        if not self._stuck:
            log.warning("moving_again")
            return
        has_watchdog = self._feed_every_s is not None
        hint = "the service manager starts kei again" if has_watchdog else "start kei again"
        log.critical("hanging", what=self._stuck, hint=hint)

    def _feed(self) -> None:
        now = self._clock.monotonic()
        if self._feed_every_s is None:
            return
        is_due = self._fed is None or now - self._fed >= self._feed_every_s
        if is_due and self._send("WATCHDOG=1"):
            self._fed = now

    def _send(self, *lines: str) -> bool:
        """Send a message; return False if it failed. Without a service manager it never does."""
        if self._address is None:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_LIMIT_S)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            self._incidents.raised("supervisor_not_reached", reason=error.strerror or str(error))
            return False
        self._incidents.ended("supervisor_not_reached")
        return True


def _address(name: str) -> str | None:
    """Return the socket's name; a leading `@` stands for an abstract one (sd_notify(3))."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:TEXT_MAX_CHARS]
