"""A house with a real kei that meets disasters: kill -9, power cuts, clocks that are set.

kei reads a simulated meter and a simulated board with sensors, averages, and uploads every reading
to two servers. After each disaster it goes on; at the end the text, the database and both servers
have to hold the same readings, each once.
"""

import contextlib
import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from fakes import TOKYO
from programs import BROUTE_ID, BROUTE_PWD, PATIENCE_S, ROOT, SIMULATED, Program, running
from small_disks import Disk

from kei.store import read_only
from kei.store.lines import reading_line
from kei.store.read_only import Query
from kei.store.text import DailyFile

SYNC_S = 2.0  # what a power cut may cost
KILL_S = 1.5  # what came so long before a kill is recorded
SENSORS, INTERVAL_S = 4, 0.4  # of the simulated board
FOREVER = Query(0, 2**52)
DAY_MS = 86_400_000

JOBS = """
[broute]
port = "{port}"
broute_id = "{id}"
broute_pwd = "{password}"
[[broute.requests]]
epc = ["E7"]
cycle = 0.5
[[broute.requests]]
epc = ["E0", "E8"]
cycle = 1
[[serial]]
port = "sim-sensor:interval={interval},transcript={sent}"
[recorder]
directory = "{data}"
database = "{data}/kei.db"
sync = {sync}
wait_for_clock = "1h"
retention = "30d"
[summary]
cycle = 5
[[upload]]
name = "json"
target_url = "http://127.0.0.1:{server}/json"
format = "json"
what = "readings"
cycle = 1
[[upload]]
name = "keilog"
target_url = "http://127.0.0.1:{server}/keilog"
upload_key = "0123456789abcdef"
what = "readings"
cycle = 1
"""


class Servers:
    """Two upload servers on one port that keep every line, repeats of a batch only once."""

    def __init__(self) -> None:
        servers = self
        self.lines: dict[str, Counter[str]] = {"/json": Counter(), "/keilog": Counter()}
        self._seen: set[str] = set()
        self._last_form = b""
        self._lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                if len(body) < size:  # whoever sent it was killed
                    return
                servers.take(self.path, self.headers.get("Idempotency-Key", ""), body)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path: str, key: str, body: bytes) -> None:
        """Keep the lines of a POST, unless it is a repeat."""
        with self._lock:
            if path == "/json":
                if key in self._seen:
                    return
                self._seen.add(key)
                self.lines[path].update(
                    map(_line_of, json.loads(body, parse_float=str, parse_int=str)["readings"])
                )
            elif body != self._last_form:  # keilog has no key: the very same form again is a repeat
                self._last_form = body
                self.lines[path].update(parse_qs(body.decode())["data"][0].splitlines())

    def counts(self) -> dict[str, Counter[str]]:
        """The lines so far, of each server."""
        with self._lock:
            return {path: Counter(lines) for path, lines in self.lines.items()}

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def _line_of(row: dict[str, object]) -> str:
    moment = datetime.fromisoformat(str(row["time"])).astimezone(TOKYO)
    return f"{moment:%Y/%m/%d %H:%M:%S},{row['unit']},{row['sensor']},{row['value']},{row['id']}"


def _said(line: str) -> str:
    """Return what the board sent, of a line of its transcript."""
    return line.split(" < ", 1)[-1].removesuffix("\\r\\n")


class House:
    """A kei with everything on, and the disasters.

    Args:
        folder: an empty one.
        seed: of the instants.
        disk: a folder for what is recorded, that can be cut off; None for one in `folder`.
    """

    def __init__(self, folder: Path, seed: int, disk: Disk | None = None) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.servers = Servers()
        self._disk = disk
        self.data = folder / "data" if disk is None else disk.folder / "data"
        self._offset = folder / "offset"
        self._offset.write_text("0")
        self._sent = folder / "sent.txt"
        self.lost = 0  # lines sent long enough before a disaster that the text lacks
        self._missing_before = self._allowed = 0
        self._jobs = folder / "jobs.toml"
        self._jobs.write_text(
            JOBS.format(
                port=SIMULATED,
                id=BROUTE_ID,
                password=BROUTE_PWD,
                interval=INTERVAL_S,
                sent=self._sent,
                data=self.data,
                sync=SYNC_S,
                server=self.servers.port,
            )
        )

    # ------------------------------------------------------------------ disasters

    def kill(self) -> None:
        """Let kei live for a random time, and kill it."""
        with self._running() as kei:
            self._live(kei, self.random.uniform(0.5, 3.0))
            kei.process.kill()
            kei.process.wait(PATIENCE_S)
        self._check_sent(KILL_S)

    def cut_power(self) -> None:
        """Let kei live for a random time, and cut the disk off from what is not on it."""
        assert self._disk is not None, "there is no disk to cut off"
        with self._running() as kei:
            self._live(kei, self.random.uniform(1.0, 5.0))
            self._disk.cut_power()
            kei.process.kill()
            kei.process.wait(PATIENCE_S)
        self._disk.come_back()
        self._check_sent(SYNC_S + KILL_S)

    def set_clock(self) -> None:
        """Start with a clock that is wrong; set it right or kill kei before, and stop."""
        wrong_ms = self.random.choice([-round(time.time() * 1000), -60 * DAY_MS])  # noqa: TID251
        self._offset.write_text(str(wrong_ms + self.random.randrange(DAY_MS)))
        killed = self.random.random() < 0.2
        with self._running() as kei:
            self._live(kei, self.random.uniform(0.5, 3.0))
            if not killed:
                self._offset.write_text("0")
                self._live(kei, self.random.uniform(0.5, 2.5))
            if self.random.random() < 0.5 or killed:
                kei.process.kill()
                kei.process.wait(PATIENCE_S)
            else:
                assert kei.stop(limit_s=20) == 0, kei.output()
        self._offset.write_text("0")
        self._check_sent(KILL_S, may_wait=killed)

    def remove_database(self) -> None:
        """Let somebody remove the database, with what belongs to it, while kei runs; then stop."""
        with self._running() as kei:
            self._live(kei, self.random.uniform(0.5, 2.0))
            for path in self.data.glob("kei.db*"):
                path.unlink(missing_ok=True)
            self._live(kei, self.random.uniform(4.0, 8.0))
            assert kei.stop(limit_s=20) == 0, kei.output()
        self._check_sent(KILL_S)

    # ------------------------------------------------------------------ what is left

    def settle(self, limit_s: float = 60.0) -> None:
        """Let kei go on without meter and board until both servers have everything, and end it."""
        text = self._jobs.read_text()
        sources = text[text.index("[broute]") : text.index("[recorder]")]
        self._jobs.write_text(text.replace(sources, ""))
        with self._running() as kei:
            end = time.monotonic() + limit_s
            self._live(kei, 3.0)
            while time.monotonic() < end and any(self._servers_lack()):
                self._live(kei, 0.5)
            assert kei.stop(limit_s=20) == 0, kei.output()

    def _servers_lack(self) -> list[int]:
        text = self.text()
        return [(text - lines).total() for lines in self.servers.counts().values()]

    def differences(self) -> dict[str, int]:
        """How many lines each place lacks or has too many, compared with the text; 0 is right."""
        text = self.text()
        places = {"database": self.database(), **self.servers.counts()}
        return {
            f"{place} {what}": (one - other).total()
            for place, lines in places.items()
            for what, one, other in (("lacks", text, lines), ("has besides", lines, text))
        }

    def text(self) -> Counter[str]:
        """The lines of the daily files."""
        files = self.data.glob("[0-9]*-mydatafile.txt")
        return Counter(line for file in files for line in file.read_text().splitlines())

    def database(self) -> Counter[str]:
        """What `kei export` has to say, as lines of the text."""
        if not (self.data / "kei.db").exists():
            return Counter()
        text = DailyFile(self.data, "mydatafile", "", TOKYO)
        rows = read_only.readings(self.data / "kei.db", text, FOREVER)
        return Counter(reading_line(row, TOKYO) for row in rows)

    def days(self) -> set[str]:
        """The days of which there are files; more than one or two were never lived."""
        return {path.name[:8] for path in self.data.glob("[0-9]*-mydatafile.txt")}

    def _check_sent(self, allowed_s: float, *, may_wait: bool = False) -> None:
        """Count lines of the board that the text lacks, besides those of the last moments.

        Args:
            allowed_s: how long before the disaster lines need not be recorded yet.
            may_wait: whether lines wait for the clock, so that only the next disaster tells.
        """
        sent = Counter(_said(line) for line in self._sent.read_text().splitlines())
        kept = Counter[str]()
        for line, count in self.text().items():
            kept[line.partition(",")[2]] += count
        self._allowed += round(SENSORS * (allowed_s / INTERVAL_S + 1))
        if may_wait:
            return
        missing = (sent - kept).total()
        self.lost += max(0, missing - self._missing_before - self._allowed)
        self._missing_before, self._allowed = missing, 0

    def _live(self, kei: Program, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            kei.process.wait(seconds)
            raise AssertionError(f"kei ended by itself:\n{kei.output()}")

    @contextlib.contextmanager
    def _running(self) -> Iterator[Program]:
        script = ROOT / "tests" / "support" / "kei_by_another_clock.py"
        arguments = (str(script), str(self._offset))
        with running(
            "--jobs",
            str(self._jobs),
            cwd=self.folder,
            program=arguments,
            TZ="Asia/Tokyo",
        ) as kei:
            kei.wait_for_event("kei_started", 30)
            yield kei
