"""What is no mistake in a configuration, but hardly what its owner wants."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from kei.core.extras import lacking, missing
from kei.jobs.kinds import duration
from kei.settings.config import Config
from kei.settings.site import host_name

ANSWER_S = 2.0  # what a meter takes on a good link, at most
AIR_TIME_A_FRAME_S = 0.01  # 100 bytes at 100 kbit/s and the pause after them (ARIB STD-T108)
# Host names that nobody has chosen: every new card has one of them.
NAMES_OF_IMAGES = frozenset(
    {"raspberrypi", "localhost", "debian", "ubuntu", "dietpi", "armbian", "orangepi"}
)
AIR_TIME_LIMIT_S = 360  # in any hour (ARIB STD-T108)


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to think about.

    Attributes:
        text: one line for a person.
        is_urgent: whether it keeps kei from doing what it is for.
    """

    text: str
    is_urgent: bool


def air_time_s(config: Config) -> float:
    """Return about how long the dongle transmits in an hour, in seconds."""
    groups = config.broute.requests if config.broute else ()
    return sum(3600 / group.cycle_s * AIR_TIME_A_FRAME_S for group in groups)


def advice(config: Config) -> Iterator[Advice]:
    """Yield what its owner should think about; nothing when all is as it should be."""
    if config.broute is None and not config.serial:
        text = "there is nothing to record: neither a [broute] nor a [[serial]] table"
        yield Advice(text, is_urgent=True)
    used_s = air_time_s(config)
    if used_s > AIR_TIME_LIMIT_S / 2:
        text = (
            f"about {used_s:.0f} s of transmission an hour, of the {AIR_TIME_LIMIT_S} s that are "
            "allowed: answers and tries again need air time, too; ask less often"
        )
        yield Advice(text, is_urgent=True)
    for group in config.broute.requests if config.broute else ():
        if group.cycle_s < ANSWER_S:
            names = " ".join(f"{epc:02X}" for epc in group.epcs)
            text = (
                f"{names} every {duration(group.cycle_s)}: an answer takes up to {ANSWER_S:g} s, "
                "on a weak link more: many will be left out"
            )
            yield Advice(text, is_urgent=False)
    yield from _same_names(config)
    yield from _same_health(config)
    if config.mqtt is not None and missing("paho"):
        text = f"no broker will be told anything: {lacking('mqtt', 'paho')}"
        yield Advice(text, is_urgent=True)
    plans = () if config.tariff is None else config.tariff.plan
    if any(plan.needs_national_holidays for plan in plans) and missing("jpholiday"):
        text = f'"national" holidays of [tariff], so no costs: {lacking("bill", "jpholiday")}'
        yield Advice(f"{text}, or list their dates", is_urgent=True)
    yield from _page(config)


def _page(config: Config) -> Iterator[Advice]:
    """Yield what to know about the page: who can look at it, and what it needs."""
    if config.web is None:
        return
    if config.web.is_open:
        text = (
            f"everybody who reaches {config.web.listen} can see the page, and by it when nobody is"
            " at home: give [web] a password (or password_file)"
        )
        yield Advice(text, is_urgent=True)
    if lost := missing("bottle", "waitress"):
        text = f"there will be no page: {lacking('web', *lost)}"
        yield Advice(text, is_urgent=True)
    elif missing("prometheus_client"):
        text = f"the page will have no /metrics: {lacking('web', 'prometheus_client')}"
        yield Advice(text, is_urgent=False)


def _same_health(config: Config) -> Iterator[Advice]:
    """Yield where one server would get how this kei is twice, so that it counts twice there."""
    told: dict[str, str] = {}
    for target in config.upload:
        server = urlsplit(target.target_url).netloc
        if target.health and (first := told.setdefault(server, target.name)) != target.name:
            text = f"uploads {first} and {target.name} both tell one server how this kei is"
            yield Advice(f"{text}: write health = false in one of them", is_urgent=False)


def _same_names(config: Config) -> Iterator[Advice]:
    """Yield whether servers may take this kei for another one: cards from one image have one name.

    The files of the format keilog carry no name.
    """
    name = config.site.name
    is_told = config.mqtt or any(target.format != "keilog" for target in config.upload)
    if is_told and name == host_name():
        text = (
            f'servers know this kei as "{name}", the host name: where other machines have the same '
            "one, their data become one series; give each kei a [site] name of its own"
        )
        yield Advice(text, is_urgent=name in NAMES_OF_IMAGES)
