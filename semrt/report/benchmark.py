"""How fast a model is on this computer: load, first call, latency and throughput, each on its own, and side by side."""

from __future__ import annotations

import math
import os
import platform
import time
from collections import defaultdict
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

import semrt
from semrt import engine
from semrt.backends import Session
from semrt.backends.spans import SPANS, device_spans
from semrt.data import SparseScan, Tomogram
from semrt.errors import Interrupted
from semrt.report.camera import film
from semrt.report.timing import Latency, measure, timed, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from semrt.pipeline import Outcome
    from semrt.tasks import Solver

__all__ = ["Contender", "bench", "compare", "environment"]

STOPS = ("prepare", "run", "network", *SPANS, "finish")
FEWEST_CLOCKED = 10
FEWEST_TURNS = 10
REPEATS = 3
"""Of a comparison, whose ratio then has a spread."""


@dataclass(frozen=True)
class Contender:
    """A model, and how it is opened and run.

    gpu_memory: bytes of a card that its network may take.  settings: tile and batch, as engine.infer takes them.
    """

    model: str
    device: str = "auto"
    threads: int | None = None
    precision: str = "fp32"
    solver: str | None = None
    gpu_memory: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def given(self) -> dict[str, Any]:
        """What engine.infer and engine.infer_many are called with."""
        return {"device": self.device, "threads": self.threads, "fallback": "none", **self.settings}

    @contextmanager
    def opened(self) -> Iterator[Session | Solver]:
        """The model, as engine.open_model opens it."""
        with engine.open_model(
            self.model,
            self.device,
            threads=self.threads,
            precision=self.precision,
            solver=self.solver,
            tile=self.settings.get("tile"),
            gpu_memory=self.gpu_memory,
        ) as found:
            yield found

    def infer(self, measured: Any, opened: Session | Solver) -> Any:
        """Infer once; the best so far, of one that was interrupted, is nothing to measure and raises Interrupted."""
        result = engine.infer(measured, opened, **self.given)
        if result.provenance.get("interrupted"):
            raise Interrupted
        return result


def bench(
    contender: Contender,
    simulated: Callable[[tuple[type, ...]], Any],
    *,
    runs: int = 100,
    at_most: float = 20.0,
    frame_period: float | None = None,
    files: Callable[[Session | Solver, Any, float], dict[str, Any]] | None = None,
) -> tuple[dict[str, Any], Latency]:
    """Measure a model on one measurement, over and over: a report for JSON, and the latencies themselves.

    simulated: makes one of the types that the model takes.
    files(model, measurement, seconds in memory): measures the same from file to file; its report stands in this one.
    runs: of the latency, and again of the throughput; fewer once either has taken `at_most` seconds, but at least ten.
    frame_period [s]: also as with a camera that makes a frame so often, and waits for nobody.
    Raises what opening the model and inferring raise.

    Latency is from measurement to result with one in flight; throughput is of a full pipeline, whose stages overlap.
    What was not measured, because there is no such thing or because nobody can tell, is not in the report.
    """
    started = time.perf_counter()
    with contender.opened() as opened:
        loaded = time.perf_counter()
        measured = simulated(engine.accepted_by(opened))
        simulated_at = time.perf_counter()
        first_result = contender.infer(measured, opened)
        first = time.perf_counter()
        warm_up(lambda: contender.infer(measured, opened))
        latency, stops = _latency(contender, opened, measured, runs, at_most)
        stops |= _device_stops(contender, opened, measured, stops)
        images, seconds = _throughput(contender, opened, measured, runs, at_most)
        camera = None
        if frame_period is not None:
            frames = int(min(runs, max(10, at_most / frame_period)))
            camera = film(lambda: contender.infer(measured, opened), period=frame_period, frames=frames)
        of_files = None if files is None else files(opened, measured, float(np.median(latency.seconds)))
        build_seconds = getattr(opened, "build_seconds", None)
    made = first_result.provenance
    report = {
        "model": made["model"],
        "device": made["device"],
        "software": made["software"],
        "tiling": made.get("tiling"),
        "input": {"shape": list(measured.shape)}
        | ({"coverage": measured.coverage} if isinstance(measured, SparseScan) else {}),
        "load_ms": 1000 * (loaded - started),
        "first_call_ms": 1000 * (first - simulated_at),
        "latency": latency.summary(),
        "stops": {stop: stops[stop].summary() for stop in STOPS if stop in stops},
        "throughput": {
            "images": images,
            "seconds": seconds,
            "images_per_second": images / seconds,
            "megapixels_per_second": images * _pixels(measured, first_result) / seconds / 1e6,
        },
        "environment": environment(),
    }
    if build_seconds is not None:
        report["build_ms"] = 1000 * build_seconds
    if camera is not None:
        report["camera"] = camera.summary()
    if of_files is not None:
        report["files"] = of_files
    return report, latency


def compare(
    contenders: Mapping[str, Contender],
    simulated: Callable[[tuple[type, ...]], Any],
    *,
    runs: int = 100,
    at_most: float = 20.0,
) -> tuple[dict[str, Any], dict[str, Latency]]:
    """Measure several on the same measurement, turn by turn, so that what slows one slows all.

    runs: of each, in REPEATS parts; fewer once all together have taken `at_most` seconds, but ten of each part.
    Returns a report for JSON: the latency of each, and how many times as long as the first each took, by the median
    over the turns of every part; and the latencies themselves.  Raises what opening and inferring raise.
    """
    with ExitStack() as stack:
        opened = {name: stack.enter_context(contender.opened()) for name, contender in contenders.items()}
        measured = simulated(engine.accepted_by(next(iter(opened.values()))))
        calls = {name: partial(contenders[name].infer, measured, found) for name, found in opened.items()}
        for call in calls.values():
            warm_up(call)
        parts = [_turns(calls, -(-runs // REPEATS), at_most / REPEATS) for _ in range(REPEATS)]
    first = next(iter(contenders))
    latencies = {name: Latency(np.concatenate([part[name] for part in parts])) for name in contenders}
    ratios = {name: [float(np.median(part[name] / part[first])) for part in parts] for name in contenders}
    report = {
        "input": {"shape": list(measured.shape)},
        "contenders": {
            name: {"latency": latency.summary(), "ratio": float(np.median(ratios[name])), "ratios": ratios[name]}
            for name, latency in latencies.items()
        },
        "environment": environment(),
    }
    return report, latencies


def _pixels(measured: Any, result: Any) -> int:
    """Of an image, and of a stack those of one; of a tomogram all, as a series holds none of them."""
    return math.prod(result.shape if isinstance(result, Tomogram) else measured.shape[-2:])


def _turns(calls: Mapping[str, Callable[[], object]], runs: int, at_most: float) -> dict[str, NDArray[np.float64]]:
    """Seconds of each, in turns; the one that begins changes from turn to turn."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + at_most
    for turn in range(runs):
        if turn >= FEWEST_TURNS and time.perf_counter() > end:
            break
        for name in list(calls)[:: 1 if turn % 2 == 0 else -1]:
            seconds[name].append(timed(calls[name]))
    return {name: np.asarray(times) for name, times in seconds.items()}


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
    contender: Contender, opened: Session | Solver, measured: Any, runs: int, at_most: float
) -> tuple[Latency, dict[str, Latency]]:
    spent: dict[str, list[float]] = defaultdict(list)

    def once() -> None:
        result = contender.infer(measured, opened)
        for stop, seconds in result.provenance["seconds"].items():
            spent[stop].append(seconds)

    latency = measure(once, runs=runs, at_most=at_most)
    return latency, {stop: Latency(np.asarray(spent[stop])) for stop in STOPS if stop in spent}


def _device_stops(
    contender: Contender, opened: Session | Solver, measured: Any, stops: Mapping[str, Latency]
) -> dict[str, Latency]:
    """What the device did within the network's time; on the processor, all of that is computing."""
    if not isinstance(opened, Session) or "network" not in stops:
        return {}
    if opened.device.endswith("cpu"):  # torch:cpu too
        return {"compute": stops["network"]}
    spent: dict[str, list[float]] = defaultdict(list)
    with device_spans(opened) as spans:
        for _ in range(FEWEST_CLOCKED):  # beside those that made the latency, whom no clock shall keep
            spans.clear()
            contender.infer(measured, opened)
            for span, seconds in spans.items():
                spent[span].append(seconds)
    return {span: Latency(np.asarray(seconds)) for span, seconds in spent.items()}


def _throughput(
    contender: Contender, opened: Session | Solver, measured: Any, runs: int, at_most: float
) -> tuple[int, float]:
    """Number of images, and the seconds they took once the pipeline was full."""
    outcomes = engine.infer_many(range(runs + 1), opened, lambda _: measured, lambda _, result: None, **contender.given)
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
