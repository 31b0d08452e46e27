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
    """Keeps what a broker has been told over restarts. Used by one thread.

    Attributes:
        told: as it is now; written down by `keep`.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._kept = self.told = self._recall()

    def keep(self, told: Told | None = None) -> None:
        """Write down what has been told, or something else: at least what may be at the broker.

        What cannot be written is logged: at worst a deletion is forgotten.
        """
        wanted = self.told if told is None else told
        if wanted == self._kept:
            return
        try:
            self._memory.set_state(KEY, wanted.written())
        except KeiError as error:
            log.warning("memory_unwritable", key=KEY, reason=str(error))
        self._kept = wanted

    def _recall(self) -> Told:
        try:
            text = self._memory.get_state(KEY)
            return Told() if text is None else Told.read(text)
        except (KeiError, ValueError, TypeError, KeyError) as error:
            log.warning("memory_unreadable", key=KEY, reason=str(error))
            return Told()
