"""How the connection to the broker is, for the status document."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MqttStatus:
    """The connection to the broker at one moment.

    Attributes:
        broker: its host and port.
        connected: whether the broker has taken kei, and answers.
        since_s: seconds since it was connected, or since it is not (or the start).
        published: messages since the start that were handed to a connection.
        fault: what has failed last; None if nothing has, or a connection has lasted since.
        failing_s: seconds since the first such failure.
    """

    broker: str
    connected: bool
    since_s: float
    published: int
    fault: str | None
    failing_s: float | None
