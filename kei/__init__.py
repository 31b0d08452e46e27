"""kei: an always-on logger for the B route of Japanese smart meters and for serial sensors."""

__version__ = "0.1.0"
