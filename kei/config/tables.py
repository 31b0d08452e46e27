"""The tables of jobs.toml, one function each: a new key is a line, a new table a function."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from kei.config import rules
from kei.config.errors import Wrong
from kei.config.reader import At, TableReader
from kei.settings.broute import Broute, Dongle, RequestGroup
from kei.settings.config import Config
from kei.settings.log import LogLevel, LogSettings
from kei.settings.recorder import RecorderSettings, SummarySettings
from kei.settings.serial import LineEnd, PortSettings, SensorSettings, SeriesCheck
from kei.settings.upload import Compress, UploadTarget, What
from kei.upload.formats import FORMATS

T = TypeVar("T")

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86_400

# The rates that POSIX and Linux have a name for (B300 and up, termios(3)).
BAUDRATES = (
    300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200,
    230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000,
)  # fmt: skip

BYTESIZES, STOPBITS = (5, 6, 7, 8), (1, 2)  # what termios(3) has

DEFAULT_REQUESTS = (
    RequestGroup((0xD3, 0xD7, 0xE1), 3600.0),
    RequestGroup((0xE7,), 10.0),
    RequestGroup((0xE0,), 120.0),
)

REQUEST_CYCLE_MIN_S = 0.1  # no meter answers faster, not even a simulated one needs more
# Everything is asked once after each join anyway, and a longer cycle has no place in a day that
# it could be aligned to; what is larger is a number of milliseconds by mistake.
CYCLE_MAX_S = DAY_S
RETENTION_MIN_S = DAY_S  # the longest summary window: its readings must still be there
RETENTION_MAX_S = 36_500 * DAY_S
SYNC_MIN_S, SYNC_MAX_S = 0.1, HOUR_S  # SD cards wear below, and more than an hour is never meant
STALE_MIN_S, STALE_MAX_S = 1, 30 * DAY_S  # of a sensor: what is less, noise on the line costs
# One line of a file has about 40 bytes; a small computer's memory bounds it above.
BODY_MIN_BYTES, BODY_MAX_BYTES = 64, 16 * 1024 * 1024
TIMEOUT_MIN_S, TIMEOUT_MAX_S = 0.1, 5 * MINUTE_S


def config(top: TableReader, path: Path) -> Config:
    """Build everything from the outermost table.

    Args:
        top: the file's outermost table.
        path: of the file, as it was given.
    """
    broute = top.optional_table("broute", _broute)
    serial = top.tables("serial", _serial)
    recorder = top.table("recorder", _recorder)
    summary = top.table("summary", _summary)
    upload = top.tables("upload", _upload)
    log = top.table("log", _log)
    ports = [At((*item.key, "port"), item.value.port) for item in serial]
    if broute is not None:
        ports.insert(0, At(("broute", "port"), broute.port))
    top.unique(ports, "give each table a port of its own")
    top.unique(
        [At((*item.key, "name"), item.value.name) for item in upload],
        'give each [[upload]] a name of its own: name = "..."',
    )
    return Config(
        path=path,
        broute=broute,
        serial=_values(serial),
        recorder=recorder,
        summary=summary,
        upload=_values(upload),
        log=log,
    )


def _broute(table: TableReader) -> Broute:
    port = table.port("port", rules.port)
    baudrate = table.one_of("baudrate", BAUDRATES, default=115_200)
    dongle = table.choice("dongle", Dongle, default=Dongle.AUTO)
    broute_id = table.secret("broute_id", rules.broute_id)
    broute_pwd = table.secret("broute_pwd", rules.broute_pwd)
    unit = table.text("unit", rules.identifier, default="BR")
    requests = _values(table.tables("requests", _request_group)) or DEFAULT_REQUESTS
    return Broute(port, baudrate, dongle, broute_id, broute_pwd, unit, requests)


def _request_group(table: TableReader) -> RequestGroup:
    epcs = table.texts("epc", rules.epc)
    table.unique(
        [At(epc.key, f"{epc.value:02X}") for epc in epcs], "one answer has it once: keep one"
    )
    cycle_s = table.duration("cycle", low=REQUEST_CYCLE_MIN_S, high=CYCLE_MAX_S)
    return RequestGroup(_values(epcs), cycle_s)


def _serial(table: TableReader) -> SensorSettings:
    port = table.port("port", rules.sensor_port)
    framing = PortSettings(
        baudrate=table.one_of("baudrate", BAUDRATES, default=9600),
        bytesize=table.one_of("bytesize", BYTESIZES, default=8),
        parity=table.ruled("parity", rules.parity, default="N"),
        stopbits=table.one_of("stopbits", STOPBITS, default=1),
        dtr=table.flag("dtr", default=True),
        rts=table.flag("rts", default=True),
        drops_dtr=table.flag("reset_on_open", default=True),
    )
    if not framing.drops_dtr and not framing.dtr:
        fault = Wrong(
            "is not possible with reset_on_open = false",
            "Linux raises DTR whenever it opens a port: leave dtr out, so that it stays up",
        )
        table.wrong("dtr", fault)
    checks = table.tables("checks", _series_check)
    table.unique(
        [At(item.key, _series(item.value)) for item in checks],
        "keep one check for each series",
    )
    return SensorSettings(
        port=port,
        framing=framing,
        encoding=table.text("encoding", rules.encoding, default="ascii"),
        line_end=table.ruled("line_end", rules.line_end, default=LineEnd.LF),
        stale_after_s=table.optional_duration("stale_after", low=STALE_MIN_S, high=STALE_MAX_S),
        checks=_values(checks),
    )


def _series(check: SeriesCheck) -> str:
    """Return the series' name; empty if half of it is only a placeholder."""
    return f"{check.unit},{check.sensor}" if check.unit and check.sensor else ""


def _series_check(table: TableReader) -> SeriesCheck:
    check = SeriesCheck(
        unit=table.text("unit", rules.identifier),
        sensor=table.text("sensor", rules.identifier),
        minimum=table.number("min"),
        maximum=table.number("max"),
        variation=table.number("variation"),
    )
    low, high, step = check.minimum, check.maximum, check.variation
    if low is not None and high is not None and low > high:
        table.wrong("min", Wrong(f"{low} is above max = {high}", "swap or mend the two"))
    if step is not None and step <= 0:
        table.wrong("variation", Wrong(f"{step} is out of range", "it must be above 0"))
    return check


def _recorder(table: TableReader) -> RecorderSettings:
    directory = table.path("directory", default=".")
    database = table.path("database", default="kei.db")
    for key, path in (("directory", directory), ("database", database.parent)):
        if (obstacle := rules.obstacle(path)) is not None:
            table.wrong(key, Wrong(f"{obstacle} is a file, not a folder", "give another path"))
    if rules.is_folder(database):
        remedy = f"""name a file in it: "{database.name}/kei.db\""""
        table.wrong("database", Wrong(f"{database} is a folder", remedy))
    return RecorderSettings(
        directory=directory,
        fname_base=table.text("fname_base", rules.fname_base, default="mydatafile"),
        database=database,
        retention_s=table.duration(
            "retention", low=RETENTION_MIN_S, high=RETENTION_MAX_S, default=400 * DAY_S
        ),
        sync_s=table.duration("sync", low=SYNC_MIN_S, high=SYNC_MAX_S, default=60),
        wait_for_clock_s=table.duration("wait_for_clock", low=0, high=DAY_S, default=2 * MINUTE_S),
    )


def _summary(table: TableReader) -> SummarySettings:
    seconds = table.duration("cycle", low=1, high=DAY_S, default=10 * MINUTE_S)
    cycle_s = int(seconds)
    if cycle_s != seconds or DAY_S % cycle_s:
        below = max(size for size in range(1, cycle_s + 1) if DAY_S % size == 0)
        above = min(size for size in range(cycle_s + 1, DAY_S + 1) if DAY_S % size == 0)
        table.wrong(
            "cycle",
            Wrong(
                f"a day of {DAY_S} s cannot be divided into windows of {seconds:.15g} s",
                f"the nearest that fit are {below} and {above}",
            ),
        )
    return SummarySettings(cycle_s)


def _upload(table: TableReader) -> UploadTarget:
    url = table.text("target_url", rules.target_url)
    form = FORMATS[table.name("format", FORMATS, default="keilog")]
    secret = table.secret if form.needs_key else table.optional_secret
    target = UploadTarget(
        name=table.text("name", rules.plain, default=rules.host(url)),
        target_url=url,
        upload_key=secret("upload_key", rules.upload_key),
        format=form.name,
        what=table.choice("what", What, default=What.SUMMARY),
        cycle_s=table.duration("cycle", low=1, high=CYCLE_MAX_S, default=MINUTE_S),
        max_bytes=table.integer(
            "max_bytes", default=65_536, low=BODY_MIN_BYTES, high=BODY_MAX_BYTES
        ),
        min_interval_s=table.duration("min_interval", low=0, high=DAY_S, default=0),
        timeout_s=table.duration("timeout", low=TIMEOUT_MIN_S, high=TIMEOUT_MAX_S, default=10),
        compress=table.choice("compress", Compress, default=Compress.NONE),
        headers=table.headers("headers"),
        since=table.moment("since"),
    )
    if target.compress is not Compress.NONE and not form.compressible:
        others = " or ".join(name for name, other in FORMATS.items() if other.compressible)
        fault = f"is not possible with the format {form.name}"
        table.wrong("compress", Wrong(fault, f'write "none", or use {others}'))
    return target


def _log(table: TableReader) -> LogSettings:
    return LogSettings(
        level=table.choice("level", LogLevel, default=LogLevel.INFO),
        file=table.optional_path("file"),
        transcript=table.optional_path("transcript"),
    )


def _values(items: Iterable[At[T]]) -> tuple[T, ...]:
    return tuple(item.value for item in items)
