"""`[mqtt]` and `[heartbeat]` of jobs.toml: what is wrong with them, and where."""

from pathlib import Path

import pytest
from jobs_file import JobsFile

from kei.settings.mqtt import Mqtt


@pytest.fixture
def jobs(tmp_path: Path) -> JobsFile:
    return JobsFile(tmp_path / "jobs.toml")


def test_an_empty_table_has_the_defaults(jobs: JobsFile) -> None:
    config = jobs.load("[mqtt]\n")
    assert config.mqtt == Mqtt(port=1883)
    assert config.mqtt is not None
    assert (config.mqtt.host, config.mqtt.topic) == ("localhost", "kei")
    assert config.mqtt.discovery == "homeassistant"
    assert config.heartbeat is None


def test_tls_has_a_port_of_its_own(jobs: JobsFile) -> None:
    config = jobs.load("[mqtt]\ntls = true\n")
    assert config.mqtt is not None
    assert config.mqtt.port == 8883


def test_there_is_no_broker_without_the_table(jobs: JobsFile) -> None:
    assert jobs.load("").mqtt is None


def test_the_password_may_be_in_a_file_and_is_not_shown(jobs: JobsFile, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse\n")
    config = jobs.load('[mqtt]\nuser = "kei"\npassword_file = "secret"\n')
    assert config.mqtt is not None
    assert config.mqtt.password is not None
    assert config.mqtt.password.reveal() == "correct horse"
    assert "horse" not in repr(config)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('host = "mqtt://broker"', "port and tls are keys of their own"),
        ('host = "broker:1883"', "port = 1883"),
        ('host = "a b"', "is no host"),
        ("port = 0", "from 1 to 65535"),
        ('topic = "kei/#"', "wildcard"),
        ('topic = "/kei"', "empty level"),
        ('topic = "$SYS"', "belongs to the broker"),
        ('topic = ""', "is empty"),
        (f'topic = "{"k" * 201}"', "too long"),
        ('discovery = "a+b"', "wildcard"),
        ("discovery = false", 'write "" to have none'),
        ("tls = true\nca_file = false", 'write "" to have none'),
        ("topic = false", "write it in quotes"),
        ('password = "horse"', "has no user"),
        ('user = "a"\\npassword = "a\\u0007b"', "control character"),
        ('ca_file = "ca.pem"', "is not used without TLS"),
        ('tls = true\nca_file = "ca.pem"', "ca.pem: No such file or directory"),
        ('tls = true\nca_file = "jobs.toml"', "has no certificate in it"),
        ('tpoic = "kei"', "did you mean topic?"),
    ],
)
def test_faults_of_mqtt_name_their_line(jobs: JobsFile, line: str, told: str) -> None:
    text = line.replace("\\n", "\n")
    (fault,) = jobs.faults(f"[mqtt]\n{text}\n")
    assert told in fault
    assert fault.startswith(f"{2 + text.count(chr(10))}: mqtt.")
    assert "horse" not in fault


def test_a_file_without_its_user_is_named_where_it_stands(jobs: JobsFile, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse\n")
    fault = jobs.fault('[mqtt]\nhost = "a"\npassword_file = "secret"\n')
    assert fault.startswith("3: mqtt.password_file: has no user; ")


def test_nothing_is_judged_by_what_is_refused(jobs: JobsFile) -> None:
    (fault,) = jobs.faults('[mqtt]\ntls = "yes"\nca_file = "ca.pem"\n')
    assert fault.startswith("2: mqtt.tls: ")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "is missing"),
        ('url = "ftp://x"', "does not begin with http"),
        ('url = "https://a/b"\nevery = "9s"', "from 10s to 1d"),
        ('url = "hc-ping.com/x"', 'write it like "https://hc-ping.com/xxxxxxxx"'),
        ('url = "https://hc-ping.com/"', "names no check"),
        ('url = "https://a/b/fail/?x=1"', "leave out /fail"),
    ],
)
def test_faults_of_heartbeat_name_their_line(jobs: JobsFile, line: str, told: str) -> None:
    (fault,) = jobs.faults(f"[heartbeat]\n{line}\n")
    assert told in fault


def test_what_a_heartbeat_is_told_by_is_not_shown(jobs: JobsFile) -> None:
    config = jobs.load('[heartbeat]\nurl = "https://hc-ping.com/not-for-all"\n')
    assert config.heartbeat is not None
    assert config.heartbeat.every_s == 300
    assert "not-for-all" not in repr(config)
