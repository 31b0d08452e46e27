"""Which jobs a configuration asks for. Starts nothing."""

from collections import Counter
from dataclasses import replace

from kei.jobs.kinds import Executor, Planned, kinds
from kei.settings.config import Config


def plan(config: Config) -> list[Planned]:
    """Return the jobs of all kinds, in the order in which a start adds them.

    Jobs of the same name are numbered: two groups may ask for the same properties.
    """
    jobs = [job for kind in kinds() for job in kind.plan(config)]
    order = list(Executor)
    seen: Counter[str] = Counter()
    planned = []
    for job in sorted(jobs, key=lambda job: order.index(job.executor)):
        seen[job.id] += 1
        number = seen[job.id]
        planned.append(job if number == 1 else replace(job, id=f"{job.id}.{number}"))
    return planned
