"""The addresses of the page and of its JSON."""

import json
import re
import threading
import zlib
from collections.abc import Callable, Collection
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import bottle
import structlog

from kei.core import times
from kei.core.errors import ConfigError, KeiError
from kei.core.extras import install
from kei.core.printable import printable, printable_json
from kei.energy.periods import By
from kei.settings.months import month
from kei.settings.text_rules import Wrong
from kei.settings.web import Web
from kei.status.as_json import to_document
from kei.store.thinned import Wanted
from kei.web.guard import OPEN, SIGNED_IN, Application, Guard
from kei.web.live import Live
from kei.web.now import now_document
from kei.web.recorded import Recorded

if TYPE_CHECKING:
    from kei.web.metrics import Metrics

log = structlog.stdlib.get_logger("kei.web")

POINTS, POINTS_MAX, POINTS_MIN = 720, 5000, 1
LAST_MS = 86_400_000  # without from and to
AHEAD_MS = 40 * 86_400_000  # the end of a month that has begun; nothing is known of what follows
FILES = {  # of the page
    "/": ("index.html", "text/html; charset=utf-8"),
    "/kei.css": ("kei.css", "text/css; charset=utf-8"),
    "/kei.js": ("kei.js", "text/javascript; charset=utf-8"),
    "/charts.js": ("charts.js", "text/javascript; charset=utf-8"),
    "/text.js": ("text.js", "text/javascript; charset=utf-8"),
    "/words.js": ("words.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
METRICS = "/metrics"
# Are answered before all others: from memory; a scrape waits for the disk for two seconds at most.
QUICK = frozenset({*FILES, "/api/now", METRICS, OPEN})
_NOTHING = (None, None, None)
_SERIES = re.compile(r"([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)")
_LOST_PLUS = re.compile(r"(T[0-9:.]+) (?=[0-9]{2}:?[0-9]{2}$)")  # of +09:00 in an address


class _Mistake(Exception):
    """A wrong parameter; the text is a sentence for a person."""


def application(settings: Web, live: Live) -> Application:
    """Return what answers requests (WSGI); called by any thread.

    Args:
        settings: `[web]` of jobs.toml.
        live: what is shown.
    """
    return Guard(_Routes(live).app, settings, live.clock)


class _Routes:
    def __init__(self, live: Live) -> None:
        self._live = live
        self._clock = live.clock
        self._recorded = Recorded(live)
        self.app = bottle.Bottle()
        self.app.default_error_handler = _error
        folder = resources.files("kei.web").joinpath("page")
        for path, (name, kind) in FILES.items():
            self._route(path, _file(folder.joinpath(name).read_bytes(), kind))
        self._route(OPEN, self._healthz)
        for name, answer, *parameters in (
            ("now", self._now),
            ("power", self._power, "from", "to", "points", "series"),
            ("energy", self._energy, "from", "to", "by"),
            ("cost", self._cost, "from", "to"),
            ("bill", self._bill, "month"),
            ("status", self._status),
        ):
            self._route(f"/api/{name}", _json(partial(_checked, answer, parameters)))
        self._metrics: Metrics | None = None
        self._importing = threading.Lock()
        self._route(METRICS, _json(self._scraped))

    def _route(self, path: str, answer: Callable[[], object]) -> None:
        self.app.route(path, "GET", answer)

    def _healthz(self) -> object:
        """Say whether all is well; what is not, only to who may see everything."""
        try:
            found = self._recorded.problems()
            problems = [f"{problem.rule.value}: {problem.detail}" for problem in found]
        except KeiError as error:
            problems = [str(error)]
        lines = ["not ok" if problems else "ok"]
        if bottle.request.environ[SIGNED_IN]:
            lines += problems
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        text = "\n".join(map(printable, lines)) + "\n"
        return bottle.HTTPResponse(text, 503 if problems else 200, headers)

    def _scraped(self) -> object:
        """Answer Prometheus, whose library is loaded when it asks for the first time."""
        try:
            with self._importing:
                if self._metrics is None:
                    from kei.web.metrics import Metrics  # noqa: PLC0415

                    self._metrics = Metrics(self._live, self._recorded)
        except ImportError as error:
            raise KeiError(
                f"no metrics: {error.name} is missing or too old; {install('web')}"
            ) from None
        body, kind = self._metrics.answer(bottle.request.get_header("Accept", ""))
        return bottle.HTTPResponse(body, 200, {"Content-Type": kind})

    def _now(self) -> object:
        return now_document(self._live, self._recorded)

    def _power(self) -> object:
        from_ms, to_ms = self._range()
        config, unit, sensor = self._live.config(), *self._series()
        now_ms, points = self._clock.now_ms(), self._points()
        if from_ms >= now_ms:
            return {"series": f"{unit}/{sensor}", "points": []}
        found = self._recorded.thinned(
            Wanted(
                unit,
                sensor,
                max(from_ms, 0),
                min(to_ms, now_ms + 1),
                points,
                self._recorded.cycle_s(unit, sensor),
                config.summary.cycle_s,
            )
        )
        rows = [(_epoch_s(each.time_ms), *(each.values or _NOTHING)) for each in found]
        return {"series": f"{unit}/{sensor}", "points": rows}

    def _energy(self) -> object:
        from_ms, to_ms = self._range()
        asked = _asked("by") or By.DAY.value
        try:
            by = By(asked)
        except ValueError:
            choices = ", ".join(by.value for by in By)
            raise _Mistake(f"by is one of {choices}") from None
        return self._recorded.energy(from_ms, to_ms, by)

    def _cost(self) -> object:
        return self._recorded.cost(*self._range())

    def _bill(self) -> object:
        asked = _asked("month")
        try:
            return self._recorded.bill(month(asked) if asked else None)
        except Wrong as error:
            raise _Mistake(f"month {error}") from None

    def _status(self) -> object:
        facts = self._recorded.facts()
        return to_document(facts, self._recorded.problems()) | {
            "disk_free_bytes": self._live.health().numbers["disk_free_bytes"]
        }

    def _range(self) -> tuple[int, int]:
        begin, end, now_ms = _asked("from"), _asked("to"), self._clock.now_ms()
        to_ms = now_ms if not end else self._instant("to", end, is_end=True)
        from_ms = to_ms - LAST_MS if not begin else self._instant("from", begin, is_end=False)
        if to_ms <= from_ms:
            raise _Mistake("to is not behind from")
        return from_ms, min(to_ms, now_ms + AHEAD_MS) if from_ms < now_ms else to_ms

    def _instant(self, name: str, text: str, *, is_end: bool) -> int:
        if text.isdigit() and len(text) > len("YYYYMMDD"):  # as the points have it
            return min(int(text), 1 << 40) * 1000
        return times.instant(name, _LOST_PLUS.sub(r"\1+", text), self._clock, is_end=is_end)

    def _series(self) -> tuple[str, str]:
        asked = _asked("series")
        if not asked:
            return self._recorded.unit, "E7"
        found = _SERIES.fullmatch(asked)
        if found is None:
            raise _Mistake("series is UNIT/SENSOR, such as BR/E7")
        return found[1], found[2]

    @staticmethod
    def _points() -> int:
        text = _asked("points") or str(POINTS)
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < POINTS_MIN:
            raise _Mistake(f"points is a whole number from {POINTS_MIN} to {POINTS_MAX}")
        return min(int(text), POINTS_MAX)


def _checked(answer: Callable[[], object], parameters: Collection[str]) -> object:
    """Return an answer to a request that has these parameters only; _Mistake if it has others."""
    for name in bottle.request.query:
        if name not in parameters:
            known = f"known here: {', '.join(parameters)}" if parameters else "none is known here"
            raise _Mistake(f"unknown parameter {name}; {known}")
    return answer()


def _asked(name: str) -> str:
    """Return a parameter of the request; an empty text if it has none; _Mistake for no text."""
    given: str = bottle.request.query.get(name, "")
    try:
        return given.encode("latin-1").decode()  # PEP 3333
    except UnicodeError:
        raise _Mistake(f"{name} is no UTF-8 text") from None


def _epoch_s(time_ms: int) -> int | float:
    return time_ms / 1000 if time_ms % 1000 else time_ms // 1000


def _json(answer: Callable[[], object]) -> Callable[[], object]:
    """Return a route that answers with JSON, if not with something else that is ready to be sent.

    Errors, too, say in a sentence what is wrong.
    """

    def route() -> object:
        status, body = 200, b""
        try:
            found = answer()
            if isinstance(found, bottle.HTTPResponse):
                return found
            body = found if isinstance(found, bytes) else _encoded(found)
        except (_Mistake, ConfigError) as error:
            status, body = 400, _sentence(str(error))
        except KeiError as error:
            status, body = 503, _sentence(str(error))
        except Exception:
            log.exception("web_answer_failed", path=bottle.request.path)
            status, body = 500, _sentence("a mistake of kei's own; see its log")
        headers = {"Content-Type": "application/json"}
        return bottle.HTTPResponse(body, status, headers)

    return route


def _encoded(value: object) -> bytes:
    return printable_json(json.dumps(value, ensure_ascii=False)).encode()


def _sentence(text: str) -> bytes:
    return _encoded({"error": text})


def _file(content: bytes, kind: str) -> Callable[[], object]:
    """Return a route to a file of the page, which is sent again only if it is another one."""
    tag = f'"{zlib.crc32(content):08x}"'
    headers = {"Content-Type": kind, "ETag": tag, "Cache-Control": "no-cache"}

    def route() -> object:
        if bottle.request.get_header("If-None-Match") == tag:
            return bottle.HTTPResponse(b"", 304, {"ETag": tag, "Cache-Control": "no-cache"})
        return bottle.HTTPResponse(content, 200, headers)

    return route


def _error(found: Any) -> bytes:
    """Return the body of an error of bottle's own: an address that does not exist."""
    found.content_type = "application/json"
    return _sentence(cast("str", found.status_line).partition(" ")[2])
