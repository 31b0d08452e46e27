import socket

import pytest
from jobs_file import JobsFile

from kei.jobs.advice import advice

JSON = '[[upload]]\ntarget_url = "https://example.com/in"\nformat = "json"\n'


def test_a_site_has_the_name_of_its_host(jobs: JobsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "my pi.local")
    assert jobs.load("").site.name == "my-pi.local"
    assert jobs.load("[site]").site.name == "my-pi.local"


def test_a_site_may_have_another_name(jobs: JobsFile) -> None:
    assert jobs.load('[site]\nname = "house-07.a_b"').site.name == "house-07.a_b"


@pytest.mark.parametrize("name", ["", "house 07", "\u5bb6", "a,b", "a/b"])
def test_a_name_that_not_every_server_takes_is_refused(jobs: JobsFile, name: str) -> None:
    (fault,) = jobs.faults(f'[site]\nname = "{name}"')
    assert "cannot be a name at servers" in fault


@pytest.mark.parametrize(
    ("host", "text", "urgent"),
    [
        ("raspberrypi", JSON, [True]),
        ("attic", JSON, [False]),
        ("raspberrypi", f'{JSON}[site]\nname = "house-07"', []),
        ("raspberrypi", "", []),
        ("raspberrypi", JSON.replace("json", "keilog") + 'upload_key = "x"', []),
    ],
)
def test_cards_from_one_image_are_told_to_take_names(
    jobs: JobsFile, monkeypatch: pytest.MonkeyPatch, host: str, text: str, urgent: list[bool]
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    found = [each for each in advice(jobs.load(text)) if "[site] name" in each.text]
    assert [each.is_urgent for each in found] == urgent
