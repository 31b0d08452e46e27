"""What is no mistake in a configuration, but hardly what its owner wants."""

from collections.abc import Iterator

from kei.config import Config
from kei.jobs.plan import AIR_TIME_LIMIT_S, air_time_s, duration

ANSWER_S = 2.0  # what a meter takes on a good link, at most


def advice(config: Config) -> Iterator[str]:
    """Yield one line for each thing to think about; none when all is as it should be."""
    broute = config.broute
    if broute is None:
        if not config.serial:
            yield "there is nothing to record: neither a [broute] nor a [[serial]] table"
        return
    used_s = air_time_s(config)
    if used_s > AIR_TIME_LIMIT_S / 2:
        yield (
            f"about {used_s:.0f} s of transmission an hour, of the {AIR_TIME_LIMIT_S} s that are "
            "allowed: answers and tries again need air time, too; ask less often"
        )
    for group in broute.requests:
        if group.cycle_s < ANSWER_S:
            names = " ".join(f"{epc:02X}" for epc in group.epcs)
            yield (
                f"{names} every {duration(group.cycle_s)}: an answer takes up to {ANSWER_S:g} s, "
                "on a weak link more: many will be left out"
            )
