"""Delays (seconds), as measured on real dongles and meters."""

import math
import random
from dataclasses import dataclass, replace

COMMAND_S = 0.008  # echo to OK at 115200 bps, 7 to 8 ms measured
RESET_S = 1.5  # 1 to 2 s in drivers
TRANSMIT_S = 0.12  # SKSENDTO to its OK, 110 to 340 ms in a capture
RESOLVE_S = 1.0  # a neighbour solicitation first costs 1 to 2 s
ANSWER_MEDIAN_S = 0.6
_ANSWER_P99_S = 3.0
_ANSWER_SIGMA = math.log(_ANSWER_P99_S / ANSWER_MEDIAN_S) / 2.326  # 99 % quantile of N(0, 1)
_ANSWER_MAX_S = 20.0  # the response timer of the application interface: a later one is a fault
HISTORY_FACTOR = 2  # 208 bytes take longer than 18

SCAN_UNIT_S = 0.0096  # per channel, times 2^duration + 1

SOLICITATION_S = 0.5  # of a join, before its first step
PANA_STEP_S = 0.15  # 0.1 to 0.25 s each
PANA_STEPS = 4
JOIN_S = SOLICITATION_S + PANA_STEPS * PANA_STEP_S
JOIN_FAILURE_S = (38.0, 41.0)  # measured
INSTANCE_LIST_S = 0.3  # after EVENT 25

LEAVE_S = 0.2
LEAVE_UNANSWERED_S = 10.0

LIFETIME_S = 86_400  # granted by every meter in the captures
RENEW_SHARE = 0.8  # of the lifetime, then the dongle renews by itself

NOTICE_DELAY_S = (5.0, 240.0)  # after :00 and :30; 5 minutes are allowed


@dataclass(frozen=True, slots=True)
class Timing:
    """The delays of one simulation."""

    latency: float = 1.0  # factor on everything between a command and its answer; 0 is at once
    join: float = 1.0  # factor on joining and renewing, and up to 1 on their failing
    scan_s: float | None = None  # of any scan; None is by the formula
    late_s: tuple[float, float] = (60.0, 120.0)  # range of the answers of the fault `late`
    limit_s: float = 60.0  # how long the fault `limit` lasts
    unplugged_s: float = 10.0  # how long the fault `unplug` lasts
    repeat_s: float = 20.0  # until the meter repeats an INFC that was not confirmed
    speed: float = 1.0  # how much faster than real time the meter's clock goes
    join_s: float | None = None  # of a join that succeeds; None is the usual time of the dongle

    @classmethod
    def of(
        cls,
        latency_s: float | None,
        scan_s: float | None,
        join_s: float | None,
        speed: float = 1.0,
    ) -> "Timing":
        """Return the delays for `--latency`, `--scan-time`, `--join-time` and `--speed`.

        A given latency also shortens the faults, so that tests need not wait for minutes; answers
        of the fault `late` then come just after the 20 s that a client has to wait at least.
        """
        timing = cls(scan_s=scan_s, speed=speed)
        if latency_s is not None:
            timing = replace(
                timing,
                latency=latency_s / ANSWER_MEDIAN_S,
                late_s=(21.0, 25.0),
                limit_s=2.0,
                unplugged_s=1.0,
                repeat_s=2.0,
            )
        if join_s is not None:
            timing = replace(timing, join=join_s / JOIN_S, join_s=join_s)
        return timing

    @property
    def hurry(self) -> float:
        """The factor on what a join that is slower does not make longer, such as its failing."""
        return min(1.0, self.join)

    def scan(self, duration: int, channels: int) -> float:
        """Return how long a scan of so many channels takes, to its EVENT 22."""
        if self.scan_s is not None:
            return self.scan_s
        return SCAN_UNIT_S * ((1 << duration) + 1) * channels

    def join_failure(self, rng: random.Random) -> float:
        """Return when a join that nobody answers is given up."""
        return max(JOIN_S * self.join, rng.uniform(*JOIN_FAILURE_S) * self.hurry)

    def answer(self, rng: random.Random, *, history: bool) -> float:
        """Return how long after the request the meter's answer comes.

        Lognormal: half of them within 0.6 s, all but 1 % within 3 s.
        """
        seconds = rng.lognormvariate(math.log(ANSWER_MEDIAN_S), _ANSWER_SIGMA)
        factor = HISTORY_FACTOR if history else 1
        return min(seconds * factor, _ANSWER_MAX_S) * self.latency
