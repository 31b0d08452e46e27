"""What has been recorded, as the page shows it: read from the disk, and kept for a moment.

The recorder is never waited for, nor does it wait: databases are opened read-only here.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from kei.core.clock import local
from kei.core.errors import ConfigError, KeiError, RetryLater, StoreError
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.energy.document import document
from kei.energy.periods import By
from kei.energy.report import Report, Row
from kei.meter.billing import Billing
from kei.meter.expected import cycles_of
from kei.meter.figures import Figures
from kei.meter.recorded import RecordedMeter, unit_of
from kei.settings.months import Month
from kei.status.facts import Answer, Facts, facts_of, read_database
from kei.status.outline import outline_of
from kei.status.rules import Problem, problems_of
from kei.store.half_hour_cache import KEPT
from kei.store.text import DailyFile
from kei.store.thinned import Point, Wanted, thinned
from kei.tariff.document import document as bill_document
from kei.tariff.forecast import DAY_MS
from kei.tariff.periods import SEN
from kei.web.live import Live
from kei.web.numbers import as_number

log = structlog.stdlib.get_logger("kei.web")

AT_ONCE = 2  # requests that read the disk; one more thread answers from memory
WAIT_S = 2.0  # for a turn
KEPT_S = 2.0  # how old what is shown of the state may be
FIGURES_KEPT_S = 10.0
ROWS_MAX = 10_000  # of an energy document, 2 MB: 200 days of half-hours, 13 months of hours
DAYS_MAX = KEPT // 48  # of one answer; a Pi Zero takes half a minute for all years of a meter
UNKNOWN_CYCLE_S = 60.0  # of a sensor


class Recorded:
    """What has been recorded. Thread-safe.

    Args:
        live: the running kei.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._clock = live.clock
        self._incidents = Incidents(log, live.clock)
        self._turn = threading.BoundedSemaphore(AT_ONCE)
        self._facts: tuple[float, Facts] | None = None
        self._facts_lock = threading.Lock()
        # Of months, the last one: thirteen of them take a Pi Zero seconds.
        self._documents: dict[tuple[int, int, By], tuple[object, bytes]] = {}
        self._present = live.figures()
        self._figures = Figures()
        self._figured = -math.inf
        self._figuring = threading.Lock()
        self._before: dict[tuple[str, str], Reading] | None = None

    @property
    def unit(self) -> str:
        """UnitID of the meter."""
        return unit_of(self._live.config())

    def cycle_s(self, unit: str, sensor: str) -> float:
        """Return how often there should be a new reading of a series."""
        cycles = cycles_of(self._live.config().broute)
        return cycles.get((unit, sensor), UNKNOWN_CYCLE_S)

    def newest(self) -> dict[tuple[str, str], Reading]:
        """Return the newest reading of each series; from memory, but for the first call."""
        if self._before is None:
            with suppress(RetryLater, StoreError), self._reading():  # then what comes from now on
                self._before = {(each.unit, each.sensor): each for each in self._live.recorded()}
        return {**(self._before or {}), **self._live.newest()}

    def thinned(self, wanted: Wanted) -> list[Point]:
        """Return the points of a chart; StoreError, RetryLater."""
        recorder = self._live.config().recorder
        text = DailyFile(recorder.directory, recorder.fname_base, "", self._clock.zone)
        with self._reading():
            return thinned(recorder.database, text, wanted, self._clock)

    def energy(self, from_ms: int, to_ms: int, by: By) -> bytes:
        """Return the document of `kei energy --format json`.

        Raises:
            ConfigError: the range is too long.
            StoreError: nothing can be read.
            RetryLater: too many others wait for the disk.
        """
        asked = (from_ms, to_ms, by)
        with self._reading():
            version = self._present.version()
            known = self._documents.get(asked)
            if known is not None and known[0] == version:
                return known[1]
            report, rows = self._report(self._present.meter(), from_ms, to_ms, by)
            made = "".join(document(by, rows, report, self._clock.zone)).encode()
            if by is By.MONTH:
                self._documents = {asked: (version, made)}
            return made

    def facts(self) -> Facts:
        """Return how this kei is, of at most two seconds ago; StoreError, RetryLater."""
        if not self._facts_lock.acquire(timeout=WAIT_S):
            raise RetryLater("the disk does not answer; try again")
        try:
            now = self._clock.monotonic()
            if self._facts is None or now - self._facts[0] > KEPT_S:
                outline = outline_of(self._live.config(), self._clock)
                with self._reading():
                    stored = read_database(outline, self._clock)
                answer = Answer(self._live.snapshot())
                self._facts = (now, facts_of(outline, answer, stored, self._clock))
            return self._facts[1]
        finally:
            self._facts_lock.release()

    def problems(self) -> tuple[Problem, ...]:
        """Return what `kei status` would name; StoreError, RetryLater."""
        return problems_of(self.facts())

    def figures(self) -> Figures:
        """Return the sums that people want to see; those of before while others read."""
        now = self._clock.monotonic()
        if now - self._figured >= FIGURES_KEPT_S and self._figuring.acquire(blocking=False):
            try:
                with self._reading():
                    self._figures = self._present.figures()
                self._incidents.ended("figures_not_read")
            except KeiError as error:
                if not isinstance(error, RetryLater):
                    self._figures = Figures()
                self._incidents.raised("figures_not_read", reason=str(error))
            finally:
                self._figured = self._clock.monotonic()
                self._figuring.release()
        return self._figures

    def cost(self, from_ms: int, to_ms: int) -> dict[str, object]:
        """Return what was bought and sold in a range, and what that costs without anything fixed.

        Raises:
            ConfigError: the range is too long, or a library is missing that the prices need.
            StoreError: nothing can be read.
            RetryLater: too many others wait for the disk.
        """
        tariff, zone = self._live.config().tariff, self._clock.zone
        with self._reading():
            meter = self._present.meter()
            report, rows = self._report(meter, from_ms, to_ms, By.MONTH)
            for _ in rows:
                pass
            known = None if tariff is None else Billing(tariff, meter, self._clock)
            cost = None if known is None else known.cost(from_ms, to_ms).amount
        total = report.total
        assert total is not None, "all rows have been taken"
        return {
            "from": local(total.period.first_ms, zone).isoformat(),
            "to": local(total.period.last_ms, zone).isoformat(),
            "bought_kwh": as_number(total.bought),
            "sold_kwh": as_number(total.sold),
            "missing": total.missing,
            "cost": as_number(cost and cost.quantize(SEN)),
        }

    def bill(self, month: Month | None) -> bytes:
        """Return the document of `kei bill --format json`.

        Raises:
            ConfigError: there is no tariff, or a library is missing that it needs.
            StoreError: nothing can be read.
            RetryLater: too many others wait for the disk.
        """
        tariff = self._live.config().tariff
        if tariff is None:
            raise ConfigError(["there is no [tariff] in jobs.toml"])
        with self._reading():
            found = Billing(tariff, self._present.meter(), self._clock).billed(month)
        return bill_document(found.bill, self._clock.zone, found.forecast, found.sold).encode()

    def _report(
        self, meter: RecordedMeter, from_ms: int, to_ms: int, by: By
    ) -> tuple[Report, Iterator[Row]]:
        """Return the energy of a range that is answered at once; ConfigError if it is longer."""
        now_ms = self._clock.now_ms()
        found = meter.report(from_ms, to_ms, by, now_ms, ROWS_MAX)
        days = (min(to_ms, now_ms) - from_ms) // DAY_MS
        if days > DAYS_MAX:
            raise ConfigError([f"that is {days} days; choose a range of at most {DAYS_MAX} days"])
        return found

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Have a turn at the disk; RetryLater if too many others have theirs."""
        if not self._turn.acquire(timeout=WAIT_S):
            raise RetryLater("too many wait for the disk; try again")
        try:
            yield
        finally:
            self._turn.release()
