import re
import socket
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobs_file import BROUTE, BROUTE_ID, BROUTE_PWD, JobsFile

from kei.config import load
from kei.config.rules import KNOWN_EPCS
from kei.core.errors import ConfigError
from kei.jobs.kinds import tables
from kei.settings.broute import RequestGroup
from kei.settings.config import Config
from kei.settings.log import LogLevel, LogSettings
from kei.settings.recorder import RecorderSettings, SummarySettings
from kei.settings.site import Site
from kei.settings.web import Web

SAMPLE = Path(__file__).parents[2] / "jobs.toml"


def fault_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    (fault,) = caught.value.faults
    return fault


def test_the_sample_of_the_repository_loads() -> None:
    config = load(SAMPLE, environ={})
    assert config.broute is not None
    assert config.broute.port == "sim:latency=0"
    assert config.broute.broute_id.reveal() == BROUTE_ID
    assert config.broute.broute_pwd.reveal() == BROUTE_PWD
    assert config.broute.requests == (
        RequestGroup((0xD3, 0xD7, 0xE1), 3600.0),
        RequestGroup((0xE7, 0xE8), 10.0),
        RequestGroup((0xE0, 0xE3), 300.0),
    )
    assert config.web == Web()
    assert config.recorder.directory == SAMPLE.parent / "data"
    assert config.recorder.database == SAMPLE.parent / "data" / "kei.db"
    assert config.summary.cycle_s == 600
    assert config.log.level is LogLevel.INFO


def test_the_tables_that_are_commented_out_in_the_sample_load_too(jobs: JobsFile) -> None:
    text = re.sub(r"(?m)^#(?=[a-z\[])", "", SAMPLE.read_text("utf-8"))
    config = jobs.load(text)
    assert config.upload[0].name == "example.com"


def test_an_empty_file_gives_every_default(jobs: JobsFile) -> None:
    folder, loaded = jobs.path.parent, jobs.load("")
    assert loaded == Config(
        path=jobs.path,
        site=Site(socket.gethostname()),
        broute=None,
        serial=(),
        recorder=RecorderSettings(
            folder, "mydatafile", folder / "kei.db", 400 * 86_400.0, 60.0, 120.0
        ),
        summary=SummarySettings(600),
        upload=(),
        log=LogSettings(LogLevel.INFO, None, None),
        job_tables=loaded.job_tables,
    )


def test_relative_paths_begin_in_the_folder_of_the_file(
    jobs: JobsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.path.write_text('[recorder]\ndirectory = "out"\n[log]\nfile = "/var/log/kei.log"\n')
    monkeypatch.chdir(jobs.path.parent)
    config = load(Path("jobs.toml"), environ={})
    assert config.path == Path("jobs.toml")
    assert config.recorder.directory == jobs.path.parent / "out"
    assert config.log.file == Path("/var/log/kei.log")


def test_a_byte_order_mark_is_taken(jobs: JobsFile) -> None:
    assert jobs.load("\ufeff[summary]\ncycle = 60").summary.cycle_s == 60


def test_windows_line_ends_are_taken_and_counted(jobs: JobsFile) -> None:
    assert jobs.fault("[summary]\r\n\r\ncycle = 7\r\n").startswith("3: summary.cycle: ")


def test_all_faults_of_a_file_are_told_at_once_in_the_order_of_its_lines(jobs: JobsFile) -> None:
    text = """colour = "red"
[broute]
port = ""
broute_id = "0011"
dongle = "rl7023-dss"
[[broute.requests]]
epc = [
  "E7",
  "E9",
]
[[broute.requests]]
epc = ["E7"]
cycle = "10 sec"
[summary]
cycle = 7
[uploads]
"""
    top_level = (
        "site",
        "broute",
        "serial",
        "recorder",
        "summary",
        "upload",
        "tariff",
        "web",
        "mqtt",
        "heartbeat",
        "log",
        *tables(),
    )
    assert jobs.faults(text) == [
        f"1: colour: unknown key; known here are: {', '.join(top_level)}",
        "2: broute.broute_pwd: is missing; set broute_pwd, broute_pwd_file or broute_pwd_env",
        "3: broute.port: is empty; write something between the quotes",
        (
            "4: broute.broute_id: found 4 characters, wanted 32 hex digits; "
            "copy it anew from the power company's letter"
        ),
        (
            '5: broute.dongle: "rl7023-dss" is not possible; did you mean "RL7023-DSS"? '
            "it is one of: auto, RL7023-DSS, RL7023-IPS, BP35A1, BP35C2, J11"
        ),
        "6: broute.requests[0].cycle: is missing; add it to this table: cycle = ...",
        (
            "9: broute.requests[0].epc[1]: E9 is not known to kei; did you mean EB or EA or E8? "
            f"known are {' '.join(KNOWN_EPCS)}"
        ),
        (
            '13: broute.requests[1].cycle: "10 sec" is no duration; '
            'write "10s" (a number of seconds, or a text like "500ms" "10s" "5m" "1h" "1d")'
        ),
        (
            "15: summary.cycle: a day of 86400 s cannot be divided into windows of 7 s; "
            "the nearest that fit are 6 and 8"
        ),
        "16: uploads: unknown table; did you mean upload?",
    ]


def test_faults_name_the_file_as_it_was_given(
    jobs: JobsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.path.write_text("a = 1")
    monkeypatch.chdir(jobs.path.parent)
    assert fault_of(Path("jobs.toml")).startswith("jobs.toml:1: a: unknown key; ")


def test_a_missing_file_is_one_fault(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    assert fault_of(path).startswith(f"{path}: there is no such file;")


def test_a_folder_in_place_of_the_file_is_one_fault(tmp_path: Path) -> None:
    assert fault_of(tmp_path).startswith(f"{tmp_path}: cannot be read (Is a directory);")


def test_a_path_that_no_file_can_have_is_one_fault() -> None:
    assert fault_of(Path("a\0b")).startswith("a\\x00b: cannot be read (")


def test_a_file_that_is_not_utf8_is_one_fault_at_its_line(jobs: JobsFile) -> None:
    jobs.path.write_bytes("# ok\n# 電力\n".encode("shift-jis"))
    assert fault_of(jobs.path) == (
        f"{jobs.path}:2: file: is not UTF-8; save it as UTF-8 in the editor"
    )


def test_a_huge_file_is_one_fault(jobs: JobsFile) -> None:
    assert jobs.fault("#" * (1024 * 1024 + 1)).startswith("1: file: has more than 1048576 bytes;")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a = 1\nb = = 2\n", "2: file: TOML syntax error at column 5: Invalid value; look for "),
        ("a = 1\na = 2\n", "2: file: TOML syntax error at column "),
        ('a = 1\n\nb = "open', "3: file: TOML syntax error at column 10: Unterminated string; "),
        (f"a = {'9' * 5000}", "1: file: a number is too long; "),
        (f"a = {'[' * 5000}", "1: file: is nested too deeply; "),
    ],
)
def test_a_syntax_error_is_one_fault_with_line_and_column(
    jobs: JobsFile, text: str, start: str
) -> None:
    assert jobs.fault(text).startswith(start)


def test_a_key_with_control_characters_stays_on_one_line(jobs: JobsFile) -> None:
    fault = jobs.fault('"a\\nb\u2028c" = 1')
    assert len(fault.splitlines()) == 1
    assert fault.startswith('1: "a\\nb\\u2028c": unknown key; ')


KEYS = st.sampled_from(
    [
        "port", "baudrate", "dongle", "broute_id", "broute_id_file", "broute_pwd_env", "unit",
        "epc", "cycle", "sensor", "min", "max", "variation", "directory", "fname_base", "database",
        "retention", "sync", "name", "target_url", "upload_key", "upload_key_file", "format",
        "what", "max_bytes", "compress", "headers", "since", "level", "file", "requests", "checks",
        "x", "contract", "from", "base", "steps", "zones", "holidays", "market", "levy", "2026-11",
    ]
)  # fmt: skip
HEADERS = st.sampled_from(
    [
        "[broute]", "[[broute.requests]]", "[[serial]]", "[[serial.checks]]", "[serial]",
        "[recorder]", "[summary]", "[[upload]]", "[upload]", "[log]", "[[log]]", "[tariff]",
        "[[tariff.plan]]", "[tariff.fuel]", "",
    ]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        [
            "true", "nan", "-inf", "1e400", "0", "-1", "600", "1.5", f"0x{'f' * 5000}", '"E7"',
            '["E7", "E7"]', "[]", "[1, {}]", "{}", "{ a = 1 }", '{ a = "b\\r" }', '[["E7"]]',
            '"http://[::1"', '"http://h:99999/"', '"https://h/x"', "2026-01-01", "07:00:00",
            "2026-01-01T00:00:00", "0001-01-01T00:00:00+09:00", '"json"', '"a\\u0000b"', '"10s"',
            '"\\ufdd0"', '"999999999999999999999d"', '"/dev/zero"', '"."', '""',
            "1e-9999999999999999999", '"40A"', "[{ price = 1 }]", '[{ hours = "1-6", price = 1 }]',
            '{ per = "10A", price = 1 }', "{ minimum = 1, price = 1 }", "{ 2026-11 = 1 }",
        ]
    ),
    st.text(string.printable, max_size=40).map(lambda text: f"'{text}'"),
)  # fmt: skip
LINES = st.one_of(HEADERS, st.builds("{} = {}".format, KEYS, VALUES))


@pytest.mark.usefixtures("unmeasured")  # a property
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=st.one_of(st.text(), st.lists(LINES, max_size=15).map("\n".join)))
def test_any_text_gives_a_config_or_faults_of_one_line_each(jobs: JobsFile, text: str) -> None:
    outcome = jobs.outcome(text.encode())
    if isinstance(outcome, Config):
        return
    assert outcome
    for fault in outcome:
        assert len(fault.splitlines()) == 1
        assert fault.startswith(f"{jobs.path}:")
        assert "; " in fault


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary())
def test_any_bytes_give_a_config_or_faults(jobs: JobsFile, data: bytes) -> None:
    assert jobs.outcome(data)


def test_no_repr_of_a_config_shows_a_secret(jobs: JobsFile) -> None:
    config = jobs.load(
        BROUTE
        + """[[upload]]
target_url = "https://example.com/?token=hidden-query"
upload_key = "hidden-key"
headers = { Authorization = "Bearer hidden-token" }
"""
    )
    for shown in (repr(config), str(config), f"{config}"):
        assert BROUTE_ID not in shown
        assert BROUTE_PWD not in shown
        assert "hidden" not in shown
        assert "***" in shown


HIDDEN = st.text(
    st.characters(codec="utf-8", exclude_characters="'\r\n", exclude_categories=["Cc", "Zs"]),
    min_size=8,
    max_size=40,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(hidden=HIDDEN.map(lambda text: f"{text}{BROUTE_PWD[::-1]}"), form=st.integers(0, 4))
def test_no_fault_shows_a_secret(jobs: JobsFile, hidden: str, form: int) -> None:
    """Every place where a secret belongs, or where people put it by mistake."""
    fields = [
        f"broute_id = '{hidden}'\nbroute_pwd = '{hidden}'",
        f"broute_id_file = '{hidden}'\nbroute_pwd_file = '{hidden}'",
        f"broute_id_env = '{hidden}'\nbroute_pwd_env = '{hidden}'",
        f"broute_id = ['{hidden}']\nbroute_pw = '{hidden}'",
        f"broute_id = '{hidden}'\nbroute_id_env = '{hidden}'",
    ][form]
    text = f"""[broute]
port = "sim:"
{fields}
[[upload]]
upload_key = ' {hidden}'
target_url = 'https://{hidden}@example.com/'
headers = {{ Authorization = 'é{hidden}', '{BROUTE_ID} ' = '{hidden}' }}
"""
    for fault in jobs.faults(text):
        assert hidden not in fault
        assert BROUTE_PWD[::-1] not in fault


@pytest.mark.parametrize(
    ("text", "line", "remedy"),
    [
        ("[log]\nlevel = 'info'\nlevel = 'debug'\n", 3, "it is there twice: remove one of them"),
        ("[log]\nlevel = \u201cinfo\u201d\n", 2, 'write " instead of \u201c'),
        ("[summary]\ncycle = \uff16\uff10\uff10\n", 2, "write 6 instead of \uff16"),
        ("[summary]\n\u3000cycle = 600\n", 2, "write a blank instead of"),
        ("[log\nlevel = 'info'\n", 1, "look for a missing quote, bracket or equals sign"),
        ("[log]\nlevel = ", 2, "look for a missing quote, bracket or equals sign"),
    ],
)
def test_a_syntax_error_has_a_remedy_that_fits(
    jobs: JobsFile, text: str, line: int, remedy: str
) -> None:
    fault = jobs.fault(text)
    assert fault.startswith(f"{line}: file: TOML syntax error")
    assert remedy in fault
