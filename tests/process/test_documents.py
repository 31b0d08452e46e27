"""The documents lead nowhere that does not exist."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import Any

import pytest
from programs import ROOT

from kei.core import reading
from kei.echonet import meter_class
from kei.jobs import kinds
from kei.settings import config, keys, text_rules, upload
from kei.store import rows
from kei.upload import batching

DOCUMENTS = sorted([*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"!?\[[^]]*\]\(([^)\s]+)\)")
SCRIPT = re.compile(r"\bscripts/[\w./]+")
CODE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
MOST_LINES = 215  # of a README; what does not fit belongs into docs/


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    return {slug(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}


def broken_links(path: Path) -> Iterator[str]:
    for link in LINK.findall(CODE.sub("", path.read_text(encoding="utf-8"))):
        address, _, anchor = link.partition("#")
        if ":" in address:
            continue  # another site
        target = path.parent / address if address else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_picture_of_a_document_exists(path: Path) -> None:
    assert list(broken_links(path)) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_script_that_a_document_names_exists(path: Path) -> None:
    named = {name.rstrip(".") for name in SCRIPT.findall(path.read_text(encoding="utf-8"))}
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_page_of_the_documents_is_in_their_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in ROOT.glob("docs/*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_a_readme_stays_short_and_names_the_test_command(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    assert any(line.startswith("scripts/test ") for line in lines)


def test_the_examples_of_how_to_add_something_work() -> None:
    page = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    a_property, a_format, a_job, a_key = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    scope: dict[str, Any] = {"Decimal": Decimal, "Path": Path, "Iterator": Iterator}
    scope |= {"Sequence": Sequence, "disk_usage": disk_usage, "partial": partial}
    for module in (meter_class, batching, keys, kinds, rows, config, upload, text_rules, reading):
        scope |= vars(module)
    (row,) = eval(a_property, scope)
    assert row.sensors == ("D0", "D0R")
    exec(a_format, scope)
    assert scope["FORMAT"].name == "csv"
    exec(a_job, scope)
    assert list(scope["KIND"].tables) == ["disk_space"]
    exec(f"@table()\nclass Example:\n    {a_key}", scope)
    assert [each.name for each in keys.keys(scope["Example"])] == ["max_files"]
