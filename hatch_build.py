"""Puts the commit into wheels and source archives of kei, where no `.git` can tell it."""

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):
    """Adds the file `kei/COMMIT`, unless it is there already (in a source archive) or unknown."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the file; an editable install asks the checkout itself."""
        root = Path(self.root)
        known = runpy.run_path(str(root / "kei" / "core" / "commit.py"))
        record = Path("kei", known["RECORD"])
        commit = known["commit_of"](root)
        if version == "editable" or (root / record).exists() or commit is None:
            return
        self._folder = tempfile.TemporaryDirectory()
        made = Path(self._folder.name) / record.name
        made.write_text(f"{commit}\n", encoding="ascii")
        build_data["force_include"][str(made)] = str(record)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - as hatch calls it
        """Remove the file again."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
