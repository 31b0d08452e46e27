"""Which days are no weekdays."""

from collections.abc import Callable
from datetime import date

from kei.core.errors import ConfigError
from kei.core.extras import install
from kei.settings.tariff import Plan
from kei.settings.tariff_texts import NATIONAL, WEEKDAYS


def is_weekday_of(plan: Plan) -> Callable[[date], bool]:
    """Return what tells whether a day is a weekday in a plan.

    Raises:
        ConfigError: it needs the national holidays, and the library that knows them is missing.
    """
    if not plan.needs_day_kinds:
        return lambda _: True
    named = frozenset(plan.holidays)
    national = national_holidays() if plan.needs_national_holidays else _never

    def is_weekday(day: date) -> bool:
        names = (WEEKDAYS[day.weekday()], f"{day:%m-%d}", f"{day:%Y-%m-%d}")
        return named.isdisjoint(names) and not national(day)

    return is_weekday


def national_holidays() -> Callable[[date], bool]:
    """Return what tells whether a day is a national holiday of Japan.

    Raises:
        ConfigError: the library that knows them is missing.
    """
    try:
        # Not on a machine whose tariff does not need it.
        import jpholiday  # noqa: PLC0415
    except ImportError:
        how = f"{install('bill')}, or list the dates in `holidays` instead"
        what = f'tariff: the "{NATIONAL}" holidays of Japan need the library jpholiday'
        raise ConfigError([f"{what}; {how}"]) from None
    return jpholiday.is_holiday


def _never(_: date) -> bool:
    return False
