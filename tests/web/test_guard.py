"""What is refused, and how much of the log that takes."""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from fakes import FakeClock
from structlog.testing import capture_logs

from kei.core.secret import Secret
from kei.settings.web import Web
from kei.web.guard import QUIET_S, Guard


def answers(_environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    start("200 OK", [])
    return [b"well"]


def ask(guard: Guard, password: str) -> str:
    """The status of an answer."""
    statuses: list[str] = []
    encoded = b64encode(f"kei:{password}".encode()).decode()
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": f"Basic {encoded}",
    }
    list(guard(environ, lambda status, _headers: statuses.append(status)))
    return statuses[0][:3]


def test_who_tries_passwords_while_the_page_is_looked_at_takes_one_line_of_the_log() -> None:
    clock = FakeClock()
    guard = Guard(answers, Web(password=Secret("right")), clock)
    with capture_logs() as logs:
        for _ in range(50):
            assert ask(guard, "wrong") == "401"
            assert ask(guard, "right") == "200"
            clock.advance(2)
        assert [each["event"] for each in logs] == ["web_sign_in_refused"]
        clock.advance(QUIET_S)
        assert ask(guard, "right") == "200"
    assert logs[-1]["event"] == "fault_ended"
    assert logs[-1]["count"] == 50
