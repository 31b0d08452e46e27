"""The kinds of jobs, and the tables of jobs.toml that are theirs."""

from collections.abc import Mapping


def tables() -> Mapping[str, type]:
    """Return the dataclass of each top-level table that belongs to a kind of job, by its name."""
    return {}
