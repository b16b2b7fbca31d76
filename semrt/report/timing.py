"""How long a call takes, warmed up and in percentiles, without those that too few runs support."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Latency", "measure", "timed", "warm_up"]

WARM_UP_SECONDS = 0.2
WARM_UP_RUNS = 10
RUNS_FOR_P99 = 1000
"""Of fewer runs the 99th percentile is the tail of ten or less: luck."""


@dataclass(frozen=True, eq=False, slots=True)
class Latency:
    """Durations of single calls, one in flight at a time; (n,) [s]."""

    seconds: NDArray[np.float64]

    def summary(self) -> dict[str, float | int]:
        """Return runs, mean, p50, p90, p95 and max in ms, and p99 from 1,000 runs on."""
        ms = 1000 * self.seconds
        percentiles = (50, 90, 95, 99) if ms.size >= RUNS_FOR_P99 else (50, 90, 95)
        return {
            "runs": int(ms.size),
            "mean_ms": float(ms.mean()),
            **{f"p{p}_ms": float(np.percentile(ms, p)) for p in percentiles},
            "max_ms": float(ms.max()),
        }


def timed(call: Callable[[], object]) -> float:
    """Run once; the host's clock from start to end [s]."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def warm_up(call: Callable[[], object], *, seconds: float = WARM_UP_SECONDS, runs: int = WARM_UP_RUNS) -> int:
    """Run until both a time and a number of runs have passed; returns the number of runs."""
    done = 0
    end = time.perf_counter() + seconds
    while done < runs or time.perf_counter() < end:
        call()
        done += 1
    return done


def measure(call: Callable[[], object], *, runs: int, at_most: float = np.inf) -> Latency:
    """Time calls one after another: `runs` of them, fewer once `at_most` seconds have passed, but at least ten."""
    durations: list[float] = []
    end = time.perf_counter() + at_most
    while len(durations) < min(runs, WARM_UP_RUNS) or (len(durations) < runs and time.perf_counter() < end):
        durations.append(timed(call))
    return Latency(np.asarray(durations))
