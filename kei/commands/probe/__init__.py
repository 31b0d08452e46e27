"""`kei probe`: join the meter once, find out what dongle and meter are and can do, and leave."""

from kei.commands.probe.found import Found
from kei.commands.probe.run import find_out, probe

__all__ = ["Found", "find_out", "probe"]
