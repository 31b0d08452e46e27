"""HTTP: one request, its answer, and texts about both that may stand in a log."""

import contextlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.cookiejar import DefaultCookiePolicy
from ssl import SSLCertVerificationError
from urllib.parse import parse_qsl, urljoin, urlsplit

from urllib3.util import parse_url

from kei import __version__
from kei.core.clock import Clock
from kei.core.errors import RetryLater, Stopping
from kei.core.masking import Masker
from kei.core.secret import Secret, holds_secret
from kei.settings.upload import POST_TIMEOUTS, UploadTarget
from kei.upload.bounds import BoundedAdapter, Bounds, bounded
from kei.upload.lean_requests import requests
from kei.upload.retry import retry_after_s

BODY_MAX_BYTES = 65_536  # an answer is a word or a short error text; more is not worth its traffic
REDIRECTS_MAX = 3
EXCERPT_MAX_CHARS = 120

# These ask for the same at another address; 301 to 303 make a GET of a POST in most clients,
# and lead to log-in pages that answer 200 to anything.
_SAME_REQUEST_ELSEWHERE = frozenset({307, 308})
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said.

    Attributes:
        status: of HTTP.
        body: its first 64 KiB, or what had arrived when time was up.
        retry_after_s: seconds it asked to be left alone for, 0 to 6 h; None if it did not.
        elsewhere: scheme, host and port of a redirect that is not followed; None if it is none.
    """

    status: int
    body: bytes
    retry_after_s: float | None
    elsewhere: str | None = None


class PostFailed(RetryLater):
    """There was no answer; the text says why, without URL, key or query."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """Hide redirects: requests reads the whole bodies of those it sees, followed or not."""
        return None


class Http:
    """Asks one server, one request at a time, over a connection that is kept alive.

    Certificates are verified; proxies and `REQUESTS_CA_BUNDLE` come from the environment.

    Attributes:
        sent_bytes: of the requests that were answered, headers included, TLS and below not. Right
            within a few bytes: http.client adds the header `Host` by itself.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stopping = threading.Event()
        self._begun: float | None = None
        self.sent_bytes = 0
        self._session = _Session()
        for scheme in _PORTS:
            self._session.mount(f"{scheme}://", BoundedAdapter())
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Or else a .netrc would replace the target's own authorization.
        self._session.auth = lambda request: request
        # Nothing of an answer is worth unpacking.
        self._session.headers = requests.structures.CaseInsensitiveDict(
            {"User-Agent": f"kei/{__version__}", "Accept-Encoding": "identity"}
        )

    def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Send a body; a 307 or 308 within the same scheme, host and port is followed.

        Args:
            url: http or https.
            body: what to send.
            headers: besides those that HTTP itself needs.
            timeout_s: longest wait for a connection and for each sign of life. Everything
                together, redirects included, may take `POST_TIMEOUTS` times as long; only a name
                look-up has the limits of the system.

        Raises:
            PostFailed: no connection, no answer in time, or one that is not HTTP.
            Stopping: `stop` was called before there was an answer.
        """
        return self._sent(requests.Request("POST", url, headers, data=body), timeout_s)

    def get(self, url: str, timeout_s: float) -> Answer:
        """Ask for an address; everything else as `post`."""
        return self._sent(requests.Request("GET", url), timeout_s)

    def _sent(self, request: requests.Request, timeout_s: float) -> Answer:
        self._begun = self._clock.monotonic()
        try:
            with bounded(Bounds(self._clock, POST_TIMEOUTS * timeout_s, timeout_s)):
                return self._follow(request)
        # ValueError: a URL or a header that cannot be sent.
        except (OSError, ValueError) as error:
            if self._stopping.is_set():
                raise Stopping("upload stopped") from None
            raise PostFailed(_reason(error)) from None
        finally:
            self._begun = None

    @property
    def posting_s(self) -> float | None:
        """Seconds since the request under way was begun; None if there is none. Any thread."""
        begun = self._begun
        return None if begun is None else self._clock.monotonic() - begun

    def stop(self) -> None:
        """Let no other request begin; does not wait for the one under way. Any thread."""
        self._stopping.set()
        self._session.close()

    def _follow(self, request: requests.Request) -> Answer:
        for _ in range(1 + REDIRECTS_MAX):
            if self._stopping.is_set():
                raise Stopping("upload stopped")
            answer, location = self._send_once(request)
            if location is None:
                return answer
            address = urljoin(request.url, location)
            is_near = _origin(address) == _origin(request.url)
            if answer.status not in _SAME_REQUEST_ELSEWHERE or not is_near:
                return replace(answer, elsewhere=_origin(address))
            request.url = address
        raise PostFailed("redirected too often")

    def _send_once(self, request: requests.Request) -> tuple[Answer, str | None]:
        """Return the answer, and where a redirect leads to; None if it is no redirect."""
        with self._session.request(
            request.method,
            request.url,
            data=request.data,
            headers=request.headers,
            stream=True,
            allow_redirects=False,
        ) as response:
            self.sent_bytes += _size(response.request) + len(request.data)
            answer = Answer(
                status=response.status_code,
                body=_read_body(response),
                retry_after_s=retry_after_s(response.headers, self._clock.now_ms()),
            )
            is_redirect = 300 <= answer.status <= 399
            return answer, (response.headers.get("Location") or None) if is_redirect else None


def _read_body(response: requests.Response) -> bytes:
    """Return the first 64 KiB of the body, or what there is when it breaks off or is late."""
    body = bytearray()
    with contextlib.suppress(OSError):  # the verdict goes by what there is
        # Byte by byte, because requests waits until a piece is full.
        for piece in response.iter_content(1):
            body += piece
            if len(body) >= BODY_MAX_BYTES:
                break
    return bytes(body)


def _size(request: requests.PreparedRequest) -> int:
    """Return the bytes of a request's first line and headers."""
    lines = [f"{request.method} {request.path_url} HTTP/1.1", ""]
    lines += [f"{name}: {text}" for name, text in request.headers.items()]
    return sum(len(line) + len("\r\n") for line in lines)


def _origin(url: str) -> str:
    """Return scheme, host and port, which say who gets the key.

    By the parser that the connections use: another one may find another host in the same text.
    """
    try:
        parts = parse_url(url)
    except ValueError:
        return "an address that is none"
    scheme = parts.scheme or ""
    return f"{scheme}://{parts.host or ''}:{parts.port or _PORTS.get(scheme)}".lower()


def _reason(error: BaseException) -> str:
    """Return what went wrong, without the texts of requests, which have the URL in them."""
    through = "proxy: " if isinstance(error, requests.exceptions.ProxyError) else ""
    chain = _causes(error)
    for cause in chain:
        match cause:
            case SSLCertVerificationError():
                return f"{through}certificate refused: {cause.verify_message}"
            case TimeoutError():
                return f"{through}timed out"
            case OSError(strerror=str(text)):
                return f"{through}{text}"
    return f"{through}{type(chain[0]).__name__}"


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and its causes, the innermost first."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.insert(0, error)
        error = error.__cause__ or error.__context__
    return chain


def masker_of(target: UploadTarget) -> Masker:
    """Return what masks the texts of a target that must not appear in a log."""
    query = urlsplit(target.target_url).query
    secrets = [Secret(query), *(Secret(text) for _, text in parse_qsl(query))]
    secrets += [text for name, text in target.headers if holds_secret(name)]
    if target.upload_key is not None:
        secrets.append(target.upload_key)
    masker = Masker()
    masker.hide(secrets)
    return masker


def excerpt(body: bytes, masker: Masker) -> str:
    """Return the beginning of an answer for a log: one line, printable, secrets masked."""
    text = masker.mask(body.decode("utf-8", "replace"))
    text = "".join(char if char.isprintable() else " " for char in text)
    return re.sub(r" +", " ", text).strip()[:EXCERPT_MAX_CHARS]
