"""`[web]` of jobs.toml, and what `kei check` says of it."""

import sys
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from jobs_file import JobsFile

from kei.commands.check import check
from kei.core.secret import Secret
from kei.jobs.advice import advice
from kei.settings.site import host_name
from kei.settings.web import Address, Web

OPEN = "warning: everybody who reaches 0.0.0.0:80 can see the page"


def test_no_page_without_its_table_and_one_at_home_with_it(jobs: JobsFile) -> None:
    assert jobs.load("").web is None
    assert jobs.load("[web]").web == Web(listen=Address("127.0.0.1", 8580), user="kei")


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("0.0.0.0:80", Address("0.0.0.0", 80), "0.0.0.0:80"),
        ("localhost:9000", Address("127.0.0.1", 9000), "127.0.0.1:9000"),
        ("[::1]:8580", Address("::1", 8580), "[::1]:8580"),
    ],
)
def test_where_it_listens(jobs: JobsFile, text: str, address: Address, shown: str) -> None:
    settings = jobs.load(f'[web]\nlisten = "{text}"').web
    assert settings is not None
    assert settings.listen == address
    assert str(settings.listen) == shown


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('listen = "8580"', '2: web.listen: "8580" is no address with a port; write '),
        ('listen = "127.0.0.1"', '2: web.listen: "127.0.0.1" is no address with a port; write '),
        ('listen = "example.com:80"', '2: web.listen: "example.com" is no IP address of this '),
        ('listen = "127.0.0.1:70000"', "2: web.listen: 70000 is no TCP port; "),
        ('user = "a:b"', '2: web.user: "a:b" is no name for a user; '),
        ('password = "a\\nb"', "2: web.password: has characters that cannot be typed; "),
        (
            "port = 80",
            '2: web.port: unknown key; it is a part of listen: listen = "127.0.0.1:8580"',
        ),
        ('pasword = "x"', "2: web.pasword: unknown key; did you mean password?"),
    ],
)
def test_mistakes_are_told_by_line(jobs: JobsFile, line: str, fault: str) -> None:
    assert jobs.fault(f"[web]\n{line}").startswith(fault)


def test_the_password_may_stand_in_a_file_of_its_own(jobs: JobsFile) -> None:
    (jobs.path.parent / "pwd").write_text("open sesame\n")
    settings = jobs.load('[web]\npassword_file = "pwd"').web
    assert settings is not None
    assert settings.password == Secret("open sesame")
    assert "sesame" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("", True),
        ('password = ""', True),
        ('password = "open sesame"', False),
        ('password_file = "a file that this user may not read"', False),
    ],
)
def test_a_page_that_everybody_can_see_is_advised_against(
    tmp_path: Path, text: str, *, is_told: bool
) -> None:
    path = tmp_path / "jobs.toml"
    path.write_text(f'[web]\nlisten = "0.0.0.0:80"\n{text}\n')
    clock = FakeClock(zone=TOKYO)
    said = [each.line for each in check(path, environ={}, clock=clock, with_secrets=False)]
    page = f"page: http://{host_name()}:80/, or by any other name of this machine"
    assert page in said
    assert any(line.startswith(OPEN) for line in said) is is_told


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        ("bottle waitress", "there will be no page: bottle and waitress are missing; pip install"),
        ("prometheus_client", "the page will have no /metrics: prometheus-client is missing; pip"),
        ("paho", "no broker will be told anything: paho-mqtt is missing; pip install 'kei[mqtt]'"),
    ],
)
def test_a_package_that_is_missing_is_told_before_anybody_misses_it(
    jobs: JobsFile, monkeypatch: pytest.MonkeyPatch, modules: str, told: str
) -> None:
    for module in modules.split():
        monkeypatch.setitem(sys.modules, module, None)
    config = jobs.load('[web]\n[mqtt]\n[site]\nname = "a"\n[[serial]]\nport = "sim-sensor:"\n')
    (text,) = (each.text for each in advice(config))
    assert text.startswith(told)
    assert text.endswith("then restart kei if it runs")


def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    path = tmp_path / "jobs.toml"
    path.write_text('[web]\nlisten = "192.0.2.1:8580"\npassword = "x"\n')  # of nobody: RFC 5737
    said = [each.line for each in check(path, environ={}, clock=FakeClock(zone=TOKYO))]
    told = "warning: 192.0.2.1 is no address of this machine, so there is no page; "
    assert any(line.startswith(told) for line in said)


def test_at_home_nothing_is_advised(tmp_path: Path) -> None:
    path = tmp_path / "jobs.toml"
    path.write_text('[web]\n[[serial]]\nport = "sim-sensor:"\n')
    said = [each.line for each in check(path, environ={}, clock=FakeClock(zone=TOKYO))]
    assert "page: http://127.0.0.1:8580/" in said
    assert not [line for line in said if line.startswith("warning")]
