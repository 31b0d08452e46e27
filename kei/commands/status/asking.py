"""The facts about a kei that another process can find out: from its answer and its database."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kei import config
from kei.app.status_server import Impostor, ask
from kei.core.clock import Clock
from kei.core.errors import ConfigError, KeiError
from kei.core.single_instance import is_certainly_free
from kei.status.facts import Answer, Facts, Stored, facts_of, read_database
from kei.status.outline import Outline, outline_of, unknown
from kei.status.snapshot import decode


@dataclass(frozen=True, slots=True)
class Asked:
    """What jobs.toml says.

    Attributes:
        outline: whose database says which kei is meant; nothing else if the file has mistakes.
        mistakes: complete lines; empty if there are none.
    """

    outline: Outline
    mistakes: tuple[str, ...] = ()

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return Path(self.outline.database)

    def beside(self, answer: Answer) -> Outline:
        """Return the settings that are in force in a running kei, or else those of the file."""
        in_force = answer.snapshot.outline if answer.snapshot else None
        return replace(in_force, database=self.outline.database) if in_force else self.outline


def gather(path: Path, *, environ: Mapping[str, str], clock: Clock) -> Facts:
    """Ask the running kei and read its database.

    Raises:
        ConfigError: as of `read_file`.
    """
    asked = read_file(path, environ, clock)
    answer = ask_kei(asked.database, clock)
    stored = read_stored(asked, answer, clock)
    return facts_of(asked.beside(answer), answer, stored, clock, asked.mistakes)


def read_file(path: Path, environ: Mapping[str, str], clock: Clock) -> Asked:
    """Return what jobs.toml says, without the secrets that it refers to.

    Raises:
        ConfigError: it does not validate, and does not even say where the database is.
    """
    try:
        return Asked(outline_of(config.load(path, environ=environ, with_secrets=False), clock))
    except ConfigError as error:
        if (database := config.database_of(path)) is None:
            raise
        return Asked(unknown(database, clock), tuple(error.faults))


def read_stored(asked: Asked, answer: Answer, clock: Clock) -> Stored:
    """Return what the database says, as far as it is known what there should be."""
    outline = asked.beside(answer)
    is_known = outline is not asked.outline or not asked.mistakes
    return read_database(outline, clock) if is_known else Stored()


def ask_kei(database: Path, clock: Clock) -> Answer:
    """Return the answer of the running kei, which is waited for 10 s at most."""
    try:
        document = ask(database, clock)
        return Answer(None if document is None else decode(document))
    except Impostor as error:
        return Answer(silence=None if is_certainly_free(database) else str(error))
    except KeiError as error:
        return Answer(silence=str(error))
