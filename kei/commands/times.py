"""Days and times on a command line, where `-7d` looks like an option."""

from collections.abc import Sequence

from kei.core.times import DAYS_AGO

OPTIONS = ("--from", "--to")


def joined(words: Sequence[str]) -> list[str]:
    """Return a command line with `--from -7d` as `--from=-7d`: argparse takes -7d for an option."""
    result: list[str] = []
    for word in words:
        if result and result[-1] in OPTIONS and DAYS_AGO.fullmatch(word):
            result[-1] += f"={word}"
        else:
            result.append(word)
    return result
