"""The reader of a port: where the first line begins."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from boards import board
from programs import wait_until

from kei.core.clock import SystemClock
from kei.core.reading import Reading
from kei.sensors import reader
from kei.sensors.reader import SensorReader
from kei.serialport.port import SerialPort
from kei.settings.serial import PortSettings, SensorSettings


@pytest.mark.parametrize(
    ("before", "recorded"),
    [(b"A1,T1,1,1\r\n", ["2", "3"]), (b"A1,T1,1,1\r\nA1,", ["3"]), (b"", ["3"])],
    ids=["whole lines", "a line that is under way", "nothing"],
)
def test_a_line_that_comes_at_once_is_recorded_if_it_certainly_has_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes, recorded: list[str]
) -> None:
    class Opened(SerialPort):
        def __init__(self, port: str, settings: PortSettings) -> None:
            super().__init__(port, settings)
            arduino.lines("A1,T1,2,2")

    readings: list[Reading] = []

    def put(more: Sequence[Reading]) -> None:
        readings.extend(more)

    monkeypatch.setattr(reader, "SerialPort", Opened)
    with board(tmp_path / "ttyACM0") as arduino:
        arduino.send(before)
        settings = SensorSettings(port=str(arduino.link), framing=PortSettings())
        reading = SensorReader(settings, settings.port, put, SystemClock())
        thread = threading.Thread(target=reading.run)
        thread.start()
        try:
            wait_until(lambda: reading.is_open, 10, "an open port")
            arduino.lines("A1,T1,3,3")
            wait_until(lambda: readings and readings[-1].data_id == "3", 10, "the last line")
        finally:
            reading.stop()
            thread.join(10)
        assert [str(each.value) for each in readings] == recorded
