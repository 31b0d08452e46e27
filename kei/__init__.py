"""kei: an always-on logger for the B route of Japanese smart meters and for serial sensors."""

from datetime import date

__version__ = "0.1.0"
RELEASED = date(2026, 11, 1)  # not after this version was: a clock that shows less is wrong
