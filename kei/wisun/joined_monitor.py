"""The action of the state JOINED: hand on notifications, and find the cause of missing answers."""

import structlog

from kei.core.errors import KeiError, PortLost, RejoinNeeded, Stopping
from kei.core.heartbeat import HEARTBEAT_S
from kei.echonet.frame import METER, Esv
from kei.wisun.commands import PROBE_EPCS, Standing
from kei.wisun.connect_steps import CHECK_LIMIT_S
from kei.wisun.interfaces import Answer, EventNumber, Listener, Received
from kei.wisun.link import CommandRefused, NoReply
from kei.wisun.machine import Machine
from kei.wisun.network import Network
from kei.wisun.recogniser import Recogniser
from kei.wisun.requests import Requests
from kei.wisun.transitions import Outcome

log = structlog.stdlib.get_logger("kei.session")

MISSES_UNTIL_PROBE = 3
PROBE_TIMEOUT_S = 6.0  # one try, and an answer to it that comes late
SILENCES_UNTIL_REOPEN = 2  # soon after one another


class JoinedMonitor:
    """Holds a session that has been joined, in the session thread. Its state is the machine's."""

    def __init__(
        self, machine: Machine, recogniser: Recogniser, requests: Requests, listener: Listener
    ) -> None:
        self._machine = machine
        self._gate = machine.gate
        self._counters = machine.counters
        self._clock = machine.clock
        self._recogniser = recogniser
        self._requests = requests
        self._listener = listener

    def hold(self) -> Outcome:
        """Announce the meter if it has just been joined, and hold the session until it is lost.

        Raises:
            Stopping: the program is being stopped.
        """
        machine = self._machine
        if machine.first_answer is not None:
            self._announce(machine.first_answer)
        while not machine.stopping.is_set():
            while self._requests.notifications:
                self._notify(self._requests.notifications.popleft())
            if machine.failure is None and not self._gate.is_renewing:
                self._check_misses()
                self._check_limit()
            if machine.failure is not None:
                return machine.failure
            self._beat()
            renewal_left_s = self._gate.renewal_left_s()
            if renewal_left_s is not None and renewal_left_s <= 0:
                late = RejoinNeeded(f"no EVENT 25 after EVENT {EventNumber.LIFETIME_EXPIRED:02X}")
                machine.report(Outcome.CLOSED, late)
            elif renewal_left_s is None and self._gate.is_limited:
                machine.wait_for_wake(CHECK_LIMIT_S)
            else:
                machine.wait_for_wake(renewal_left_s)
        raise Stopping("kei is being stopped")

    def _announce(self, first_answer: Answer) -> None:
        self._counters.forgive()
        self._machine.checked_misses = self._counters.missed
        self._listener.joined(self._network().mac, first_answer)
        self._machine.first_answer = None
        self._listener.ready()

    def _network(self) -> Network:
        assert self._requests.network is not None, "it was joined"
        return self._requests.network

    def _beat(self) -> None:
        """Give a heartbeat, but only after the lock was free: its holder may have hung."""
        if self._machine.heartbeat.silent_s >= HEARTBEAT_S:
            with self._machine.lock:
                self._machine.heartbeat.beat()

    def _check_misses(self) -> None:
        """Find out whether the dongle has restarted, and after some misses ask the meter."""
        machine = self._machine
        if self._counters.missed != machine.checked_misses:
            machine.checked_misses = self._counters.missed
            self._check_dongle()
        silent = self._counters.misses_in_a_row >= MISSES_UNTIL_PROBE
        if silent and machine.failure is None and not self._gate.is_limited:
            self._probe()

    def _check_limit(self) -> None:
        """Check now and then whether the limit still holds: its EVENT 33 may have been lost."""
        machine, now = self._machine, self._clock.monotonic()
        if not self._gate.is_limited:
            self._gate.end_limit()  # its hour may be over, too
            machine.check_limit_at = None
        elif machine.check_limit_at is None:
            machine.check_limit_at = now + CHECK_LIMIT_S
        elif now >= machine.check_limit_at:
            machine.check_limit_at = now + CHECK_LIMIT_S
            self._check_dongle()

    def _check_dongle(self) -> None:
        """Find out whether the dongle has lost its registers in a restart; costs no air time."""
        machine = self._machine
        try:
            with machine.lock:
                commands = self._recogniser.commands
                standing = commands.standing(self._network())
                is_as_left = standing is Standing.AS_LEFT
                if is_as_left and self._gate.is_limited and not commands.is_limited():
                    self._gate.end_limit()
        except (CommandRefused, NoReply) as error:
            machine.report(Outcome.BROKEN, RejoinNeeded(str(error)))
        except (PortLost, RejoinNeeded) as error:
            log.debug("dongle_not_looked_at", reason=str(error))
        else:
            if standing is Standing.RESTARTED:
                machine.report(Outcome.BROKEN, RejoinNeeded("the dongle has restarted"))
            elif standing is Standing.ENDED:
                machine.established = False
                machine.report(Outcome.CLOSED, RejoinNeeded("the session ended without a word"))

    def _probe(self) -> None:
        """Find out whether the meter is silent, or only did not answer what it was asked."""
        machine = self._machine
        try:
            with machine.lock:
                request = self._requests.ask(PROBE_EPCS, PROBE_TIMEOUT_S)
        except (PortLost, RejoinNeeded) as error:
            log.debug("probe_broken", reason=str(error))
            return
        self._counters.forgive()
        if request.answer is not None or self._gate.is_limited or self._gate.is_renewing:
            return
        machine.silences += 1
        again = machine.silences < SILENCES_UNTIL_REOPEN
        failure = Outcome.SILENT if again else Outcome.BROKEN
        machine.report(failure, RejoinNeeded("the meter does not answer"))

    def _notify(self, received: Received) -> None:
        """Hand on a notification of the meter, and confirm it if the meter asks for that."""
        frame = received.frame
        if frame.seoj == METER:
            self._listener.notified(frame.properties, received.at)
        else:
            log.debug("instance_list", seoj=f"{frame.seoj:06X}")
        if frame.esv is not Esv.INFC:
            return
        try:
            with self._machine.lock:
                self._requests.confirm(frame)
        except KeiError as error:
            log.debug("confirmation_failed", reason=str(error))
