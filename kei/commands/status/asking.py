"""The facts about a kei that another process can find out: from its answer and its database."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kei import config
from kei.app.status_server import Impostor, ask
from kei.core.clock import Clock
from kei.core.errors import ConfigError, KeiError
from kei.core.single_instance import is_certainly_free
from kei.status.facts import Answer, Facts, facts_of, read_database
from kei.status.outline import Outline, outline_of
from kei.status.snapshot import decode


@dataclass(frozen=True, slots=True)
class Asked:
    """What jobs.toml says.

    Attributes:
        database: which says which kei is meant.
        outline: None if the file has mistakes.
        mistakes: complete lines; empty if there are none.
    """

    database: Path
    outline: Outline | None
    mistakes: tuple[str, ...] = ()

    def outline_beside(self, answer: Answer) -> Outline:
        """Return the settings that are in force in a running kei, or else those of the file.

        Raises:
            ConfigError: they are not known, as the file has mistakes.
        """
        in_force = answer.snapshot.outline if answer.snapshot else None
        if (outline := in_force or self.outline) is None:
            raise ConfigError(list(self.mistakes))
        return replace(outline, database=str(self.database))


def gather(path: Path, *, environ: Mapping[str, str], clock: Clock) -> Facts:
    """Ask the running kei and read its database.

    Raises:
        ConfigError: jobs.toml does not validate, and no kei says how it is.
    """
    asked = read_file(path, environ, clock)
    answer = ask_kei(asked.database, clock)
    outline = asked.outline_beside(answer)
    return facts_of(outline, answer, read_database(outline, clock), clock, asked.mistakes)


def read_file(path: Path, environ: Mapping[str, str], clock: Clock) -> Asked:
    """Return what jobs.toml says, without the secrets that it refers to.

    Raises:
        ConfigError: it does not validate, and has no word on the database.
    """
    try:
        wanted = config.load(path, environ=environ, with_secrets=False)
    except ConfigError as error:
        if (database := config.database_of(path)) is None:
            raise
        return Asked(database, None, tuple(error.faults))
    return Asked(wanted.recorder.database, outline_of(wanted, clock))


def ask_kei(database: Path, clock: Clock) -> Answer:
    """Return the answer of the running kei, which is waited for 10 s at most."""
    try:
        document = ask(database, clock)
        return Answer(None if document is None else decode(document))
    except Impostor as error:
        return Answer(silence=None if is_certainly_free(database) else str(error))
    except KeiError as error:
        return Answer(silence=str(error))
