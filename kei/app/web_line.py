"""The page of an engine: the server that `[web]` asks for, or none."""

from kei.app.workers import Workers
from kei.settings.web import Web
from kei.web.live import Live
from kei.web.server import WebServer

WEB_THREAD = "web"
WEB_LIMIT_S = 1.0  # an answer that waits for the disk is left alone


class WebLine:
    """Serves the page. Used by one thread.

    Args:
        live: what it shows.
        workers: the threads.
    """

    def __init__(self, live: Live, workers: Workers) -> None:
        self._live = live
        self._workers = workers
        self._settings: Web | None = None

    def change_to(self, wanted: Web | None) -> None:
        """Serve at another address, or to other users; nothing happens if all is the same."""
        if wanted == self._settings:
            return
        self._workers.stop(WEB_THREAD, limit_s=WEB_LIMIT_S)
        self._settings = wanted
        if wanted is not None:
            self._workers.start(WEB_THREAD, WebServer(wanted, self._live))
