"""A jobs.toml of a test: write, load, and look at what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from kei.config import load
from kei.core.errors import ConfigError
from kei.settings.config import Config

BROUTE_ID = "00112233445566778899AABBCCDDEEFF"
BROUTE_PWD = "0123456789AB"

BROUTE = f"""[broute]
port = "sim:"
broute_id = "{BROUTE_ID}"
broute_pwd = "{BROUTE_PWD}"
"""


@dataclass(frozen=True)
class JobsFile:
    """The file and the environment it is read in."""

    path: Path

    def load(self, text: str, environ: Mapping[str, str] | None = None) -> Config:
        self.path.write_bytes(text.encode())
        return load(self.path, environ=environ or {})

    def outcome(self, text: bytes) -> Config | list[str]:
        """Return what becomes of any content: a configuration, or the whole fault lines."""
        self.path.write_bytes(text)
        try:
            return load(self.path, environ={})
        except ConfigError as error:
            return error.faults

    def faults(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """Return the fault lines without the path in front: `LINE: KEY: what; remedy`."""
        with pytest.raises(ConfigError) as caught:
            self.load(text, environ)
        prefix = f"{self.path}:"
        assert all(fault.startswith(prefix) for fault in caught.value.faults)
        return [fault.removeprefix(prefix) for fault in caught.value.faults]

    def fault(self, text: str, environ: Mapping[str, str] | None = None) -> str:
        """Return the only fault line."""
        (fault,) = self.faults(text, environ)
        return fault
