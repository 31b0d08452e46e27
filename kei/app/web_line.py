"""The page of an engine: the server that `[web]` asks for, or none."""

from kei.app.workers import Workers
from kei.settings.web import Web
from kei.status.snapshot import PageStatus
from kei.web.live import Live
from kei.web.server import WebServer

WEB_THREAD = "web"
WEB_LIMIT_S = 1.0  # an answer that waits for the disk is left alone


class WebLine:
    """Serves the page. Used by one thread, if not said otherwise.

    Args:
        live: what it shows.
        workers: the threads.
    """

    def __init__(self, live: Live, workers: Workers) -> None:
        self._live = live
        self._workers = workers
        self._settings: Web | None = None
        self._server: WebServer | None = None

    def change_to(self, wanted: Web | None) -> None:
        """Serve at another address, or to other users; nothing happens if all is the same."""
        if wanted == self._settings:
            return
        self._workers.stop(WEB_THREAD, limit_s=WEB_LIMIT_S)
        self._settings, self._server = wanted, None
        if wanted is not None:
            self._server = WebServer(wanted, self._live)
            self._workers.start(WEB_THREAD, self._server)

    def status(self) -> PageStatus | None:
        """Return whether the page is served; None without `[web]`. Any thread."""
        server = self._server
        return None if server is None else server.status()
