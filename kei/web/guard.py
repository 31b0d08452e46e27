"""What every request has to pass, and what every answer carries: WSGI around the routes."""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import structlog

from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.settings.web import Web

log = structlog.stdlib.get_logger("kei.web")

Environ: TypeAlias = Mapping[str, Any]
Start: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[dict[str, Any], Start], Iterable[bytes]]

METHODS = ("GET", "HEAD")
OPEN = "/healthz"  # without a password
SIGNED_IN = "kei.signed_in"  # in the environment: whether the request may see everything
QUIET_S = 600.0  # without a refusal: whoever tries passwords goes on while the page is looked at
PATH_MAX_CHARS = 2000  # of path and query; the page's own have 100
# Everything is the page's own: nothing inline, nothing from elsewhere, no frame around it.
POLICY = "default-src 'self'; " + "; ".join(
    f"{name} 'none'" for name in ("object-src", "base-uri", "form-action", "frame-ancestors")
)
HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class Guard:
    """Refuses what is not to be answered.

    Args:
        application: answers the rest.
        settings: `[web]` of jobs.toml.
        clock: for how long refusals last.
    """

    def __init__(self, application: Application, settings: Web, clock: Clock) -> None:
        self._application = application
        self._settings = settings
        self._incidents = Incidents(log, clock)

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""

        def guarded(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            named = {name.lower() for name, _ in headers}
            extra = [("Cache-Control", "no-store")] if "cache-control" not in named else []
            return start(status, [*headers, *HEADERS, *extra], *rest)

        refusal = self._refusal(environ)
        if refusal is None:
            lasting = self._incidents.latest()
            if lasting is not None and lasting.last_s > QUIET_S:
                self._incidents.all_ended()
            return self._application(environ, guarded)
        status, text, *extra = refusal
        body = f"{text}\n".encode()
        length = ("Content-Length", str(len(body)))
        guarded(status, [("Content-Type", "text/plain; charset=utf-8"), length, *extra])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _refusal(self, environ: dict[str, Any]) -> tuple[Any, ...] | None:
        """Return status, sentence and further headers of a refusal; None for none."""
        settings, method = self._settings, environ["REQUEST_METHOD"]
        if method not in METHODS:
            allowed = ("Allow", ", ".join(METHODS))
            return "405 Method Not Allowed", "kei can only be looked at", allowed
        if len(environ["PATH_INFO"]) + len(environ.get("QUERY_STRING", "")) > PATH_MAX_CHARS:
            return "414 URI Too Long", "there is no such long address here"
        host = environ.get("HTTP_HOST", "")
        if settings.listen.is_loopback and not is_own_name(host):
            self._incidents.raised("web_foreign_host", hint="a proxy has to send Host: localhost")
            return "403 Forbidden", "kei only answers to localhost here"
        is_signed_in = self._is_signed_in(environ.get("HTTP_AUTHORIZATION", ""))
        environ[SIGNED_IN] = is_signed_in
        if is_signed_in or environ["PATH_INFO"] == OPEN:
            return None
        if environ.get("HTTP_AUTHORIZATION"):
            hint = "a wrong user or password of [web]"
            self._incidents.raised("web_sign_in_refused", hint=hint)
        ask = ("WWW-Authenticate", 'Basic realm="kei", charset="UTF-8"')
        return "401 Unauthorized", "user and password, please", ask

    def _is_signed_in(self, header: str) -> bool:
        """Return whether a request may see everything."""
        password = self._settings.password
        if password is None or not password.reveal():
            return True
        scheme, _, encoded = header.partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        wanted = f"{self._settings.user}:{password.reveal()}".encode()
        return hmac.compare_digest(given, wanted) and scheme.lower() == "basic"


def is_own_name(host: str) -> bool:
    """Return whether a `Host` header names this machine to itself; any port will do, for a tunnel.

    A page from elsewhere can have its own name lead to 127.0.0.1 (DNS rebinding): by that name a
    browser lets it read everything.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.removeprefix("[").removesuffix("]")
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
