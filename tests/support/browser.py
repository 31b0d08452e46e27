"""A real Chromium without a window, steered by WebDriver over plain HTTP.

Seven requests are all that the tests need of WebDriver: a library for them would bring a dozen
packages.
"""

import base64
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import requests
from programs import PATIENCE_S, free_port, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
MISSING = "needs chromium and chromium-driver (Debian packages)"
HAS_BROWSER = CHROMIUM is not None and DRIVER is not None


class Browser:
    """A window of a browser.

    Args:
        driver: address of the driver.
        languages: that its user reads, the best first.
    """

    def __init__(self, driver: str, languages: str) -> None:
        options = {
            "binary": CHROMIUM,
            "args": [
                *("--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"),
                *("--disable-background-networking", "--no-first-run", "--mute-audio"),
                *(f"--lang={languages}", f"--accept-lang={languages}"),
            ],
            "perfLoggingPrefs": {"enableNetwork": True},
        }
        wanted = {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": options,
        }
        answer = requests.post(
            f"{driver}/session", json={"capabilities": {"alwaysMatch": wanted}}, timeout=PATIENCE_S
        ).json()["value"]
        assert "sessionId" in answer, answer
        self._session = f"{driver}/session/{answer['sessionId']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        requests.delete(self._session, timeout=PATIENCE_S)

    def open(self, url: str) -> None:
        self._post("url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns that is run in the page."""
        return self._post("execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        """The visible text of an element; empty if it is hidden or not there."""
        found: str = self.run(
            "const e = document.querySelector(arguments[0]);"
            "return e && e.checkVisibility() ? e.innerText : ''",
            selector,
        )
        return found

    def wait_for(self, script: str, what: str) -> Any:
        """Wait until a script returns something true, and return that."""
        found: list[Any] = []

        def holds() -> bool:
            found[:] = [self.run(script)]
            return bool(found[0])

        wait_until(holds, PATIENCE_S, what)
        return found[0]

    def command(self, name: str, **parameters: object) -> Any:
        """Send a command of the DevTools protocol."""
        return self._post("goog/cdp/execute", {"cmd": name, "params": parameters})

    def size(self, width: int, height: int, *, scale: float = 1) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    def prefer(self, theme: str) -> None:
        """Be a system that is set to `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.command("Emulation.setEmulatedMedia", features=features)

    def drag(self, *points: tuple[float, float]) -> None:
        """Press at the first point of the window, move over the others, and let go."""
        moves = [
            {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)} for x, y in points
        ]
        actions = [moves[0], {"type": "pointerDown", "button": 0}, *moves[1:]]
        actions.append({"type": "pointerUp", "button": 0})
        self._post("actions", {"actions": [{"type": "pointer", "id": "m", "actions": actions}]})

    def press(self, *keys: str, shift: bool = False) -> None:
        """Type keys, by the code points that WebDriver has for them."""
        actions: list[dict[str, str]] = [{"type": "keyDown", "value": "\ue008"}] if shift else []
        for key in keys:
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        actions += [{"type": "keyUp", "value": "\ue008"}] if shift else []
        self._post("actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]})

    def picture(self, form: str = "png") -> bytes:
        """The window as `png` or `webp`."""
        taken = self.command(
            "Page.captureScreenshot", format=form, **({"quality": 82} if form == "webp" else {})
        )
        return base64.b64decode(taken["data"])

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What was logged since the last call: of the page (`browser`), or `performance`."""
        found: list[dict[str, Any]] = self._post("se/log", {"type": kind})
        return found

    def _post(self, path: str, body: object) -> Any:
        answer = requests.post(f"{self._session}/{path}", json=body, timeout=PATIENCE_S)
        value = answer.json()["value"]
        assert answer.ok, value
        return value


@contextmanager
def driver() -> Iterator[str]:
    """A running chromedriver; returns its address."""
    assert DRIVER is not None, MISSING
    port = free_port()
    command = [DRIVER, f"--port={port}", "--log-level=OFF"]
    nothing = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until(lambda: _is_ready(address), PATIENCE_S, "chromedriver to be ready")
            yield address
        finally:
            process.terminate()


def _is_ready(address: str) -> bool:
    try:
        ready: bool = requests.get(f"{address}/status", timeout=1).json()["value"]["ready"]
    except requests.ConnectionError:
        return False
    return ready
