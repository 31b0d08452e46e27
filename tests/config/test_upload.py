from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from jobs_file import JobsFile

from kei.core.secret import Secret
from kei.jobs.advice import advice
from kei.settings.upload import Compress, UploadTarget, What
from kei.upload.formats import FORMATS

JAPAN = timezone(timedelta(hours=9))

KEILOG = """[[upload]]
target_url = "https://example.com/upload.php"
upload_key = "xxxxxxxxxxxxxxxx"
"""
JSON = '[[upload]]\ntarget_url = "https://example.com/in"\nformat = "json"\n'


def target(jobs: JobsFile, text: str) -> UploadTarget:
    (loaded,) = jobs.load(text).upload
    return loaded


def test_what_is_left_out_has_its_default(jobs: JobsFile) -> None:
    assert target(jobs, KEILOG) == UploadTarget(
        name="example.com",
        target_url="https://example.com/upload.php",
        upload_key=Secret("xxxxxxxxxxxxxxxx"),
        format="keilog",
        what=What.SUMMARY,
        cycle_s=60.0,
        max_bytes=65_536,
        min_interval_s=0.0,
        timeout_s=10.0,
        compress=Compress.NONE,
        headers=(),
        since=None,
    )


def test_what_is_given_is_taken(jobs: JobsFile) -> None:
    text = """[[upload]]
name = "my server"
target_url = "http://[fd00::1]:8086/write?db=home&precision=ms"
format = "influx"
what = "readings"
cycle = "5m"
max_bytes = 1024
min_interval = "500ms"
timeout = 2.5
compress = "gzip"
headers = { Authorization = "Token abc", X-Empty = "" }
since = "2026-01-01"
"""
    assert target(jobs, text) == UploadTarget(
        name="my server",
        target_url="http://[fd00::1]:8086/write?db=home&precision=ms",
        upload_key=None,
        format="influx",
        what=What.READINGS,
        cycle_s=300.0,
        max_bytes=1024,
        min_interval_s=0.5,
        timeout_s=2.5,
        compress=Compress.GZIP,
        headers=(("Authorization", Secret("Token abc")), ("X-Empty", Secret(""))),
        since=date(2026, 1, 1),
    )


def test_headers_may_have_a_table_of_their_own(jobs: JobsFile) -> None:
    loaded = target(jobs, f'{JSON}[upload.headers]\nX-Home = "1"')
    assert loaded.headers == (("X-Home", Secret("1")),)


@pytest.mark.parametrize("shape", ["json", "influx"])
def test_a_key_may_be_left_out_with_the_other_formats(jobs: JobsFile, shape: str) -> None:
    assert target(jobs, JSON.replace("json", shape)).upload_key is None


def test_the_format_keilog_needs_a_key(jobs: JobsFile) -> None:
    fault = jobs.fault('\n[[upload]]\ntarget_url = "https://example.com"')
    assert fault == (
        "2: upload[0].upload_key: is missing; set upload_key, upload_key_file or upload_key_env"
    )


def test_the_key_may_come_from_the_environment(jobs: JobsFile) -> None:
    text = JSON + 'upload_key_env = "KEI_KEY"'
    (loaded,) = jobs.load(text, {"KEI_KEY": "from outside"}).upload
    assert loaded.upload_key == Secret("from outside")


def test_a_key_given_twice_is_a_fault_with_every_format(jobs: JobsFile) -> None:
    (jobs.path.parent / "key").write_text("abc")
    assert jobs.fault(JSON + 'upload_key = "abc"\nupload_key_file = "key"') == (
        "5: upload[0].upload_key_file: stands beside upload_key; keep only one of them"
    )


@pytest.mark.parametrize(
    "url", ["https://h", "http://h:8080/a?b=c", "https://例え.jp/", "HTTP://H/"]
)
def test_an_address_with_a_host_is_taken(jobs: JobsFile, url: str) -> None:
    text = JSON.replace("https://example.com/in", url)
    assert target(jobs, text).target_url == url


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("", "does not begin with http:// or https://"),
        ("example.com/in", "does not begin with http:// or https://"),
        ("ftp://example.com/in", "does not begin with http:// or https://"),
        ("https:///in", "names no host"),
        ("https://:80/in", "names no host"),
        ("https://example.com:0/in", "the port 0"),
        ("https://example.com:99999/in", "is no valid address"),
        ("https://[::1/in", "is no valid address"),
        ("https://exam ple.com/in", "a space or a control character"),
        ("https://example.com/in\\n", "a space or a control character"),
        ("https://me:word@example.com/in", "has a user name in it"),
        ("https://me@example.com/in", "has a user name in it"),
    ],
)
def test_a_bad_address_is_a_fault_that_does_not_repeat_it(
    jobs: JobsFile, url: str, wanted: str
) -> None:
    fault = jobs.fault(JSON.replace("https://example.com/in", url))
    assert fault.startswith("2: upload[0].target_url: ")
    assert wanted in fault
    assert "example.com/in" not in fault


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('name = ""', "name: is empty; "),
        ('name = "a\\tb"', "name: contains a control character; "),
        ('what = "all"', 'what: "all" is not possible; it is one of: summary, readings'),
        ("cycle = 0.5", "cycle: 0.5 is out of range; it must be from 1s to 1d"),
        ("max_bytes = 63", "max_bytes: 63 is out of range; it must be from 64 to 16777216"),
        ("max_bytes = 16777217", "max_bytes: 16777217 is out of range; "),
        ("max_bytes = 1024.0", "max_bytes: found a number with a point, wanted a whole number; "),
        ("max_bytes = true", "max_bytes: found true or false, wanted a whole number; "),
        ('max_bytes = "64k"', "max_bytes: found a text, wanted a whole number; "),
        (f"max_bytes = {2**63}", "max_bytes: is too large a number; "),
        ('min_interval = "2d"', 'min_interval: "2d" is out of range; it must be from 0 to 1d'),
        ("timeout = 0", "timeout: 0 is out of range; it must be from 100ms to 5m"),
        ('compress = "zip"', 'compress: "zip" is not possible; did you mean "gzip"? '),
        ('upload_key = ""', "upload_key: is empty; "),
        ('upload_key = " a"', "upload_key: its 2 characters begin or end with a space, "),
        ('upload_key = "a\\nb"', "upload_key: its 3 characters "),
        ("headers = 3", "headers: found a whole number, wanted a table of texts; "),
        ('headers = ["a"]', "headers: found a list, wanted a table of texts; "),
        ("headers = { a = 1 }", "headers.a: found a whole number, wanted a text; "),
        ('headers = { "a b" = "" }', 'headers."a b": is no name of a header; '),
        ('headers = { "" = "" }', 'headers."": is no name of a header; '),
        ('headers = { a = "b\\nc" }', "headers.a: contains a line break; "),
        ('headers = { a = "b\\rc" }', "headers.a: contains a line break; "),
        ('headers = { a = "家" }', "headers.a: begins or ends with a space, or has a character "),
        ('headers = { a = " b" }', "headers.a: begins or ends with a space, "),
        ('headers = { a-b = "", A-B = "" }', 'headers.A-B: "a-b" is already at upload[0].headers'),
        ("url = 1", "url: unknown key; "),
        ('targeturl = "x"', "targeturl: unknown key; did you mean target_url?"),
    ],
)
def test_a_bad_line_is_a_fault(jobs: JobsFile, line: str, fault: str) -> None:
    assert jobs.fault(JSON + line).startswith(f"4: upload[0].{fault}")


def test_an_unknown_format_is_a_fault(jobs: JobsFile) -> None:
    fault = jobs.fault(KEILOG + 'format = "xml"')
    assert fault == (
        f'4: upload[0].format: "xml" is not possible; it is one of: {", ".join(FORMATS)}'
    )


def test_what_goes_by_a_format_is_not_judged_before_there_is_one(jobs: JobsFile) -> None:
    text = JSON.replace("json", "infux") + 'health = true\ncompress = "gzip"\n'
    assert jobs.fault(text).startswith('3: upload[0].format: "infux" is not possible; did you mean')


def test_a_name_that_is_one_of_a_few_is_named_whatever_was_written(jobs: JobsFile) -> None:
    told = '4: upload[0].compress: found true or false, wanted a text; write one of: "none", "gzip"'
    assert jobs.fault(f"{JSON}compress = true") == told


@pytest.mark.parametrize(("host", "is_told"), [("example.com", True), ("other.example", False)])
def test_one_server_is_told_once_how_this_kei_is(
    jobs: JobsFile, host: str, *, is_told: bool
) -> None:
    second = JSON.replace("example.com", host) + 'name = "second"\n'
    loaded = jobs.load(f"{JSON}health = true\n{second}health = true\n")
    told = [each.text for each in advice(loaded) if "both tell one server" in each.text]
    assert [text.split(" both")[0] for text in told] == (
        ["uploads example.com and second"] if is_told else []
    )


def test_packing_is_not_possible_with_the_format_keilog(jobs: JobsFile) -> None:
    fault = jobs.fault(KEILOG + 'compress = "gzip"')
    assert fault.startswith("4: upload[0].compress: is not possible with the format keilog; ")


# Names


def test_two_targets_on_one_host_without_names_are_a_fault(jobs: JobsFile) -> None:
    assert jobs.fault(JSON + JSON) == (
        '4: upload[1].name: "example.com" is already at upload[0].name (line 1); '
        'give each [[upload]] a name of its own: name = "..."'
    )


def test_two_targets_on_one_host_with_names_are_taken(jobs: JobsFile) -> None:
    loaded = jobs.load(JSON + 'name = "a"\n' + JSON + 'name = "b"\n').upload
    assert [one.name for one in loaded] == ["a", "b"]


def test_two_targets_with_one_name_are_a_fault(jobs: JobsFile) -> None:
    other = JSON.replace("example.com", "example.org")
    fault = jobs.fault(JSON + 'name = "a"\n' + other + 'name = "a"\n')
    assert fault.startswith('8: upload[1].name: "a" is already at upload[0].name (line 4); ')


def test_two_targets_without_address_have_no_fault_beyond_that(jobs: JobsFile) -> None:
    faults = jobs.faults('[[upload]]\nformat = "json"\n[[upload]]\nformat = "json"')
    assert [fault.partition(" is")[0] for fault in faults] == [
        "1: upload[0].target_url:",
        "3: upload[1].target_url:",
    ]


# Since


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ('""', None),
        ('"2026-01-01"', date(2026, 1, 1)),
        ("2026-01-01", date(2026, 1, 1)),
        ('"2026-01-01T12:30:00+09:00"', datetime(2026, 1, 1, 12, 30, tzinfo=JAPAN)),
        ('"2026-01-01t03:30:00.5z"', datetime(2026, 1, 1, 3, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-01-01T12:30:00+09:00", datetime(2026, 1, 1, 12, 30, tzinfo=JAPAN)),
    ],
)
def test_since_is_a_date_or_an_instant(
    jobs: JobsFile, since: str, expected: date | datetime | None
) -> None:
    found = target(jobs, f"{JSON}since = {since}").since
    assert type(found) is type(expected)
    assert found == expected


@pytest.mark.parametrize(
    "since",
    [
        '"yesterday"', '"20260101"', '"2026-W01-1"', '"2026-02-30"', '"2026-01-01T25:00:00Z"',
        '"2026-01-01T00:00:00"', "2026-01-01T00:00:00", "07:00:00", "1767225600", "true",
    ],
)  # fmt: skip
def test_another_since_is_a_fault(jobs: JobsFile, since: str) -> None:
    assert jobs.fault(f"{JSON}since = {since}").startswith("4: upload[0].since: ")


@pytest.mark.parametrize(
    ("since", "milliseconds"),
    [
        ('""', None),
        ('"2026-01-01"', 1_767_193_200_000),  # 2025-12-31 15:00 UTC
        ('"2026-01-01T00:00:00Z"', 1_767_225_600_000),
    ],
)
def test_a_date_begins_at_local_midnight(
    jobs: JobsFile, since: str, milliseconds: int | None
) -> None:
    assert target(jobs, f"{JSON}since = {since}").since_ms(JAPAN) == milliseconds


@pytest.mark.parametrize("query", ["precision=ns", "db=kei&precision=", "precision=ms&precision=s"])
def test_influx_times_are_in_milliseconds(jobs: JobsFile, query: str) -> None:
    url = f"http://example.com/write?{query}"
    (fault,) = jobs.faults(f'[[upload]]\ntarget_url = "{url}"\nformat = "influx"')
    assert fault == (
        "2: upload[0].target_url: asks for another precision than ms; write precision=ms, or leave "
        "it out: kei adds it"
    )


def test_keilog_has_no_place_for_health(jobs: JobsFile) -> None:
    (fault,) = jobs.faults(f"{KEILOG}health = true")
    assert fault.endswith(
        "is not possible with the format keilog; write false, or use json or influx"
    )


@pytest.mark.parametrize(
    ("cycle", "health", "run_cycle_s"),
    [
        ("1m", "true", 60),
        ("5m", "true", 300),
        ("7m", "true", 210),
        ("1d", "true", 300),
        ("1d", "false", 86_400),
    ],
)
def test_health_is_told_more_often_than_rows_are_sent(
    jobs: JobsFile, cycle: str, health: str, run_cycle_s: float
) -> None:
    loaded = target(jobs, f'{JSON}cycle = "{cycle}"\nhealth = {health}')
    assert loaded.run_cycle_s == run_cycle_s
