"""The commit of a checkout, as git leaves it in files."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from programs import ROOT

from kei import VERSION
from kei.core.commit import commit_of

COMMIT = "1a2b3c4d5e6f" + "0" * 28


def files(folder: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    return folder


@pytest.mark.parametrize(
    "contents",
    [
        {".git/HEAD": "ref: refs/heads/a/b", ".git/refs/heads/a/b": COMMIT},
        {".git/HEAD": COMMIT},
        {
            ".git/HEAD": "ref: refs/heads/main",
            ".git/packed-refs": f"# pack-refs\n{'f' * 40} refs/heads/x\n{COMMIT} refs/heads/main",
        },
        {
            ".git": "gitdir: there/worktrees/w",
            "there/worktrees/w/HEAD": "ref: refs/heads/main",
            "there/worktrees/w/commondir": "../..",
            "there/refs/heads/main": COMMIT,
        },
    ],
    ids=["branch", "detached", "packed", "work tree"],
)
def test_the_commit_is_found(tmp_path: Path, contents: dict[str, str]) -> None:
    assert commit_of(files(tmp_path, contents)) == COMMIT


@pytest.mark.parametrize(
    "contents",
    [
        {},
        {".git": "nonsense"},
        {".git/HEAD": ""},
        {".git/HEAD": "ref: refs/heads/none"},
        {".git/HEAD": "ref: refs/heads/main", ".git/refs/heads/main": "\x1b[2J"},
        {".git/HEAD": "ref: refs/heads/main", ".git/packed-refs": "\n^\n x"},
    ],
)
def test_a_folder_without_a_commit_has_none(tmp_path: Path, contents: dict[str, str]) -> None:
    assert commit_of(files(tmp_path, contents)) is None


def version_of(where: Path, *, from_zip: bool = False) -> str:
    """The version of the kei that is imported from there; git is out of reach."""
    target = where
    if from_zip:
        target = where.with_suffix(".zip")
        with zipfile.ZipFile(target, "w") as archive:
            for file in where.rglob("*"):
                archive.write(file, file.relative_to(where))
    code = "import kei; print(kei.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(target), "PATH": ""},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("from_zip", [False, True], ids=["folder", "zip"])
def test_a_package_says_the_commit_that_it_was_built_from(
    tmp_path: Path, *, from_zip: bool
) -> None:
    where = tmp_path / "app"
    for name in ("__init__.py", "core/__init__.py", "core/commit.py"):
        files(where, {f"kei/{name}": (ROOT / "kei" / name).read_text()})
    assert version_of(where, from_zip=from_zip) == VERSION
    files(where, {"kei/COMMIT": COMMIT})
    assert version_of(where, from_zip=from_zip) == f"{VERSION}+g1a2b3c4"


def test_this_checkout_says_its_commit() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    done = subprocess.run(
        ["git", "-C", ROOT, "-c", f"safe.directory={ROOT}", "rev-parse", "HEAD"],
        env=os.environ | {"GIT_CONFIG_COUNT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        assert commit_of(ROOT) == done.stdout.strip()
