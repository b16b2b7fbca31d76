"""What files add: the same measurement read, inferred and written as semrt infer does it, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt import io
from semrt.cli._batch import Batch
from semrt.cli._kinds import checked_making, checked_saves, kind_of
from semrt.data import SparseScan, TiltSeries
from semrt.engine.solver_road import name_of
from semrt.errors import Interrupted, SemrtError
from semrt.report.timing import Latency, warm_up
from semrt.tasks import Solver, find_task, result_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from semrt.backends import Session
    from semrt.cli._batch import Summary

__all__ = ["file_to_file"]

FEWEST = 10
MOST_TARGETS = 4
"""Results that are kept at a time: later ones are written over them, so that a disk is not filled."""


def file_to_file(
    opened: Session | Solver,
    measured: Any,
    in_memory: float,
    *,
    settings: Mapping[str, Any],
    runs: int,
    at_most: float,
) -> dict[str, Any]:
    """Measure the latency of one file after another, and the throughput of many.

    in_memory: seconds that one takes without files, from which follows how many can be done in `at_most` seconds.
    settings: keywords of engine.infer_many.  runs: of each of both.
    Returns for JSON: latency, stops with read and write, throughput.  Raises what reading, inferring and writing do.
    """
    if isinstance(opened, Solver):
        name, kind = name_of(opened), kind_of(result_of(opened))
    else:
        name, kind = opened.manifest.name, kind_of(result_of(find_task(opened.manifest.task)))
    batch = Batch(
        opened,
        header="",
        reading={},
        settings=settings,
        overwrite=True,
        saves=checked_saves(name, kind, None),
        making=checked_making(name, kind, {}),
        quiet=True,
    )
    with TemporaryDirectory(prefix="semrt-bench-") as folder:
        source = Path(folder) / f"measured{_suffix(measured)}"
        io.write(source, measured)
        outputs = [Path(folder) / f"result{k}" for k in range(MOST_TARGETS)]
        for output in outputs:
            output.mkdir()
        targets = [io.output_paths([source], name, output, None, kind.FORMATS)[source] for output in outputs]
        warm_up(lambda: _run(batch, {source: targets[0]}), runs=2)
        seconds, stops = _one_by_one(batch, source, targets[0], runs, at_most)
        count = int(max(FEWEST, min(runs, at_most / max(in_memory, 1e-6))))
        sources = _copies(source, count)
        started = time.perf_counter()
        _run(batch, {copy: targets[k % len(targets)] for k, copy in enumerate(sources)})
        spent = time.perf_counter() - started
    return {
        "latency": Latency(seconds).summary(),
        "stops": {stop: Latency(np.asarray(times)).summary() for stop, times in stops.items()},
        "throughput": {"images": count, "seconds": spent, "images_per_second": count / spent},
    }


def _one_by_one(
    batch: Batch, source: Path, target: Path, runs: int, at_most: float
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], dict[str, list[float]]]:
    """Seconds of each run, and of reading and writing within it."""
    seconds: list[float] = []
    stops: dict[str, list[float]] = {"read": [], "write": []}
    end = time.perf_counter() + at_most
    while len(seconds) < runs and (len(seconds) < FEWEST or time.perf_counter() < end):
        started = time.perf_counter()
        (record,) = _run(batch, {source: target}).results
        seconds.append(time.perf_counter() - started)
        for stop, times in stops.items():
            times.append(record["seconds"][stop])
    return np.asarray(seconds), stops


def _run(batch: Batch, targets: Mapping[Path, Path]) -> Summary:
    summary = batch.run(targets)
    if summary.interrupted:
        raise Interrupted
    for failure in islice(summary.failures, 1):
        error = SemrtError(failure["error"])
        error.exit_code = failure["exit_code"]
        raise error
    return summary


def _suffix(measured: Any) -> str:
    """Of a format that holds all of it: what infers from a file is to have what it had in memory."""
    return ".npz" if isinstance(measured, SparseScan) else ".mrc" if isinstance(measured, TiltSeries) else ".tif"


def _copies(source: Path, count: int) -> list[Path]:
    """As many files, which share their bytes where the file system lets them."""
    copies = [source.with_name(f"copy{k}{source.suffix}") for k in range(count)]
    for copy in copies:
        try:
            os.link(source, copy)
        except OSError:
            shutil.copyfile(source, copy)
    return copies
