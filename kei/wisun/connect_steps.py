"""The way to the meter: what the keeper does in each state before the meter is joined."""

import logging

import structlog

from kei.core.errors import KeiError, RejoinNeeded
from kei.wisun import commands
from kei.wisun.commands import Dongle, Farewell
from kei.wisun.interfaces import OpenPort, Settings
from kei.wisun.link import CommandRefused, NoReply
from kei.wisun.parts import Parts
from kei.wisun.requests import Answer
from kei.wisun.skstack import EventNumber, rssi_dbm
from kei.wisun.states import Outcome

log = structlog.stdlib.get_logger("kei.session")

SCAN_DURATIONS = (4, 5, 6, 7)  # 4.8, 9.2, 18 and 36 s over all channels
REST_AFTER_LEAVING_S = 10.0  # a join at once after SKTERM fails (field experience)
FIRST_ANSWER_TIMEOUT_S = 15.0  # three tries; for each of two questions
PROBE_EPCS = (0x80,)  # operation status: every device has it (super class, required)
LOOK_AT_LIMIT_S = 60.0
FLAPPING_MAX_S = 30.0  # a meter that can be joined is not left alone for long
ROUNDS_UNTIL_REOPEN = 2  # of scanning and joining in vain


class Approach:
    """The steps, each with one of the outcomes that the table has for its state.

    Each raises PortLost, CommandRefused, NoReply or RejoinNeeded where the table says that
    the port comes next.

    Args:
        settings: credentials and dialect.
        open_port: opens the port anew each time.
        parts: of the session.

    Attributes:
        dongle: what is on the port; None until it has been recognised.
        first: the meter's first answer, until the listener has it.
    """

    def __init__(self, settings: Settings, open_port: OpenPort, parts: Parts) -> None:
        self._settings = settings
        self._open_port = open_port
        self._link = parts.link
        self._gate = parts.gate
        self._exchange = parts.exchange
        self._candidates = parts.candidates
        self._backoff = parts.backoff
        self._troubles = parts.troubles
        self._incidents = parts.incidents
        self._clock = parts.clock
        self._payload_mode_written = False
        self._rest_until = 0.0
        self._failed_rounds = 0
        self.dongle: Dongle | None = None
        self.first: Answer | None = None

    def open(self) -> Outcome:
        """INIT: open the port."""
        self._link.detach()
        self._troubles.established = False
        self._link.attach(self._open_port(self._link.on_data, self._troubles.port_lost))
        return Outcome.DONE

    def identify(self) -> Outcome:
        """OPEN: find out what is on the port, and reset it."""
        self._troubles.established = False
        found = commands.identify(self._link, self._settings.dialect, self._may_write_flash)
        known = found.dongle == self.dongle
        dongle = self.dongle = found.dongle
        self._exchange.side = dongle.dialect.side
        self._gate.open()
        self._rest_after(found.farewell)
        log.log(
            _once(known=known),
            "dongle_ready",
            dongle=dongle.dialect.name,
            firmware=dongle.firmware,
            product=dongle.product,
        )
        return Outcome.DONE

    def _may_write_flash(self) -> bool:
        """Allow it once, whatever comes of it: flash memory wears out."""
        before, self._payload_mode_written = self._payload_mode_written, True
        return not before

    def set_up(self) -> Outcome:
        """SETUP: hand the dongle registers and credentials."""
        settings, dongle = self._settings, self._present_dongle()
        commands.set_up(self._link, dongle.dialect, settings.broute_id, settings.broute_pwd)
        return Outcome.KNOWN if self._candidates.recall() else Outcome.DONE

    def scan(self) -> Outcome:
        """SCAN: look for the meter, longer each time."""
        dialect = self._present_dongle().dialect
        for duration in SCAN_DURATIONS:
            log.debug("scan_started", duration=duration)
            found = commands.scan(self._link, self._clock, dialect, duration)
            if found:
                self._candidates.replace(found)
                self._incidents.ended("meter_not_found")
                before, best = self._exchange.network, found[0]
                known = before is not None and before.mac == best.mac
                log.log(_once(known=known), "meter_found", channel=best.channel, lqi=best.lqi)
                return Outcome.DONE
        self._incidents.raised(
            "meter_not_found",
            hint="check the B-route ID; move the dongle closer to the meter; "
            "is the B route in service yet? (the power company's letter says from when)",
        )
        return Outcome.FAILED

    def join(self) -> Outcome:
        """JOIN: authenticate with the network that is next, and get a first answer."""
        if self._troubles.established:  # the meter is silent, or a renewal has not ended
            self._leave()
        self._troubles.sleep(self._rest_until - self._clock.monotonic())
        self._exchange.network = self._candidates.current
        self._gate.end_renewal()
        broken: KeiError | None = None
        try:
            self._await_end_of_limit()
            if self._proves_itself():
                self._settle_in()
                return Outcome.DONE
        except (CommandRefused, NoReply) as error:
            broken = error
            self._backoff.shorten(
                FLAPPING_MAX_S
            )  # it has most likely restarted, which is soon mended
        except RejoinNeeded as error:
            log.debug("join_cut_short", reason=str(error))
        given_up = self._candidates.failed()
        if broken is not None:
            raise broken
        self._incidents.raised(
            "join_failed",
            hint="check B-route ID and password; another device may hold the meter's only session",
        )
        if not given_up:
            return Outcome.FAILED
        self._failed_rounds += 1
        return Outcome.GIVEN_UP if self._failed_rounds < ROUNDS_UNTIL_REOPEN else Outcome.BROKEN

    def _present_dongle(self) -> Dongle:
        assert self.dongle is not None, "OPEN comes before what needs it"
        return self.dongle

    def _proves_itself(self) -> bool:
        """Join and get a first answer: joined but silent happens, only an answer proves it."""
        if not commands.join(self._link, self._candidates.current):
            return False
        self._backoff.shorten(
            FLAPPING_MAX_S
        )  # ID and password are right, so it is worth trying again soon
        self.first = self._first_answer()
        if self.first is None:
            self._leave()
        return self.first is not None

    def _first_answer(self) -> Answer | None:
        """Ask what is needed first; if need be less, as some meters answer one property only."""
        for epcs in (self._settings.first_epcs, PROBE_EPCS):
            answer = self._exchange.ask(epcs, FIRST_ANSWER_TIMEOUT_S).answer
            if answer is None and self._gate.is_limited:
                self._await_end_of_limit()
                answer = self._exchange.ask(epcs, FIRST_ANSWER_TIMEOUT_S).answer
            if answer is not None:
                return answer
        return None

    def _await_end_of_limit(self) -> None:
        """Wait while the dongle must not send; its EVENT 33 may have been lost."""
        look_at = self._clock.monotonic() + LOOK_AT_LIMIT_S
        while self._gate.is_limited:
            if self._link.next(look_at) is not None:
                continue
            look_at = self._clock.monotonic() + LOOK_AT_LIMIT_S
            if not commands.is_limited(self._link):
                self._gate.take(EventNumber.LIMIT_OFF)

    def _settle_in(self) -> None:
        network = self._candidates.current
        self._failed_rounds = 0
        lqi = network.lqi if self._exchange.lqi is None else self._exchange.lqi
        log.info(
            "session_joined",
            channel=network.channel,
            pan_id=f"{network.pan_id:04X}",
            lqi=lqi,
            rssi_dbm=rssi_dbm(lqi),
        )
        self._incidents.all_ended()
        self._candidates.joined()

    def _leave(self) -> None:
        """End the session, and let the meter forget it."""
        self._troubles.established = False
        self._rest_after(commands.leave(self._link, meter_s=commands.UNANSWERED_S))

    def _rest_after(self, farewell: Farewell) -> None:
        if farewell is Farewell.CONFIRMED:
            self._rest_until = self._clock.monotonic() + REST_AFTER_LEAVING_S


def _once(*, known: bool) -> int:
    """Return the level for what is told at the first attempt only."""
    return logging.DEBUG if known else logging.INFO
