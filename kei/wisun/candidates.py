"""The networks that may be the meter's: which to try next, and the one to remember."""

from collections import deque
from collections.abc import Iterable

import structlog

from kei.errors import KeiError
from kei.wisun.bringup import Network
from kei.wisun.seams import Memory

log = structlog.stdlib.get_logger("kei.session")

FAILURES_UNTIL_RESCAN = 2  # of each network that was found at least one
NETWORK_KEY = "broute.network"


class Candidates:
    """What a scan found, or an earlier run remembered.

    Args:
        memory: keeps the network of the last join.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._networks: deque[Network] = deque()
        self._failures = 0

    @property
    def current(self) -> Network:
        """The network to try now; there has to be one."""
        return self._networks[0]

    def recall(self) -> bool:
        """Begin with the network of the last join; tell whether there is one."""
        try:
            text = self._memory.get_state(NETWORK_KEY)
        except KeiError as error:
            log.warning("memory_unreadable", key=NETWORK_KEY, reason=str(error))
            text = None
        network = Network.from_text(text) if text else None
        self.replace([network] if network else [])
        return network is not None

    def replace(self, networks: Iterable[Network]) -> None:
        """Begin with these, the best one first."""
        self._networks = deque(networks)
        self._failures = 0

    def joined(self) -> None:
        """Remember the present network."""
        self._failures = 0
        self._remember(self.current.to_text())

    def failed(self) -> bool:
        """Go on with the next one; tell whether to look for others, as all have failed."""
        self._networks.rotate(-1)
        self._failures += 1
        if self._failures < max(FAILURES_UNTIL_RESCAN, len(self._networks)):
            return False
        self._remember("")
        return True

    def _remember(self, text: str) -> None:
        try:
            self._memory.set_state(NETWORK_KEY, text)
        except KeiError as error:
            log.warning("memory_unwritable", key=NETWORK_KEY, reason=str(error))
