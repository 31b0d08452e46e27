"""The error tree, sorted by what the one who catches it does next."""


class KeiError(Exception):
    """Base of every error that kei raises on purpose; the text is one line for a person."""


class ConfigError(KeiError):
    """The configuration has to be mended by its owner: all faults, one line each.

    Attributes:
        faults: complete lines, each naming file, line, key and what to do.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class RetryLater(KeiError):
    """Nothing is wrong for good: the same call may go through at its next time."""


class NotReady(RetryLater):
    """There is no session with the meter at present; the session thread is reconnecting."""


class RejoinNeeded(KeiError):
    """The PANA session is gone: join the meter again."""


class PortLost(KeiError):
    """The serial port failed or went away: open it again."""


class Stopping(KeiError):
    """The program is being stopped: unwind at once."""


class Malformed(KeiError):
    """The other side sent something that cannot be understood: count it, put it aside, go on."""


class StoreError(KeiError):
    """The disk did not take the data: keep it in memory and try again."""


class TextError(StoreError):
    """The same, of a daily text file: the database may well work."""
