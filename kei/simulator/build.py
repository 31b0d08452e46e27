"""Builds a simulated dongle with its meter and household from the options."""

import random
from dataclasses import replace

from kei.core.clock import Clock
from kei.echonet.meter_class import METER_ZONE
from kei.simulator.air.dongle import SimulatedDongle
from kei.simulator.air.meter_radio import MeterRadio
from kei.simulator.household.household import Household, Load
from kei.simulator.household.recorded import RecordedHousehold
from kei.simulator.j11.dongle import J11Dongle
from kei.simulator.meter.meter import Meter
from kei.simulator.options import BINARY, J11, SimulatorOptions
from kei.simulator.skstack.dongle import SkstackDongle
from kei.simulator.skstack.models import MODELS


def build(options: SimulatorOptions, clock: Clock) -> SimulatedDongle:
    """Return a dongle that has just been switched on.

    The meter's clock starts with the time in Japan, whatever the machine's zone is, and then runs
    evenly at its speed, whatever happens to the machine's clock: its registers never go back.

    Raises:
        ConfigError: the file of a recorded day cannot be read.
    """
    start_ms, began = clock.now_ms(), clock.monotonic()
    in_japan_s = start_ms / 1000 + METER_ZONE.utcoffset(None).total_seconds()
    meter_s = in_japan_s + options.clock_skew
    household: Load = (
        RecordedHousehold(options.household)
        if options.household
        else Household(options.seed, solar=options.solar)
    )
    radio = MeterRadio(options.broute_id, options.broute_pwd, heard_from=options.heard_from)
    meter = Meter(
        household,
        lambda: meter_s + (clock.monotonic() - began) * options.speed,
        options.meter_type(meter_s),
    )
    rng = random.Random(f"{options.seed}/air")
    if options.dongle == J11:
        return J11Dongle(
            radio,
            meter,
            timing=options.timing(),
            faults=options.faults,
            rng=rng,
            now=began,
            zero_sums=not options.strict_sums,
        )
    model = MODELS[options.dongle]
    if options.longest_scan is not None:
        model = replace(model, longest_scan=options.longest_scan)
    if options.payload is not None:
        model = replace(model, binary=options.payload == BINARY)
    if options.takes_sa2:
        model = replace(model, takes_sa2=True)
    return SkstackDongle(
        model,
        radio,
        meter,
        timing=options.timing(),
        faults=options.faults,
        rng=rng,
        now=began,
    )
