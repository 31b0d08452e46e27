"""The library requests without the one that guesses how a text is encoded.

That is 2.5 MB of memory for nothing: kei reads the bytes of an answer. requests does without it,
and has a warning then for those who meant to have it. A requests that does not is loaded with it,
and one that is loaded already stays as it is.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Have nobody find these modules, unless they are loaded, until the block ends."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent, cast("ModuleType", None)))  # there is no such module
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


try:
    with warnings.catch_warnings(action="ignore"), _without("chardet", "charset_normalizer"):
        import requests
except ImportError:
    import requests

__all__ = ["requests"]
