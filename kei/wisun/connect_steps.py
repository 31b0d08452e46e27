"""The actions of the states before JOINED: open, identify, set up, scan, join; and leaving."""

import logging
from functools import partial

import structlog

from kei.core.errors import KeiError, RejoinNeeded
from kei.wisun.commands import (
    LEAVE_S,
    PROBE_EPCS,
    UNANSWERED_S,
    Commands,
    JoinFailure,
    LeaveResult,
)
from kei.wisun.dialects import Dialect
from kei.wisun.interfaces import NOT_NOW, Answer, OpenPort, Reason, Settings, State
from kei.wisun.link import CommandRefused, NoReply
from kei.wisun.machine import Machine
from kei.wisun.network import Network
from kei.wisun.quality import rssi_dbm
from kei.wisun.recogniser import Recogniser
from kei.wisun.remembered import KnownNetworks, LastSession
from kei.wisun.requests import TRY_S, Requests
from kei.wisun.transitions import Outcome

log = structlog.stdlib.get_logger("kei.session")

FIRST_ANSWER_TIMEOUT_S = 15.0  # three tries; for each of two questions
CHECK_LIMIT_S = 60.0
ROUNDS_UNTIL_REOPEN = 2  # of scanning and joining in vain


class ConnectSteps:
    """The steps, each returning one of the outcomes that the table has for its state.

    Each may raise what `Machine.run` makes an outcome of. Their state is the machine's.
    """

    def __init__(
        self,
        settings: Settings,
        open_port: OpenPort,
        machine: Machine,
        recogniser: Recogniser,
        requests: Requests,
        networks: KnownNetworks,
        last_session: LastSession,
    ) -> None:
        self._settings = settings
        self._open_port = open_port
        self._machine = machine
        self._link = machine.link
        self._gate = machine.gate
        self._incidents = machine.incidents
        self._clock = machine.clock
        self._recogniser = recogniser
        self._told: Dialect | None = None
        self._requests = requests
        self._networks = networks
        self._last_session = last_session

    @property
    def _commands(self) -> Commands:
        return self._recogniser.commands

    def open(self) -> Outcome:
        """INIT: open the port."""
        self._last_session.recall()
        self._link.detach()
        self._machine.established = False
        self._recogniser.is_sure = False
        on_lost = partial(self._machine.report, Outcome.PORT_LOST)
        self._link.attach(self._open_port(self._link.on_data, on_lost))
        return Outcome.DONE

    def identify(self) -> Outcome:
        """OPEN: find out what is on the port, and whether it may have a session of ours."""
        self._machine.established = False
        before = self._commands.dongle
        self._recogniser.identify()
        dongle = self._commands.dongle
        assert dongle is not None, "identify found it"
        log.log(
            logging.DEBUG if dongle == before else logging.INFO,
            "dongle_ready",
            dongle=dongle.dialect.name,
            firmware=dongle.firmware,
            product=dongle.product,
        )
        configured = self._settings.dialect
        if configured is not None and configured.grammar is not dongle.dialect.grammar:
            self._tell_setting_wrong(configured, dongle.dialect)
        return Outcome.KNOWN if self._may_have_session() else Outcome.DONE

    def _tell_setting_wrong(self, configured: Dialect, found: Dialect) -> None:
        """Tell once that jobs.toml names another dongle than there is."""
        if found != self._told:
            self._told = found
            log.warning(
                "dongle_setting_wrong",
                configured=configured.name,
                found=found.name,
                hint=f"kei goes on with {found.name}; "
                f'in jobs.toml set dongle = "auto" or "{found.name}"',
            )

    def _may_have_session(self) -> bool:
        """Return whether the dongle may still have a session that we have not ended.

        A dongle that was without power, or that another program has used, is tuned elsewhere.
        """
        left_open = self._last_session.is_open and not self._machine.needs_reset
        if not (left_open and self._networks.recall()):
            return False
        try:
            found = self._commands.find_session(self._networks.current)
        except (CommandRefused, NoReply):  # only a reset may help
            return False
        if found is not None:
            self._networks.update(found)
        return found is not None

    def adopt(self) -> Outcome:
        """ADOPT: ask the meter once; an answer proves the session that the dongle still has.

        Only a question that nobody has acknowledged is asked again: that says nothing of it. It is
        one property: some meters answer no more, and all of them answer that.
        """
        machine = self._machine
        machine.established = True  # its end counts from now on, and a stop ends it
        self._requests.talk_to(self._networks.current)
        self._gate.end_renewal()
        try:
            self._await_end_of_limit()
            request = self._requests.begin(PROBE_EPCS, TRY_S)
            try:
                self._requests.attempt(request)
                is_refused = request.refusal is not None and request.refusal.reason not in NOT_NOW
                if request.answer is None and not (request.was_heard or is_refused):
                    self._requests.attempt(request)
            finally:
                self._requests.end(request)
        except RejoinNeeded as error:
            log.debug("session_not_adopted", reason=str(error))
            self._last_session.ended(rest=True)  # maybe by a process that was killed just now
            return Outcome.FAILED
        machine.first_answer = request.answer
        if request.answer is None:
            log.debug("session_not_adopted", reason="no answer")
            return Outcome.FAILED
        self._note_success(adopted=True)
        return Outcome.DONE

    def set_up(self) -> Outcome:
        """SETUP: end what session there is, reset the dongle, give it registers and credentials."""
        was_thought_open = self._machine.established
        if not self._leave().has_ended_one and was_thought_open:
            # Nobody knows since when: a process that was killed may have ended it just now.
            self._last_session.ended(rest=True)
        self._commands.set_up()
        self._machine.needs_reset = False
        self._gate.open()
        return Outcome.KNOWN if self._networks.recall() else Outcome.DONE

    def scan(self) -> Outcome:
        """SCAN: look for the meter, longer each time."""
        in_vain, commands = self._machine.scanned_in_vain, self._commands
        longest = [commands.longest_scan] if in_vain else []
        for duration in (*commands.scan_durations, *longest):
            log.debug("scan_started", duration=duration, seconds=commands.scan_s(duration))
            if found := self._scan_once(duration):
                self._networks.replace(found)
                self._incidents.ended("meter_not_found")
                before, best = self._requests.network, found[0]
                is_known = before is not None and before.mac == best.mac
                level = logging.DEBUG if is_known else logging.INFO
                log.log(level, "meter_found", channel=best.channel, lqi=round(best.lqi))
                return Outcome.DONE
        self._machine.scanned_in_vain = True
        self._incidents.raised(
            "meter_not_found",
            hint="check the B-route ID; move the dongle closer to the meter; "
            "is the B route in service yet? (the power company's letter says from when)",
        )
        return Outcome.FAILED

    def _scan_once(self, duration: int) -> list[Network]:
        try:
            return self._commands.scan(duration)
        except CommandRefused as error:
            is_longest = duration == self._commands.longest_scan
            if is_longest and error.reason is Reason.OUT_OF_RANGE:
                log.debug("scan_not_available", duration=duration)
                return []
            if not self._is_mended(error):
                raise
            return self._commands.scan(duration)

    def _is_mended(self, refusal: CommandRefused) -> bool:
        """Return whether to try again: the dongle may be another than jobs.toml says."""
        is_mended = self._commands.mends(refusal)
        configured, dongle = self._settings.dialect, self._commands.dongle
        if is_mended and configured is not None and dongle is not None:
            self._tell_setting_wrong(configured, dongle.dialect)
        return is_mended

    def join(self) -> Outcome:
        """JOIN: authenticate with the network that is next, and get a first answer."""
        machine = self._machine
        if machine.established:  # the meter is silent, or a renewal has not ended
            self._leave(UNANSWERED_S)
        self._requests.talk_to(self._networks.current)
        self._gate.end_renewal()
        if (rest_s := self._last_session.rest_until - self._clock.monotonic()) > 0:
            log.info("meter_rests", seconds=round(rest_s, 1))
            machine.pause(rest_s)
        log.debug("join_started")
        broken: KeiError | None = None
        was_refused = False
        try:
            self._await_end_of_limit()
            joined = self._commands.join(self._networks.current)
            was_refused = joined is JoinFailure.REFUSED
            if isinstance(joined, Network) and self._get_first_answer(joined):
                self._note_success()
                return Outcome.DONE
        except (CommandRefused, NoReply) as error:
            broken = error
            machine.shorten_backoff()  # it has most likely restarted, which is soon mended
        except RejoinNeeded as error:
            log.debug("join_cut_short", reason=str(error))
        all_failed = self._networks.failed()
        if broken is not None:
            raise broken
        self._tell_join_failed(was_refused=was_refused)
        if not all_failed:
            return Outcome.FAILED
        if was_refused:
            return Outcome.REFUSED
        machine.failed_rounds += 1
        return Outcome.GIVEN_UP if machine.failed_rounds < ROUNDS_UNTIL_REOPEN else Outcome.BROKEN

    def _tell_join_failed(self, *, was_refused: bool) -> None:
        """Tell what may be the cause, which is not the credentials if a meter has taken them."""
        if not self._networks.are_credentials_proven:
            said_no = "the meter refuses: " if was_refused else ""
            self._incidents.raised(
                "join_failed",
                hint=f"{said_no}check B-route ID and password; "
                "another device may hold the meter's only session",
            )
            return
        other = "another device may hold the meter's only session"
        is_busy = self._requests.is_channel_busy
        if was_refused:
            hint = (
                "the meter refuses ID and password, which it has taken before: was it replaced, "
                f"so that there are new ones? {other}"
            )
        elif is_busy:
            hint = (
                "the dongle cannot send, as the channel is never free: does something transmit "
                "nearby, another dongle say?"
            )
        else:
            hint = (
                "the meter is silent; ID and password are right, it has taken them before (a "
                "meter that was replaced wants new ones): is the signal good (-88 dBm or better)? "
                f"{other}"
            )
        self._incidents.raised(
            "join_failed",
            key="busy" if is_busy else "proven",
            lqi=round(self._lqi),
            rssi_dbm=rssi_dbm(self._lqi),
            hint=hint,
        )

    @property
    def _lqi(self) -> float:
        """Of the meter's last frame, or else of the beacon of the network that was tried."""
        heard, network = self._requests.lqi, self._requests.network
        assert network is not None, "it was tried"
        return network.lqi if heard is None else heard

    def _get_first_answer(self, joined: Network) -> bool:
        """Get a first answer: joined but silent happens, only an answer proves it."""
        self._networks.update(joined)
        self._requests.talk_to(joined)
        self._networks.credentials_taken()
        self._machine.shorten_backoff()  # ID and password are right: worth trying again soon
        for epcs in (self._settings.first_epcs, PROBE_EPCS):  # some meters answer one at a time
            answer = self._ask(epcs)
            if answer is None and self._gate.is_limited:
                self._await_end_of_limit()
                answer = self._ask(epcs)
            if answer is not None:
                self._machine.first_answer = answer
                return True
        self._leave(UNANSWERED_S)
        return False

    def _ask(self, epcs: tuple[int, ...]) -> Answer | None:
        request = self._requests.ask(epcs, FIRST_ANSWER_TIMEOUT_S)
        if request.refusal is not None and self._is_mended(request.refusal):
            request = self._requests.ask(epcs, FIRST_ANSWER_TIMEOUT_S)
        return request.answer

    def _await_end_of_limit(self) -> None:
        """Wait while the dongle must not send; its EVENT 33 may have been lost."""
        check_at = self._clock.monotonic() + CHECK_LIMIT_S
        while self._gate.is_limited:
            self._machine.heartbeat.beat()
            if self._link.receive(check_at) is not None:
                continue
            check_at = self._clock.monotonic() + CHECK_LIMIT_S
            if not self._commands.is_limited():
                self._gate.end_limit()

    def _note_success(self, *, adopted: bool = False) -> None:
        network = self._networks.current
        self._machine.failed_rounds = 0
        log.info(
            "session_joined",
            channel=network.channel,
            pan_id=f"{network.pan_id:04X}",
            lqi=round(self._lqi),
            rssi_dbm=rssi_dbm(self._lqi),
            adopted=adopted,
        )
        self._incidents.all_ended()
        self._networks.joined()
        self._last_session.opened()

    def _leave(self, limit_s: float = LEAVE_S) -> LeaveResult:
        """End the session, and let the meter forget it; the next join waits for that."""
        self._machine.established = False
        result = self._commands.leave(limit_s)
        self._last_session.ended(rest=result is LeaveResult.CONFIRMED)
        return result

    def leave_on_shutdown(self) -> None:
        """End the PANA session if there may be one, and close the port.

        A dongle that has not been recognised, or does not answer, may have one still: the next
        start asks.
        """
        machine = self._machine
        is_joining = machine.state is State.JOIN
        is_joined = machine.state is State.JOINED
        left_open = machine.established or self._last_session.is_open
        may_have_session = left_open or is_joining or is_joined
        try:
            if self._link.is_open and self._recogniser.is_sure and may_have_session:
                with machine.lock:
                    result = self._commands.leave_on_shutdown(joining=is_joining)
                log.info("session_left", ended=result.has_ended_one)
                if result is not LeaveResult.UNKNOWN:
                    self._last_session.ended(rest=result.has_ended_one)
        finally:
            self._link.detach()
            machine.move_to(State.INIT)
