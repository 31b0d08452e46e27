"""`kei probe`: join the meter once, find out what dongle and meter are and can do, and leave."""

from kei.commands.probe.run import probe

__all__ = ["probe"]
