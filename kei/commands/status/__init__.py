"""`kei status`: what the running kei is doing, and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kei.commands.status.as_text import to_text
from kei.commands.status.asking import gather
from kei.commands.status.in_time import gather_in_time
from kei.core.clock import Clock
from kei.status.as_json import to_json
from kei.status.facts import Facts
from kei.status.rules import Problem, problems_of

__all__ = ["StatusReport", "status", "status_in_time"]


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The facts about a kei and the problems among them.

    Attributes:
        facts: what could be found out.
        problems: what a person should look at; none when all is well.
    """

    facts: Facts
    problems: tuple[Problem, ...]

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Complete lines on what is wrong with jobs.toml; none if it could be put into effect."""
        return self.facts.mistakes

    @property
    def is_well(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def to_json(self) -> str:
        """Return one JSON object and a line end."""
        return to_json(self.facts, self.problems)

    def to_text(self) -> str:
        """Return lines for people."""
        return to_text(self.facts, self.problems)


def status(path: Path, *, environ: Mapping[str, str], clock: Clock) -> StatusReport:
    """Ask the running kei, and read its database. Starts nothing and writes nothing.

    Args:
        path: jobs.toml; its database says which kei is meant.
        environ: the environment.
        clock: for ages and time limits.

    Raises:
        ConfigError: it does not validate, and does not even say where the database is.
    """
    facts = gather(path, environ=environ, clock=clock)
    return StatusReport(facts, problems_of(facts))


def status_in_time(path: Path, *, environ: Mapping[str, str], clock: Clock) -> StatusReport:
    """Do the same within 12 s, whatever the disk does; for a process with one thread only.

    Raises:
        ConfigError: it does not validate, and does not even say where the database is.
        KeiError: the file could not be read in time.
    """
    facts = gather_in_time(path, environ=environ, clock=clock)
    return StatusReport(facts, problems_of(facts))
