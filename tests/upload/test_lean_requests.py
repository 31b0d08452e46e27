"""requests is loaded without what guesses encodings, and everybody else can still have that."""

import subprocess
import sys
from pathlib import Path

import pytest

GUESSES = "print(any(name.startswith('charset_normalizer') for name in sys.modules))"
ANSWER = "answer = requests.Response(); answer._content = b'OK'; print(answer.text)"


def said(*program: str, folder: Path | None = None) -> list[str]:
    """What a Python prints, which looks for modules in a folder first and takes no warning."""
    path = [] if folder is None else [f"import sys; sys.path.insert(0, {str(folder)!r})"]
    command = [sys.executable, "-W", "error", "-c", "\n".join((*path, *program))]
    return subprocess.check_output(command, text=True).splitlines()


def test_what_guesses_encodings_is_not_loaded_and_can_be_had_all_the_same() -> None:
    program = ("import sys, kei.upload.http", GUESSES, "import charset_normalizer, requests")
    assert said(*program, ANSWER) == ["False", "OK"]


def test_what_somebody_else_has_loaded_before_stays_as_it_is() -> None:
    program = (
        "import sys, requests; before = dict(sys.modules)",
        "from kei.upload.lean_requests import requests as lean",
        "print(lean is requests, [name for name in before if sys.modules.get(name) is None])",
        "print(requests.compat.chardet is sys.modules['charset_normalizer'])",
    )
    assert said(*program, ANSWER) == ["True []", "True", "OK"]


@pytest.mark.parametrize("module", ["__init__", "compat"])
def test_a_requests_that_cannot_do_without_it_is_loaded_with_it(
    tmp_path: Path, module: str
) -> None:
    package = tmp_path / "requests"
    package.mkdir()
    (package / "__init__.py").write_text("from . import models, compat\n")
    (package / "models.py").touch()
    (package / "compat.py").touch()
    with (package / f"{module}.py").open("a") as source:
        source.write("import charset_normalizer as guesser\n")
    program = ("from kei.upload.lean_requests import requests", "print(requests.__file__)")
    assert said(*program, GUESSES, folder=tmp_path) == [
        str(package / "__init__.py"),
        "True",
    ]
