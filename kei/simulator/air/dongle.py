"""What every simulated dongle is to whoever serves its port, and to a person at the console."""

from abc import ABC, abstractmethod
from functools import partial

from kei.simulator.air.timeline import Group, Timeline
from kei.simulator.faults import FaultKind, FaultPlan, FaultSpec
from kei.simulator.meter.meter import Meter

DONGLE_MAC = 0x001D12900003C890
NOISE_LEVELS = (2, 8)  # of a channel in an energy scan, as captured


class SimulatedDongle(ABC):
    """A dongle with a smart meter in range: bytes in, bytes out, the time passed in. No I/O.

    Args:
        meter: behind it.
        timeline: what is to happen.
        out: what it writes to the host, until `poll` takes it.
        plan: the faults to come.

    Attributes:
        unplugged: set by the fault of that name: whoever serves the port closes it, and calls
            `power_on` when it is open again.
    """

    def __init__(self, meter: Meter, timeline: Timeline, out: bytearray, plan: FaultPlan) -> None:
        self._meter = meter
        self._timeline = timeline
        self._out = out
        self._plan = plan
        self.unplugged = False

    @abstractmethod
    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the host, in any portions, at a monotonic time."""

    @abstractmethod
    def power_on(self) -> None:
        """Restart after a power cut."""

    @abstractmethod
    def _work(self, now: float) -> None:
        """Do what is due, and carry out what was received."""

    @abstractmethod
    def _inject(self, kind: FaultKind, now: float) -> None:
        """Carry out a fault of `OF_ITSELF`."""

    def next_due(self) -> float | None:
        """Return when `poll` has something to do next, monotonic seconds."""
        return self._timeline.next_due()

    def poll(self, now: float) -> bytes:
        """Do what is due and return everything written to the host since the last call."""
        self._work(now)
        out = bytes(self._out)
        self._out.clear()
        return out

    def add_fault(self, spec: FaultSpec, now: float) -> None:
        """Add a fault whose trigger counts from now on.

        Raises:
            ConfigError: it does not happen to dongles of this grammar.
        """
        due = self._plan.add(spec, now)
        if due is not None:
            self._timeline.at(due, partial(self._inject, spec.kind), Group.FAULT)

    def clear_faults(self) -> None:
        """Drop the faults to come; those that have happened take their course."""
        self._plan.clear()
        self._timeline.cancel(Group.FAULT)

    def set_power(self, watt: int | None) -> None:
        """Set the household's power from now on, W; None is its own power again."""
        self._meter.set_power(watt)

    def unplug(self) -> None:
        """Have the port closed for a while, as the fault of that name does."""
        self.unplugged = True
