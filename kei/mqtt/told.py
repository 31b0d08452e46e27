"""What a broker has been told that stays there: remembered, so that it can be deleted some day."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self

import structlog

from kei.core.errors import KeiError
from kei.wisun.interfaces import Memory

log = structlog.stdlib.get_logger("kei.mqtt")

KEY = "mqtt.told"


@dataclass(frozen=True, slots=True)
class Told:
    """What a broker keeps for us.

    Attributes:
        meter: MAC address of the meter whose values it has; empty if none.
        devices: topics of configurations, each with the platforms of its components by their names.
        retained: the other topics with something that is retained.
    """

    meter: str = ""
    devices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    retained: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `written` has written; ValueError, TypeError or KeyError if it is not that."""
        data = json.loads(text)
        meter, devices, retained = data["meter"], data["devices"], data["retained"]
        return cls(
            str(meter),
            {
                str(topic): {str(k): str(v) for k, v in dict(of).items()}
                for topic, of in dict(devices).items()
            },
            frozenset(map(str, list(retained))),
        )

    def written(self) -> str:
        """Return it as a text."""
        return json.dumps({**asdict(self), "retained": sorted(self.retained)})


class Notebook:
    """Keeps what a broker has been told over restarts and lost connections. Used by one thread.

    Until the broker has got everything, it may have what it was told before as well as what it is
    told now: all of that is remembered, so that nothing is forgotten that is still to be deleted.

    Attributes:
        told: what the broker has when it has got everything.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._kept = self._perhaps = self.told = self._recall()

    def tell(
        self,
        meter: str | None = None,
        devices: Mapping[str, Mapping[str, str]] | None = None,
        retained: frozenset[str] | None = None,
    ) -> None:
        """Note what the broker is about to be told; None is as before."""
        before = self.told
        self.told = told = Told(
            before.meter if meter is None else meter,
            before.devices if devices is None else devices,
            before.retained if retained is None else retained,
        )
        perhaps = self._perhaps.devices
        self._perhaps = Told(
            told.meter,
            {
                topic: {**perhaps.get(topic, {}), **told.devices.get(topic, {})}
                for topic in {**perhaps, **told.devices}
            },
            self._perhaps.retained | told.retained,
        )

    def keep(self) -> None:
        """Write down what the broker may have."""
        if self._perhaps == self._kept:
            return
        try:
            self._memory.set_state(KEY, self._perhaps.written())
        except KeiError as error:  # at worst a deletion is forgotten
            log.warning("memory_unwritable", key=KEY, reason=str(error))
        self._kept = self._perhaps

    def delivered(self) -> None:
        """Write down what the broker has, as it has got everything."""
        self._perhaps = self.told
        self.keep()

    def lost(self) -> None:
        """Begin anew with what the broker may have, as the connection has ended."""
        self.told = self._perhaps

    def _recall(self) -> Told:
        try:
            text = self._memory.get_state(KEY)
            return Told() if text is None else Told.read(text)
        except (KeiError, ValueError, TypeError, KeyError) as error:
            log.warning("memory_unreadable", key=KEY, reason=str(error))
            return Told()
