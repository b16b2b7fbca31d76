"""How fast a model is on this computer: load, first call, latency and throughput, each on its own."""

from __future__ import annotations

import math
import os
import platform
import time
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

import semrt
from semrt import engine
from semrt.data import SparseScan
from semrt.errors import Interrupted
from semrt.report.timing import Latency, measure, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from semrt.backends import Session
    from semrt.pipeline import Outcome
    from semrt.tasks import Solver

__all__ = ["bench", "environment"]

STOPS = ("prepare", "run", "network", "finish")


def bench(
    model: str,
    simulated: Callable[[tuple[type, ...]], Any],
    *,
    device: str = "auto",
    threads: int | None = None,
    precision: str = "fp32",
    runs: int = 100,
    at_most: float = 20.0,
    **settings: Any,
) -> dict[str, Any]:
    """Measure a model on one measurement, over and over.

    simulated: makes one of the types that the model takes.
    runs: of the latency, and again of the throughput; fewer once either has taken `at_most` seconds, but at least ten.
    settings: as engine.infer takes them.  Raises what opening the model and inferring raise.

    Latency is from measurement to result with one in flight; throughput is of a full pipeline, whose stages overlap.
    """
    started = time.perf_counter()
    with engine.open_model(model, device, threads=threads, precision=precision) as opened:
        loaded = time.perf_counter()
        measured = simulated(engine.accepted_by(opened))
        simulated_at = time.perf_counter()
        settings = {"device": device, "threads": threads, "fallback": "none", **settings}
        first_result = _infer(measured, opened, settings)
        first = time.perf_counter()
        warm_up(lambda: _infer(measured, opened, settings))
        latency, stops = _latency(opened, measured, settings, runs, at_most)
        images, seconds = _throughput(opened, measured, settings, runs, at_most)
    made = first_result.provenance
    return {
        "model": made["model"],
        "device": made["device"],
        "tiling": made.get("tiling"),
        "input": {"shape": list(measured.shape)}
        | ({"coverage": measured.coverage} if isinstance(measured, SparseScan) else {}),
        "load_ms": 1000 * (loaded - started),
        "first_call_ms": 1000 * (first - simulated_at),
        "latency": latency.summary(),
        "stops": {stop: spent.summary() for stop, spent in stops.items()},
        "throughput": {
            "images": images,
            "seconds": seconds,
            "images_per_second": images / seconds,
            "megapixels_per_second": images * math.prod(measured.shape[-2:]) / seconds / 1e6,
        },
        "environment": environment(),
    }


def environment() -> dict[str, Any]:
    """What else a figure depends on: the machine and the software."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "semrt": semrt.__version__,
    }


def _latency(
    opened: Session | Solver, measured: Any, settings: Mapping[str, Any], runs: int, at_most: float
) -> tuple[Latency, dict[str, Latency]]:
    spent: dict[str, list[float]] = defaultdict(list)

    def once() -> None:
        result = _infer(measured, opened, settings)
        for stop, seconds in result.provenance["seconds"].items():
            spent[stop].append(seconds)

    latency = measure(once, runs=runs, at_most=at_most)
    return latency, {stop: Latency(np.asarray(spent[stop])) for stop in STOPS if stop in spent}


def _infer(measured: Any, opened: Session | Solver, settings: Mapping[str, Any]) -> Any:
    result = engine.infer(measured, opened, **settings)
    if result.provenance.get("interrupted"):  # the best so far is nothing to measure
        raise Interrupted
    return result


def _throughput(
    opened: Session | Solver, measured: Any, settings: Mapping[str, Any], runs: int, at_most: float
) -> tuple[int, float]:
    """Number of images, and the seconds they took once the pipeline was full."""
    outcomes = engine.infer_many(range(runs + 1), opened, lambda _: measured, lambda _, result: None, **settings)
    with closing(cast("Generator[Outcome]", outcomes)):
        _raise_failure(next(outcomes))
        started = time.perf_counter()
        for images, outcome in enumerate(outcomes, start=1):
            _raise_failure(outcome)
            seconds = time.perf_counter() - started
            if seconds > at_most and images >= 10:
                break
    return images, seconds


def _raise_failure(outcome: Outcome) -> None:
    if outcome.error is not None:
        raise outcome.error


def _processor() -> str:
    if platform.system() == "Linux":
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if name := next((line for line in told if line.startswith("model name")), ""):
            return name.partition(":")[2].strip()
    return platform.processor() or platform.machine()
