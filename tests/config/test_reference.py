"""docs/configuration.md and the comments in jobs.toml say what the settings say."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import reference
from jobs_file import JobsFile
from reference import MADE, annotated, described

ROOT = Path(__file__).parents[2]
RENEW = "scripts/reference.py"


def service_sample() -> str:
    """What scripts/install puts into /etc/kei/jobs.toml."""
    command = ["sed", "-f", f"{ROOT}/scripts/systemd/jobs.sed", f"{ROOT}/jobs.toml"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def commented_in(text: str) -> str:
    return re.sub(r"(?m)^#(?=[a-z\[])", "", text)


def single_spaced(text: str) -> str:
    return re.sub(r" +", " ", text)


def test_the_page_is_what_the_settings_say() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert text == described(text), f"docs/configuration.md is stale; renew it with: {RENEW}"


def test_the_comments_of_the_sample_are_the_sentences_of_the_settings() -> None:
    text = (ROOT / "jobs.toml").read_text("utf-8")
    assert text == annotated(text), f"comments in jobs.toml are stale; renew them with: {RENEW}"


def test_the_comments_of_the_services_sample_are_the_sentences_of_the_settings() -> None:
    text = service_sample()
    assert single_spaced(text) == single_spaced(annotated(text))


def test_the_services_sample_takes_its_secrets_from_the_files_beside_it(jobs: JobsFile) -> None:
    text = service_sample()
    (jobs.path.parent / "broute_id").write_text("00112233445566778899AABBCCDDEEFF\n")
    (jobs.path.parent / "broute_pwd").write_text("0123456789AB\n")
    (jobs.path.parent / "upload_key").write_text("hush\n")
    for config in (jobs.load(text), jobs.load(commented_in(text))):
        assert config.recorder.directory == Path("/var/lib/kei")
        assert config.recorder.database == Path("/var/lib/kei/kei.db")
    assert [target.upload_key is not None for target in config.upload] == [True]


def test_the_services_sample_says_where_the_page_of_all_keys_is() -> None:
    assert "docs/configuration.md in the folder that kei was installed from" in service_sample()


def test_the_examples_of_the_page_load(jobs: JobsFile) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", described(""), re.DOTALL)
    config = jobs.load("\n".join(blocks))
    assert config.broute is not None
    assert config.serial[0].checks
    assert config.upload[0].name == "home"


def test_the_page_has_every_key_with_a_sentence() -> None:
    rows = re.findall(r"(?m)^\| `([a-z_]+)` \| (.*) \| (.*) \| (.*) \|$", described(""))
    assert len(rows) > 40
    for key, kind, default, sentence in rows:
        assert kind, key
        assert default, key
        assert sentence.endswith("."), key


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("cycle = 600", "cycle = 600                 # Length of the windows that are averaged."),
        (
            '#cycle = "1h" # old',
            '#cycle = "1h"               # Length of the windows that are averaged. Default: "10m"',
        ),
    ],
)
def test_a_value_that_is_not_the_default_names_the_default(line: str, written: str) -> None:
    bare, _, _ = line.partition(" # ")
    assert annotated(f"[summary]\n{line}\n{line}") == f"[summary]\n{written}\n{bare}"


@pytest.mark.parametrize("text", ["[summary]\n#cycles = 600", "#[sumary]\n#cycle = 600"])
def test_a_sample_with_an_unknown_key_is_noticed(text: str) -> None:
    with pytest.raises(KeyError):
        annotated(text)


def test_renewing_writes_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "configuration.md"
    page.write_text(f"# Mine\n\n{MADE}\nold\n")
    (tmp_path / "jobs.toml").write_text('[log]\nlevel = "debug"\n')
    monkeypatch.setattr("sys.argv", ["reference.py"])
    reference.main()
    assert page.read_text() == described(f"# Mine\n\n{MADE}")
    assert page.read_text().startswith("# Mine\n")
    assert "old" not in page.read_text().split("\n")
    text = (tmp_path / "jobs.toml").read_text()
    assert text.endswith(
        "# The lowest level that is written. One of: debug, info, warning, error, critical."
        ' Default: "info"\n'
    )
    assert tomllib.loads(text) == {"log": {"level": "debug"}}
