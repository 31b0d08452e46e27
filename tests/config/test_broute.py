from pathlib import Path

import pytest
from jobs_file import BROUTE, BROUTE_ID, BROUTE_PWD, JobsFile

from kei.config import load
from kei.config.rules import KNOWN_EPCS
from kei.core.secret import MASK
from kei.settings.broute import Broute, RequestGroup

CREDENTIALS = f'broute_id = "{BROUTE_ID}"\nbroute_pwd = "{BROUTE_PWD}"\n'


def broute(jobs: JobsFile, text: str) -> Broute:
    loaded = jobs.load(text).broute
    assert loaded is not None
    return loaded


def test_what_is_left_out_has_its_default(jobs: JobsFile) -> None:
    loaded = broute(jobs, BROUTE)
    assert loaded.baudrate == 115_200
    assert loaded.dongle == "auto"
    assert loaded.unit == "BR"
    assert loaded.requests == (
        RequestGroup((0xD3, 0xD7, 0xE1), 3600.0),
        RequestGroup((0xE7,), 10.0),
        RequestGroup((0xE0,), 120.0),
    )


def test_what_is_given_is_taken(jobs: JobsFile) -> None:
    more = """unit = "Home-1_a"
baudrate = 9600
dongle = "BP35C2"
[[broute.requests]]
epc = ["e7", "E8"]
cycle = 1.5
"""
    loaded = broute(jobs, BROUTE + more)
    assert loaded.unit == "Home-1_a"
    assert loaded.baudrate == 9600
    assert loaded.dongle == "BP35C2"
    assert loaded.requests == (RequestGroup((0xE7, 0xE8), 1.5),)


@pytest.mark.parametrize("name", ["auto", "RL7023-DSS", "RL7023-IPS", "BP35A1", "BP35C2"])
def test_every_dongle_is_spelled_as_documented(jobs: JobsFile, name: str) -> None:
    assert broute(jobs, f'{BROUTE}dongle = "{name}"').dongle == name


def test_an_array_of_request_tables_may_be_inline(jobs: JobsFile) -> None:
    loaded = broute(jobs, BROUTE + 'requests = [{ epc = ["E7"], cycle = "1m" }]')
    assert loaded.requests == (RequestGroup((0xE7,), 60.0),)


@pytest.mark.parametrize(
    ("written", "kwh"),
    [("0.1", "0.1"), ("1", "1"), ("1.0", "1"), ("0.0001", "0.0001"), ("1e4", "10000")],
)
def test_the_unit_of_energy_is_one_that_a_meter_may_have(
    jobs: JobsFile, written: str, kwh: str
) -> None:
    assert str(broute(jobs, f"{BROUTE}energy_unit = {written}").energy_unit) == kwh


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("0.2", "0.2 is not possible; it is one of: 0.0001, 0.001, 0.01, 0.1, 1, 10, 100"),
        ("0", "0 is not possible; it is one of: 0.0001"),
        ('"0.1"', "found a text, wanted a number; write it in digits, without quotes"),
        ("true", "found true or false, wanted a number"),
        ("inf", "inf is not possible; write a finite number"),
        ("1e-999999999", "0 is not possible; it is one of: 0.0001"),
    ],
)
def test_another_unit_of_energy_is_refused(jobs: JobsFile, written: str, fault: str) -> None:
    (told,) = jobs.faults(f"{BROUTE}energy_unit = {written}")
    assert told.startswith(f"5: broute.energy_unit: {fault}")


# Ports


@pytest.mark.parametrize("port", ["sim:", "sim:solar,seed=7,fault=drop%5", "/dev/ttyUSB0"])
def test_a_port_is_a_device_or_the_simulator(jobs: JobsFile, port: str) -> None:
    assert broute(jobs, f'[broute]\nport = "{port}"\n{CREDENTIALS}').port == port


def test_a_relative_port_is_in_the_folder_of_the_file(jobs: JobsFile) -> None:
    loaded = broute(jobs, f'[broute]\nport = "links/meter"\n{CREDENTIALS}')
    assert loaded.port == str(jobs.path.parent / "links" / "meter")


@pytest.mark.parametrize(
    ("port", "wanted"),
    [
        ('""', "is empty"),
        ('"  "', "is empty"),
        (r'"/dev/tty\u0007"', "control character"),
        ('"COM3"', "/dev/serial/by-id/"),
        ('"com12:"', "/dev/serial/by-id/"),
        ('"sim"', 'write "sim:"'),
        ("3", "found a whole number, wanted a text"),
    ],
)
def test_a_bad_port_is_a_fault(jobs: JobsFile, port: str, wanted: str) -> None:
    fault = jobs.fault(f"[broute]\nport = {port}\n{CREDENTIALS}")
    assert fault.startswith("2: broute.port: ")
    assert wanted in fault


def test_a_missing_port_is_a_fault_at_the_header(jobs: JobsFile) -> None:
    fault = jobs.fault(f"\n[broute]\n{CREDENTIALS}")
    assert fault == "2: broute.port: is missing; add it to this table: port = ..."


@pytest.mark.parametrize("rate", ["115201", "0", "-9600", "true", '"9600"', "9600.0"])
def test_a_rate_that_no_port_has_is_a_fault(jobs: JobsFile, rate: str) -> None:
    assert jobs.fault(f"{BROUTE}baudrate = {rate}").startswith("5: broute.baudrate: ")


@pytest.mark.parametrize("unit", ['""', '"B R"', '"B,R"', '"家"', '"é"', '"a\\n"', "1"])
def test_a_unit_that_cannot_be_an_id_is_a_fault(jobs: JobsFile, unit: str) -> None:
    assert jobs.fault(f"{BROUTE}unit = {unit}").startswith("5: broute.unit: ")


@pytest.mark.parametrize("dongle", ['"RL7023"', '"AUTO"', '""', "1"])
def test_an_unknown_dongle_is_a_fault(jobs: JobsFile, dongle: str) -> None:
    assert jobs.fault(f"{BROUTE}dongle = {dongle}").startswith("5: broute.dongle: ")


# Requests


@pytest.mark.parametrize(
    ("epc", "key", "wanted"),
    [
        ("[]", "epc", "is an empty list"),
        ('"E7"', "epc", "found a text, wanted a list of texts"),
        ("[7]", "epc[0]", "found a whole number, wanted a text"),
        ("[true]", "epc[0]", "found true or false, wanted a text"),
        ('["0xE7"]', "epc[0]", "two hex digits"),
        ('["E7 "]', "epc[0]", "two hex digits"),
        ('["Ｅ７"]', "epc[0]", "two hex digits"),
        ('["E0", "E9"]', "epc[1]", f"known are {' '.join(KNOWN_EPCS)}"),
        ('["f3"]', "epc[0]", "F3 is not known to kei; did you mean E3 or D3? known are"),
        (
            '["ee"]',
            "epc[0]",
            "EE is a history, which is not requested; did you mean D0? known are",
        ),
        (
            '["E5"]',
            "epc[0]",
            "E5 is a setting of the meter for its histories, which is not requested",
        ),
        ('["0xE7"]', "epc[0]", '"0xE7" is no property code; did you mean E7? write two'),
        ('["E77"]', "epc[0]", '"E77" is no property code; did you mean E7? write two'),
        ('["7"]', "epc[0]", '"7" is no property code; did you mean E7 or D7? write two'),
        ('["99"]', "epc[0]", "99 is not known to kei; known are"),
        ('["E7", "e7"]', "epc[1]", '"E7" is already at broute.requests[0].epc[0] (line 6)'),
    ],
)
def test_a_bad_list_of_properties_is_a_fault(
    jobs: JobsFile, epc: str, key: str, wanted: str
) -> None:
    fault = jobs.fault(f"{BROUTE}[[broute.requests]]\nepc = {epc}\ncycle = 10")
    assert fault.startswith(f"6: broute.requests[0].{key}: ")
    assert wanted in fault


def test_a_property_may_be_in_two_groups(jobs: JobsFile) -> None:
    group = '[[broute.requests]]\nepc = ["E7"]\ncycle = 10\n'
    assert len(broute(jobs, BROUTE + group + group).requests) == 2


@pytest.mark.parametrize(
    ("cycle", "seconds"),
    [("0.1", 0.1), ('"500ms"', 0.5), ("1.25", 1.25), ('"1000ms"', 1.0), ('"1d"', 86_400.0)],
)
def test_a_cycle_in_its_range_is_taken(jobs: JobsFile, cycle: str, seconds: float) -> None:
    text = f'{BROUTE}[[broute.requests]]\nepc = ["E7"]\ncycle = {cycle}'
    assert broute(jobs, text).requests[0].cycle_s == seconds


@pytest.mark.parametrize("cycle", ["0.099", '"50ms"', "0", "-10", "86400.5", '"2d"', "3600000"])
def test_a_cycle_out_of_its_range_is_a_fault_that_tells_it(jobs: JobsFile, cycle: str) -> None:
    fault = jobs.fault(f'{BROUTE}[[broute.requests]]\nepc = ["E7"]\ncycle = {cycle}')
    assert fault == (
        f"7: broute.requests[0].cycle: {cycle} is out of range; it must be from 100ms to 1d"
    )


def test_epc_and_cycle_have_to_be_there(jobs: JobsFile) -> None:
    assert jobs.faults(f"{BROUTE}[[broute.requests]]") == [
        "5: broute.requests[0].epc: is missing; add it to this table: epc = ...",
        "5: broute.requests[0].cycle: is missing; add it to this table: cycle = ...",
    ]


# Credentials


def with_credentials(broute_id: str, broute_pwd: str) -> str:
    return f"[broute]\nport = 'sim:'\nbroute_id = '{broute_id}'\nbroute_pwd = '{broute_pwd}'\n"


def test_credentials_become_upper_case(jobs: JobsFile) -> None:
    loaded = broute(jobs, with_credentials(BROUTE_ID.lower(), BROUTE_PWD.lower()))
    assert loaded.broute_id.reveal() == BROUTE_ID
    assert loaded.broute_pwd.reveal() == BROUTE_PWD


@pytest.mark.parametrize(
    ("broute_id", "wanted"),
    [
        ("", "found 0 characters, wanted 32 hex digits"),
        (BROUTE_ID[:-1], "found 31 characters, wanted 32 hex digits"),
        (BROUTE_ID + "0", "found 33 characters, wanted 32 hex digits"),
        ("0011 2233 4455 6677 8899 AABB CCDD EEFF", "found 39 characters"),
        ("0011 2233 4455 6677 8899 AABB CCDD EEFF", "without the spaces"),
        ("O" * 32, "not all of its 32 characters are hex digits"),
        ("１" * 32, "not all of its 32 characters are hex digits; write it in half-width"),
        (
            "0011-2233-4455-6677-8899-AABB-CCDD-EEFF",
            "wanted 32 hex digits; write it without",
        ),
        (BROUTE_PWD, "are ID and password swapped?"),
    ],
)
def test_a_bad_id_is_a_fault(jobs: JobsFile, broute_id: str, wanted: str) -> None:
    fault = jobs.fault(with_credentials(broute_id, BROUTE_PWD))
    assert fault.startswith("3: broute.broute_id: ")
    assert wanted in fault


@pytest.mark.parametrize(
    ("broute_pwd", "wanted"),
    [
        ("", "found 0 characters, wanted 12"),
        (BROUTE_PWD[:-1], "found 11 characters, wanted 12"),
        ("0123 4567 89AB", "write it without the spaces"),
        ("0123456789A ", "write it without the spaces"),
        ("0123456789A-", "not all of its 12 characters are of 0-9 and A-Z"),
        ("０１２３４５６７８９ＡＢ", "half-width"),
        (BROUTE_ID, "are ID and password swapped?"),
    ],
)
def test_a_bad_password_is_a_fault(jobs: JobsFile, broute_pwd: str, wanted: str) -> None:
    fault = jobs.fault(with_credentials(BROUTE_ID, broute_pwd))
    assert fault.startswith("4: broute.broute_pwd: ")
    assert wanted in fault


def test_a_secret_that_is_no_text_is_a_fault_without_its_value(jobs: JobsFile) -> None:
    fault = jobs.fault(f"{BROUTE.partition('broute_pwd')[0]}broute_pwd = 123456789012")
    assert fault == "4: broute.broute_pwd: found a whole number, wanted a text; write it in quotes"


ELSEWHERE = f"[broute]\nport = 'sim:'\nbroute_id = '{BROUTE_ID}'\n"


@pytest.mark.parametrize(
    "content",
    [
        BROUTE_PWD.encode(),
        f"{BROUTE_PWD}\n".encode(),
        f"{BROUTE_PWD}\r\n".encode(),
        f"\ufeff{BROUTE_PWD}\nsecond line\n".encode(),
        f"{BROUTE_PWD}\n".encode() + b"\xff" * 10_000,
    ],
)
def test_a_secret_is_the_first_line_of_a_file_in_the_same_folder(
    jobs: JobsFile, content: bytes
) -> None:
    (jobs.path.parent / "pwd").write_bytes(content)
    loaded = broute(jobs, f"{ELSEWHERE}broute_pwd_file = 'pwd'")
    assert loaded.broute_pwd.reveal() == BROUTE_PWD


def test_a_secret_file_may_have_an_absolute_path(jobs: JobsFile, tmp_path: Path) -> None:
    file = tmp_path / "deeper" / "pwd"
    file.parent.mkdir()
    file.write_text(BROUTE_PWD)
    assert broute(jobs, f"{ELSEWHERE}broute_pwd_file = '{file}'").broute_pwd.reveal() == BROUTE_PWD


def credentials_directory(tmp_path: Path) -> dict[str, str]:
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "pwd").write_text("BA9876543210")
    return {"CREDENTIALS_DIRECTORY": str(directory)}


@pytest.mark.parametrize(
    ("name", "found"),
    [("pwd", "BA9876543210"), ("./pwd", BROUTE_PWD), ("other", BROUTE_PWD)],
)
def test_only_a_bare_file_name_is_looked_up_in_the_credentials_directory_first(
    jobs: JobsFile, tmp_path: Path, name: str, found: str
) -> None:
    for file in ("pwd", "other"):
        (tmp_path / file).write_text(BROUTE_PWD)
    text = f"{ELSEWHERE}broute_pwd_file = '{name}'"
    # A path object would drop the leading `./`: what counts is what is written.
    config = jobs.load(text, credentials_directory(tmp_path))
    assert config.broute is not None
    assert config.broute.broute_pwd.reveal() == found


def test_a_name_too_long_for_the_credentials_directory_is_a_fault_that_does_not_repeat_it(
    jobs: JobsFile, tmp_path: Path
) -> None:
    name = "a" * 300  # as a secret that was written in the place of a name may be
    text = f"{ELSEWHERE}broute_pwd_file = '{name}'"
    fault = jobs.fault(text, credentials_directory(tmp_path))
    assert fault.startswith("4: broute.broute_pwd_file: the file cannot be read (File name too")
    assert name not in fault


def test_a_secret_may_be_in_the_environment(jobs: JobsFile) -> None:
    config = jobs.load(f"{ELSEWHERE}broute_pwd_env = 'KEI_PWD'", {"KEI_PWD": BROUTE_PWD.lower()})
    assert config.broute is not None
    assert config.broute.broute_pwd.reveal() == BROUTE_PWD


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (None, "there is no such file"),
        (b"", "the first line of the file is empty"),
        (b"\n0123456789AB", "the first line of the file is empty"),
        (b"\xff\xfe0", "the file is no UTF-8 text"),
        (b"A" * 5000, "the first line of the file is too long"),
        (b"0123456789A", "found 11 characters, wanted 12"),
    ],
)
def test_a_secret_file_without_a_secret_is_a_fault(
    jobs: JobsFile, content: bytes | None, wanted: str
) -> None:
    if content is not None:
        (jobs.path.parent / "pwd").write_bytes(content)
    fault = jobs.fault(f"{ELSEWHERE}broute_pwd_file = 'pwd'")
    assert fault.startswith("4: broute.broute_pwd_file: ")
    assert wanted in fault


@pytest.mark.parametrize("name", [".", "/dev/zero", "", "a\\u0000b", "a/" * 3000])
def test_what_is_no_file_is_a_fault(jobs: JobsFile, name: str) -> None:
    fault = jobs.fault(f'{ELSEWHERE}broute_pwd_file = "{name}"')
    assert fault.startswith("4: broute.broute_pwd_file: ")


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, "there is no such environment variable"),
        ({"KEI_PWD": ""}, "the environment variable is empty"),
        ({"KEI_PWD": "0123456789A"}, "found 11 characters, wanted 12"),
    ],
)
def test_an_environment_without_the_secret_is_a_fault(
    jobs: JobsFile, environ: dict[str, str], wanted: str
) -> None:
    fault = jobs.fault(f"{ELSEWHERE}broute_pwd_env = 'KEI_PWD'", environ)
    assert fault.startswith("4: broute.broute_pwd_env: ")
    assert wanted in fault


def test_two_forms_of_one_secret_are_a_fault(jobs: JobsFile) -> None:
    fault = jobs.fault(f"{BROUTE}broute_id_env = 'KEI_ID'", {"KEI_ID": BROUTE_ID})
    assert fault == "5: broute.broute_id_env: stands beside broute_id; keep only one of them"


def test_no_form_of_a_secret_is_a_fault_at_the_header(jobs: JobsFile) -> None:
    assert jobs.faults("\n[broute]\nport = 'sim:'") == [
        "2: broute.broute_id: is missing; set broute_id, broute_id_file or broute_id_env",
        "2: broute.broute_pwd: is missing; set broute_pwd, broute_pwd_file or broute_pwd_env",
    ]


# Shape


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "broute = 5",
            "1: broute: found a whole number, wanted a table; write [broute] on a line of its own",
        ),
        (
            "[[broute]]",
            (
                "1: broute: found an array of tables, wanted a table; "
                "write [broute] on a line of its own"
            ),
        ),
    ],
)
def test_broute_has_to_be_a_table(jobs: JobsFile, text: str, fault: str) -> None:
    assert jobs.fault(text) == fault


def test_single_brackets_around_requests_are_a_fault(jobs: JobsFile) -> None:
    assert jobs.fault(f"{BROUTE}[broute.requests]\nepc = ['E7']\ncycle = 10") == (
        "5: broute.requests: found a table, wanted an array of tables; "
        "write [[broute.requests]] in double brackets"
    )


def test_a_misspelt_key_gets_a_suggestion(jobs: JobsFile) -> None:
    fault = jobs.fault(f"{BROUTE}Baud_rate = 9600")
    assert fault == "5: broute.Baud_rate: unknown key; did you mean baudrate?"


@pytest.mark.parametrize("elsewhere", ['broute_pwd_file = "nowhere"', 'broute_pwd_env = "NOTHING"'])
def test_who_needs_no_secrets_need_not_be_able_to_read_them(jobs: JobsFile, elsewhere: str) -> None:
    jobs.path.write_text(f"{ELSEWHERE}{elsewhere}")
    found = load(jobs.path, environ={}, with_secrets=False)
    assert found.broute is not None
    assert found.broute.broute_pwd.reveal() == MASK
    assert found.broute.broute_id.reveal() == BROUTE_ID
