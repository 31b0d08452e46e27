"""`kei probe` from outside: a real process, a real pty, one result on stdout."""

import json
import signal
from pathlib import Path

import pytest
from programs import BROUTE_ID, BROUTE_PWD, SIMULATED, Program, running, simulator, write_jobs

DONGLES = {
    "RL7023-DSS": ("1.5.2", "rev15"),
    "BP35A1": ("1.2.10", "rev26e"),
    "J11": ("1.3 revision 158A", None),
}
READABLE = "80 81 82 88 8A 8D 97 98 9D 9E 9F D3 D7 E0 E1 E2 E3 E4 E5 E7 E8 EA EB EC ED"
DEADLINE_S = 20.0


def check_result(kei: Program, dongle: str) -> None:
    """One JSON object that tells everything, and no word of a secret anywhere."""
    assert kei.wait(DEADLINE_S) == 0, kei.output()
    (line,) = kei.lines
    found = json.loads(line)
    firmware, product = DONGLES[dongle]
    assert found["dongle"] == {"model": dongle, "firmware": firmware, "product": product}
    assert found["network"] == {"channel": 33, "pan_id": "8888", "meter": "001D129012345678"}
    in_dbm = {"lqi": 226, "rssi_dbm": -42.0}  # which a J11 tells
    assert found["signal"] == (in_dbm if dongle == "J11" else {"lqi": 225, "rssi_dbm": -42.4})
    assert found["meter"] == {
        "maker": "000016",
        "maker_name": "Toshiba",
        "serial_number": "KEI000000001",
        "standard_version": "Release F, revision 0",
    }
    maps = {name: " ".join(epcs) for name, epcs in found["property_maps"].items()}
    assert maps == {"announce": "80 81 88", "set": "81 E5 ED", "get": READABLE}
    assert " ".join(found["properties"]) == READABLE
    assert not [p for p in found["properties"].values() if "missing" in p]
    (power,) = found["properties"]["E7"]["values"]
    assert power["unit"] == "W"
    assert power["value"] == int(found["properties"]["E7"]["raw"], 16)
    (energy,) = found["properties"]["E0"]["values"]
    assert energy["value"] == int(found["properties"]["E0"]["raw"], 16) / 10
    check_secrets(kei)


def check_secrets(kei: Program) -> None:
    said = "\n".join([*kei.lines, *kei.errors]).upper()
    for secret in (BROUTE_ID, BROUTE_PWD):
        assert secret not in said
        assert secret.encode().hex().upper() not in said


@pytest.mark.parametrize("dongle", DONGLES)
def test_a_probe_of_a_dongle_on_a_port_tells_everything(tmp_path: Path, dongle: str) -> None:
    with simulator(tmp_path / "dongle", "--dongle", dongle) as device:
        jobs = write_jobs(tmp_path, str(tmp_path / "dongle"))
        with running("probe", "--json", "--jobs", str(jobs)) as kei:
            check_result(kei, dongle)
        assert device.process.poll() is None


@pytest.mark.parametrize("dongle", DONGLES)
def test_a_probe_of_the_simulator_inside_tells_everything(tmp_path: Path, dongle: str) -> None:
    jobs = write_jobs(tmp_path, f"{SIMULATED},dongle={dongle}")
    with running("probe", "--json", "--jobs", str(jobs)) as kei:
        check_result(kei, dongle)


def test_a_probe_leaves_the_meter_and_nothing_else_behind(tmp_path: Path) -> None:
    transcript = tmp_path / "said"
    jobs = write_jobs(tmp_path, f"{SIMULATED},transcript={transcript}")
    with running("probe", "--jobs", str(jobs)) as kei:
        assert kei.wait(DEADLINE_S) == 0
    said = transcript.read_text()
    assert said.index("SKSCAN") < said.index("SKJOIN") < said.rindex("SKTERM")
    assert "EVENT 27" in said[said.rindex("SKTERM") :]
    assert {path.name for path in tmp_path.iterdir()} == {"jobs.toml", "said"}


def test_people_get_a_page_instead(tmp_path: Path) -> None:
    with running("probe", "--jobs", str(write_jobs(tmp_path, SIMULATED))) as kei:
        assert kei.wait(DEADLINE_S) == 0
    assert kei.lines[0] == "dongle      RL7023-DSS, firmware 1.5.2 (rev15)"
    assert "maker       000016 (Toshiba)" in kei.lines
    assert [line for line in kei.lines if line.startswith("E7") and line.endswith(" W")]
    assert kei.errors == []


def test_debug_lines_go_to_stderr_and_hold_no_secret(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED)
    with running("probe", "--json", "--jobs", str(jobs), DEBUG="0") as kei:
        check_result(kei, "RL7023-DSS")
    assert [line for line in kei.errors if "scan_started" in line]


NUMBER = "000000164B4549303030303030303031"  # property C0 of the simulated meter


@pytest.mark.parametrize("broute_id", [BROUTE_ID, NUMBER], ids=["another", "the Route-B ID"])
def test_the_identification_number_of_a_newer_meter_is_shown_if_it_is_no_secret(
    tmp_path: Path, broute_id: str
) -> None:
    jobs = write_jobs(tmp_path, f"{SIMULATED},dongle=J11,next-gen")
    jobs.write_text(jobs.read_text().replace(BROUTE_ID, broute_id))
    with running("probe", "--json", "--jobs", str(jobs), DEBUG="1") as kei:
        assert kei.wait(DEADLINE_S) == 0
    found = json.loads(kei.lines[0])["properties"]["C0"]
    said = "\n".join([*kei.lines, *kei.errors]).upper()
    if broute_id == NUMBER:
        assert (found["raw"], "BROUTE_ID" in found["missing"].upper()) == (None, True)
        assert NUMBER not in said
    else:
        assert found["raw"] == NUMBER


def test_a_port_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, "/dev/there-is-no-such-dongle")
    with running("probe", "--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: kei.errors, 10, "the fault")
        assert "no such device" in kei.errors[0]
        assert kei.stop() == 0
    assert kei.lines == []


def test_a_port_in_use_ends_a_probe_at_once_which_says_by_whom(tmp_path: Path) -> None:
    with simulator(tmp_path / "dongle"):
        jobs = write_jobs(tmp_path, str(tmp_path / "dongle"))
        with running("--jobs", str(jobs)) as holder:
            holder.wait_for_event("session_joined")
            with running("probe", "--jobs", str(jobs)) as kei:
                assert kei.wait(DEADLINE_S) == 1
                (told,) = kei.errors
                assert told.startswith(f"kei: {tmp_path / 'dongle'}: in use by ")
                assert told.endswith(f"(pid {holder.process.pid}); stop it first")
                assert kei.lines == []
            assert holder.stop() == 0


def test_a_wrong_password_is_told_with_what_to_check(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, f"{SIMULATED},broute-pwd=BA9876543210")
    with running("probe", "--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: kei.errors, 10, "the fault")
        assert "join_failed" in kei.errors[0]
        assert "check B-route ID and password" in kei.errors[0]
        assert kei.stop() == 0
    check_secrets(kei)


def test_a_file_without_a_dongle_exits_2(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text('[[serial]]\nport = "/dev/ttyACM0"\n')
    with running("probe", "--jobs", str(jobs)) as kei:
        assert kei.wait() == 2
    (line,) = kei.errors
    assert line.startswith(f"{jobs}:1: broute: ")


@pytest.mark.parametrize(
    ("port", "step"),
    [
        (SIMULATED.replace("scan-time=0", "scan-time=60"), "scan_started"),
        (SIMULATED.replace("join-time=0", "join-time=60"), "next=join"),
        (f"{SIMULATED},fault=drop@2-999", "next=joined"),
    ],
    ids=["scanning", "joining", "asking"],
)
@pytest.mark.parametrize("number", [signal.SIGTERM], ids=["TERM"])
def test_a_signal_ends_a_probe_in_time(tmp_path: Path, port: str, step: str, number: int) -> None:
    with running("probe", "--jobs", str(write_jobs(tmp_path, port)), DEBUG="1") as kei:
        kei.wait_for(lambda: any(step in line for line in kei.errors), 20, step)
        assert kei.stop(number, 10.0) == 0
    assert kei.lines == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=["HUP", "INT"])
def test_hup_and_int_end_a_probe_like_term(tmp_path: Path, number: int) -> None:
    port = "/dev/there-is-no-such-dongle"
    with running("probe", "--jobs", str(write_jobs(tmp_path, port))) as kei:
        kei.wait_for(lambda: kei.errors, 10, "the fault")
        assert kei.stop(number, 10.0) == 0
