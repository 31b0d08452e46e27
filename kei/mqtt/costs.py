"""What electricity costs: what is told of it, looked up each minute."""

import json
import math

import structlog

from kei.core.clock import local
from kei.core.errors import KeiError
from kei.core.incidents import Incidents
from kei.core.reading import plain
from kei.mqtt.discovery import COST, HEALTH_EVERY_S, PRICE
from kei.mqtt.sources import Sources
from kei.settings.tariff import Tariff

log = structlog.stdlib.get_logger("kei.mqtt")


class Costs:
    """What a broker is told of costs. Used by one thread.

    Attributes:
        payloads: of the cost of the running period and of the price, as far as they are known, by
            the names of their components.
        seen: what has been known of this tariff.
        may_come: whether there are prices, and a meter.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._clock = sources.clock
        self._incidents = Incidents(log, sources.clock)
        self._tariff: Tariff | None = None
        self._looked_at = -math.inf
        self.payloads: dict[str, bytes] = {}
        self.seen: frozenset[str] = frozenset()
        self.may_come = False

    def look(self) -> None:
        """Look what has changed; reads the disk, each minute and after a reload of prices."""
        config, now = self._sources.config(), self._clock.monotonic()
        tariff = None if config.broute is None else config.tariff
        if tariff == self._tariff and now - self._looked_at < HEALTH_EVERY_S:
            return
        if tariff != self._tariff:
            self.seen = frozenset()
        self._tariff, self._looked_at, self.payloads = tariff, now, {}
        self.may_come = tariff is not None
        # By a clock that is wrong it would be those of another month.
        if tariff is None or not self._sources.may_tell_time():
            return
        try:
            found = self._sources.figures()
        except KeiError as error:
            self._incidents.raised("figures_not_read", reason=str(error))
            return
        self._incidents.ended("figures_not_read")
        period = found.period
        if period.cost is not None:
            span = f'"from": {self._time(period.start_ms)}, "until": {self._time(period.until_ms)}'
            self.payloads[COST] = f'{{"value": {plain(period.cost)}, {span}}}'.encode()
        if found.price is not None:
            self.payloads[PRICE] = f'{{"value": {plain(found.price)}}}'.encode()
        self.seen |= self.payloads.keys()

    def _time(self, time_ms: int | None) -> str:
        if time_ms is None:
            return "null"
        return json.dumps(local(time_ms, self._clock.zone).isoformat(timespec="seconds"))
