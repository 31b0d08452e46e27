"""What `/metrics` says to Prometheus: the only module that knows its client library.

A collector of our own: the library's counters begin at 0, a meter's register does not. Every scrape
gets what is known at that moment, and nothing is kept from one to the next.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from kei.core.reading import Reading
from kei.echonet.meter_class import PROPERTIES
from kei.meter.decoder import is_of_meter
from kei.meter.expected import cycles_of
from kei.meter.figures import Figures
from kei.status.facts import FUTURE_LIMIT_S, Facts
from kei.status.rules import Rule, problems_of
from kei.status.snapshot import Snapshot
from kei.upload.health import Health
from kei.web.disk_look import DiskLook
from kei.web.live import Live
from kei.web.recorded import UNKNOWN_CYCLE_S, Recorded

STALE_CYCLES = 3  # contract
JOULES = 3_600_000  # of a kWh
_ELSEWHERE = frozenset({Rule.NOT_RUNNING, Rule.NOT_ANSWERING})  # whoever answers does both
_MEASURED_EVERY_S = {
    sensor: row.measured_every_s
    for row in PROPERTIES.values()
    if row.measured_every_s is not None
    for sensor in row.sensors
}

Series = tuple[str, str]  # UnitID, SensorID
Labels = tuple[str, ...]
Samples = Iterable[tuple[Labels, float | None]]


@dataclass(frozen=True, slots=True)
class OfMeter:
    """A metric of the meter's series.

    Attributes:
        name: of the metric.
        text: what it is, for people.
        labels: names of its labels.
        sensors: the values of these, by SensorID.
        family: of the library.
        factor: from the unit of the SensorIDs to that of the metric.
    """

    name: str
    text: str
    labels: Labels
    sensors: Mapping[str, Labels]
    family: type[GaugeMetricFamily | CounterMetricFamily] = GaugeMetricFamily
    factor: int = 1


OF_METER = {
    "W": OfMeter("kei_power_watts", "Power that is bought now; sold, if negative.", (), {"E7": ()}),
    "A": OfMeter(
        "kei_current_amperes",
        "Current of a phase now; negative while selling.",
        ("phase",),
        {"E8R": ("r",), "E8T": ("t",)},
    ),
    "kWh": OfMeter(
        "kei_energy_joules",
        "Reading of the meter's register of energy; a kWh is 3.6e6 joules.",
        ("direction",),
        {"E0": ("bought",), "E3": ("sold",)},
        CounterMetricFamily,
        JOULES,
    ),
}
"""By the unit of measure that a property has in the table of the meter's class."""


@dataclass(frozen=True, slots=True)
class _OnDisk:
    """What has to be read from the disk."""

    facts: Facts
    health: Health
    figures: Figures | None


class Metrics(Collector):
    """The answers to Prometheus. Thread-safe.

    Args:
        live: the running kei.
        recorded: what it has recorded.
    """

    def __init__(self, live: Live, recorded: Recorded) -> None:
        self._live = live
        self._recorded = recorded
        self._look = DiskLook(self._read, live.clock)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def answer(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their type.

        Args:
            accept: the header of the request; OpenMetrics for whoever asks for it.
        """
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Yield each metric that has a value."""
        on_disk, snapshot = self._look.found(), self._live.snapshot()
        yield from self._of_series(snapshot, on_disk.facts.series if on_disk else ())
        yield from _of_session(snapshot)
        yield from _of_program(snapshot)
        yield from _of_uploads(snapshot)
        if on_disk is not None:
            yield from _of_disk(on_disk.facts, on_disk.health)
            # By a clock that is wrong they would be those of another month.
            if on_disk.figures is not None and not snapshot.clock.likely_wrong:
                yield from _of_costs(on_disk.figures)

    def _read(self) -> _OnDisk:
        config = self._live.config()
        has_costs = config.broute is not None and config.tariff is not None
        return _OnDisk(
            self._recorded.facts(),
            self._live.health(),
            self._recorded.figures() if has_costs else None,
        )

    def _of_series(self, snapshot: Snapshot, recorded: Iterable[Reading]) -> Iterator[Metric]:
        newest = self._fresh(snapshot, recorded)
        broute = self._live.config().broute
        of_meter = {
            sensor: each.value
            for (unit, sensor), each in newest.items()
            if broute is not None and unit == broute.unit
        }
        for each in OF_METER.values():
            values = [
                (labels, float(of_meter[sensor] * each.factor))
                for sensor, labels in each.sensors.items()
                if sensor in of_meter
            ]
            yield from _family(each.name, each.text, values, each.labels, each.family)
        yield from _family(
            "kei_sensor_value",
            "Newest value of a sensor at a serial port, in its own unit.",
            (
                (series, float(each.value))
                for series, each in newest.items()
                if broute is None or series[0] != broute.unit
            ),
            ("unit", "sensor"),
        )
        if not snapshot.clock.likely_wrong:
            yield from _family(
                "kei_reading_timestamp_seconds",
                "When the newest reading of a series was measured, seconds since 1970.",
                ((series, each.time_ms / 1000) for series, each in newest.items()),
                ("unit", "sensor"),
            )

    def _fresh(self, snapshot: Snapshot, recorded: Iterable[Reading]) -> dict[Series, Reading]:
        """Return the newest reading of each series that is of now.

        A meter that jobs.toml does not name any more, or by another unit, says nothing of now.
        """
        config, clock = self._live.config(), self._live.clock
        cycles_s = cycles_of(config.broute)
        unit = config.broute.unit if config.broute else None
        pauses_s = self._live.pauses_s()
        silent = {series for port in snapshot.sensors for series in port.silent}
        newest = {} if snapshot.clock.likely_wrong else {(e.unit, e.sensor): e for e in recorded}

        def limit_s(series: Series) -> float:
            if series[0] == unit:
                cycle_s = cycles_s.get(series) or _MEASURED_EVERY_S.get(series[1], 0.0)
            elif not config.serial or ",".join(series) in silent:
                cycle_s = 0.0
            else:
                cycle_s = pauses_s.get(series, UNKNOWN_CYCLE_S)
            return STALE_CYCLES * cycle_s

        return {
            series: each
            for series, each in sorted((newest | dict(self._live.newest())).items())
            if (series[0] == unit or not is_of_meter(each))
            and -FUTURE_LIMIT_S <= each.age_s(clock) <= limit_s(series)
        }


def _family(
    name: str,
    text: str,
    samples: Samples,
    labels: Labels = (),
    family: type[GaugeMetricFamily | CounterMetricFamily] = GaugeMetricFamily,
) -> Iterator[Metric]:
    """Yield a metric, unless it has no values."""
    found = family(name, text, labels=labels)
    for values, value in samples:
        if value is not None:
            found.add_metric(values, value)
    if found.samples:
        yield found


def _one(name: str, text: str, value: float | None) -> Iterator[Metric]:
    return _family(name, text, [((), value)])


def _of_session(snapshot: Snapshot) -> Iterator[Metric]:
    session = snapshot.session
    if session is None:
        return
    yield from _one("kei_session_up", "Whether the meter is joined.", session.joined)
    dbm = session.rssi_dbm if session.joined else None
    yield from _one("kei_signal_dbm", "Received power of the meter's last frame, dBm.", dbm)
    results = ("answered", "missed", "held_back")
    yield from _family(
        "kei_requests",
        "Requests to the meter since the start; held_back: those that could not be sent.",
        [((name,), getattr(session, name)) for name in results],
        ("result",),
        CounterMetricFamily,
    )


def _of_program(snapshot: Snapshot) -> Iterator[Metric]:
    yield InfoMetricFamily("kei_build", "The version that runs.", {"version": snapshot.version})
    yield from _one("kei_uptime_seconds", "Seconds since kei was started.", snapshot.up_s)
    yield from _one(
        "kei_clock_synchronised",
        "Whether a time service has set this machine's clock.",
        snapshot.clock.synchronised,
    )
    yield from _one(
        "kei_recorder_waiting_readings",
        "Readings that have no line in the text files yet: they wait for the clock, or the disk.",
        snapshot.recorder.pending + snapshot.recorder.text.waiting,
    )
    yield from _family(
        "kei_sensor_port_up",
        "Whether a serial port with sensors is open.",
        [((port.port,), port.fault is None) for port in snapshot.sensors],
        ("port",),
    )
    if snapshot.mqtt is not None:
        told = "Whether the MQTT broker is connected."
        yield from _one("kei_mqtt_connected", told, snapshot.mqtt.connected)


def _of_uploads(snapshot: Snapshot) -> Iterator[Metric]:
    yield from _family(
        "kei_upload_failures",
        "Attempts to upload that have failed since the last one that did not.",
        [((upload.target,), upload.failures) for upload in snapshot.uploads],
        ("target",),
    )


def _of_disk(facts: Facts, health: Health) -> Iterator[Metric]:
    waiting = [((each.name,), each.waiting) for each in facts.uploads if each.waiting is not None]
    yield from _family(
        "kei_upload_backlog_rows",
        "Rows that wait to be uploaded.",
        [(target, rows.rows) for target, rows in waiting],
        ("target",),
    )
    yield from _family(
        "kei_upload_oldest_row_age_seconds",
        "How long the oldest row has waited to be uploaded; 0 if none does.",
        [
            (target, 0 if rows.oldest_ms is None else max(0.0, facts.age_s(rows.oldest_ms)))
            for target, rows in waiting
        ],
        ("target",),
    )
    yield from _family(
        "kei_upload_dead_letters",
        "Rows that the server has refused, and that were set aside.",
        [(target, rows.set_aside) for target, rows in waiting],
        ("target",),
    )
    yield from _family(
        "kei_upload_dropped_rows",
        "Rows that were given up before they could be uploaded, because too many waited.",
        [(target, rows.dropped) for target, rows in waiting],
        ("target",),
        CounterMetricFamily,
    )
    broken = {problem.rule for problem in problems_of(facts)}
    yield from _family(
        "kei_problem",
        "Whether a rule of `kei status` is broken.",
        [((rule.value,), rule in broken) for rule in Rule if rule not in _ELSEWHERE],
        ("rule",),
    )
    free, celsius = health.numbers["disk_free_bytes"], health.numbers["cpu_celsius"]
    yield from _one("kei_disk_free_bytes", "What kei can still write to its disk.", free)
    yield from _one("kei_cpu_temperature_celsius", "Temperature of the processor.", celsius)


def _of_costs(figures: Figures) -> Iterator[Metric]:
    today, bill = figures.today, figures.period
    yield from _family(
        "kei_cost_yen",
        "What electricity has cost so far: today without anything fixed, and this bill.",
        [(("today",), _float(today.cost)), (("bill",), _float(bill.cost))],
        ("range",),
    )
    forecast, price = _float(bill.forecast), _float(figures.price)
    yield from _one("kei_cost_forecast_yen", "What this bill will be at its end.", forecast)
    yield from _one("kei_price_yen_per_kwh", "What the next kWh costs.", price)


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
