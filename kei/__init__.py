"""kei: an always-on logger for the B route of Japanese smart meters and for serial sensors."""

from datetime import date

from kei.core.commit import with_commit

VERSION = "0.1.0"
__version__ = with_commit(VERSION)
RELEASED = date(2026, 11, 1)  # not after this version was: a clock that shows less is wrong
