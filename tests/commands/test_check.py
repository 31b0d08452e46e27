"""`kei check`: what it says of a configuration that is valid, but hardly what its owner wants."""

from pathlib import Path

from fakes import TOKYO, FakeClock
from jobs_file import JobsFile

from kei.commands.check import check

BROUTE = """
[broute]
port       = "{port}"
broute_id  = "{id}"
broute_pwd = "{pwd}"
"""
EXAMPLE = {"id": "00112233445566778899AABBCCDDEEFF", "pwd": "0123456789AB"}


def lines(tmp_path: Path, text: str, *, with_secrets: bool = True) -> list[str]:
    path = tmp_path / "jobs.toml"
    path.write_text(text)
    clock = FakeClock(zone=TOKYO)
    return [found.line for found in check(path, environ={}, clock=clock, with_secrets=with_secrets)]


def test_the_id_of_the_example_is_told_with_a_real_port_only(tmp_path: Path) -> None:
    real = "/dev/serial/by-id/usb-0"
    said = lines(tmp_path, BROUTE.format(port=real, **EXAMPLE))
    warning = "broute_id and broute_pwd are those of the example, which no meter takes"
    assert any(line.startswith(f"warning: {warning}") for line in said)
    own = {"id": "FF" * 16, "pwd": "0123456789AC"}
    for port, credentials in (("sim:", EXAMPLE), ("/dev/pts/9", EXAMPLE), (real, own)):
        said = lines(tmp_path, BROUTE.format(port=port, **credentials))
        assert not [line for line in said if line.startswith("warning:")]


def test_without_secrets_their_files_are_not_read(tmp_path: Path) -> None:
    text = '[broute]\nport = "sim:"\nbroute_id_file = "none"\nbroute_pwd_file = "none"\n'
    assert any("request-E7" in line for line in lines(tmp_path, text, with_secrets=False))


def test_what_asks_a_server_is_said_to_come_later_than_the_time_shown(tmp_path: Path) -> None:
    upload = '[[upload]]\ntarget_url = "http://localhost/"\nformat = "json"\n'
    heartbeat = '[heartbeat]\nurl = "http://localhost/"\nevery = "10s"\n'
    slow, quick = 'name = "slow"\ncycle = "1h"\n', 'name = "quick"\ncycle = 1\n'
    said = lines(tmp_path, f"{upload}{slow}{upload}{quick}{heartbeat}")
    late = dict(line.split("; up to ") for line in said if "; up to " in line)
    assert {name.split()[0]: by for name, by in late.items()} == {
        "upload-slow": "30s later",
        "upload-quick": "0.5s later",
        "heartbeat-localhost": "5s later",
    }


def test_a_number_of_days_without_its_unit_is_advised_what_is_possible(tmp_path: Path) -> None:
    jobs = JobsFile(tmp_path / "jobs.toml")
    assert jobs.fault('[recorder]\nretention = "400"') == (
        '2: recorder.retention: "400" is no duration; write "400d"'
    )
    assert '; did you mean "400d"? ' in jobs.fault("[recorder]\nretention = 400")
    assert "did you mean" not in jobs.fault("[recorder]\nretention = 0.5")


def test_a_port_is_one_path_without_blanks_around_it(tmp_path: Path) -> None:
    jobs = JobsFile(tmp_path / "jobs.toml")
    for table in ('[[serial]]\nport = "{}"', BROUTE.replace("{port}", "{{}}").format(**EXAMPLE)):
        assert 'blank; write "/dev/ttyACM0"' in jobs.fault(table.format("/dev/ttyACM0 "))
        assert "is a pattern" in jobs.fault(table.format("/dev/ttyACM*"))


def test_a_property_that_is_no_reading_names_those_that_are(tmp_path: Path) -> None:
    jobs = JobsFile(tmp_path / "jobs.toml")
    text = BROUTE.format(port="sim:", **EXAMPLE) + '[[broute.requests]]\nepc = ["{}"]\ncycle = 60\n'
    assert "did you mean EA? known are" in jobs.fault(text.format("E2"))
    assert "did you mean" not in jobs.fault(text.format("C0"))
