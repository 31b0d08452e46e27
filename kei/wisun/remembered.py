"""What the session remembers over a restart: networks, credentials that work, the last session.

For the session thread. A memory that fails stops nobody: it is told once, and nothing is known.
"""

import hashlib
from collections import deque
from collections.abc import Iterable

from kei.core.clock import Clock
from kei.core.errors import KeiError
from kei.core.incidents import Incidents
from kei.core.secret import Secret
from kei.wisun.interfaces import Memory
from kei.wisun.network import Network

FAILURES_UNTIL_RESCAN = 2  # of each network that was found at least one
REST_AFTER_LEAVING_S = 10.0  # a join at once after SKTERM fails (field experience)
NETWORK_KEY = "broute.network"
CREDENTIALS_KEY = "broute.credentials"  # fingerprint of those that a meter has taken
SESSION_KEY = "broute.session"
_ROUNDING_S = 0.001  # of what is kept
_OPEN, _LEFT = "open", "left"  # of SESSION_KEY: joined; `left 123.4` until when to rest


def fingerprint(broute_id: Secret, broute_pwd: Secret) -> str:
    """Return what tells these credentials from others, and no more: 32 bits of a hash."""
    text = f"{broute_id.reveal()} {broute_pwd.reveal()}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Notes:
    """Texts by key in a memory whose failures are incidents.

    Args:
        memory: survives restarts; None to keep nothing.
        incidents: for its failures.
    """

    def __init__(self, memory: Memory | None, incidents: Incidents) -> None:
        self._memory = memory
        self._incidents = incidents

    def read(self, key: str) -> str:
        """Return what was kept under the key; empty if there is nothing or it cannot be read."""
        if self._memory is None:
            return ""
        try:
            return self._memory.get_state(key) or ""
        except KeiError as error:
            self._incidents.raised("memory_unreadable", key=key, reason=str(error))
            return ""

    def write(self, key: str, text: str) -> None:
        """Keep a text under the key."""
        if self._memory is None:
            return
        try:
            self._memory.set_state(key, text)
        except KeiError as error:
            self._incidents.raised("memory_unwritable", key=key, reason=str(error))


class KnownNetworks:
    """The networks that a scan found, or the one of the last join with the same credentials.

    Args:
        notes: keep the network and the credentials of the last join.
        credentials: fingerprint of those of now.

    Attributes:
        are_credentials_proven: whether a meter has taken them, now or in an earlier life.
    """

    def __init__(self, notes: Notes, credentials: str) -> None:
        self._notes = notes
        self._credentials = credentials
        self._networks: deque[Network] = deque()
        self._failures = 0
        self._forgotten = False  # ignore the memory: it may not have taken the deletion
        self.are_credentials_proven = False

    @property
    def current(self) -> Network:
        """The network to try now; there has to be one."""
        return self._networks[0]

    def recall(self) -> bool:
        """Replace the list by the network of the last join; return whether there is one.

        One that was joined with other credentials is none: another meter may be meant.
        """
        proven = self._notes.read(CREDENTIALS_KEY)
        self.are_credentials_proven |= proven == self._credentials
        network = None
        if not self._forgotten and proven in ("", self._credentials):
            network = Network.from_text(self._notes.read(NETWORK_KEY))
        self._networks = deque([network] if network else [])
        return network is not None

    def replace(self, networks: Iterable[Network]) -> None:
        """Replace the list by what a scan found, the best one first."""
        by_mac: dict[str, Network] = {}
        for network in networks:
            by_mac.setdefault(network.mac, network)  # heard twice in a scan
        self._networks = deque(by_mac.values())
        self._failures = 0

    def update(self, network: Network) -> None:
        """Replace the current network by what it is now."""
        self._networks[0] = network

    def credentials_taken(self) -> None:
        """Remember that a meter has taken the credentials, whether or not it answers then."""
        if not self.are_credentials_proven:
            self.are_credentials_proven = True
            self._notes.write(NETWORK_KEY, "")  # it may have been joined with others
            self._notes.write(CREDENTIALS_KEY, self._credentials)

    def joined(self) -> None:
        """Remember the current network for the next start."""
        self._failures = 0
        self._forgotten = False
        self._notes.write(NETWORK_KEY, self.current.to_text())

    def failed(self) -> bool:
        """Go on to the next network; return whether all have failed, so that a scan is due."""
        self._networks.rotate(-1)
        self._failures += 1
        if self._failures < max(FAILURES_UNTIL_RESCAN, len(self._networks)):
            return False
        self._failures = 0
        self._forgotten = True
        self._notes.write(NETWORK_KEY, "")
        return True


class LastSession:
    """Whether the last session was left open, by a crash say, or else until when to rest after it.

    Args:
        notes: keep it for the next start.
        clock: the rest is over at a time of its monotonic clock. That of another boot is none of
            this one's, but cannot make the rest longer than it is.

    Attributes:
        is_open: it was joined, and not ended by us since.
        rest_until: no join before that (monotonic).
    """

    def __init__(self, notes: Notes, clock: Clock) -> None:
        self._notes = notes
        self._clock = clock
        self._recalled = False
        self.is_open = False
        self.rest_until = 0.0

    def recall(self) -> None:
        """Take over what the process before has left, once."""
        if self._recalled:
            return
        self._recalled = True
        state, _, until = self._notes.read(SESSION_KEY).partition(" ")
        self.is_open = state == _OPEN
        if state == _LEFT:
            try:
                rest_s = float(until) - self._clock.monotonic()
            except ValueError:
                return
            if 0 < rest_s <= REST_AFTER_LEAVING_S + _ROUNDING_S:
                self.rest_until = float(until)

    def opened(self) -> None:
        """Note that the meter has been joined."""
        self.is_open = True
        self._notes.write(SESSION_KEY, _OPEN)

    def ended(self, *, rest: bool) -> None:
        """Note that there is no session any more; `rest` if the meter needs a rest from now on."""
        if rest:
            self.rest_until = self._clock.monotonic() + REST_AFTER_LEAVING_S
            self._notes.write(SESSION_KEY, f"{_LEFT} {self.rest_until:.3f}")
        elif self.is_open:
            self._notes.write(SESSION_KEY, "")
        self.is_open = False
