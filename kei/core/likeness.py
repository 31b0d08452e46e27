"""What somebody who mistyped a name may have meant."""

from collections.abc import Iterable


def most_like(word: str, names: Iterable[str], *, count: int = 1, least: float = 0.6) -> list[str]:
    """Return those names that are like a word, the likest first.

    Args:
        word: that is none of them.
        names: to choose from.
        count: of names at most.
        least: how like it they are, from 0, not at all, to 1.
    """
    import difflib  # noqa: PLC0415 - for mistakes only: 0.15 MB of memory

    return difflib.get_close_matches(word, list(names), n=count, cutoff=least)
