"""The errors that kei raises on purpose, one class for each remedy."""


class KeiError(Exception):
    """Base of all of them; the text is one line for a person."""


class ConfigError(KeiError):
    """The configuration has mistakes that its owner has to correct.

    Attributes:
        faults: complete lines, each naming file, line, key and what to do.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class RetryLater(KeiError):
    """A temporary failure: the same call may succeed at its next scheduled time."""


class NotReady(RetryLater):
    """There is no session with the meter at present; the session thread is reconnecting."""


class NotAsked(RetryLater):
    """The meter has not got the question, so that its silence says nothing about it."""


class RejoinNeeded(KeiError):
    """The PANA session is gone: join the meter again."""


class PortLost(KeiError):
    """The serial port failed or was unplugged: open it again."""


class PortBusy(PortLost):
    """Another program has the serial port: its owner has to stop that; then open it again."""


class Stopping(KeiError):
    """The program is being stopped: return at once."""


class Malformed(KeiError):
    """The other side sent something that cannot be parsed: count it, skip it, go on."""


class StoreError(KeiError):
    """The disk did not take the data: keep it in memory and try again."""


class TextError(StoreError):
    """A daily text file failed; the database may still work."""
