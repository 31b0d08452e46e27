from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.core.errors import ConfigError
from kei.simulator.faults import parse_fault
from kei.simulator.options import DONGLES, SimulatorOptions, parse_sim_port


def test_a_bare_port_is_all_defaults() -> None:
    assert parse_sim_port("sim:") == SimulatorOptions()
    assert SimulatorOptions().dongle == "RL7023-DSS"


def test_every_option_can_be_given() -> None:
    text = (
        "sim:solar, seed=7,dongle=BP35C2,latency=0,scan-time=1.5,join-time=2,fault=drop%5,"
        "broute-id=ffeeddccbbaa99887766554433221100,broute-pwd=ba9876543210,"
        "fault=scan-miss:2,transcript=/tmp/said.log"
    )
    assert parse_sim_port(text) == SimulatorOptions(
        dongle="BP35C2",
        broute_id="FFEEDDCCBBAA99887766554433221100",
        broute_pwd="BA9876543210",
        seed=7,
        latency=0.0,
        scan_time=1.5,
        join_time=2.0,
        solar=True,
        transcript=Path("/tmp/said.log"),
        faults=(parse_fault("drop%5"), parse_fault("scan-miss:2")),
    )


def test_the_callers_credentials_are_the_meters_unless_the_port_says_otherwise() -> None:
    true_id, true_pwd = "A" * 32, "B" * 12
    options = parse_sim_port("sim:", true_id, true_pwd)
    assert (options.broute_id, options.broute_pwd) == (true_id, true_pwd)
    options = parse_sim_port(f"sim:broute-pwd={'C' * 12}", true_id, true_pwd)
    assert (options.broute_id, options.broute_pwd) == (true_id, "C" * 12)


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        ("sed=7", "did you mean 'seed'"),
        ("solr", "did you mean 'solar'"),
        ("xyzzy", "unknown option 'xyzzy', known are"),
        ("lat=3", "unknown option 'lat', did you mean 'latency'"),
        ("--seed=3", "unknown option '--seed', did you mean 'seed'"),
        ("link=/tmp/dongle", "unknown option 'link', known are"),
        ("noise=3", "unknown option 'noise', known are"),
        ("seed", "'seed' needs a value"),
        ("seed=x", "'x' is not a whole number"),
        ("seed=1.5", "not a whole number"),
        ("solar=1", "'solar' takes no value"),
        ("solar=", "'solar' takes no value"),
        ("solar,solar", "'solar' is given twice"),
        ("seed=1,seed=2", "given twice"),
        ("dongle=BP35C3", "did you mean 'BP35C2'"),
        ("dongle=CP2102", "it is one of RL7023-DSS"),
        ("latency=-1", "seconds from 0 to 3600"),
        ("latency=nan", "seconds from 0 to 3600"),
        ("scan-time=long", "seconds from 0 to 3600"),
        ("join-time=1e9", "seconds from 0 to 3600"),
        ("broute-id=0011", "32 hexadecimal digits"),
        ("broute-pwd=0123456789A", "12 letters and digits"),
        ("fault=dorp@3", "did you mean 'drop'"),
        ("fault=drop", "KIND@N"),
    ],
)
def test_a_mistake_is_told_clearly(item: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_sim_port(f"sim:{item}")
    assert len(caught.value.faults) == 1


ONLY_WITH = {
    "longest-scan=8": {"RL7023-DSS", "RL7023-IPS", "BP35A1", "BP35C2"},
    "payload=binary": {"BP35A1", "BP35C2"},
    "takes-sa2": {"RL7023-IPS", "BP35A1"},
    "strict-sums": {"J11"},
}


@pytest.mark.parametrize("option", ONLY_WITH)
@pytest.mark.parametrize("dongle", DONGLES)
def test_an_option_that_means_nothing_with_a_dongle_is_refused(dongle: str, option: str) -> None:
    name, port = option.partition("=")[0], f"sim:dongle={dongle},{option}"
    if dongle in ONLY_WITH[option]:
        assert parse_sim_port(port).dongle == dongle
        return
    with pytest.raises(ConfigError) as caught:
        parse_sim_port(port)
    (told,) = caught.value.faults
    assert f"{name}: means nothing with {dongle}, only with " in told
    assert all(each in told for each in ONLY_WITH[option])


def test_all_mistakes_are_told_at_once() -> None:
    for options in ("sed=7,latency=x,dongle=y", "strict-sums,payload=ascii,fault=cca@1"):
        with pytest.raises(ConfigError) as caught:
            parse_sim_port(f"sim:{options}")
        assert len(caught.value.faults) == 3


def test_a_device_is_no_simulated_port() -> None:
    with pytest.raises(ConfigError, match="does not begin"):
        parse_sim_port("/dev/ttyUSB0")


def test_secrets_are_not_shown() -> None:
    options = SimulatorOptions()
    assert options.broute_id not in repr(options)
    assert options.broute_pwd not in repr(options)
    wrong = "0" * 31 + "X"
    with pytest.raises(ConfigError) as caught:
        parse_sim_port(f"sim:broute-id={wrong}")
    assert wrong not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_line_by_line(text: str) -> None:
    try:
        options = parse_sim_port(f"sim:{text}")
    except ConfigError as error:
        lines = error.faults
    else:
        lines = [options.dongle]
    assert lines
    assert all("\n" not in line or "\n" in text for line in lines)
