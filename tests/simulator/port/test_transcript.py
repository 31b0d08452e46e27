"""The published transcripts of real dongles, byte for byte (lines end with CR LF)."""

import pytest
from simulator_bench import (
    AT_ONCE,
    BROUTE_ID,
    BROUTE_PWD,
    DONGLE,
    DSS,
    GET_E7,
    IPS,
    METER,
    Bench,
    answers,
    shown,
)

MULTICAST = "FF02:0000:0000:0000:0000:0000:0000:0001"

PANA_1 = "00000028C0000002112233440000100000060000000400000000000500030000000400000000000C"
PANA_2 = (
    "000000688000000211223344000010010005000000100000000000000000000000000000000000000002000000380000"
    "011000382F0000000000000000000000000000000000534D30303131323233333434353536363737383839394141"
    "42424343444445454646"
)
PANA_3 = (
    "0000005480000002112233440000100200020000003B00000111003B2F80000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000"
)
PANA_4 = (
    "00000058A000000211223344000010030007000000040000000000000002000000040000031100040004000000040000"
    "00000001000800000004000000015180000100000010000000000000000000000000000000000000"
)


def side(bench: Bench) -> str:
    return " 0" if bench.dual else ""


def from_meter(bench: Bench, data: str, *, secured: int = 1, destination: str = DONGLE) -> str:
    port = "0E1A" if secured else "02CC"
    length = f"{len(data) // 2:04X}"
    return (
        f"ERXUDP {METER} {destination} {port} {port} 001D129012345678 {secured}{side(bench)} "
        f"{length} {data}\n"
    )


@pytest.fixture(params=[DSS, IPS])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


def test_t1_single_identifies_itself() -> None:
    said = Bench(IPS).type("SKRESET", "SKVER", "SKAPPVER", "SKINFO")
    assert said == (
        "SKRESET\nOK\n"
        "SKVER\nEVER 1.2.10\nOK\n"
        "SKAPPVER\nEAPPVER rev26e\nOK\n"
        f"SKINFO\nEINFO {DONGLE} 001D12900003C890 21 FFFF FFFE\nOK\n"
    )


def test_t1_dual_identifies_itself() -> None:
    said = Bench(DSS).type("SKRESET", "SKVER", "SKAPPVER", "SKINFO")
    assert said == (
        "SKRESET\nOK\n"
        "SKVER\nEVER 1.5.2\nOK\n"
        "SKAPPVER\nEAPPVER rev15\nOK\n"
        f"SKINFO\nEINFO {DONGLE} 001D12900003C890 21 FFFF 0\nOK\n"
    )


def test_t1_a_rl7023_does_not_know_ropt(bench: Bench) -> None:
    assert bench.raw(b"ROPT\r") == b"ROPT\r\nFAIL ER04\r\n"


def test_t2_credentials(bench: Bench) -> None:
    said = bench.type(f"SKSETPWD C {BROUTE_PWD}", f"SKSETRBID {BROUTE_ID}", "SKSREG S0A")
    assert said == (
        f"SKSETPWD C {BROUTE_PWD}\nOK\nSKSETRBID {BROUTE_ID}\nOK\nSKSREG S0A\nESREG CCDDEEFF\nOK\n"
    )


def test_t3_scan_that_finds_the_meter_dual() -> None:
    assert Bench(DSS).type("SKSCAN 2 FFFFFFFF 6 0") == (
        "SKSCAN 2 FFFFFFFF 6 0\nOK\n"
        f"EVENT 20 {DONGLE} 0\n"
        "EPANDESC\n  Channel:21\n  Channel Page:09\n  Pan ID:8888\n  Addr:001D129012345678\n"
        "  LQI:E1\n  Side:0\n  PairID:CCDDEEFF\n"
        f"EVENT 22 {DONGLE} 0\n"
    )


def test_t3_scan_that_finds_the_meter_single() -> None:
    assert Bench(IPS).type("SKSCAN 2 FFFFFFFF 6") == (
        "SKSCAN 2 FFFFFFFF 6\nOK\n"
        f"EVENT 20 {DONGLE}\n"
        "EPANDESC\n  Channel:21\n  Channel Page:09\n  Pan ID:8888\n  Addr:001D129012345678\n"
        "  LQI:E1\n  PairID:CCDDEEFF\n"
        f"EVENT 22 {DONGLE}\n"
    )


@pytest.mark.parametrize("model", [DSS, IPS])
def test_t4_scan_that_finds_nothing(model: str) -> None:
    bench = Bench(model, broute_id="112233445566778899AABBCCDDEEFF00")
    command = f"SKSCAN 2 FFFFFFFF 4{side(bench)}"
    assert bench.type(command) == f"{command}\nOK\nEVENT 22 {DONGLE}{side(bench)}\n"


def test_t5_join(bench: Bench) -> None:
    bench.type(f"SKSETPWD C {BROUTE_PWD}", f"SKSETRBID {BROUTE_ID}")
    said = bench.type(
        "SKSREG S2 21", "SKSREG S3 8888", "SKLL64 001D129012345678", f"SKJOIN {METER}"
    )
    sent = f"EVENT 21 {METER}{side(bench)} 00\n"
    assert said == (
        "SKSREG S2 21\nOK\nSKSREG S3 8888\nOK\n"
        f"SKLL64 001D129012345678\n{METER}\n"
        f"SKJOIN {METER}\nOK\n"
        f"EVENT 21 {METER}{side(bench)} 02\n"
        f"EVENT 02 {METER}{side(bench)}\n"
        + "".join(
            from_meter(bench, message, secured=0) + sent
            for message in (PANA_1, PANA_2, PANA_3, PANA_4)
        )
        + f"EVENT 25 {METER}{side(bench)}\n"
        + from_meter(bench, "108100010EF0010EF0017301D50401028801", destination=MULTICAST)
    )


def test_t6_join_that_nobody_answers(bench: Bench) -> None:
    bench.type(f"SKSETPWD C {BROUTE_PWD}", f"SKSETRBID {BROUTE_ID}", "SKSREG S2 22")
    assert bench.type(f"SKJOIN {METER}") == (
        f"SKJOIN {METER}\nOK\nEVENT 21 {METER}{side(bench)} 02\nEVENT 24 {METER}{side(bench)}\n"
    )


def test_t7_get_e7_single() -> None:
    bench = Bench(IPS)
    bench.join()
    assert bench.send() == (
        f"SKSENDTO 1 {METER} 0E1A 1 000E \n"
        f"EVENT 21 {METER} 00\n"
        "OK\n"
        f"ERXUDP {METER} {DONGLE} 0E1A 0E1A 001D129012345678 1 0012 "
        "1081000102880105FF017201E704000001F8\n"
    )


def test_t8_get_e7_dual_with_signal_quality() -> None:
    bench = Bench(DSS)
    bench.join()
    bench.type("SKSREG SA2 1")
    assert bench.send() == (
        f"SKSENDTO 1 {METER} 0E1A 1 0 000E \n"
        f"EVENT 21 {METER} 0 00\n"
        "OK\n"
        f"ERXUDP {METER} {DONGLE} 0E1A 0E1A 001D129012345678 E1 1 0 0012 "
        "1081000102880105FF017201E704000001F8\n"
    )


def test_t9_half_hour_values_come_by_themselves(bench: Bench) -> None:
    bench.join()
    said = bench.wait(30 * 60)
    [notice] = answers(said)
    assert notice.hex().upper().startswith("1081000202880105FF017302EA0B07E8010F0D0000")
    assert said == from_meter(bench, notice.hex().upper())


def test_t10_infc_and_its_answer() -> None:
    bench = Bench(IPS, faults=("infc@1",))
    bench.join()
    [notice, *_] = answers(bench.send())
    assert notice.hex().upper().startswith("1081000202880105FF017402EA0B07E8010F0C1E00")
    confirmation = bytes.fromhex("1081000205FF010288017A02EA00EB00")
    assert bench.send(confirmation) == (
        f"SKSENDTO 1 {METER} 0E1A 1 0010 \nEVENT 21 {METER} 00\nOK\n"
    )


def test_t11_nobody_acknowledges() -> None:
    bench = Bench(IPS, faults=("txfail@1",))
    bench.join()
    assert bench.send() == f"SKSENDTO 1 {METER} 0E1A 1 000E \nEVENT 21 {METER} 01\nOK\n"


def test_t12_rejoin_on_demand(bench: Bench) -> None:
    bench.join()
    sent = f"EVENT 21 {METER}{side(bench)} 00\n"
    assert bench.type("SKREJOIN") == (
        "SKREJOIN\nOK\n"
        + "".join(
            from_meter(bench, message, secured=0) + sent
            for message in (PANA_1, PANA_2, PANA_3, PANA_4)
        )
        + f"EVENT 25 {METER}{side(bench)}\n"
        + from_meter(bench, "108100020EF0010EF0017301D50401028801", destination=MULTICAST)
    )


def test_t13_the_dongle_renews_by_itself_at_four_fifths_of_the_lifetime(bench: Bench) -> None:
    bench.join()
    bench.wait(69_119)
    events = [line for line in bench.wait(2).splitlines() if line.startswith("EVENT 2")]
    sent = f"EVENT 21 {METER}{side(bench)} 00"
    assert events == [
        f"EVENT 29 {METER}{side(bench)}",
        *[sent] * 4,
        f"EVENT 25 {METER}{side(bench)}",
    ]


def test_t14_leaving_twice(bench: Bench) -> None:
    bench.join()
    assert bench.type("SKTERM") == f"SKTERM\nOK\nEVENT 27 {METER}{side(bench)}\n"
    assert bench.type("SKTERM") == "SKTERM\nFAIL ER10\n"


def test_t15_transmission_limit() -> None:
    bench = Bench(DSS, faults=("limit@1",))
    bench.join()
    assert bench.send() == (
        f"SKSENDTO 1 {METER} 0E1A 1 0 000E \nEVENT 32 {DONGLE} 0\nEVENT 21 {METER} 0 01\nOK\n"
    )
    assert bench.type("SKSREG SFB") == "SKSREG SFB\nESREG 1\nOK\n"
    assert bench.wait(AT_ONCE.limit_s) == f"EVENT 33 {DONGLE} 0\n"


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("SKFOO", "FAIL ER04"),
        ("SKSREG S2 20", "FAIL ER06"),
        ("SKSCAN 2 FFFFFFFF 6", "FAIL ER05"),
        ("SKREJOIN", "FAIL ER10"),
    ],
)
def test_t16_errors(command: str, reply: str) -> None:
    assert Bench(DSS).type(command) == f"{command}\n{reply}\n"


def test_t16_a_closed_handle_cannot_send() -> None:
    bench = Bench(DSS)
    header = f"SKSENDTO 3 {METER} 0E1A 1 0 000E "
    assert shown(bench.raw(header.encode() + GET_E7)) == f"{header}\nFAIL ER10\n"
