"""`kei bill`: what a billing period costs, line by line, as a table or JSON."""

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from enum import StrEnum
from pathlib import Path

from kei import config
from kei.commands.bill_table import table
from kei.commands.tariff_advice import zone_warning
from kei.core.clock import Clock
from kei.core.errors import ConfigError
from kei.meter.recorded import RecordedMeter
from kei.settings.months import month
from kei.settings.tariff import Tariff
from kei.settings.text_rules import Wrong
from kei.tariff.document import document
from kei.tariff.forecast import DAY_MS, LOOK_BACK_DAYS
from kei.tariff.market import read_all
from kei.tariff.periods import BillingPeriod, period_at, period_of
from kei.tariff.pricing import Pricing


class Form(StrEnum):
    """The format of the bill."""

    TABLE = "table"  # for a person
    JSON = "json"  # one object


def bill(
    path: Path, name: str | None, form: Form, *, environ: Mapping[str, str], clock: Clock
) -> Iterator[str]:
    """Yield the bill in lines, each with its line end.

    Args:
        path: jobs.toml; its database is read.
        name: of the billing month, `2026-11`; the one that is running if None.
        form: of the bill.
        environ: the environment.
        clock: for the present and the local time zone.

    Raises:
        ConfigError: the file does not validate or has no tariff, the month is none, or a library
            is missing.
        StoreError: there is no database, or it cannot be read.
    """
    settings = config.load(path, environ=environ, with_secrets=False)
    if settings.tariff is None:
        raise ConfigError([f"{path}: there is no [tariff] in it; docs/tariffs.md has examples"])
    tariff, now_ms = settings.tariff, clock.now_ms()
    period = _period(tariff, name, now_ms, clock.zone)
    meter = RecordedMeter(settings, clock.zone)
    start_ms = period.start_ms
    if period.end_ms > now_ms:
        start_ms = min(start_ms, now_ms) - LOOK_BACK_DAYS * DAY_MS
    bought, sold = meter.use(start_ms, period.end_ms, now_ms)
    pricing = Pricing(tariff, clock.zone, read_all(tariff, start_ms, period.end_ms))
    found = pricing.bill(period, bought)
    forecast = pricing.forecast(period, bought)
    of_sold = None if sold is None else pricing.sold(period, sold)
    if form is Form.JSON:
        yield document(found, clock.zone, forecast, of_sold) + "\n"
    else:
        yield from table(found, clock.zone, forecast, of_sold)
        yield from (f"\nnote: {each}\n" for each in zone_warning(clock))


def _period(tariff: Tariff, name: str | None, now_ms: int, zone: tzinfo) -> BillingPeriod:
    if name is None:
        return period_at(now_ms, tariff, zone)
    try:
        return period_of(month(name), tariff, zone)
    except Wrong as error:
        raise ConfigError([f"--month {error}"]) from None
