"""Who has a port open: told from /proc, of real processes and real pseudo terminals."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from programs import wait_until

from kei.serialport import discovery


@pytest.fixture
def terminal() -> str:
    _master, slave = os.openpty()
    return os.ttyname(slave)


HOLD = "import sys; f = open(sys.argv[1], 'rb+', 0); print('open', flush=True); sys.stdin.read()"


def test_another_process_is_named_with_its_pid(terminal: str, tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    link.symlink_to(terminal)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, terminal], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            (holder,) = discovery.holders(str(link))
            assert str(holder).endswith(f"(pid {other.pid})")
            assert str(other.pid) in discovery.describe_use(str(link))
        finally:
            other.kill()
    wait_until(lambda: discovery.holders(str(link)) == (), 5, "the end of the other process")


def test_one_does_not_name_oneself(terminal: str) -> None:
    assert discovery.holders(terminal) == ()


def test_where_nobody_can_be_seen_the_words_say_how_to_find_out(tmp_path: Path) -> None:
    port = tmp_path / "of another user"
    assert f"sudo fuser -v {port}" in discovery.describe_use(str(port))


def test_a_port_that_kei_itself_has_open_is_told_so(terminal: str) -> None:
    assert discovery.describe_use(terminal).startswith("in use by kei itself")


def test_files_that_close_while_one_looks_hide_nothing(terminal: str, tmp_path: Path) -> None:
    process = tmp_path / "proc" / "4711"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("other\n")
    (process / "fd" / "3").touch()  # cannot be read as a link, like one that is gone by now
    (process / "fd" / "4").symlink_to(terminal)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery, "_PROCESSES", process.parent)
        assert [str(holder) for holder in discovery.holders(terminal)] == ["other (pid 4711)"]
