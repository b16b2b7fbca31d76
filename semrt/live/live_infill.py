"""A micrograph that grows while its scan is under way."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from semrt import api, engine
from semrt.data import SparseScan
from semrt.engine.options import chosen_for, takes
from semrt.engine.solver_road import name_of
from semrt.errors import InvalidOption, InvalidShape
from semrt.live.samples import Samples
from semrt.live.timings import Timings
from semrt.models import Manifest
from semrt.scan import ScanPath, generate
from semrt.tasks import Solver, find_task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike

    from semrt.data import Micrograph, PixelSize

__all__ = ["LiveInfill"]

BEFORE_THE_MODEL = ("natural-neighbours", "kriging")
"""What is tried where the model takes too long, the faster first; each gives a better image than the one before."""
WARM_UP_SIDE = 256  # [px]; of a field that is enough to tell how long a larger one takes


@dataclass(frozen=True, eq=False)
class _Shown:
    """The last image of a method, and the version of the samples that it shows."""

    rank: int
    version: int
    image: Micrograph


class LiveInfill:
    """Takes the samples of a scan as they arrive, and gives the best image of the moment within a frame's time.

        live = semrt.LiveInfill((512, 512), "clv", coverage=1 / 20)
        live.add(intensities)                 # the next ones along the pattern, any number at a time
        shown = live.image(max_seconds=0.1)   # the best that is expected within a tenth of a second
        micrograph = live.image()             # what semrt.infer("infill", live.scan()) gives

    Samples may be added from one thread while another waits for an image, which shows those that had come when it was
    asked for. A pixel visited again gets the mean of its samples, weighted by dwell time.

    shape: (ny, nx) of the field.
    pattern: the path of the scan, or the name of a pattern, of which coverage and seed then say more; None where
        positions come with the samples.
    model: the best method, a model for sparse scans by name or folder; smoothed natural neighbours and kriging stand in
        for it where time is short, and what `fallback` names where the scan is still unlike those of its training.
    warm_up: measure how long each method takes before the first image, which takes a few seconds itself; without it,
        an image within a time is of natural neighbours until others have been seen to be fast enough.
    device, threads, precision: as semrt.infer takes them.  options: of the model, such as denoise=True.
    Raises ModelNotFound, InvalidOption, InvalidShape, DeviceUnavailable, and what else opening the model raises.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        pattern: str | ScanPath | None = None,
        model: str | Path = "infill",
        *,
        coverage: float | None = None,
        seed: int = 0,
        pixel_size: PixelSize | None = None,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "fp32",
        fallback: str = "classical",
        warm_up: bool = True,
        **options: Any,
    ) -> None:
        if len(shape) != 2 or min(shape) < 1:
            raise InvalidShape("shape", "(ny, nx) with at least one pixel", tuple(shape))
        field = int(shape[0]), int(shape[1])
        path = _path(field, pattern, coverage, seed)
        self._model = _name_of_model(model, device, precision)
        self._methods = _methods(self._model)
        self._of: dict[str, str | Path] = {**{name: name for name in BEFORE_THE_MODEL}, self._model: model}
        self._settings: dict[str, Any] = {
            "device": device,
            "threads": threads,
            "precision": precision,
            "fallback": fallback,
        }
        self._options = options
        self._pixel_size = pixel_size if path is None or pixel_size is not None else path.pixel_size
        self._samples = Samples(field, path)
        self._timings = Timings()
        self._shown: _Shown | None = None
        self._lock = threading.Lock()
        if warm_up:
            self._warm_up()

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self._samples.shape

    @property
    def path(self) -> ScanPath | None:
        """Whose order intensities alone come in."""
        return self._samples.path

    @property
    def samples(self) -> int:
        """How many have been added."""
        return self._samples.count

    @property
    def expected_seconds(self) -> Mapping[str, float | None]:
        """What an image is expected to take by each method [s], the fastest method first; None where it is unknown."""
        return {name: self._timings.expected(name) for name in self._methods}

    @overload
    def add(self, intensity: ArrayLike, /) -> None: ...
    @overload
    def add(self, y: ArrayLike, x: ArrayLike, intensity: ArrayLike, /) -> None: ...
    def add(self, *samples: ArrayLike) -> None:
        """Add samples, any number at a time: those at positions y, x [px], or the next ones along the path.

        As add(y, x, intensity) or add(intensity), each (n,) or a single number. Along the path, samples that are
        blanked or outside the field count too, and may be NaN.
        Raises InvalidShape, InvalidValue (positions outside the field, NaN, more samples than the path has),
        InvalidOption (no path); of what is refused no sample is added.
        """
        if len(samples) == 1:
            self._samples.add_in_order(samples[0])
        elif len(samples) == 3:
            self._samples.add(*samples)
        else:
            raise InvalidOption(f"add: expected (intensity) or (y, x, intensity), got {len(samples)} arguments")

    def restart(self, *, keep: bool = False) -> None:
        """Begin the path again.  keep: what was measured goes on to count, so that frames are averaged."""
        self._samples.restart(keep=keep)

    def scan(self) -> SparseScan:
        """What has been measured so far.  Raises InvalidValue before the first sample."""
        return self._samples.scan(self._pixel_size)[0]

    def image(self, max_seconds: float | None = None) -> Micrograph:
        """The best image of the samples so far that is expected within a time; without one, the model's.

        max_seconds: from the call to the image. Where even the fastest method takes longer, it runs nevertheless.
        The provenance says in `live` which method ran, why, and what it was expected to take.
        Raises InvalidValue before the first sample, InvalidOption, and what semrt.infer raises.
        """
        if max_seconds is not None and not (math.isfinite(max_seconds) and max_seconds > 0):
            raise InvalidOption(f"max_seconds: expected a time above 0 s, got {max_seconds}; leave it out for no limit")
        started = time.perf_counter()
        scan, count, version = self._samples.scan(self._pixel_size)
        expected = self.expected_seconds
        rank, why = self._chosen(max_seconds, expected)
        if (shown := self._shown) is not None and shown.version == version and shown.rank >= rank:
            rank, why, result = shown.rank, "nothing has come since the last image", shown.image
        else:
            result = self._inferred(self._methods[rank], scan)
            self._timings.note(self._methods[rank], time.perf_counter() - started)
            with self._lock:
                if self._shown is None or (version, rank) > (self._shown.version, self._shown.rank):
                    self._shown = _Shown(rank, version, result)
        told = {
            "method": self._methods[rank],
            "why": why,
            "max_seconds": max_seconds,
            "seconds": time.perf_counter() - started,
            "expected_seconds": dict(expected),
            "samples": count,
        }
        return replace(result, provenance={**result.provenance, "live": told})

    def _chosen(self, max_seconds: float | None, expected: Mapping[str, float | None]) -> tuple[int, str]:
        """Which of the methods is to run, and why."""
        best = len(self._methods) - 1
        if max_seconds is None:
            return best, "the best, as there is no limit"
        for rank in range(best, -1, -1):
            name = self._methods[rank]
            seconds = expected[name]
            if seconds is not None and seconds <= max_seconds:
                better = "the best" if rank == best else f"{self._methods[rank + 1]} would take longer"
                return rank, f"{better}: {seconds:.3g} s expected of {max_seconds:.3g} s"
            self._timings.passed_over(name)
        known = expected[self._methods[0]]
        takes_now = "" if known is None else f": {known:.3g} s expected of {max_seconds:.3g} s"
        return 0, f"the fastest, though it may take longer than asked{takes_now}"

    def _inferred(self, method: str, scan: SparseScan) -> Micrograph:
        solver = engine.find_solver(method)
        options = self._options if method == self._model or solver is None else chosen_for(solver.solve, self._options)
        settings = self._settings
        if method != self._model:
            settings = {"threads": self._settings["threads"]}
        result: Micrograph = api.infer(self._of[method], scan, **settings, **options)
        return result

    def _warm_up(self) -> None:
        """Measure every method on a scan that looks like no other, but takes as long."""
        side = min(self.shape[0], WARM_UP_SIDE), min(self.shape[1], WARM_UP_SIDE)
        path = generate("jittered-grid", side, min(1.0, max(1 / 20, 20 / (side[0] * side[1]))))
        y, x = np.floor(path.positions + 0.5).T
        noise = np.random.default_rng(0).normal(0, 0.1, len(y))
        scan = SparseScan.from_positions(path.positions, np.sin(y / 9) + np.cos(x / 13) + noise, side)
        share = self.shape[0] * self.shape[1] / (side[0] * side[1])
        for name in self._methods:
            solver = engine.find_solver(name)
            if solver is not None and takes(solver.solve, "checkpoint"):
                continue  # so slow that it keeps what it has: nobody waits for it twice
            self._inferred(name, scan)  # which opens the model and fills its caches
            started = time.perf_counter()
            self._inferred(name, scan)
            self._timings.guess(name, share * (time.perf_counter() - started))


def _path(shape: tuple[int, int], pattern: str | ScanPath | None, coverage: float | None, seed: int) -> ScanPath | None:
    if isinstance(pattern, str):
        return generate(pattern, shape, coverage, seed=seed)
    if coverage is not None:
        raise InvalidOption("coverage: is of a pattern by name; leave it out")
    if pattern is not None and pattern.shape != shape:
        raise InvalidShape("path", f"{shape}, as the live scan has", pattern.shape)
    return pattern


def _name_of_model(model: str | Path, device: str, precision: str) -> str:
    """What the model is called, once it is known to take sparse scans.  Raises what find_model does, InvalidOption."""
    found = engine.find_model(model, device, precision)
    if isinstance(found, Solver):
        name, accepts = name_of(found), found.accepts
    else:
        manifest = Manifest.read(found)
        name, accepts = manifest.name, find_task(manifest.task).accepts
    if SparseScan not in (accepts if isinstance(accepts, tuple) else (accepts,)):
        raise InvalidOption(f"{name}: takes no sparse scans; choose a model that does, such as infill")
    return name


def _methods(model: str) -> tuple[str, ...]:
    """The model, and before it what is faster, the fastest first."""
    if model in BEFORE_THE_MODEL:
        return BEFORE_THE_MODEL[: BEFORE_THE_MODEL.index(model) + 1]
    return (*BEFORE_THE_MODEL, model)
