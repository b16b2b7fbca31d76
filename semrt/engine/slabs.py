"""The road of what is made of slices: some at a time, so that memory is bounded, and resumed where it was left.

A slab is worked on together with the neighbours that its result depends on, and with the options that all slices share,
so that slabs make the same result as all slices at once.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt._version import __version__
from semrt.engine.ledger import Ledger, fingerprint
from semrt.engine.network_road import NetworkRoad
from semrt.engine.options import chosen_for
from semrt.engine.road import clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.engine.road import Checkpoint, State
    from semrt.engine.solver_road import SolverRoad
    from semrt.tasks import Progress, Sliced

__all__ = ["AT_ONCE", "BUDGET", "SlabRoad", "slabs_of"]

BUDGET = 2**30
"""Bytes that the slices of a slab may take together."""
AT_ONCE = 32
"""Slices of a slab at the most: what an interruption loses."""
PREPARING = 0.8
"""Share of the time that a network's input takes, where solvers make it."""


def slabs_of(n_slices: int, bytes_each: int) -> list[tuple[int, int]]:
    """First and last slice, which is not part of it, of slabs as even as can be and within BUDGET and AT_ONCE."""
    most = min(AT_ONCE, max(1, BUDGET // max(1, bytes_each)))
    n = -(-n_slices // most)
    edges = [n_slices * k // n for k in range(n + 1)]
    return list(itertools.pairwise(edges))


@dataclass(frozen=True, eq=False)
class SlabRoad:
    """By way of a network or a solver, slab by slab."""

    inner: NetworkRoad | SolverRoad

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.inner.name

    @property
    def resumes(self) -> bool:
        """Finished slabs are kept."""
        return True

    def prepare(self, measured: Any) -> State:
        """Check that the measurement, as its first slice shows, is one for the model."""
        first = measured.slab(slice(0, 1)) if hasattr(measured, "slab") else measured  # which is none that is accepted
        return replace(self.inner.admit(first), measured=measured)

    def run(self, state: State, progress: Progress | None = None, checkpoint: Checkpoint | None = None) -> State:
        """Go the whole road with each slab."""
        asked, measured = state.stand_in or self.inner, state.measured
        task = _task_of(asked)
        ny, one = measured.n_slices, measured.slab(slice(0, 1))
        layout = slabs_of(ny, task.memory(one, **chosen_for(task.memory, asked.options)))
        with clock(state, "run"):
            shared = task.shared(measured, **chosen_for(task.shared, asked.options, n_threads=asked.threads))
            road = replace(asked, options={**asked.options, **shared})
            folder = checkpoint() if checkpoint is not None and len(layout) > 1 else None
            kept = _Kept(ny, len(layout), _ledger(folder, road, measured, layout))
            for first, last in layout[kept.resumed :]:
                begin, end = max(0, first - task.neighbours), min(ny, last + task.neighbours)
                part = measured.slab(slice(begin, end))
                watch = None if progress is None else _Watch(progress, first, last, ny)
                kept.keep(first, _whole_road(road, part, watch).slab(slice(first - begin, last - begin)))
                if progress is not None:
                    progress(last, ny, "slice")
            result = kept.result(task)
        record = {**result.provenance, "options": dict(asked.options)}
        if state.fallback is not None:
            record["fallback"] = state.fallback
        record["seconds"] |= state.seconds
        return replace(state, result=replace(result, provenance=record))

    def finish(self, state: State) -> Any:
        """The result; its slabs have labelled it."""
        return state.result


def _task_of(road: NetworkRoad | SolverRoad) -> Any:
    return road.task if isinstance(road, NetworkRoad) else road.solver


def _whole_road(road: NetworkRoad | SolverRoad, part: Any, watch: _Watch | None) -> Any:
    if isinstance(road, NetworkRoad):
        state = road.prepare(part, None if watch is None else watch.share(0, PREPARING))
        return road.finish(road.run(state, None if watch is None else watch.share(PREPARING, 1)))
    return road.finish(road.run(road.prepare(part), None if watch is None else watch.share(0, 1)))


@dataclass(frozen=True)
class _Watch:
    """Tells how far a slab is as a number of slices of all."""

    progress: Progress
    first: int
    last: int
    n_slices: int

    def share(self, begin: float, end: float) -> Progress:
        def told(done: int, total: int, what: str) -> None:
            far = begin + (end - begin) * done / max(total, 1)
            at = self.first + int(far * (self.last - self.first))
            # Never all before the last slab is kept: what is finished cannot be interrupted.
            self.progress(min(at, self.n_slices - 1), self.n_slices, "slice")

        return told


class _Kept:
    """What the slabs gave so far; in files, where there is a ledger."""

    def __init__(self, n_slices: int, n_slabs: int, ledger: Ledger | None) -> None:
        self.n_slices, self.ledger = n_slices, ledger
        # One slab is always worked on, as what all results are alike in is taken from the last.
        self.told: list[dict[str, Any]] = [] if ledger is None else ledger.resume()[: n_slabs - 1]
        self.resumed = len(self.told)
        self.arrays: dict[str, NDArray[Any]] = {}
        self.notes: dict[str, None] = {}  # of all slabs, each once, in their order
        self.last: Any = None
        self.network = 0.0  # seconds

    def keep(self, first: int, part: Any) -> None:
        """Keep the result of the next slab.  first: its first slice."""
        for name in part.SLICES:
            if (values := getattr(part, name)) is None:
                continue
            if self.ledger is not None:
                self.ledger.store(name, values, first, self.n_slices)
                continue
            if name not in self.arrays:
                self.arrays[name] = np.empty((values.shape[0], self.n_slices, values.shape[2]), values.dtype)
            self.arrays[name][:, first : first + values.shape[1]] = values
        record = part.provenance
        self.notes |= dict.fromkeys(record.get("details", {}).get("notes", ()))
        figures = {key: value for key, value in record.get("details", {}).items() if isinstance(value, float)}
        self.told.append({"slices": part.n_slices, "figures": figures, "tiles": record.get("tiling", {}).get("tiles")})
        self.network += record["seconds"].get("network", 0.0)
        self.last = part
        if self.ledger is not None:
            self.ledger.keep(self.told)

    def result(self, task: Sliced) -> Any:
        """All slabs as one; figures of themselves that differ are averaged over the slices."""
        arrays = self.arrays
        if self.ledger is not None:
            arrays = {n: self.ledger.load(n) for n in self.last.SLICES if getattr(self.last, n) is not None}
        details = {**self.last.provenance.get("details", {}), **_joined(self.told)}
        if self.notes:
            details["notes"] = list(self.notes)
        record = {**self.last.provenance, "details": {**details, "slabs": len(self.told)}, "seconds": {}}
        if self.resumed:
            record["details"]["resumed_at_slice"] = sum(told["slices"] for told in self.told[: self.resumed])
        if "tiling" in record:
            record["tiling"] = {**record["tiling"], "tiles": sum(told["tiles"] for told in self.told)}
            record["seconds"] = {"network": self.network}
        return replace(self.last, **arrays, provenance=record, notes=task.notes_on(details))


def _joined(told: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The figures of all slabs, as their mean where they differ, each counting by its slices."""
    joined = {}
    slices = [of["slices"] for of in told]
    for key in told[0]["figures"]:
        values = [of["figures"][key] for of in told]
        joined[key] = values[0] if len(set(values)) == 1 else float(np.average(values, weights=slices))
    return joined


def _ledger(folder: Path | None, road: Any, measured: Any, layout: Sequence[tuple[int, int]]) -> Ledger | None:
    """The ledger of a folder, for results of this road, measurement and layout alone."""
    if folder is None:
        return None
    made_by = road.session.sha256 if isinstance(road, NetworkRoad) else None
    settings = {"model": road.name, "sha256": made_by, "version": __version__, "options": road.options}
    if isinstance(road, NetworkRoad):
        settings |= {"precision": road.session.precision, "tile": road.tile}
    return Ledger(folder, fingerprint(measured, {**settings, "layout": layout}))
