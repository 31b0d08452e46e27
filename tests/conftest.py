"""For all tests: a machine that is busy with something else is no fault of ours."""

from itertools import groupby

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


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
