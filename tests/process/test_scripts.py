"""The benchmark still runs, and shows what it promises; its figures are for whoever runs it."""

import subprocess
import sys

from programs import ROOT


def test_the_benchmark_of_the_session_compares_all_three() -> None:
    script = ROOT / "scripts" / "bench_session.py"
    done = subprocess.run(
        [sys.executable, script, "20"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    first_words = [line.split()[0] for line in done.stdout.splitlines()]
    assert first_words[2:5] == ["kei", "momonga", "bare"]
    assert "momonga / kei" in done.stdout
