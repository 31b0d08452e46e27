"""The facts about a kei that another process can find out: from its answer and its database."""

from collections.abc import Mapping
from pathlib import Path

from kei import config
from kei.app.status_server import Impostor, ask
from kei.core.clock import Clock
from kei.core.errors import KeiError
from kei.core.single_instance import is_certainly_free
from kei.settings.config import Config
from kei.status.facts import Answer, Facts, facts_of, read_database
from kei.status.snapshot import decode


def gather(path: Path, *, environ: Mapping[str, str], clock: Clock) -> Facts:
    """Ask the running kei and read its database.

    Raises:
        ConfigError: jobs.toml does not validate.
    """
    wanted = configuration(path, environ)
    return facts_of(wanted, ask_kei(wanted, clock), read_database(wanted, clock), clock)


def configuration(path: Path, environ: Mapping[str, str]) -> Config:
    """Return what jobs.toml says, without the secrets that it refers to; ConfigError."""
    return config.load(path, environ=environ, with_secrets=False)


def ask_kei(wanted: Config, clock: Clock) -> Answer:
    """Return the answer of the running kei, which is waited for 10 s at most."""
    database = wanted.recorder.database
    try:
        document = ask(database, clock)
        return Answer(None if document is None else decode(document))
    except Impostor as error:
        return Answer(silence=None if is_certainly_free(database) else str(error))
    except KeiError as error:
        return Answer(silence=str(error))
