"""Finds out what the dongle on the port speaks, without disturbing it."""

from kei.core.clock import Clock
from kei.wisun.commands import Commands
from kei.wisun.dialects import Grammar
from kei.wisun.interfaces import Settings
from kei.wisun.j11_commands import J11Commands
from kei.wisun.link import Link, NoReply
from kei.wisun.sk_commands import SkCommands

# A dongle that a crashed program left in the middle of a scan is deaf until the scan ends. The
# first time is for those that are idle, which answer within 15 ms.
IDENTIFY_TIMEOUTS_S = (0.3, 2.0, 3.0, 5.0, 8.0, 13.0)

# The dongles that there are, by what they speak, in the order in which they are asked.
GRAMMARS: dict[Grammar, type[Commands]] = {
    Grammar.SKSTACK: SkCommands,
    Grammar.J11: J11Commands,
}


class Recogniser:
    """Holds the commands of the dongle on the port.

    SKSTACK-IP is asked for first, as a J11 module throws text away: what was recognised before,
    what the owner has chosen, or what the port is named after has precedence. A dongle with
    SKSTACK-IP that is slow to answer takes a frame of J11 for a wrong line, which is ended for it.

    Args:
        link: to the dongle.
        clock: for deadlines.
        settings: credentials, and the dialect if the owner chose one.

    Attributes:
        commands: of the dongle that was recognised, or before that of the likeliest kind.
        is_sure: whether it has been recognised since the port was opened.
    """

    def __init__(self, link: Link, clock: Clock, settings: Settings) -> None:
        self._link = link
        self._all = {
            grammar: commands(link, clock, settings) for grammar, commands in GRAMMARS.items()
        }
        self.is_sure = False
        chosen = settings.dialect
        self.commands = self._all[settings.likely if chosen is None else chosen.grammar]

    def identify(self) -> None:
        """Find out what is on the freshly opened port, whatever state it is in.

        A PANA session that the dongle may have is left alone.

        Raises:
            NoReply: nothing on the port speaks any grammar.
        """
        noise_before = self._link.noise_lines
        in_order = sorted(self._all.values(), key=lambda each: each is not self.commands)
        for attempt, timeout_s in enumerate(IDENTIFY_TIMEOUTS_S):
            for commands in in_order:
                self._link.speak(commands.new_parser)
                if commands.recognise(timeout_s, attempt=attempt):
                    self.commands = commands
                    self.is_sure = True
                    return
        if self._link.noise_lines > noise_before:
            raise NoReply("something else than a Wi-SUN dongle is heard: is it the right port?")
        raise NoReply("no Wi-SUN dongle answers: is it the right port?")
