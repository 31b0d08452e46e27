"""`kei bill`: what a billing period costs, line by line, as a table or JSON."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from kei import config
from kei.commands.bill_table import table
from kei.commands.tariff_advice import zone_warning
from kei.core.clock import Clock
from kei.core.errors import ConfigError
from kei.meter.billing import Billing
from kei.meter.recorded import RecordedMeter
from kei.settings.months import Month, month
from kei.settings.text_rules import Wrong
from kei.tariff.document import document


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
    billing = Billing(settings.tariff, RecordedMeter(settings, clock.zone), clock)
    found = billing.billed(_month(name))
    if form is Form.JSON:
        yield document(found.bill, clock.zone, found.forecast, found.sold) + "\n"
    else:
        yield from table(found.bill, clock.zone, found.forecast, found.sold)
        yield from (f"\nnote: {each}\n" for each in zone_warning(clock))


def _month(name: str | None) -> Month | None:
    try:
        return None if name is None else month(name)
    except Wrong as error:
        raise ConfigError([f"--month {error}"]) from None
