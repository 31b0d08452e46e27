import copy

import pytest

from kei.core.secret import Secret


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret("tell nobody")),
        str(Secret("tell nobody")),
        f"{Secret('tell nobody')}",
        f"{Secret('tell nobody')!r}",
        f"{Secret('tell nobody'):>20}",
        "%s" % Secret("tell nobody"),  # noqa: UP031 - this way of formatting is the point
    ],
)
def test_a_secret_shows_as_stars(shown: str) -> None:
    assert shown == "***"


def test_a_secret_reveals_its_text_when_asked() -> None:
    assert Secret("tell nobody").reveal() == "tell nobody"


def test_secrets_with_the_same_text_are_equal_and_hash_alike() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")


def test_a_secret_equals_no_plain_text() -> None:
    assert Secret("a") != "a"


def test_a_copy_of_a_secret_is_equal() -> None:
    assert copy.deepcopy(Secret("a")) == Secret("a")
