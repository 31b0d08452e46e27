"""The server of the page: a thread for all connections, and a few that answer.

Each connection gets one answer and is closed. It has 10 s to ask and 30 s altogether, and of too
many the one that has waited longest goes: whoever dribbles a request, opens a thousand connections
or does not read an answer only costs himself.
"""

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

import structlog

from kei.core.extras import lacking
from kei.core.incidents import Incidents
from kei.settings.web import Web
from kei.status.snapshot import PageStatus
from kei.web.live import Live

if TYPE_CHECKING:
    from kei.web.connections import Connections

log = structlog.stdlib.get_logger("kei.web")

RETRY_S = 5.0


class WebServer:
    """Serves the page until it is stopped.

    Args:
        settings: `[web]` of jobs.toml.
        live: what the page shows.
    """

    def __init__(self, settings: Web, live: Live) -> None:
        self._settings = settings
        self._live = live
        self._stopping = threading.Event()
        self._connections: Connections | None = None
        self._incidents = Incidents(log, live.clock)
        self._fault: str | None = None

    def run(self) -> None:
        """Serve until `stop`; an address that is not to be had is tried again and again."""
        try:
            # No part of a kei without a page: bottle and waitress are an extra.
            from kei.web.connections import serve  # noqa: PLC0415
            from kei.web.routes import QUICK, application  # noqa: PLC0415
        except ModuleNotFoundError as error:
            self._fault = lacking("web", str(error.name))
            log.error("web_unavailable", reason=self._fault)  # noqa: TRY400
            self._stopping.wait()
            return
        answering = application(self._settings, self._live)
        listen, clock = self._settings.listen, self._live.clock
        while not self._stopping.is_set():
            try:
                with serve(answering, listen, clock, QUICK) as connections:
                    self._connections = connections
                    self._fault = None
                    self._incidents.ended("web_unavailable")
                    log.info("web_listening", url=f"http://{listen}/")
                    connections.run(self._stopping)
            except OSError as error:
                self._tell(error)
                self._stopping.wait(RETRY_S)

    def stop(self) -> None:
        """Make `run` return soon; any thread."""
        self._stopping.set()
        connections = self._connections
        if connections is not None:
            with contextlib.suppress(OSError):  # it has ended already
                connections.wake()

    def status(self) -> PageStatus:
        """Return whether the page is served; any thread."""
        return PageStatus(f"http://{self._settings.listen}/", self._fault)

    def _tell(self, error: OSError) -> None:
        self._fault = error.strerror or str(error)
        self._incidents.raised(
            "web_unavailable",
            level=logging.ERROR,
            listen=str(self._settings.listen),
            reason=self._fault,
            hint="kei records all the same, and tries again; is the port another program's, or the"
            " address not of this machine? See listen of [web]",
        )
