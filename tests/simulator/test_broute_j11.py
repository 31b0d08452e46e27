"""A J11 client that others wrote reads the virtual meter from `kei simulate`, a process."""

import asyncio
import logging
from pathlib import Path

import pytest
from broute_j11 import J11Session, MeterReading, SerialTransport, SessionConfig
from programs import BROUTE_ID, BROUTE_PWD, simulator

WATT = 1234
DEADLINE_S = 30.0


async def visit(port: Path) -> tuple[MeterReading, str, int]:
    """Return what it reads, the firmware that it finds, and the signal, dBm."""
    config = SessionConfig(BROUTE_ID, BROUTE_PWD)
    async with J11Session(SerialTransport(str(port)), config) as session:
        assert session.link is not None
        reading = await session.async_read_meter()
        return reading, session.link.firmware_version, session.link.rssi


def test_broute_j11_reads_power_and_energy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = tmp_path / "dongle"
    day = tmp_path / "day.csv"
    day.write_text(f"measured_at,instant_watt\n2022-09-20T00:00:00+09:00,{WATT}\n")
    with simulator(port, "--dongle", "J11", "--household", str(day)):
        reading, firmware, dbm = asyncio.run(asyncio.wait_for(visit(port), DEADLINE_S))
    assert reading.instantaneous_power == WATT
    assert reading.cumulative_forward_energy is not None
    assert reading.cumulative_forward_energy > 0
    assert reading.current_r_phase is not None
    assert (dbm, firmware) == (-42, f"1.3.{0x158A}")
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
