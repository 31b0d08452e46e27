"""What draws power in a Japanese home through a day, minute by minute."""

import math
import random
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import add

_MINUTES = 1_440
_HOUR = 60
_DAYS_PER_YEAR = 364  # of the household's period; day 0 is the 1st of January, a Monday
_COLDEST_DAY, _MEAN_CELSIUS, _SEASON_CELSIUS, _DAY_CELSIUS = 28, 16.0, 11.5, 4.0  # Tokyo, roughly
_WARMEST_MINUTE = 14 * _HOUR
_COOL_ABOVE_CELSIUS, _HEAT_BELOW_CELSIUS = 26.0, 13.0
_NOISE_W = 8  # of what cannot be told apart, either way
_LEAST_LOAD_W = 60


@dataclass(frozen=True, slots=True)
class Use:
    """Something that is switched on now and then.

    Attributes:
        watts: range of its power.
        minutes: range of how long it runs at a time.
        hours: from when to when it may start.
        times: range of how often in that span, each day that it is used.
        weekdays: probability of a day with it, Monday to Friday.
        weekend: the same for Saturday and Sunday.
    """

    watts: tuple[int, int]
    minutes: tuple[int, int]
    hours: tuple[float, float]
    times: tuple[int, int] = (1, 1)
    weekdays: float = 1.0
    weekend: float = 1.0


_USES = (
    Use((1100, 1300), (2, 5), (5.5, 8.0), (1, 2)),  # kettle
    Use((1100, 1300), (2, 5), (9.0, 16.0), (0, 2), weekdays=0.6),
    Use((1100, 1300), (2, 5), (17.5, 22.0), (1, 2)),
    Use((350, 700), (25, 40), (5.0, 6.0), weekdays=0.8, weekend=0.5),  # rice cooker
    Use((350, 700), (25, 40), (17.0, 18.5), weekdays=0.6, weekend=0.7),
    Use((900, 1250), (2, 6), (6.0, 7.8), (1, 3)),  # toaster and microwave oven
    Use((900, 1250), (2, 6), (11.5, 13.0), (0, 2), weekdays=0.6),
    Use((700, 1400), (4, 15), (17.5, 19.5), (2, 4)),  # cooking
    Use((180, 420), (35, 55), (6.5, 10.0), weekdays=0.7, weekend=0.95),  # washing
    Use((500, 900), (8, 20), (9.0, 14.0), weekdays=0.3, weekend=0.6),  # vacuum cleaner
    Use((900, 1200), (4, 9), (20.0, 22.5), (1, 2)),  # hair dryer
    Use((60, 140), (60, 150), (18.0, 20.5), (1, 2)),  # television
    Use((60, 140), (60, 180), (9.0, 16.0), (0, 1), weekdays=0.5, weekend=0.9),
)


@dataclass(frozen=True, slots=True)
class Home:
    """What stays the same in a home.

    Attributes:
        standby_w: what is always on.
        evening_w: lights and the like while people are up.
        fridge_w: power of the refrigerator's compressor.
        fridge_on_min: how long it runs.
        fridge_cycle_min: from one start to the next.
        cooler_w: air conditioner, W per degree.
        solar_peak_w: panels at noon in spring; 0 is none.
        share_of_r: share of the R phase in the current.
        habit_min: how much earlier or later everything happens here.
    """

    standby_w: int
    evening_w: int
    fridge_w: int
    fridge_on_min: int
    fridge_cycle_min: int
    cooler_w: int
    solar_peak_w: int
    share_of_r: float
    habit_min: int

    @classmethod
    def of(cls, chance: random.Random, *, solar: bool) -> "Home":
        """Return a home by chance."""
        home = cls(
            standby_w=chance.randint(160, 320),
            evening_w=chance.randint(120, 240),
            fridge_w=chance.randint(70, 120),
            fridge_on_min=chance.randint(14, 24),
            fridge_cycle_min=chance.randint(42, 65),
            cooler_w=chance.randint(70, 120),
            solar_peak_w=chance.randint(3200, 5000),
            share_of_r=chance.uniform(0.5, 0.72),
            habit_min=chance.randint(-25, 25),
        )
        return home if solar else replace(home, solar_peak_w=0)


class _Profile:
    """Adds up loads given as steps; what runs past midnight is cut off there."""

    def __init__(self) -> None:
        self._steps = [0] * (_MINUTES + 1)

    def add(self, start: float, minutes: float, watts: float) -> None:
        first = min(max(int(start), 0), _MINUTES)
        last = min(max(int(start + minutes), 0), _MINUTES)
        self._steps[first] += int(watts)
        self._steps[last] -= int(watts)

    def watts(self) -> list[int]:
        return list(accumulate(self._steps[:_MINUTES]))


def day(home: Home, position: int, chance: random.Random) -> list[int]:
    """Return the power of each of the 1,440 minutes of a day, W.

    Args:
        home: whose.
        position: day of the period, 0 is the 1st of January and a Monday.
        chance: of that day.
    """
    profile = _Profile()
    weekend = position % 7 >= 5
    profile.add(0, _MINUTES, max(_LEAST_LOAD_W, home.standby_w + chance.randint(-30, 40)))
    _people(home, profile, chance)
    _fridge(home, profile, chance)
    for use in _USES:
        _use(home, profile, use, chance, weekend=weekend)
    weather = chance.gauss(0.0, 2.0)
    _air_conditioner(home, profile, _celsius(position, weather), chance)
    noise = chance.randbytes(_MINUTES)
    load = list(map(add, profile.watts(), (byte % (2 * _NOISE_W + 1) - _NOISE_W for byte in noise)))
    if home.solar_peak_w:
        return _less_solar(home, position, load, chance)
    return load


def _people(home: Home, profile: _Profile, chance: random.Random) -> None:
    """Lights, computers and fans: in the morning a little, in the evening more."""
    wake = 5.5 * _HOUR + home.habit_min + chance.gauss(0, 12)
    leave = wake + chance.randint(100, 160)
    home_again = 17 * _HOUR + home.habit_min + chance.gauss(0, 30)
    asleep = 23 * _HOUR + chance.gauss(0, 35)
    profile.add(wake, leave - wake, home.evening_w * 0.6)
    profile.add(leave, home_again - leave, home.evening_w * chance.uniform(0.1, 0.6))
    profile.add(home_again, asleep - home_again, home.evening_w * chance.uniform(0.9, 1.2))


def _fridge(home: Home, profile: _Profile, chance: random.Random) -> None:
    start = -chance.random() * home.fridge_cycle_min
    while start < _MINUTES:
        profile.add(start, home.fridge_on_min, home.fridge_w)
        start += home.fridge_cycle_min * chance.uniform(0.9, 1.1)


def _use(home: Home, profile: _Profile, use: Use, chance: random.Random, *, weekend: bool) -> None:
    if chance.random() >= (use.weekend if weekend else use.weekdays):
        return
    for _ in range(chance.randint(*use.times)):
        start = chance.uniform(*use.hours) * _HOUR + home.habit_min
        profile.add(start, chance.randint(*use.minutes), chance.randint(*use.watts))


def _celsius(position: int, weather: float) -> list[float]:
    """Return the outdoor temperature of each hour."""
    season = -math.cos(2 * math.pi * (position - _COLDEST_DAY) / _DAYS_PER_YEAR)
    mean = _MEAN_CELSIUS + _SEASON_CELSIUS * season + weather
    return [
        mean + _DAY_CELSIUS * math.cos(2 * math.pi * (hour * _HOUR - _WARMEST_MINUTE) / _MINUTES)
        for hour in range(24)
    ]


def _air_conditioner(
    home: Home, profile: _Profile, celsius: list[float], chance: random.Random
) -> None:
    """Cool on hot days whenever it is hot, heat on cold ones while people are up."""
    for hour, degrees in enumerate(celsius):
        cooling = degrees - _COOL_ABOVE_CELSIUS
        heating = _HEAT_BELOW_CELSIUS - degrees if hour in {6, 7, 18, 19, 20, 21, 22} else 0.0
        effort = max(cooling, heating * 0.6, 0.0)
        if effort <= 0 or chance.random() < 0.1:
            continue
        for quarter in range(0, _HOUR, 15):
            watts = 90 + home.cooler_w * effort * chance.uniform(0.7, 1.3)
            profile.add(hour * _HOUR + quarter, 15, min(watts, 1600))


def _less_solar(home: Home, position: int, load: list[int], chance: random.Random) -> list[int]:
    """Subtract what the panels yield; the day's length follows the season, clouds come and go."""
    season = -math.cos(2 * math.pi * (position - 9) / _DAYS_PER_YEAR)  # shortest day in December
    half_day = (6.0 + 1.2 * season) * _HOUR
    noon = 11.75 * _HOUR
    clear = chance.choice((1.0, 1.0, 0.9, 0.6, 0.25))
    net = list(load)
    for slot in range(0, _MINUTES, 10):
        angle = (slot + 5 - noon) / half_day
        if abs(angle) >= 1:
            continue
        sky = clear * (1.0 if clear == 1.0 else chance.uniform(0.5, 1.3))
        height = math.cos(angle * math.pi / 2) ** 1.3 * (0.85 + 0.15 * season)
        yielded = int(home.solar_peak_w * min(sky, 1.0) * height)
        for minute in range(slot, slot + 10):
            net[minute] -= yielded
    return net
