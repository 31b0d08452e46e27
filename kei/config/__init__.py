"""jobs.toml, read and checked."""

from kei.config.loader import load
from kei.config.mistaken import database_of

__all__ = ["database_of", "load"]
