"""Billing periods: from a metering day to the day before the next one."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from kei.core.clock import epoch_ms, local
from kei.settings.months import Month
from kei.settings.tariff import Plan, Tariff

SCALED_FROM_DAYS = 5  # a period that differs by less from a month is billed as a month
SEN = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class BillingPeriod:
    """The days that are billed together.

    Attributes:
        month: the billing month: that of the day behind the last one.
        first: the first day.
        end: the day behind the last.
        start_ms: when the first day begins, milliseconds since 1970 in UTC.
        end_ms: when the last day ends.
    """

    month: Month
    first: date
    end: date
    start_ms: int
    end_ms: int

    @property
    def last(self) -> date:
        """The last day."""
        return self.end - timedelta(days=1)

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.end - self.first).days

    @property
    def month_days(self) -> int:
        """How many days the calendar month has in which it begins."""
        return monthrange(self.first.year, self.first.month)[1]

    @property
    def is_scaled(self) -> bool:
        """Whether it is so much shorter or longer than that month that it is billed by days."""
        return abs(self.days - self.month_days) >= SCALED_FROM_DAYS

    def scaled(self, amount: Decimal) -> Decimal:
        """Return the part of a monthly amount that is due, cut to sen if it is scaled."""
        if not self.is_scaled:
            return amount
        return (amount * self.days / self.month_days).quantize(SEN, ROUND_DOWN)

    def scaled_kwh(self, width: Decimal) -> Decimal:
        """Return the width of a price step in this period, whole kWh if it is scaled."""
        if not self.is_scaled:
            return width
        return (width * self.days / self.month_days).quantize(Decimal(1), ROUND_HALF_UP)


def period_of(month: Month, tariff: Tariff, zone: tzinfo) -> BillingPeriod:
    """Return the period of a billing month, shortened where the contract begins or ends in it.

    Args:
        month: the billing month.
        tariff: has the metering day; in a month that lacks it, the last day takes its place.
        zone: the local time zone.
    """
    first, end = (_metering_day(each, tariff.metering_day) for each in (month.moved(-1), month))
    if tariff.first_day is not None and first < tariff.first_day < end:
        first = tariff.first_day
    if tariff.last_day is not None and first <= tariff.last_day < end:
        end = tariff.last_day + timedelta(days=1)
    return BillingPeriod(month, first, end, _midnight(first, zone), _midnight(end, zone))


def period_at(time_ms: int, tariff: Tariff, zone: tzinfo) -> BillingPeriod:
    """Return the period that holds an instant, milliseconds since 1970 in UTC."""
    return period_of(_month_of(local(time_ms, zone).date(), tariff), tariff, zone)


def plan_of(period: BillingPeriod, tariff: Tariff) -> Plan | None:
    """Return the plan of a period: the last that has begun by its end; None if there is none.

    A plan counts from the period that holds its day on, for the whole of that period.
    """
    if is_outside(period, tariff):
        return None
    begun = [plan for plan in tariff.plan if _month_of(plan.begins, tariff) <= period.month]
    return max(begun, key=lambda plan: plan.begins, default=None)


def is_outside(period: BillingPeriod, tariff: Tariff) -> bool:
    """Tell whether a period lies before or behind the time of the contract."""
    begins_later = tariff.first_day is not None and period.end <= tariff.first_day
    has_ended = tariff.last_day is not None and tariff.last_day < period.first
    return begins_later or has_ended


def _month_of(day: date, tariff: Tariff) -> Month:
    """Return the billing month of the period that holds a day."""
    month = Month(day.year, day.month)
    return month if day < _metering_day(month, tariff.metering_day) else month.moved(1)


def _metering_day(month: Month, day: int) -> date:
    return date(month.year, month.number, min(day, monthrange(month.year, month.number)[1]))


def _midnight(day: date, zone: tzinfo) -> int:
    return epoch_ms(datetime(day.year, day.month, day.day, tzinfo=zone))
