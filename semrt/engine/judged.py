"""Networks opened, and engines built, where what other numbers mean is judged by the model's task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from semrt import backends, models, tiling
from semrt.backends.gate import decibels_lost
from semrt.models import Manifest
from semrt.tasks import TASKS, find_task, measure_of

if TYPE_CHECKING:
    from pathlib import Path

    from semrt.backends import Device, Session
    from semrt.backends.engine_cache import EngineCache
    from semrt.backends.gate import Measure
    from semrt.backends.tensorrt_build import Built
    from semrt.tasks import Progress

__all__ = ["build_engine", "check_tile", "open_session"]


def open_session(
    model: str | Path,
    device: str = "auto",
    *,
    threads: int | None = None,
    precision: str = "fp32",
    tile: int | None = None,
    gpu_memory: int | None = None,
) -> Session:
    """Open a model on a device, where what other numbers mean is judged by its task; see semrt.backends.open_session.

    tile: that infer will be called with.  Raises what semrt.backends.open_session raises.
    """
    folder = models.find(model)
    measure = _measure(Manifest.read(folder).task)
    how: dict[str, Any] = {"tile": tile, "gpu_memory": gpu_memory, "measure": measure}
    return backends.open_session(folder, device, threads=threads, precision=precision, **how)


def build_engine(
    folder: Path,
    manifest: Manifest,
    device: Device,
    *,
    precision: str = "fp32",
    tile: int | None = None,
    progress: Progress = lambda done, total, what: None,
    cache: EngineCache | None = None,
) -> Built:
    """Build a model's TensorRT engine, judged by its task; see semrt.backends.tensorrt_build.build_engine.

    tile [px]: side of the tiles that it is for; the model's own when None.  Raises InvalidOption, and what that raises.
    """
    from semrt.backends import tensorrt_build

    check_tile(manifest, tile)
    how: dict[str, Any] = {"measure": _measure(manifest.task), "progress": progress, "cache": cache}
    return tensorrt_build.build_engine(folder, manifest, device, precision=precision, tile=tile, **how)


def check_tile(manifest: Manifest, tile: int | None) -> None:
    """Raise InvalidOption for a side of tiles [px] that a network cannot be cut into."""
    if tile is not None:
        tiling.plan((tile, tile), tile, manifest.halo, manifest.multiple)


def _measure(task: str) -> Measure:
    """That of a task; the common one for a task that nobody knows, which is refused where it would be needed."""
    return measure_of(find_task(task)) if task in TASKS else decibels_lost
