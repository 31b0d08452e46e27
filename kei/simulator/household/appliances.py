"""What draws power in a Japanese home through a day, as changes of power by second."""

import math
import random
from dataclasses import dataclass, replace

from kei.simulator.household.profile import SECONDS_PER_DAY

DAYS_PER_YEAR = 364  # of the household's period; day 0 is the 1st of January, a Monday
_HOUR_S = 3_600
_DAYS_PER_MONTH = 28
_MONTHS = DAYS_PER_YEAR // _DAYS_PER_MONTH

_COLDEST_DAY, _MEAN_CELSIUS, _SEASON_CELSIUS, _DAY_CELSIUS = 28, 16.0, 11.5, 3.5  # Tokyo, roughly
_WEATHER_CELSIUS = 2.0  # standard deviation of a day from its season
_WARMEST_HOUR = 14
_COOL_ABOVE_CELSIUS, _HEAT_BELOW_CELSIUS, _WARM_SEAT_BELOW_CELSIUS = 25.0, 9.0, 14.0
_AWAKE_HOURS = frozenset({5, 6, 7, 17, 18, 19, 20, 21, 22})
_MOST_COOLER_W = 900
_FULL_TILT_W = 450  # below, the compressor is switched on and off; above, it only slows down
_LEAST_LOAD_W = 120
_MOST_LATE_S = 1_500  # air conditioners do not know the full hour
_SUN_SLOT_S = 300

_Range = tuple[float, float]
_Whole = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Use:
    """An appliance that is switched on now and then; all but the probabilities are ranges.

    Attributes:
        watts: its power.
        seconds: how long it is used at a time.
        hours: when that may start.
        times: how often in that span.
        weekdays: probability of a day with it, Monday to Friday.
        weekend: the same for Saturday and Sunday.
        pulse_s: how long its thermostat keeps it on, and off; (0, 0) is without one.
    """

    watts: _Whole
    seconds: _Whole
    hours: _Range
    times: _Whole = (1, 1)
    weekdays: float = 1.0
    weekend: float = 1.0
    pulse_s: _Whole = (0, 0)


_USES = (
    Use((1000, 1250), (90, 270), (5.2, 7.5), (0, 2)),  # kettle
    Use((1000, 1250), (90, 270), (9.0, 16.5), (0, 1), weekdays=0.6),
    Use((1000, 1250), (90, 270), (17.3, 24.0), (0, 2)),
    Use((550, 1050), (900, 2100), (5.0, 6.0), weekdays=0.7, weekend=0.5, pulse_s=(35, 90)),  # rice
    Use((450, 850), (900, 1800), (17.2, 18.5), weekdays=0.4, weekend=0.5, pulse_s=(35, 90)),
    Use((800, 1050), (120, 260), (5.8, 7.8), weekdays=0.8),  # toaster
    Use((950, 1250), (40, 200), (5.5, 8.0), (0, 1)),  # microwave oven
    Use((950, 1250), (40, 200), (11.5, 13.5), (0, 1), weekdays=0.7),
    Use((950, 1250), (40, 200), (17.5, 20.5), (0, 2)),
    Use((950, 1250), (120, 300), (0.0, 4.0), weekdays=0.3, weekend=0.4),  # a late meal
    Use((400, 850), (240, 900), (17.3, 19.5), (1, 2), pulse_s=(60, 180)),  # cooking plate
    # The drum of a washing machine.
    Use((150, 350), (2100, 3300), (6.0, 10.0), weekdays=0.7, weekend=0.95, pulse_s=(200, 330)),
    Use((450, 800), (300, 900), (9.0, 14.0), weekdays=0.3, weekend=0.6),  # vacuum cleaner
    Use((600, 1050), (120, 360), (19.5, 23.0), (0, 2)),  # hair dryer
    Use((220, 400), (15, 60), (0.0, 24.0), (14, 30)),  # rinsing toilet seat, pump
    Use((80, 160), (3600, 9000), (17.5, 20.5), (1, 2)),  # television
    Use((80, 160), (3600, 9000), (8.0, 16.0), (0, 2), weekdays=0.6, weekend=0.9),
    Use((80, 190), (3600, 14_400), (0.0, 24.0), (2, 4)),  # computers
    Use((60, 130), (120, 1500), (0.0, 24.0), (14, 30)),  # fans, lights, chargers, a warm tap
)
_WARM_SEATS_W = (80, 140)  # heated seat, carpet, kotatsu
_WARM_SEATS_S = ((40, 120), (60, 240))  # on, off


@dataclass(frozen=True, slots=True)
class Home:
    """The constants of a home.

    Attributes:
        standby_w: what is always on.
        lasting_w: what stays on through each month of 28 days: a dehumidifier, an aquarium.
        evening_w: lights and the like while people are up.
        fridge_w: power of the refrigerator's compressor.
        fridge_on_s: how long it runs.
        fridge_cycle_s: from one start to the next.
        cooler_w: air conditioner, W per degree.
        solar_peak_w: panels at noon in spring; 0 is none.
        share_of_r: share of the R phase in the current.
        habit_s: how much earlier or later everything happens here.
    """

    standby_w: int
    lasting_w: tuple[int, ...]
    evening_w: int
    fridge_w: int
    fridge_on_s: int
    fridge_cycle_s: int
    cooler_w: int
    solar_peak_w: int
    share_of_r: float
    habit_s: int

    @classmethod
    def of(cls, rng: random.Random, *, solar: bool) -> "Home":
        """Return a random home."""
        home = cls(
            standby_w=rng.randint(235, 320),
            lasting_w=tuple(rng.choice((0, 0, 40, 90, 240)) for _ in range(_MONTHS)),
            evening_w=rng.randint(100, 220),
            fridge_w=rng.randint(80, 130),
            fridge_on_s=rng.randint(840, 1500),
            fridge_cycle_s=rng.randint(2500, 3600),
            cooler_w=rng.randint(70, 110),
            solar_peak_w=rng.randint(2800, 4600),
            share_of_r=rng.uniform(0.5, 0.72),
            habit_s=rng.randint(-900, 900),
        )
        return home if solar else replace(home, solar_peak_w=0)


class _Steps:
    """Adds up what is switched on and off, cut off at midnight."""

    def __init__(self, watt: int) -> None:
        self.edges = {0: watt}  # by how much power changes at which second

    def add(self, start: float, seconds: float, watts: float) -> None:
        first, last, watt = max(int(start), 0), int(start + seconds), int(watts)
        if first >= last or first >= SECONDS_PER_DAY:
            return
        edges = self.edges  # not by `change`: a year is a hundred thousand calls
        edges[first] = edges.get(first, 0) + watt
        if last < SECONDS_PER_DAY:
            edges[last] = edges.get(last, 0) - watt

    def change(self, second: int, watt: int) -> None:
        self.edges[second] = self.edges.get(second, 0) + watt


def day(home: Home, position: int, rng: random.Random) -> dict[int, int]:
    """Return the changes of the power by second of a day, W; that of 0 is the power at midnight.

    Args:
        home: the home.
        position: day of the period, 0 is the 1st of January and a Monday.
        rng: the random source of that day.
    """
    always = home.standby_w + home.lasting_w[position // _DAYS_PER_MONTH] + rng.randint(-25, 25)
    steps = _Steps(max(_LEAST_LOAD_W, always))
    weekend = position % 7 >= 5
    _people(home, steps, rng)
    _fridge(home, steps, rng)
    for use in _USES:
        _use(home, steps, use, rng, weekend=weekend)
    mean = _mean_celsius(position) + rng.gauss(0.0, _WEATHER_CELSIUS)
    late_s = rng.uniform(-_MOST_LATE_S, _MOST_LATE_S)
    for hour in range(24):
        angle = 2 * math.pi * (hour - _WARMEST_HOUR) / 24
        celsius = mean + _DAY_CELSIUS * math.cos(angle)
        _climate(home, steps, hour, late_s, celsius, rng)
    if home.solar_peak_w:
        _sun(home, position, steps, rng)
    return steps.edges


def _people(home: Home, steps: _Steps, rng: random.Random) -> None:
    """Lights, computers and fans: in the morning a little, in the evening more."""
    wake = 5.2 * _HOUR_S + home.habit_s + rng.gauss(0, 600)
    leave = wake + rng.uniform(1.6, 2.6) * _HOUR_S
    home_again = 17 * _HOUR_S + home.habit_s + rng.gauss(0, 1800)
    asleep = 23 * _HOUR_S + rng.gauss(0, 2400)
    late = rng.uniform(0.5, 3.5) * _HOUR_S
    steps.add(0, late, home.evening_w * rng.uniform(0.6, 1.0))
    steps.add(wake, leave - wake, home.evening_w * 0.7)
    steps.add(leave, home_again - leave, home.evening_w * rng.uniform(0.1, 0.6))
    steps.add(home_again, asleep - home_again, home.evening_w * rng.uniform(0.9, 1.3))


def _fridge(home: Home, steps: _Steps, rng: random.Random) -> None:
    start = -rng.random() * home.fridge_cycle_s
    while start < SECONDS_PER_DAY:
        steps.add(start, home.fridge_on_s, home.fridge_w)
        start += home.fridge_cycle_s * (0.9 + 0.2 * rng.random())


def _use(home: Home, steps: _Steps, use: Use, rng: random.Random, *, weekend: bool) -> None:
    if rng.random() >= (use.weekend if weekend else use.weekdays):
        return
    for _ in range(_between(rng, use.times)):
        start = _within(rng, use.hours) * _HOUR_S + home.habit_s
        seconds, watts = _between(rng, use.seconds), _between(rng, use.watts)
        if use.pulse_s == (0, 0):
            steps.add(start, seconds, watts)
            continue
        _pulses(steps, (start, start + seconds), watts, (use.pulse_s, use.pulse_s), rng)


def _mean_celsius(position: int) -> float:
    season = -math.cos(2 * math.pi * (position - _COLDEST_DAY) / DAYS_PER_YEAR)
    return _MEAN_CELSIUS + _SEASON_CELSIUS * season


def _climate(
    home: Home, steps: _Steps, hour: int, late_s: float, celsius: float, rng: random.Random
) -> None:
    """Cool in an hour when it is hot, heat in a cold one while people are up."""
    awake = hour in _AWAKE_HOURS
    start = hour * _HOUR_S + late_s
    end = start + _HOUR_S
    if celsius < _WARM_SEAT_BELOW_CELSIUS and rng.random() < (0.9 if awake else 0.5):
        _pulses(steps, (start, end), _between(rng, _WARM_SEATS_W), _WARM_SEATS_S, rng)
    cooling = celsius - _COOL_ABOVE_CELSIUS
    heating = _HEAT_BELOW_CELSIUS - celsius if awake else 0.0
    effort = max(cooling, heating, 0.0)
    if effort > 0 and rng.random() < 0.9:
        _air_conditioner(steps, start, end, 120 + home.cooler_w * effort, rng)


def _pulses(
    steps: _Steps, span: _Range, watts: int, on_off_s: tuple[_Whole, _Whole], rng: random.Random
) -> None:
    """Let a thermostat switch on and off, from the start of a span to its end."""
    start, end = span
    on_s, off_s = on_off_s
    while start < end:
        seconds = _between(rng, on_s)
        steps.add(start, seconds, watts)
        start += seconds + _between(rng, off_s)


def _air_conditioner(
    steps: _Steps, start: float, end: float, watts: float, rng: random.Random
) -> None:
    """Run an inverter for an hour: it slows down, and when little is needed, it pauses."""
    while start < end:
        seconds = min(rng.uniform(180, 600), end - start)
        watt = min(max(watts, _FULL_TILT_W * 0.7) * rng.uniform(0.9, 1.1), _MOST_COOLER_W)
        if watts >= _FULL_TILT_W or rng.random() < watts / _FULL_TILT_W:
            steps.add(start, seconds, watt)
        start += seconds


def _sun(home: Home, position: int, steps: _Steps, rng: random.Random) -> None:
    """Subtract what the panels yield; the day's length follows the season, clouds come and go."""
    season = -math.cos(2 * math.pi * (position - 9) / DAYS_PER_YEAR)  # shortest day in December
    half_day = (6.0 + 1.2 * season) * _HOUR_S
    noon = 11.75 * _HOUR_S
    clear = rng.choice((1.0, 1.0, 0.8, 0.5, 0.25))
    peak_w = home.solar_peak_w * (0.85 + 0.15 * season)
    sky, before = clear, 0
    dawn, dusk = int(noon - half_day), int(noon + half_day)
    for second in range(dawn, dusk, _SUN_SLOT_S):
        if clear < 1.0:
            sky = min(1.0, 0.7 * sky + 0.3 * clear * (0.2 + 1.6 * rng.random()))
        height = math.sin(math.pi * (second - dawn) / (dusk - dawn))
        yielded = int(peak_w * sky * height**1.3)
        steps.change(second, before - yielded)
        before = yielded
    steps.change(dusk, before)


def _between(rng: random.Random, span: _Whole) -> int:
    """Return a whole number of a span; several times as fast as `randint`, and there are many."""
    low, high = span
    return low + int(rng.random() * (high - low + 1))


def _within(rng: random.Random, span: _Range) -> float:
    low, high = span
    return low + rng.random() * (high - low)
