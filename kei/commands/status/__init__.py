"""`kei status`: what the running kei is doing, or that none is, and whether all is well."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kei.commands.status.as_json import to_json
from kei.commands.status.as_text import to_text
from kei.commands.status.facts import Facts, gather
from kei.commands.status.rules import Problem, judge
from kei.core.clock import Clock

__all__ = ["Found", "status"]


@dataclass(frozen=True, slots=True)
class Found:
    """A status and what is wrong by it.

    Attributes:
        facts: what could be found out.
        problems: what a person should look at; none when all is well.
    """

    facts: Facts
    problems: tuple[Problem, ...]

    @property
    def is_well(self) -> bool:
        """Whether nobody needs to look after this kei."""
        return not self.problems

    def to_json(self) -> str:
        """Return one JSON object and a line end."""
        return to_json(self.facts, self.problems)

    def to_text(self) -> str:
        """Return lines for people."""
        return to_text(self.facts, self.problems)


def status(path: Path, *, environ: Mapping[str, str], clock: Clock) -> Found:
    """Ask the running kei, and look into its database. Disturbs neither; starts nothing.

    Args:
        path: jobs.toml; its database says which kei is meant.
        environ: the environment, for the secrets that the file refers to.
        clock: for ages and time limits.

    Raises:
        ConfigError: the file does not validate.
    """
    facts = gather(path, environ=environ, clock=clock)
    return Found(facts, judge(facts))
