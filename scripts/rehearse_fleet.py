#!/usr/bin/env python3
"""Rehearses a fleet: hundreds of kei, one VictoriaMetrics, and a network that fails in between.

Every site has its own database, upload job, scheduler and sender, which are kei's own; only its
meter is made up. One after the other the network is well, refuses, is silent, is well again (a herd
comes back, with hours of readings), is slow, and cuts answers off. Then three sites go silent
for a while.
At the end VictoriaMetrics is asked for everything, and that is compared with the databases:

    scripts/rehearse_fleet.py [--sites 300] [--seconds 240]

Exit status: 0 if the server has exactly what was recorded, and was not stormed; else 1.
"""

import argparse
import json
import multiprocessing
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from threading import Event
from typing import Any

from _project import use_project

use_project()

from _fleet_link import HOST, Link, Post, Weather
from _fleet_server import PROGRAM, Samples, Server, running_server
from _fleet_sites import Backlog, Plan, run_sites
from fakes import TOKYO
from programs import wait_until
from stored import readings_in

from kei.core.clock import SystemClock
from kei.store.database import Database

PROCESSES = 2  # that the sites are spread over
PATIENCE_S = 240.0  # for the last rows; a back-off grows with the outage
LOOK_EVERY_S = 1.0
SILENT = 3  # sites that are stopped
SILENT_CYCLES = 3  # without a word of a site until it counts as silent
# Sites that come back in one second: more than this share of all, and than so many times the POSTs
# that there were in one while all was well, are a storm. What each posts besides comes one by one.
AT_ONCE_MAX, ABOVE_STEADY_MAX = 1 / 3, 1.5
FEW = 100  # sites: their chance says nothing about storms, and one process does
STEP_MS = 333  # from one reading of power to the next
SCENES = (
    ("steady", Weather.CLEAR, 0.20),
    ("outage", Weather.REFUSING, 0.12),
    ("outage", Weather.SILENT, 0.08),
    ("outage", Weather.BUSY, 0.05),
    ("herd", Weather.CLEAR, 0.20),
    ("slow", Weather.SLOW, 0.15),
    ("cuts", Weather.CUTTING, 0.10),
    ("steady again", Weather.CLEAR, 0.10),
)
Arrivals = Sequence[tuple[float, str]]  # monotonic seconds, site


class Fleet:
    """The processes of all sites."""

    def __init__(self, plan: Plan) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        processes = PROCESSES if len(plan.sites) >= FEW else 1
        for number in range(processes):
            pipe, theirs = context.Pipe()
            mine = Plan(
                plan.sites[number::processes],
                plan.folder,
                plan.url,
                plan.cycle_s,
                plan.step_ms,
                plan.seed,
            )
            process = context.Process(target=run_sites, args=(mine, theirs), daemon=True)
            process.start()
            theirs.close()  # so that its death is noticed
            self._pipes.append(pipe)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def all(self, method: str, *arguments: object) -> list[Any]:
        """Have every process do this; return what each says."""
        for pipe in self._pipes:
            pipe.send((method, arguments))
        return [pipe.recv() for pipe in self._pipes]

    def backlog(self) -> Backlog:
        """Return what waits at all sites."""
        found: list[Backlog] = self.all("backlog")
        return Backlog(sum(one.rows for one in found), sum(one.sites for one in found))


class Rehearsal:
    """One run: the scenes, what they showed, and whether the server has everything."""

    def __init__(self, options: argparse.Namespace, folder: Path, server: Server) -> None:
        self._options, self._folder, self._server = options, folder, server
        digits = len(str(options.sites))
        self._sites = tuple(f"house-{n:0{digits}}" for n in range(1, options.sites + 1))
        self._link = Link(server.port, options.seed)
        url = f"http://{HOST}:{self._link.port}"
        self._plan = Plan(self._sites, folder, url, options.cycle, STEP_MS, options.seed)
        say(f"{options.sites} sites begin, each posts every {options.cycle} s")
        self._fleet = Fleet(self._plan)
        self._waited = Event()  # never set
        self._faults: list[str] = []

    def run(self) -> list[str]:
        """Play all scenes; return what went wrong."""
        steady_peak = 0.0
        for scene, weather, share in SCENES:
            begun = time.monotonic()
            self._link.be(weather)
            say(f"\n{scene}: {weather.value}")
            if weather is Weather.REFUSING:
                hours = self._options.hours
                self._fleet.all("pile_up", round(hours * 360))
                say(f"  {hours:g} h of readings pile up at each site")
            drained_s = self._watch(begun, share * self._options.seconds)
            arrivals = [one for one in list(self._link.arrivals) if one[0] >= begun]
            rates = per_second(arrivals, begun, time.monotonic())
            say(f"  POSTs a second: mean {mean(rates):.1f}, most {max(rates)}")
            if scene == "steady":
                steady_peak = max(rates)
                wait_until(self._all_were_heard, PATIENCE_S, "a POST of each site")
            if scene == "herd" and arrivals:
                self._look_at_herd(arrivals, begun, drained_s, steady_peak)
        wait_until(self._is_drained, PATIENCE_S, "the backlog drained")
        self._silence()
        self._settle()
        self._compare()
        return self._faults

    def close(self) -> None:
        """End the network; the sites have ended."""
        self._link.close()

    def _watch(self, begun: float, seconds: float) -> float | None:
        """Tell of the backlog until the scene is over; return when it was drained first."""
        drained_s, told = None, begun
        while (now := time.monotonic()) < begun + seconds:
            if drained_s is None and self._is_drained():
                drained_s = now - begun
            if now - told >= seconds / 4:
                told = now
                backlog = self._fleet.backlog()
                say(f"  {now - begun:4.0f} s: {backlog.rows} rows wait at {backlog.sites} sites")
            self._waited.wait(min(LOOK_EVERY_S, max(0.0, begun + seconds - now)))
        return drained_s

    def _all_were_heard(self) -> bool:
        return {post.site for post in self._link.posts} == set(self._sites)

    def _is_drained(self) -> bool:
        """Tell whether no more waits than what goes with two flushes of each site."""
        flush_rows: float = self._options.cycle * 1000 / STEP_MS
        return self._fleet.backlog().rows <= 2 * len(self._sites) * flush_rows

    def _look_at_herd(
        self, arrivals: Arrivals, begun: float, drained_s: float | None, steady_peak: float
    ) -> None:
        first: dict[str, float] = {}
        for at, site in arrivals:
            first.setdefault(site, at - begun)
        after = sorted(first.values())
        say(f"  first POSTs of {len(after)} sites after the outage, by seconds since its end:")
        by_second = Counter(int(second) for second in after)
        for start in range(0, int(after[-1]) + 1, 5):
            counts = [by_second[second] for second in range(start, start + 5)]
            say(f"  {start:4} to {start + 5:3} s {'#' * -(-sum(counts) // 3)} {counts}")
        say(f"  half of them within {median(after):.1f} s, all within {after[-1]:.1f} s")
        rates = per_second(arrivals, begun, begun + after[-1])
        say(f"  most POSTs in one second {max(rates)}, while all was well {steady_peak:g}")
        drained = "not yet" if drained_s is None else f"after {drained_s:.0f} s"
        say(f"  the backlog was drained {drained}")
        bound = max(AT_ONCE_MAX * len(self._sites), ABOVE_STEADY_MAX * steady_peak)
        if len(self._sites) >= FEW and (most := max(by_second.values())) > bound:
            self._faults.append(f"a storm: {most} sites in one second, above {bound:.0f}")

    def _silence(self) -> None:
        """Stop some sites, and ask the server which ones are silent."""
        names = set(self._sites[:: max(1, len(self._sites) // SILENT)][:SILENT])
        self._fleet.all("stop", sorted(names))
        window_s = SILENT_CYCLES * self._options.cycle + 1
        say(f"\nsilence: {shown(names)} are stopped")
        ever = "count by (source) (count_over_time(kei_health_uptime_s[1h]))"
        lately = f"count by (source) (count_over_time(kei_health_uptime_s[{window_s}s]))"

        def silent() -> set[str]:
            return {
                row["metric"]["source"] for row in self._server.query(f"{ever} unless {lately}")
            }

        wait_until(lambda: silent() == names, PATIENCE_S, "the server to miss just these sites")
        say(f"  silent for {window_s} s, says the server, are just these")
        for name in names:
            absent = f'absent_over_time(kei_health_uptime_s{{source="{name}"}}[{window_s}s])'
            if not self._server.query(absent):
                self._faults.append(f"absent_over_time does not miss {name}")
        self._fleet.all("start", sorted(names))

    def _settle(self) -> None:
        """Record no more, and wait until nothing waits."""
        say("\nthe end: nothing more is recorded")
        self._fleet.all("no_more")
        wait_until(lambda: self._fleet.backlog().rows == 0, PATIENCE_S, "the last rows delivered")
        self._fleet.all("end")
        self._server.flush()

    def _compare(self) -> None:
        """Compare each site's database and health reports with what the server gives back."""
        taken = [post for post in self._link.posts if post.is_taken]
        told = health_taken(taken)
        totals: Counter[str] = Counter()
        before = len(self._faults)
        for site in self._sites:
            rows = recorded(self._folder / site / "kei.db")
            self._note(site, "readings", rows, self._server.samples("kei_value", site), totals)
            made = made_health(self._folder / site / "health.json")
            sent = told.get(site, Counter())
            self._note(site, "health", sent, self._server.samples("kei_health_.*", site), totals)
            if strange := [sample for sample in sent if sample[:2] not in made]:
                self._faults.append(f"{site}: health that it did not make: {strange[0]}")
        lines = sum(len(post.lines) for post in taken)
        once = len({(post.site, line) for post in taken for line in post.lines})
        cut = sum(not post.is_answered for post in taken)
        differs = len(self._faults) > before
        given = "not all given back exactly once" if differs else "all given back exactly once"
        say(f"  {totals['readings']} readings recorded, {given}")
        say(f"  {totals['health']} values of health taken and given back")
        say(f"  {lines - once} of {lines} lines came twice, after {cut} answers that were cut off")
        sizes = sum(post.size for post in taken)
        say(f"  {len(taken)} POSTs with {sizes / 1e6:.1f} MB of bodies, gzip")
        on_disk, samples = self._server.bytes_on_disk(), totals["readings"] + totals["health"]
        say(f"  the server has {on_disk / 1e6:.1f} MB on disk, {on_disk / samples:.1f} B a value")

    def _note(
        self, site: str, what: str, expected: Samples, found: Samples, totals: Counter[str]
    ) -> None:
        totals[what] += expected.total()
        lost, more = expected - found, found - expected
        if lost:
            self._faults.append(f"{site}: {lost.total()} {what} lost, {sample_text(lost)}")
        if more:
            self._faults.append(f"{site}: {more.total()} {what} too many, {sample_text(more)}")


def recorded(path: Path) -> Samples:
    """Return the readings in a site's database."""
    database = Database.open(path, SystemClock(TOKYO))
    try:
        rows = readings_in(database)
    finally:
        database.close()
    return Counter((f"value{r.sensor}", r.time_ms, float(r.value)) for r in rows)


def health_taken(posts: Sequence[Post]) -> dict[str, Samples]:
    """Return the health that the server has said yes to, by site; what came twice counts once."""
    found: dict[str, Samples] = {}
    for line in {line for post in posts for line in post.lines if line.startswith("kei_health,")}:
        tags, fields, time_ms = line.split(" ")
        site = dict(tag.split("=") for tag in tags.split(",")[1:])["source"]
        for pair in fields.split(","):
            name, value = pair.split("=")
            found.setdefault(site, Counter())[f"health_{name}", int(time_ms), float(value)] += 1
    return found


def made_health(path: Path) -> set[tuple[str, int]]:
    """Return names and times of the health that a site has made."""
    of_rows = ("backlog_rows", "oldest_s", "dead_letters")
    reports = json.loads(path.read_text())
    return {(f"health_{name}", at) for at, known in reports for name in (*known, *of_rows)}


def sample_text(samples: Samples) -> str:
    """Return one of them, as an example."""
    name, time_ms, value = min(samples)
    return f"e.g. {name} {value:g} at {time_ms}"


def shown(names: set[str]) -> str:
    """Return names in a line."""
    return ", ".join(sorted(names)) or "none"


def per_second(arrivals: Arrivals, begin: float, end: float) -> list[int]:
    """Return how many POSTs arrived in each whole second."""
    counts = Counter(int(at - begin) for at, _ in arrivals)
    return [counts[second] for second in range(max(1, int(end - begin)))]


def say(text: str) -> None:
    """Tell a person."""
    print(text, flush=True)


def main() -> int:
    """Rehearse and report."""
    formatter = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=formatter
    )
    parser.add_argument(
        "--sites", type=int, default=300, help=f"kei that post; a storm is judged from {FEW} on"
    )
    parser.add_argument("--seconds", type=float, default=240, help="of all scenes together")
    parser.add_argument("--cycle", type=int, default=10, help="seconds from flush to flush")
    parser.add_argument("--hours", type=float, default=4, help="of readings in the outage")
    parser.add_argument("--seed", type=int, default=1, help="of all chance")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is ended, too
    if shutil.which(PROGRAM) is None:
        sys.exit(f"{PROGRAM} is not installed; Debian has it: apt install {PROGRAM}")
    with tempfile.TemporaryDirectory(prefix="kei-fleet-") as name:
        folder = Path(name)
        with running_server(folder / "server") as server:
            rehearsal = Rehearsal(options, folder, server)
            try:
                faults = rehearsal.run()
            finally:
                rehearsal.close()
    for fault in faults[:20]:
        say(f"  {fault}")
    storm = "no storm" if options.sites >= FEW else "too few sites to speak of a storm"
    well = f"all is well: nothing lost, nothing twice, {storm}"
    say(f"\nverdict: {f'{len(faults)} faults, listed above' if faults else well}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
