"""For all tests: a machine that is busy with something else is no fault of ours."""

import gc
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import groupby

import forked
import pytest
from coverage import Coverage
from hypothesis import settings
from programs import ROOT

settings.register_profile("patient", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)  # --hypothesis-profile
settings.load_profile("patient")


@contextmanager
def _nothing_measured() -> Iterator[None]:
    """Measure nothing for a while: measuring takes two fifths of the processor's time."""
    measuring = Coverage.current()
    if measuring is None:
        yield
        return
    measuring.stop()
    yield
    patches = measuring.get_option("run:patch")
    measuring.set_option("run:patch", [])  # they last, and each start would make them anew
    measuring.start()
    measuring.set_option("run:patch", patches)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Measure neither a test nor the processes that it starts.

    It is for tests that run through the same lines again and again, or through those of others.
    """
    for name in os.environ.keys() - forked.unmeasured().keys():
        monkeypatch.delenv(name)
    with _nothing_measured():
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Have one process fork those of all workers' tests, which say only what they have run.

    They would look for all that they have not at their end, each of them; this one does it once.
    """
    if config.getoption("dist", "no") != "no":
        forked.offer()
    if (measuring := Coverage.current()) is None:
        return
    names = ("run:source", "run:include")
    mine = [measuring.get_option(name) for name in names]
    for name, theirs in zip(names, (None, [str(ROOT / "kei" / "*")]), strict=True):
        measuring.set_option(name, theirs)
    os.environ["COVERAGE_PROCESS_CONFIG"] = measuring.config.serialize()
    for name, value in zip(names, mine, strict=True):
        measuring.set_option(name, value)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Load kei measured, and its tests, which are more, unmeasured.

    Nothing of it is garbage, so it is not looked through for that, now or later.
    """
    if session.config.getoption("dist", "no") != "no":
        return (yield)  # has it done by others
    gc.disable()
    if Coverage.current() is not None:
        forked.load_kei()
    with _nothing_measured():
        forked.make_year()
        found = yield
    gc.freeze()
    gc.enable()
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the tests of whole processes, which mostly wait, among those that mostly compute.

    Each worker begins with the same share of all tests. Files stay together, as some prepare
    something for all of their tests, and the last ones are short.
    """
    files = [list(group) for _, group in groupby(items, key=lambda item: item.path)]
    kinds: dict[bool, list[list[pytest.Item]]] = {True: [], False: []}
    for file in files:
        kinds[file[0].path.parent.name == "process"].append(file)
    places = [
        (number / len(kind), file) for kind in kinds.values() for number, file in enumerate(kind)
    ]
    items[:] = [item for _, file in sorted(places, key=lambda place: place[0]) for item in file]
