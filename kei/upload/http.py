"""HTTP: one POST, its answer, and texts about both that may stand in a log."""

import contextlib
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from ssl import SSLCertVerificationError
from urllib.parse import parse_qsl, quote, quote_plus, urljoin, urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from kei import __version__
from kei.core.clock import Clock
from kei.core.errors import RetryLater, Stopping
from kei.core.secret import MASK, MIN_SOUGHT_CHARS, holds_secret
from kei.settings.upload import UploadTarget
from kei.upload.retry import retry_after_s

BODY_MAX_BYTES = 65_536  # an answer is a word or a short error text; more is not worth its traffic
REDIRECTS_MAX = 3
EXCERPT_MAX_CHARS = 120

# These ask for the same POST at another address; 301 to 303 make a GET of it in most clients,
# and lead to log-in pages that answer 200 to anything.
_SAME_POST_ELSEWHERE = frozenset({307, 308})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said.

    Attributes:
        status: of HTTP.
        body: its first 64 KiB, or what had arrived when time was up.
        retry_after_s: seconds it asked to be left alone for, not negative; None if it did not.
    """

    status: int
    body: bytes
    retry_after_s: float | None


class PostFailed(RetryLater):
    """There was no answer; the text says why, without URL, key or query."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """Hide redirects: requests reads the whole bodies of those it sees, followed or not."""
        return None


class Http:
    """Posts to one target, one request at a time, over a connection that is kept alive.

    Certificates are verified; proxies and `REQUESTS_CA_BUNDLE` come from the environment.

    Attributes:
        sent_bytes: of the requests that were answered, headers included, TLS and below not. Right
            within a few bytes: http.client adds the header `Host` by itself.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stopping = threading.Event()
        self.sent_bytes = 0
        self._session = _Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Or else a .netrc would replace the target's own authorization.
        self._session.auth = lambda request: request
        # Nothing of an answer is worth unpacking.
        self._session.headers = CaseInsensitiveDict(
            {"User-Agent": f"kei/{__version__}", "Accept-Encoding": "identity"}
        )

    def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Send a body; a 307 or 308 to the same host is followed.

        Args:
            url: http or https.
            body: what to send.
            headers: besides those that HTTP itself needs.
            timeout_s: longest wait for a connection to each address of the host and for each sign
                of life. The body of the answer gets as long as a whole, and one such wait at its
                end. Headers that drip are not limited as a whole, and a name look-up has the
                limits of the system.

        Raises:
            PostFailed: no connection, no answer in time, or one that is not HTTP.
            Stopping: `stop` was called before there was an answer.
        """
        try:
            for _ in range(1 + REDIRECTS_MAX):
                if self._stopping.is_set():
                    raise Stopping("upload stopped")
                answer, elsewhere = self._post_once(url, body, headers, timeout_s)
                if elsewhere is None:
                    return answer
                url = elsewhere
        # ValueError: a URL or a header that cannot be sent.
        except (OSError, ValueError) as error:
            if self._stopping.is_set():
                raise Stopping("upload stopped") from None
            raise PostFailed(_reason(error)) from None
        raise PostFailed("redirected too often")

    def stop(self) -> None:
        """Let no other POST begin; does not wait for the one under way. Any thread."""
        self._stopping.set()
        self._session.close()

    def _post_once(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> tuple[Answer, str | None]:
        with self._session.post(
            url,
            data=body,
            headers=headers,
            timeout=timeout_s,
            stream=True,
            allow_redirects=False,
        ) as response:
            self.sent_bytes += _size(response.request) + len(body)
            answer = Answer(
                status=response.status_code,
                body=self._read_body(response, timeout_s),
                retry_after_s=retry_after_s(response.headers, self._clock.now_ms()),
            )
            if answer.status in _SAME_POST_ELSEWHERE:
                return answer, _same_host(url, response.headers.get("Location", ""))
            return answer, None

    def _read_body(self, response: requests.Response, limit_s: float) -> bytes:
        """Return the first 64 KiB of the body, or what there is when it breaks off or is late."""
        body = bytearray()
        end = self._clock.monotonic() + limit_s
        with contextlib.suppress(OSError):  # the verdict goes by what there is
            # Byte by byte, because requests waits until a piece is full.
            for piece in response.iter_content(1):
                body += piece
                if len(body) >= BODY_MAX_BYTES or self._clock.monotonic() >= end:
                    break
        return bytes(body)


def _size(request: requests.PreparedRequest) -> int:
    """Return the bytes of a request's first line and headers."""
    lines = [f"{request.method} {request.path_url} HTTP/1.1", ""]
    lines += [f"{name}: {text}" for name, text in request.headers.items()]
    return sum(len(line) + len("\r\n") for line in lines)


def _same_host(url: str, location: str) -> str | None:
    """Return the address a redirect leads to; None if it may not be followed.

    It may if it stays on the host, and on TLS if it was there.
    """
    if not location:
        return None
    address = urljoin(url, location)
    old, new = urlsplit(url), urlsplit(address)
    if new.hostname != old.hostname or new.scheme not in {old.scheme, "https"}:
        return None
    return address


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


def secrets_of(target: UploadTarget) -> list[str]:
    """Return the texts of a target that must not appear in a log, the longest first."""
    query = urlsplit(target.target_url).query
    found = {query, *(text for _, text in parse_qsl(query))}
    found.update(text.reveal() for name, text in target.headers if holds_secret(name))
    if target.upload_key is not None:
        found.add(target.upload_key.reveal())
    return sorted((text for text in found if len(text) >= MIN_SOUGHT_CHARS), key=len, reverse=True)


def excerpt(body: bytes, secrets: Iterable[str]) -> str:
    """Return the beginning of an answer for a log: one line, printable, secrets masked.

    Args:
        body: of the answer.
        secrets: plain texts to mask, also where they are percent-encoded, the longest first.
    """
    text = body.decode("utf-8", "replace")
    for secret in secrets:
        for shape in (secret, quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(shape, MASK)
    text = "".join(char if char.isprintable() else " " for char in text)
    return re.sub(r" +", " ", text).strip()[:EXCERPT_MAX_CHARS]
