"""`kei probe`: join the meter once, find out what dongle and meter are and can do, and leave."""

from kei.probe.found import Found
from kei.probe.run import find_out, probe

__all__ = ["Found", "find_out", "probe"]
