"""Messages for a broker, and where they wait until it takes them: one for each topic, the newest.

There is no queue of what was: a broker that is slow or away gets the values of now.
"""

import json
from dataclasses import dataclass
from datetime import tzinfo

from kei.core.clock import local
from kei.core.reading import Reading, plain

ONLINE, OFFLINE = b"online", b"offline"
METER_STATUS = ("meter", "status")  # the levels of a topic, where series have unit and sensor


@dataclass(frozen=True, slots=True)
class Message:
    """What is published.

    Attributes:
        topic: where.
        payload: what; empty to have the broker forget what it has retained.
        qos: 0 for what is replaced soon, 1 for what has to arrive.
        retain: whether the broker gives it to who subscribes later.
        step: tells messages of one topic apart that must all be sent; of two with the same step
            only the newer one is.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    step: str = ""


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of a kei's topics.

    Attributes:
        base: `topic` of `[mqtt]`.
        site: name of the site.
    """

    base: str
    site: str

    @property
    def status(self) -> str:
        """Whether this kei is there."""
        return f"{self.base}/{self.site}/status"

    @property
    def meter_status(self) -> str:
        """Whether its meter answers."""
        return self.series(*METER_STATUS)

    @property
    def health(self) -> str:
        """How it is."""
        return f"{self.base}/{self.site}/health"

    def of_costs(self, name: str) -> str:
        """What electricity costs: its cost so far, or its price."""
        return f"{self.base}/{self.site}/{name}"

    def series(self, unit: str, sensor: str) -> str:
        """The readings of a series."""
        return f"{self.base}/{self.site}/{unit}/{sensor}"


def value_payload(reading: Reading, zone: tzinfo, *, with_time: bool) -> bytes:
    """Return a reading as JSON; `time` is null where the clock is likely to be wrong."""
    time = "null"
    if with_time:
        places = "milliseconds" if reading.time_ms % 1000 else "seconds"
        time = json.dumps(local(reading.time_ms, zone).isoformat(timespec=places))
    return f'{{"value": {plain(reading.value)}, "time": {time}}}'.encode()


class Outbox:
    """Messages that the broker has not been sent yet. Used by one thread."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Message] = {}

    def put(self, message: Message) -> None:
        """Add a message behind the others; an earlier one of the same topic and step is gone."""
        place = (message.topic, message.step)
        self._waiting.pop(place, None)
        self._waiting[place] = message

    def take(self) -> Message | None:
        """Return the message that is to be sent next, once; None if there is none."""
        place = next(iter(self._waiting), None)
        return None if place is None else self._waiting.pop(place)

    def __len__(self) -> int:
        return len(self._waiting)
