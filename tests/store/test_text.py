"""Daily files: complete lines only, each in the file of its own date."""

import os
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from fakes import TOKYO
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms
from kei.core.errors import StoreError
from kei.store.text import DailyFile

DAY = date(2026, 11, 23)
OTHER_DAY = date(2026, 11, 22)
NAME = "20261123-home.txt"
LINES = ["2026/11/23 12:00:00,BR,E7,512,x", "2026/11/23 12:00:10,BR,E7,-8,x"]
CONTENT = "".join(f"{line}\n" for line in LINES).encode()
LATER = "2026/11/23 12:00:20,BR,E7,0,x"


def test_lines_are_appended_with_a_line_feed_each(text: DailyFile, tmp_path: Path) -> None:
    text.append(DAY, LINES[:1])
    text.append(DAY, LINES[1:])
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_late_lines_go_to_their_older_file(text: DailyFile, tmp_path: Path) -> None:
    text.append(DAY, LINES[:1])
    text.append(OTHER_DAY, ["late"])
    text.append(DAY, LINES[1:])
    assert (tmp_path / "20261122-home.txt").read_text() == "late\n"
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_the_prefix_stands_before_the_date(tmp_path: Path) -> None:
    file = DailyFile(tmp_path, "home", "sum", TOKYO)
    file.append(DAY, LINES)
    file.close()
    assert (tmp_path / f"sum{NAME}").read_bytes() == CONTENT


def test_a_day_begins_at_local_midnight(text: DailyFile) -> None:
    midnight = epoch_ms(datetime(2026, 11, 22, 15, tzinfo=UTC))
    assert (text.day_of(midnight - 1), text.day_of(midnight)) == (OTHER_DAY, DAY)


def test_the_folder_is_made(tmp_path: Path) -> None:
    file = DailyFile(tmp_path / "a" / "b", "home", "", TOKYO)
    file.append(DAY, LINES)
    file.close()
    assert (tmp_path / "a" / "b" / NAME).read_bytes() == CONTENT


def test_others_may_read_the_file_but_not_write_it(text: DailyFile, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        text.append(DAY, LINES)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o644


@pytest.mark.parametrize("cut", range(len(CONTENT) + 1))
def test_a_torn_tail_is_removed_before_anything_is_appended(cut: int, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT[:cut])
    whole = CONTENT[: CONTENT[:cut].rfind(b"\n") + 1]
    file = DailyFile(tmp_path, "home", "", TOKYO)
    with capture_logs() as logs:
        file.append(DAY, [LATER])
    file.close()

    assert (tmp_path / NAME).read_bytes() == whole + f"{LATER}\n".encode()
    torn = CONTENT[len(whole) : cut].decode()
    told = [(entry["event"], entry["file"], entry["text"]) for entry in logs]
    assert told == ([("torn_line_removed", str(tmp_path / NAME), torn)] if torn else [])


def test_a_torn_tail_longer_than_a_block_is_removed(text: DailyFile, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT + b"\0" * 10_000)
    text.append(DAY, [LATER])
    assert (tmp_path / NAME).read_bytes() == CONTENT + f"{LATER}\n".encode()


def test_a_removed_file_is_begun_anew(text: DailyFile, tmp_path: Path) -> None:
    text.append(DAY, ["gone"])
    (tmp_path / NAME).unlink()
    text.append(DAY, LINES)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_only_a_few_files_stay_open(text: DailyFile, tmp_path: Path) -> None:
    before = open_files()
    for number in range(20):
        text.append(DAY + timedelta(days=number), LINES)
    assert open_files() <= before + 3


def test_a_file_that_was_closed_meanwhile_is_synced_all_the_same(
    text: DailyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink())
    )
    days = [DAY + timedelta(days=number) for number in range(5)]
    for day in days:
        text.append(day, LINES)
    text.sync()
    folder = text.path(DAY).parent  # has their names
    assert [path for path in synced if path != folder] == [text.path(day) for day in days]
    assert folder in synced


def test_a_file_without_news_is_not_synced(
    text: DailyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    text.append(DAY, LINES)
    text.sync()
    monkeypatch.setattr(os, "fsync", synced.append)
    text.sync()
    assert synced == []


def test_a_failing_sync_is_a_store_error_and_tried_again(
    text: DailyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    text.append(DAY, LINES)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match=f"{NAME}: Input/output error"):
            text.sync()
    text.sync()


def test_an_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    file = DailyFile(tmp_path, "home", "", TOKYO)
    with pytest.raises(StoreError, match=f"{NAME}: Is a directory"):
        file.append(DAY, LINES)


def test_it_works_again_when_the_cause_is_gone(text: DailyFile, tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(StoreError):
        text.append(DAY, ["never"])
    (tmp_path / NAME).rmdir()
    text.append(DAY, LINES)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_write_that_falls_short_leaves_nothing_behind(
    text: DailyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text.append(DAY, LINES)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
        with pytest.raises(StoreError, match="only 7 of"):
            text.append(DAY, [LATER])
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_complete_lines_only_are_read(text: DailyFile) -> None:
    text.append(DAY, LINES)
    end = len(f"{LINES[0]}\n".encode())
    assert text.lines_from(DAY, 0, len(CONTENT) - 1) == (
        LINES[:-1],
        len(CONTENT) - len(LINES[-1]) - 1,
    )
    assert text.lines_from(DAY, end, len(CONTENT)) == (LINES[1:], len(CONTENT))


def test_a_bad_base_name_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fname_base"):
        DailyFile(tmp_path, "../home", "", TOKYO)
