"""What Prometheus gets, read by the parser of its own client library."""

import math
import shutil
import subprocess

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

PROMTOOL = shutil.which("promtool")
Samples = dict[str, float]  # by `name` or `name{label="value",...}`, labels in order of their names


def scraped(text: str) -> Samples:
    """The samples of a scrape, which has no sample twice and only finite numbers."""
    found: Samples = {}
    is_open = text.endswith("# EOF\n")
    parse = (openmetrics if is_open else parser).text_string_to_metric_families
    for family in parse(text):
        assert family.documentation, family.name
        assert family.type in ("gauge", "counter", "info"), family.name
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found
            assert math.isfinite(sample.value), key
            found[key] = sample.value
    return found


def complaints(text: str) -> str:
    """What `promtool check metrics` finds wrong; needs `PROMTOOL`."""
    assert PROMTOOL is not None
    command = [PROMTOOL, "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
