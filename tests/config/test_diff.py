"""The log names what a changed jobs.toml changes, and no secret."""

import pytest
from jobs_file import BROUTE, BROUTE_ID, JobsFile

from kei.config.diff import differences

UPLOAD = """[[upload]]
name = "home"
target_url = "https://example.com/?token=hush"
format = "json"
"""
SERIAL = """[[serial]]
port = "/dev/ttyACM0"
"""


def requests(*groups: tuple[str, int]) -> str:
    return "".join(
        f'[[broute.requests]]\nepc = ["{epc}"]\ncycle = {cycle}\n' for epc, cycle in groups
    )


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("", "# a comment\n", []),
        ("", BROUTE, ["broute: added", "broute.requests D3 D7 E1: added"]),
        (
            BROUTE + requests(("E7", 10), ("E7", 20)),
            BROUTE + requests(("E7", 10), ("E7", 30), ("E8", 5)),
            ["broute.requests E7 #2: cycle 20s -> 30s", "broute.requests E8: added"],
        ),
        (BROUTE, BROUTE.replace(BROUTE_ID, BROUTE_ID[::-1]), ["broute: broute_id changed"]),
        (BROUTE, BROUTE + 'unit = "B2"\n', ["broute: unit BR -> B2"]),
        (SERIAL, SERIAL + "baudrate = 4800\n", ["serial /dev/ttyACM0: baudrate 9600 -> 4800"]),
        (SERIAL, SERIAL + "dtr = false\n", ["serial /dev/ttyACM0: dtr true -> false"]),
        (
            SERIAL,
            SERIAL + 'stale_after = "5m"\n',
            ["serial /dev/ttyACM0: stale_after none -> 300s"],
        ),
        (
            SERIAL,
            SERIAL + '[[serial.checks]]\nunit = "A1"\nsensor = "T1"\nmax = 3\n',
            ["serial /dev/ttyACM0: checks changed"],
        ),
        (UPLOAD, UPLOAD.replace("hush", "hash"), ["upload home: target_url changed"]),
        (UPLOAD, UPLOAD + 'headers = { X = "y" }\n', ["upload home: headers changed"]),
        (UPLOAD, UPLOAD + 'compress = "gzip"\n', ["upload home: compress none -> gzip"]),
        (UPLOAD, "", ["upload home: removed"]),
        ("", '[recorder]\nretention = "1d"\n', ["recorder: retention 34560000s -> 86400s"]),
        ("", "[summary]\ncycle = 60\n", ["summary: cycle 600s -> 60s"]),
        ("", '[log]\nlevel = "debug"\n', ["log: level info -> debug"]),
    ],
)
def test_the_difference_is_named(jobs: JobsFile, old: str, new: str, lines: list[str]) -> None:
    found = differences(jobs.load(old), jobs.load(new))
    assert found[: len(lines)] == lines
    assert bool(found) == bool(lines)
