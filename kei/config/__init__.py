"""jobs.toml, read and checked."""

from kei.config.loader import load

__all__ = ["load"]
