"""What the session remembers: which network is tried next, and which one a restart begins with."""

from collections import deque
from collections.abc import Iterable

from kei.core.errors import KeiError
from kei.core.incidents import Incidents
from kei.wisun.interfaces import Memory, Network

FAILURES_UNTIL_RESCAN = 2  # of each network that was found at least one
NETWORK_KEY = "broute.network"


class KnownNetworks:
    """The networks that a scan found, or the one of the last join. For the session thread.

    Args:
        memory: keeps the network of the last join.
        incidents: for failures of the memory.
    """

    def __init__(self, memory: Memory, incidents: Incidents) -> None:
        self._memory = memory
        self._incidents = incidents
        self._networks: deque[Network] = deque()
        self._failures = 0
        self._forgotten = False  # ignore the memory: it may not have taken the deletion

    @property
    def current(self) -> Network:
        """The network to try now; there has to be one."""
        return self._networks[0]

    def recall(self) -> bool:
        """Replace the list by the network of the last join; return whether there is one."""
        network = None if self._forgotten else self._recalled()
        self._networks = deque([network] if network else [])
        return network is not None

    def replace(self, networks: Iterable[Network]) -> None:
        """Replace the list by what a scan found, the best one first."""
        by_mac: dict[str, Network] = {}
        for network in networks:
            by_mac.setdefault(network.mac, network)  # heard twice in a scan
        self._networks = deque(by_mac.values())
        self._failures = 0

    def joined(self) -> None:
        """Remember the current network for the next start."""
        self._failures = 0
        self._forgotten = False
        self._remember(self.current.to_text())

    def failed(self) -> bool:
        """Go on to the next network; return whether all have failed, so that a scan is due."""
        self._networks.rotate(-1)
        self._failures += 1
        if self._failures < max(FAILURES_UNTIL_RESCAN, len(self._networks)):
            return False
        self._failures = 0
        self._forgotten = True
        self._remember("")
        return True

    def _recalled(self) -> Network | None:
        try:
            text = self._memory.get_state(NETWORK_KEY)
        except KeiError as error:
            self._incidents.raised("memory_unreadable", key=NETWORK_KEY, reason=str(error))
            return None
        return Network.from_text(text) if text else None

    def _remember(self, text: str) -> None:
        try:
            self._memory.set_state(NETWORK_KEY, text)
        except KeiError as error:
            self._incidents.raised("memory_unwritable", key=NETWORK_KEY, reason=str(error))
