import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_bench import BP35A1, BP35C2, BROUTE_PWD, DSS, GET_E7, IPS, METER, Bench

from kei.simulator.air.timing import Timing

REALISTIC = Timing.of(None, None, None)


def test_without_echo_only_replies_are_seen() -> None:
    bench = Bench()
    assert bench.type("SKSREG SFE 0") == "SKSREG SFE 0\nOK\n"
    assert bench.type("SKVER") == "EVER 1.5.2\nOK\n"


def test_without_echo_sendto_still_answers_an_empty_line() -> None:
    bench = Bench()
    bench.join()
    bench.type("SKSREG SFE 0")
    assert bench.send().startswith(f"\nEVENT 21 {METER} 0 00\nOK\n")


def test_reset_brings_the_echo_back_and_forgets_everything() -> None:
    bench = Bench()
    bench.join()
    bench.type("SKSREG SFE 0", "SKRESET")
    said = bench.type("SKSREG S3", "SKSREG S0A", "SKTABLE 2", "SKTERM")
    assert said == (
        "SKSREG S3\nESREG FFFF\nOK\nSKSREG S0A\nESREG CCDDEEFF\nOK\n"
        "SKTABLE 2\nENEIGHBOR\nOK\nSKTERM\nFAIL ER10\n"
    )


def test_a_space_at_the_end_is_tolerated() -> None:
    assert Bench().type("SKVER ") == "SKVER \nEVER 1.5.2\nOK\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("skver", "ER04"), ("SKVER 1", "ER05"), ("ROPT", "ER04"), ("SKCONNECT", "ER04"),
        ("SKSCAN 2 FFFFFFFF 6 0 0", "ER05"), ("SKSCAN 1 FFFFFFFF 6 0", "ER06"),
        ("SKSCAN 2 FFFFFFFFF 6 0", "ER06"), ("SKSCAN 2 FFFFFFFF B 0", "ER06"),
        ("SKSCAN 2 FFFFFFFF 6 2", "ER06"), ("SKSCAN 2 XYZ 6 0", "ER06"),
        ("SKSETPWD 0 A", "ER06"), ("SKSETPWD 21 A", "ER06"), ("SKSETPWD C 0123456789A-", "ER06"),
        ("SKSETPWD 4 ABCDE", "ER06"), ("SKSETPWD ABC", "ER05"),
        ("SKSETRBID 00112233445566778899AABBCCDDEEFF0", "ER06"),
        ("SKSETPSK F 00112233445566778899AABBCCDDEEFF", "ER06"),
        ("SKSETPSK 10 0011", "ER06"),
        ("SKLL64 001D12901234567", "ER06"), ("SKLL64 001D1290123456XY", "ER06"),
        ("SKJOIN FE80::021D:1290:1234:5678", "ER06"),
        ("SKJOIN fe80:0000:0000:0000:021d:1290:1234:5678", "ER06"),
        (f"SKJOIN {METER}", "ER10"), ("SKTERM", "ER10"), ("SKREJOIN", "ER10"),
        ("SKTABLE 3", "ER06"), ("SKUDPPORT 7 0E1A", "ER06"), ("SKUDPPORT 0 0E1A", "ER06"),
        ("SKUDPPORT 1 10000", "ER06"), ("SKLOAD", "ER10"), ("SKERASE", "ER10"),
        ("SKSENDTO 1", "ER05"), (f"SKPING {METER}", "ER05"), (f"SKADDNBR {METER} 1", "ER06"),
    ],
)  # fmt: skip
def test_wrong_commands_are_refused(command: str, code: str) -> None:
    assert Bench().type(command) == f"{command}\nFAIL {code}\n"


@pytest.mark.parametrize(
    "command",
    [
        "SKSETPSK 10 00112233445566778899AABBCCDDEEFF",
        "SKSETPWD C 0123",  # the rest is undefined, but it is no format error
        f"SKADDNBR {METER} 001D129012345678",
        "SKUDPPORT 3 0E1B",
        "SKSAVE",
    ],
)
def test_right_commands_are_taken(command: str) -> None:
    assert Bench().type(command) == f"{command}\nOK\n"


@given(st.lists(st.binary(max_size=80), max_size=10))
@settings(deadline=None)
def test_no_bytes_upset_it(portions: list[bytes]) -> None:
    bench = Bench()
    for portion in portions:
        bench.raw(portion)
    bench.raw(bytes(1300) + b"\r\n")  # out of any data input
    assert bench.type("SKVER").endswith("EVER 1.5.2\nOK\n")


def test_a_line_without_end_is_an_input_error() -> None:
    bench = Bench()
    assert bench.raw(b"A" * 3000) == b"FAIL ER09\r\n"
    assert bench.type("", "SKVER") == "SKVER\nEVER 1.5.2\nOK\n"


def test_commands_wait_for_the_one_in_hand() -> None:
    bench = Bench(timing=REALISTIC)
    assert bench.type("SKRESET", "SKVER") == "SKRESET\n"
    assert bench.wait(1.49) == ""
    assert bench.wait(0.1) == "OK\nSKVER\nEVER 1.5.2\nOK\n"


@pytest.mark.parametrize(
    ("register", "value", "shown"),
    [
        ("S2", "3C", "3C"), ("S02", "21", "21"), ("S3", "8", "0008"), ("S3", "ab", "00AB"),
        ("S16", "3C", "0000003C"), ("S16", "FFFFFFFF", "FFFFFFFF"), ("S17", "0", "0"),
        ("SA", "ABC", "ABC     "), ("S0A", "12345678", "12345678"), ("SA1", "0", "0"),
        ("SA2", "1", "1"), ("SFF", "1", "1"), ("S15", "1", "1"), ("SFD", "0", "0" * 16),
    ],
)  # fmt: skip
def test_registers_keep_what_is_written(register: str, value: str, shown: str) -> None:
    bench = Bench()
    assert bench.type(f"SKSREG {register} {value}").endswith("\nOK\n")
    assert bench.type(f"SKSREG {register}") == f"SKSREG {register}\nESREG {shown}\nOK\n"


@pytest.mark.parametrize(
    "arguments",
    [
        "S2 20", "S2 3D", "S2 G", "S3 10000", "S3 -1", "S16 3B", "S17 2", "SFE 2", "SA2 2",
        "S1 0", "S7 0", "SFB 0", "SFD 1", "S99", "S99 0", "T2", "S", "S123", "S0A 123456789",
    ],
)  # fmt: skip
def test_registers_refuse_what_they_cannot_be(arguments: str) -> None:
    assert Bench().type(f"SKSREG {arguments}") == f"SKSREG {arguments}\nFAIL ER06\n"


@pytest.mark.parametrize(
    ("register", "value"),
    [("S2", "21"), ("S3", "FFFF"), ("S7", "00000000"), ("SA", "CCDDEEFF"), ("S15", "0"),
     ("S16", "00000384"), ("S17", "1"), ("SA1", "1"), ("SFB", "0"), ("SFD", "0" * 16),
     ("SFE", "1"), ("SFF", "0")],
)  # fmt: skip
@pytest.mark.parametrize("model", [DSS, IPS])
def test_registers_have_their_defaults(model: str, register: str, value: str) -> None:
    assert f"\nESREG {value}\n" in Bench(model).type(f"SKSREG {register}")


def test_a_single_stack_has_no_sa2() -> None:
    bench = Bench(IPS)
    bench.join()
    assert bench.type("SKSREG SA2 1") == "SKSREG SA2 1\nFAIL ER06\n"
    assert " 001D129012345678 1 0012 " in bench.send()


@pytest.mark.parametrize("model", [DSS, BP35A1])
def test_an_empty_line_is_echoed_as_one(model: str) -> None:
    bench = Bench(model)
    bench.join()
    side = "0 " if bench.dual else ""
    header = f"SKSENDTO 1 {METER} 0E1A 0 {side}000E "  # unanswered
    said = bench.raw(header.encode() + GET_E7 + b"\r\n")
    assert b" 00\r\nOK\r\n\r\n" in said
    assert bench.raw(b"\r\n\r\n") == b"\r\n\r\n"
    bench.type("SKSREG SFE 0")
    assert bench.raw(b"\r\n") == b""


def test_a_lower_case_password_is_taken() -> None:
    bench = Bench()
    assert "\nOK\n" in bench.type(f"SKSETPWD c {BROUTE_PWD.lower()}")
    assert "EVENT 25" in bench.join(password=BROUTE_PWD.lower())


def test_saved_registers_come_back_with_skload() -> None:
    bench = Bench()
    bench.type("SKSREG S3 1234", "SKSAVE", "SKRESET")
    assert "ESREG FFFF" in bench.type("SKSREG S3")
    assert "ESREG 1234" in bench.type("SKLOAD", "SKSREG S3")
    assert bench.type("SKERASE", "SKLOAD").endswith("FAIL ER10\n")


@pytest.mark.parametrize(("autoload", "pan_id"), [("1", "1234"), ("0", "FFFF")])
def test_saved_registers_come_back_at_power_on_if_sff_says_so(autoload: str, pan_id: str) -> None:
    bench = Bench()
    bench.type("SKSREG S3 1234", f"SKSREG SFF {autoload}", "SKSAVE")
    bench.dongle.power_on()
    assert f"ESREG {pan_id}" in bench.type("SKSREG S3")


@pytest.mark.parametrize("model", [BP35A1, BP35C2])
def test_a_rohm_dongle_writes_raw_data_until_told_otherwise(model: str) -> None:
    bench = Bench(model)
    bench.join()
    bench.send()
    assert bench.raw(b"ROPT\r") == b"ROPT\r\nOK 00\r"
    assert bench.send().endswith(" 0012 \x10\x81\0\1\2\x88\1\5\xff\1r\1\xe7\4\0\0\1\xf8\n")
    assert bench.raw(b"WOPT 01\r") == b"WOPT 01\r\nOK\r"
    assert bench.raw(b"\nROPT\r\n") == b"ROPT\r\nOK 01\r"
    assert bench.send().endswith(" 0012 1081000102880105FF017201E704000001F8\n")


def test_the_data_format_survives_a_reset() -> None:
    bench = Bench(BP35C2)
    bench.raw(b"WOPT 01\r")
    bench.type("SKRESET")
    assert bench.raw(b"ROPT\r").endswith(b"OK 01\r")


def test_the_uart_setting_is_kept() -> None:
    bench = Bench(BP35A1)
    assert bench.raw(b"WUART 83\r") == b"WUART 83\r\nOK\r"
    assert bench.raw(b"RUART\r") == b"RUART\r\nOK 83\r"


@pytest.mark.parametrize("command", ["WOPT 02", "WOPT X", "WUART 100"])
def test_wrong_settings_are_refused(command: str) -> None:
    assert Bench(BP35A1).raw(f"{command}\r".encode()).endswith(b"FAIL ER06\r\n")
