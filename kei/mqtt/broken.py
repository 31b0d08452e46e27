"""How a connection to a broker ends, by what its owner does then."""

from kei.core.errors import RetryLater


class Broken(RetryLater):
    """The connection has ended, or did not come about; the text says why, without secrets."""


class Closed(Broken):
    """The broker has ended it, as it does when another client comes with the same id."""


class TooLong(Broken):
    """The broker has sent a packet that is too long: one that is retained would come each time."""
