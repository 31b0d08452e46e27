"""A real kei that uploads to a server that refuses, fails and comes back, and that is killed."""

import json
import random
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from hostile import CONTINUE, OK, flood, talking, trickle
from programs import (
    SIMULATED,
    Program,
    command,
    readings,
    running,
    wait_until,
    write_jobs,
)
from upload_support import Handler, Post, Server, answer, raw

FAST = '[[broute.requests]]\nepc = ["E7"]\ncycle = 0.1'
KILLS = 6


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def upload(server: Server, what: str = "readings") -> str:
    return (
        f'[[upload]]\nname = "server"\ntarget_url = "{server.url}"\n'
        f'format = "json"\nwhat = "{what}"\ncycle = 1'
    )


def kei(jobs: Path, name: str, *more: str) -> list[str]:
    """The lines that a command of kei prints."""
    code, said, errors = command(name, "--jobs", jobs, *more)
    assert code == 0, errors
    return said


Row = tuple[float, float]


def row_of(reading: dict[str, str | float]) -> Row:
    """Time and value."""
    return datetime.fromisoformat(str(reading["time"])).timestamp(), float(reading["value"])


def rows(post: Post) -> list[Row]:
    return [row_of(reading) for reading in json.loads(post.body)["readings"]]


def test_a_refused_row_can_be_seen_and_sent_once_more_while_kei_runs(
    server: Server, tmp_path: Path
) -> None:
    refused = threading.Event()

    def refuse_the_first(handler: Handler, post: Post) -> None:
        first = rows(server.posts[0])[0]
        is_bad = first in rows(post) and not refused.is_set()
        answer(400 if is_bad else 204, b"no such thing")(handler, post)

    server.always(refuse_the_first)
    jobs = write_jobs(tmp_path, SIMULATED, upload(server), requests=FAST)
    with running("--jobs", str(jobs)) as program:
        wait_until(lambda: kei(jobs, "dead-letters") != ["none"], 20, "a refused row")
        (line,) = kei(jobs, "dead-letters")
        assert "BR,E7," in line
        assert "refused: status 400: no such thing" in line
        (document,) = map(json.loads, kei(jobs, "dead-letters", "--json", "--target", "server"))
        assert document["row"]["sensor"] == "E7"
        refused.set()
        assert kei(jobs, "dead-letters", "retry")[0].startswith("1 to be sent once more")
        wait_until(lambda: kei(jobs, "dead-letters") == ["none"], 20, "it to be taken")
        assert program.stop() == 0
    assert not [error for error in program.errors if "Traceback" in error]


def test_what_was_sent_today_outlives_a_change_of_the_target(
    server: Server, tmp_path: Path
) -> None:
    def seen() -> tuple[int, str | None]:
        # Without the exit code: on a busy machine a reading may be late.
        _, said, _ = command("status", "--json", "--jobs", jobs)
        (found,) = json.loads("".join(said))["uploads"]
        return found["sent"]["today_bytes"], found["last_success"]

    jobs = write_jobs(tmp_path, SIMULATED, upload(server), requests=FAST)
    with running("--jobs", str(jobs)) as program:
        program.wait_for_event("session_joined", 20)
        wait_until(lambda: seen()[1], 20, "a success")
        before, _ = seen()
        server.always(answer(503))
        more = upload(server) + '\nheaders = { "X-House" = "7" }'
        write_jobs(tmp_path, SIMULATED, more, requests=FAST)
        program.wait_for_event("config_changed", 20)
        wait_until(lambda: "X-House" in server.posts[-1].headers, 20, "a POST of the new target")
        sent, success = seen()
        assert sent > before
        assert success is not None
        assert program.stop() == 0


def test_whatever_is_killed_and_whatever_fails_every_row_arrives_in_order(
    server: Server, tmp_path: Path
) -> None:
    chance = random.Random(7)
    accepted: list[Post] = []

    def moody(handler: Handler, post: Post) -> None:
        if chance.random() < 0.3:
            answer(503)(handler, post)
        elif chance.random() < 0.2:
            raw(b"")(handler, post)
        else:
            accepted.append(post)
            if chance.random() < 0.2:
                raw(b"")(handler, post)  # taken, but the answer is lost
            else:
                answer(204)(handler, post)

    def take(handler: Handler, post: Post) -> None:
        accepted.append(post)
        answer(204)(handler, post)

    server.always(moody)
    jobs = write_jobs(tmp_path, SIMULATED, upload(server), requests=FAST)
    for _ in range(KILLS):
        with running("--jobs", str(jobs)) as program:
            before = len(server.posts)
            program.wait_for(lambda: len(server.posts) > before, 30, "a POST")  # noqa: B023
            wait_a_little(program, chance.uniform(0, 1.5))
            program.send(signal.SIGKILL)
            program.wait()
    server.always(take)
    with running("--jobs", str(jobs)) as program:
        program.wait_for_event("session_joined")
        before = len(accepted)
        program.wait_for(lambda: len(accepted) > before + 1, 30, "what was left over")
        assert program.stop() == 0

    batches: dict[str, list[Row]] = {}
    for post in accepted:
        key = post.headers["Idempotency-Key"]
        assert batches.setdefault(key, rows(post)) == rows(post)
    arrived = [row for batch in batches.values() for row in batch]
    exported = kei(
        jobs, "export", "--from", "2000-01-01", "--to", "2100-01-01", "--format", "jsonl"
    )
    recorded = sorted(map(row_of, map(json.loads, exported)))
    assert sorted(arrived) == recorded[: len(arrived)]
    seconds = [int(at) for at, _ in arrived]
    assert seconds == sorted(seconds)  # a line that was restored from the text has whole ones
    assert len(arrived) > KILLS


def test_servers_that_never_come_to_an_end_cost_little_and_delay_nothing(tmp_path: Path) -> None:
    absurd = Server()
    absurd.always(
        answer(503, Retry_After="Tue, 14 Nov 10000000000 22:14:20 GMT", Date="Tue, 99 Nov 9 9:9:9")
    )
    with (
        talking(flood(b"", CONTINUE)) as flooding,
        talking(trickle(OK + b"A: ", b"x")) as dripping,
    ):
        urls = {"flooding": flooding, "dripping": dripping, "absurd": absurd.url}
        targets = [
            f'[[upload]]\nname = "{name}"\ntarget_url = "{url}"\n'
            'format = "json"\nwhat = "readings"\ncycle = 1\ntimeout = 60'
            for name, url in urls.items()
        ]
        jobs = write_jobs(tmp_path, SIMULATED, *targets, requests=FAST)
        with running("--jobs", str(jobs)) as program:
            program.wait_for(lambda: len(program.events("upload_failing")) == 2, 30, "failures")
            before = len(readings(tmp_path))
            wait_until(lambda: "a POST has been under way" in status(jobs), 20, "it to be told")
            wait_until(lambda: len(readings(tmp_path)) > before, 20, "a reading meanwhile")
            (told,) = json.loads(status(jobs, "--json"))["uploads"][1:2]
            assert told["posting_s"] > 2
            assert program.stop() == 0
    absurd.close()
    reasons = {str(event["target"]): event["reason"] for event in program.events("upload_failing")}
    assert reasons == {"flooding": "the answer does not end", "absurd": "status 503"}
    assert not [line for line in program.lines + program.errors if "Traceback" in line]


HEALTH = {
    *("session_up", "lqi", "rssi_dbm", "answered", "missed", "backlog_rows", "oldest_s"),
    *("dead_letters", "clock_synchronised", "disk_free_bytes", "uptime_s"),
}


def test_servers_know_the_site_and_how_its_kei_is(server: Server, tmp_path: Path) -> None:
    lines = Server()
    both = "cycle = 1\nhealth = true\nwhat = "
    jobs = write_jobs(
        tmp_path,
        SIMULATED,
        f'[[upload]]\nname = "json"\ntarget_url = "{server.url}"\nformat = "json"\n{both}"summary"',
        f'[[upload]]\nname = "lines"\ntarget_url = "{lines.url}"\nformat = "influx"\n'
        f'{both}"readings"',
        '[site]\nname = "house-07"',
        requests=FAST,
    )
    with running("--jobs", str(jobs)) as program:
        program.wait_for(lambda: any(b"kei,source" in body for body in lines.bodies), 20, "rows")
        program.wait_for(lambda: server.posts, 20, "health alone")
        program.stop()
    lines.close()
    told = json.loads(server.bodies[0])  # there is no average yet
    assert told.keys() == {"source", "health"}
    assert told["source"] == "house-07"
    assert told["health"].pop("version")
    with_rows = next(body for body in lines.bodies if b"kei,source" in body).decode().split("\n")
    tags, fields, _ = with_rows[-2].split(" ")
    assert with_rows[0].startswith("kei,source=house-07,unit=BR,sensor=")
    assert tags.startswith("kei_health,source=house-07,version=")
    named = dict(field.split("=") for field in fields.split(","))
    assert named.keys() - {"cpu_celsius"} == HEALTH
    assert named["session_up"] == "1"
    assert {post.path for post in lines.posts} == {"/upload.php?precision=ms"}


def status(jobs: Path, *more: str) -> str:
    """What `kei status` says; it fails while something is wrong."""
    return "\n".join(command("status", "--jobs", jobs, *more)[1])


def wait_a_little(program: Program, seconds: float) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        program.process.wait(seconds)


def test_of_the_text_a_server_gets_again_what_a_lost_database_may_not_have_sent(
    server: Server, tmp_path: Path
) -> None:
    server.always(answer(204))
    jobs, database = tmp_path / "jobs.toml", tmp_path / "kei.db"
    jobs.write_text(upload(server))
    now = datetime.now().astimezone()  # noqa: TID251 - the clock of kei, too
    lines = [f"{now:%Y/%m/%d %H:%M:%S},A1,T1,{number},x\n" for number in (1, 2)]
    (tmp_path / f"{now:%Y%m%d}-mydatafile.txt").write_text("".join(lines))
    old = tmp_path / "old.txt"
    old.write_text("2024/03/01 12:00:00,A1,T1,9,x\n")

    told: list[int] = []

    def run(until: int) -> list[float]:
        """The values that the server has in all when kei ends."""
        with running("--jobs", str(jobs)) as program:
            program.wait_for_event("kei_started")
            program.wait_for(lambda: len(values()) >= until, 20, "the POSTs")
            assert program.stop() == 0
            told.append(len(program.events("database_lost")))
        with closing(sqlite3.connect(database)) as connection:
            left = "SELECT max(id) - (SELECT last_id FROM upload_cursors) FROM readings"
            assert connection.execute(left).fetchone() == (0,)
        return values()

    def values() -> list[float]:
        return [value for post in server.posts for _, value in rows(post)]

    def lose() -> None:
        for path in tmp_path.glob("kei.db*"):
            path.unlink()

    assert run(0) == []  # the first start ever: whatever has written that text, it was not kei
    lose()
    assert run(2) == [1, 2]
    assert run(2) == [1, 2]
    lose()
    assert "`since`" in kei(jobs, "import", str(old))[1]
    assert run(4) == [1, 2, 1, 2]
    assert "sent to the upload servers as well" in kei(jobs, "import", str(again(old)))[1]
    assert run(5) == [1, 2, 1, 2, 8]
    assert told == [0, 1, 0, 0, 0]


def again(old: Path) -> Path:
    """Another old file."""
    other = old.with_name("older.txt")
    other.write_text(old.read_text().replace(",9,", ",8,"))
    return other
