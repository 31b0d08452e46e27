"""A tariff of a test as jobs.toml has it, and what a household has used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from fakes import TOKYO
from jobs_file import JobsFile

from kei.core.clock import epoch_ms
from kei.energy.registers import HALF_HOUR_MS
from kei.energy.report import Gap
from kei.settings.months import month
from kei.settings.tariff import Tariff
from kei.tariff.bill import Bill
from kei.tariff.market import read_all
from kei.tariff.pricing import Pricing
from kei.tariff.use import Use

STEPS = "steps = [{ to = 120, price = 29.80 }, { to = 300, price = 36.40 }, { price = 40.49 }]"
BASE = 'base = { per = "10A", price = 311.75 }'


def tariff(plan: str, more: str = "", top: str = 'contract = "40A"') -> Tariff:
    """Return what this means, with one plan.

    Args:
        plan: the keys of the plan but `from`, which may be there, too.
        more: tables behind it.
        top: keys of the tariff.
    """
    begin = "" if "from =" in plan else "from = 2000-01-01\n"
    with TemporaryDirectory() as folder:
        text = f"[tariff]\n{top}\n[[tariff.plan]]\n{begin}{plan}\n{more}"
        found = JobsFile(Path(folder) / "jobs.toml").load(text).tariff
    assert found is not None
    return found


def at(text: str, zone: ZoneInfo = TOKYO) -> int:
    """Return a local time, `2026-10-10 07:30`, in milliseconds since 1970 in UTC."""
    return epoch_ms(datetime.fromisoformat(text).replace(tzinfo=zone))


@dataclass
class Home:
    """A household with a tariff: kWh by the local time of their half-hours, all others are 0."""

    tariff: Tariff
    name: str = "2026-11"
    used: Mapping[str, str] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    zone: ZoneInfo = TOKYO

    @property
    def pricing(self) -> Pricing:
        year = (at("2020-01-01"), at("2030-01-01"))
        return Pricing(self.tariff, self.zone, read_all(self.tariff, *year))

    def use(self, until: str = "") -> Use:
        period = self.pricing.period(month(self.name))
        end = at(until, self.zone) if until else period.end_ms
        half_hours = {each: Decimal(0) for each in range(period.start_ms, end, HALF_HOUR_MS)}
        half_hours |= {at(when, self.zone): Decimal(kwh) for when, kwh in self.used.items()}
        for gap in self.gaps:
            for each in range(gap.start_ms, gap.end_ms, HALF_HOUR_MS):
                half_hours.pop(each, None)
        return Use(period.start_ms, end, half_hours, self.gaps)

    def bill(self, until: str = "") -> Bill:
        pricing = self.pricing
        return pricing.bill(pricing.period(month(self.name)), self.use(until))


def bill_of(tariff: Tariff, kwh: str, name: str = "2026-11") -> Bill:
    """Return the bill of so many kWh."""
    pricing = Pricing(tariff, TOKYO)
    period = pricing.period(month(name))
    return pricing.bill(
        period, Use(period.start_ms, period.end_ms, {period.start_ms: Decimal(kwh)})
    )


def lines(bill: Bill) -> Iterator[tuple[str, str | None]]:
    """Yield what the lines say, with their amounts."""
    for line in bill.lines:
        yield line.what, None if line.amount is None else f"{line.amount:f}"
