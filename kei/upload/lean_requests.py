"""The library requests without the one that guesses how a text is encoded.

That is 2.5 MB of memory for nothing: kei reads the bytes of an answer. requests does without it,
and has a warning then for those who meant to have it.
"""

import sys
import warnings
from types import ModuleType
from typing import cast

_absent = [name for name in ("chardet", "charset_normalizer") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_absent, cast("ModuleType", None)))  # there is no such module
try:
    with warnings.catch_warnings(action="ignore"):
        import requests
finally:
    for _name in _absent:
        del sys.modules[_name]

__all__ = ["requests"]
