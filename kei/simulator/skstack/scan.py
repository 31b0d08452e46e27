"""SKSCAN: what a scan finds, and when."""

from enum import IntEnum

from kei.simulator.air.dongle import NOISE_LEVELS
from kei.simulator.air.timeline import Group
from kei.simulator.skstack.core import Core
from kei.simulator.skstack.wire import CHANNELS, Event

_HIT_SHARE = (0.1, 0.95)  # of the scan's time


class ScanMode(IntEnum):
    """First argument of SKSCAN."""

    ENERGY = 0
    PAIRING_ID = 2  # only coordinators that have the dongle's pairing ID answer
    ANY = 3


class Scanner:
    """Runs one scan at a time.

    Meanwhile other commands are carried out, but those that need the radio are refused: a BP35A1
    answered a second SKSCAN in mid-scan with `OK` at once, and went on with the first one only.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.running = False

    def reset(self) -> None:
        """Drop the scan; its actions are cancelled by the caller."""
        self.running = False

    def start(self, now: float, mode: ScanMode, mask: int, duration: int, *, home: bool) -> None:
        """Begin a scan; EVENT 22 (or 1F) comes at its full time.

        Args:
            now: monotonic seconds.
            mode: what to look for.
            mask: channels, bit 0 is channel 33.
            duration: exponent of the time per channel.
            home: on the home network's side, where no meter answers.
        """
        if self.running:
            return
        core = self._core
        self.running = True
        channels = [channel for bit, channel in enumerate(CHANNELS) if mask >> bit & 1]
        total = core.timing.scan(duration, len(channels))
        missed = core.faults.on_scan(now)
        if mode is ScanMode.ENERGY:
            levels = {channel: core.rng.randint(*NOISE_LEVELS) for channel in channels}
            self._finish(now + total, core.wire.energy(core.address, levels))
            return
        hit_at = now + total * core.rng.uniform(*_HIT_SHARE)
        heard = core.meter.channel in channels and duration >= core.meter.heard_from
        if heard and not home and not missed:
            core.timeline.at(hit_at, lambda _now: self._beacon(mode), Group.SCAN)
        self._finish(now + total, core.wire.event(Event.SCAN_DONE, core.address))

    def _beacon(self, mode: ScanMode) -> None:
        core = self._core
        by_id = mode is ScanMode.PAIRING_ID
        if not by_id or core.registers.pairing_id == core.meter.pairing_id:
            core.emit(core.wire.beacon(core.address, core.meter, with_pairing_id=by_id))

    def _finish(self, due: float, lines: bytes) -> None:
        def finish(_now: float) -> None:
            self.running = False
            self._core.emit(lines)

        self._core.timeline.at(due, finish, Group.SCAN)
