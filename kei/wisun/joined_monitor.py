"""What the keeper does while the meter is joined: it listens, and looks into missing answers."""

import structlog

from kei.core.errors import KeiError, PortLost, RejoinNeeded, Stopping
from kei.core.heartbeat import HEARTBEAT_S
from kei.echonet.frame import METER, Esv
from kei.wisun import commands
from kei.wisun.connect_steps import LOOK_AT_LIMIT_S, PROBE_EPCS
from kei.wisun.interfaces import Listener
from kei.wisun.link import CommandRefused, NoReply, Received
from kei.wisun.parts import Parts
from kei.wisun.skstack import EventNumber
from kei.wisun.states import Outcome

log = structlog.stdlib.get_logger("kei.session")

MISSES_UNTIL_PROBE = 3
PROBE_TIMEOUT_S = 6.0  # one try, and an answer to it that comes late
SILENCES_UNTIL_REOPEN = 2  # soon after one another


class Watch:
    """Holds a session that has been joined.

    Args:
        parts: of the session.
        listener: hears of notifications.
    """

    def __init__(self, parts: Parts, listener: Listener) -> None:
        self._listener = listener
        self._link = parts.link
        self._gate = parts.gate
        self._exchange = parts.exchange
        self._turns = parts.turns
        self._tally = parts.tally
        self._troubles = parts.troubles
        self._clock = parts.clock
        self._look_at_limit_at: float | None = None
        self._looked_into = 0
        self._silences = 0

    def begin(self) -> None:
        """Start with a clean slate, as the session is new."""
        self._tally.forgive()
        self._looked_into = self._tally.missed

    def forget_silences(self) -> None:
        """Take the next silence for the first one, as the session has lasted."""
        self._silences = 0

    def hold(self) -> Outcome:
        """Hand on what the meter says, until the session is lost.

        Raises:
            Stopping: the program is being stopped.
        """
        troubles = self._troubles
        while not troubles.is_stopping:
            while self._exchange.notifications:
                self._notify(self._exchange.notifications.popleft())
            if troubles.present is None and not self._gate.is_renewing:
                self._look_into_misses()
                self._look_into_limit()
            if (trouble := troubles.present) is not None:
                return trouble
            self._prove_progress()
            patience_s = self._gate.patience_s()
            if patience_s is not None and patience_s <= 0:
                late = RejoinNeeded(f"no EVENT 25 after EVENT {EventNumber.LIFETIME_EXPIRED:02X}")
                troubles.report(Outcome.CLOSED, late)
            elif patience_s is None and self._gate.is_limited:
                troubles.await_news(LOOK_AT_LIMIT_S)
            else:
                troubles.await_news(patience_s)
        raise Stopping("kei is being stopped")

    def _prove_progress(self) -> None:
        """Beat, once it has been seen that nobody hangs while it is his turn to talk."""
        if self._troubles.heartbeat.silent_s >= HEARTBEAT_S:
            with self._turns:
                self._troubles.heartbeat.beat()

    def _look_into_misses(self) -> None:
        """Find out whether the dongle has restarted, and after some misses ask the meter."""
        if self._tally.missed != self._looked_into:
            self._looked_into = self._tally.missed
            self._look_at_dongle()
        silent = self._tally.misses_in_a_row >= MISSES_UNTIL_PROBE
        if silent and self._troubles.present is None and not self._gate.is_limited:
            self._probe()

    def _look_into_limit(self) -> None:
        """See now and then whether the limit still holds: its EVENT 33 may have been lost."""
        if not self._gate.is_limited:
            self._look_at_limit_at = None
            return
        now = self._clock.monotonic()
        if self._look_at_limit_at is None:
            self._look_at_limit_at = now + LOOK_AT_LIMIT_S
        elif now >= self._look_at_limit_at:
            self._look_at_limit_at = now + LOOK_AT_LIMIT_S
            self._look_at_dongle()

    def _look_at_dongle(self) -> None:
        """A dongle that has restarted has lost its registers; asking it costs no air time."""
        assert self._exchange.network is not None, "it was joined"
        try:
            with self._turns:
                tuned = commands.is_tuned(self._link, self._exchange.network)
                if self._gate.is_limited and not commands.is_limited(self._link):
                    self._gate.take(EventNumber.LIMIT_OFF)
        except (CommandRefused, NoReply) as error:
            self._troubles.report(Outcome.BROKEN, RejoinNeeded(str(error)))
        except (PortLost, RejoinNeeded) as error:
            log.debug("dongle_not_looked_at", reason=str(error))
        else:
            if not tuned:
                self._troubles.report(Outcome.BROKEN, RejoinNeeded("the dongle has restarted"))

    def _probe(self) -> None:
        """Find out whether the meter is silent, or only did not like what it was asked."""
        try:
            with self._turns:
                request = self._exchange.ask(PROBE_EPCS, PROBE_TIMEOUT_S)
        except (PortLost, RejoinNeeded) as error:
            log.debug("probe_broken", reason=str(error))
            return
        self._tally.forgive()
        if request.answer is not None or self._gate.is_limited or self._gate.is_renewing:
            return
        self._silences += 1
        again = self._silences < SILENCES_UNTIL_REOPEN
        trouble = Outcome.SILENT if again else Outcome.BROKEN
        self._troubles.report(trouble, RejoinNeeded("the meter does not answer"))

    def _notify(self, received: Received) -> None:
        """Hand on what the meter sent by itself, and confirm it if the meter asks for that."""
        frame = received.frame
        if frame.seoj == METER:
            self._listener.notified(frame.properties, received.at_ms)
        else:
            log.debug("instance_list", seoj=f"{frame.seoj:06X}")
        if frame.esv is not Esv.INFC:
            return
        try:
            with self._turns:
                self._exchange.confirm(frame)
        except KeiError as error:
            log.debug("confirmation_failed", reason=str(error))
