"""Any rows that may be uploaded, for hypothesis."""

from collections.abc import Sequence

from hypothesis import strategies as st

from kei.core.reading import Reading, Summary
from kei.store.rows import Row

_ids = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
_times_ms = st.integers(946_684_800_000, 4_102_444_800_000)  # 2000 to 2100
_numbers = st.decimals(-(10**9), 10**9, places=4, allow_nan=False, allow_infinity=False)
_readings = st.builds(Reading, _times_ms, _ids, _ids, _numbers, _ids)
_summaries = st.builds(
    Summary, _times_ms, _ids, _ids, _numbers, _numbers, _numbers, st.integers(1, 10**6)
)


def _numbered(items: Sequence[Reading | Summary]) -> list[Row]:
    return [Row(number, item) for number, item in enumerate(items, start=1)]


many_rows = st.one_of(
    st.lists(_readings, min_size=1, max_size=8).map(_numbered),
    st.lists(_summaries, min_size=1, max_size=8).map(_numbered),
)
"""Rows of one kind, at least one."""
