"""Killed at random instants while it records: nothing is lost, and nothing is there twice.

`scripts/soak_crash.py` does the same for as long as one likes.
"""

from pathlib import Path

from crashes import Victim

KILLS = 8


def test_whatever_the_instant_of_the_kill_text_and_database_have_everything_once(
    tmp_path: Path,
) -> None:
    victim = Victim(tmp_path, seed=1)
    deaths = [victim.die() for _ in range(KILLS)]
    assert victim.live_and_end() == 0
    assert [death for death in deaths if death.lost or death.unrecorded or death.differences] == []
    text = victim.exported()
    assert sum(text.values()) == victim.in_database() >= deaths[-1].lines > 0
    assert victim.has_every_window_once()
