"""Build an engine, compare it with the reference, keep it; what gives other numbers is not kept."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.backends import tensorrt_toolchain
from semrt.backends.base import Device
from semrt.backends.engine_cache import EngineCache
from semrt.backends.gate import decibels_lost, judge
from semrt.backends.onnxruntime import open_onnxruntime
from semrt.backends.tensorrt import TensorrtSession
from semrt.backends.tensorrt_toolchain import Graph, Recipe
from semrt.errors import DeviceUnavailable, MissingDependency, ModelUnsuitable, OutOfMemory
from semrt.models import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from semrt.backends.gate import Measure, Verdict
    from semrt.backends.tensorrt_toolchain import Profile, Progress
    from semrt.models import Manifest

__all__ = ["Built", "build_engine"]


@dataclass(frozen=True)
class Built:
    """An engine that is kept.  new: it was built now.  meta: what is said of it, the comparison too."""

    key: str
    path: Path
    new: bool
    meta: Mapping[str, Any]


def build_engine(
    folder: Path,
    manifest: Manifest,
    device: Device,
    *,
    precision: str = "fp32",
    tile: int | None = None,
    measure: Measure = decibels_lost,
    progress: Progress = lambda done, total, what: None,
    cache: EngineCache | None = None,
) -> Built:
    """Build the engine of a model for a card, unless it is there already.

    Where it does not fit into the card's memory, it is built for fewer tiles at a time.
    tile [px]: side of the tiles that it is for, that of the manifest when None; a multiple of the manifest's.
    measure: of what other numbers mean, the task's own.
    progress: called with how far it is, how far there is to go, and what is counted; what it raises ends the build,
        and nothing of it stays. Also called while another process builds the same engine, which is waited for.
    Raises MissingDependency, DeviceUnavailable, OutOfMemory, InvalidOption, ModelDamaged, CacheUnusable, and
    ModelUnsuitable: a model without test tensors, a graph that TensorRT cannot take, an engine of other numbers.
    """
    graph = Graph.read(folder, manifest, precision)
    calibration = manifest.variants.get(precision, {}).get("calibration", {})
    if calibration.get("activations") == "uint8":
        cure = f'run: semrt quantise "{folder}" --signed -o FOLDER, and build that'
        raise ModelUnsuitable(f"{manifest.name}: its {precision} is for processors, not for TensorRT; {cure}")
    reference = Reference.read(folder, manifest)
    if reference is None:
        why = "has no test tensors to compare an engine with; export it again, or choose --device cuda"
        raise ModelUnsuitable(f"{manifest.name}: {why}")
    toolchain = tensorrt_toolchain.toolchain_for(device)
    recipe = Recipe.of(graph, manifest, precision, toolchain, tile)
    cache = cache or EngineCache()
    path = cache.path(recipe.key)

    def attempt(profiles: Sequence[Profile]) -> tuple[bytes, bytes, Verdict]:
        """Build for these shapes, and compare."""
        timings = cache.load(recipe.timings_key)
        plan, timed = toolchain.build(graph, profiles, timings.content if timings else b"", progress)
        runner = toolchain.open(plan, graph)
        with closing(TensorrtSession.of(manifest, device, precision, toolchain, runner, "built now")) as session:
            progress(99, 100, "percent, comparing with the reference")
            sides = runner.profiles[0][-1][-2:]
            if tile is not None and sides != (tile, tile):
                fixed = " x ".join(map(str, sides))
                raise ModelUnsuitable(f"{manifest.name}: its graph takes tiles of {fixed} px alone; leave --tile out")
            return (
                plan,
                timed,
                _judged(session, [reference, *_at_full_size(folder, manifest, reference, sides)], measure),
            )

    with cache.lock(recipe.key, lambda: progress(0, 1, "build, which another process is making")):
        kept = cache.load(recipe.key)
        if kept is not None and kept.meta.get("gate", {}).get("passed"):
            return Built(recipe.key, path, False, kept.meta)
        started = time.monotonic()
        profiles, left_out = list(recipe.profiles), []
        while True:
            try:
                plan, timed, verdict = attempt(profiles)
                break
            except OutOfMemory as error:
                if str(device) not in str(error):  # the host's, of the exact numbers
                    raise
                if len(profiles) == 1:
                    cure = "close what else uses the card, build with a smaller --tile, or choose --device cuda or cpu"
                    raise OutOfMemory(str(device), cure) from error
                *profiles, largest = profiles
                left_out.append(largest[-1][0])
                progress(0, 100, f"percent, again without batches of {left_out[-1]}: memory is short")
        seconds = time.monotonic() - started
        if not verdict.passed:
            what = f"the engine that TensorRT {toolchain.version} built gives other numbers than it should"
            cure = "choose --precision fp32" if precision != "fp32" else "choose --device cuda or cpu"
            raise ModelUnsuitable(f"{manifest.name} in {precision}: {what}, {verdict.why}; it is not kept; {cure}")
        meta = {
            "kind": "engine",
            "model": manifest.name,
            "version": manifest.version,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 1),
            "gate": asdict(verdict),
            "without_batches": left_out,
            **asdict(recipe),
        }
        cache.store(recipe.key, plan, meta)
    _keep_timings(cache, recipe, timed)
    return Built(recipe.key, path, True, meta)


def _judged(session: TensorrtSession, references: Sequence[Reference], measure: Measure) -> Verdict:
    """The worst comparison: each batch and each size may take other kernels, and be wrong alone."""
    verdicts = []
    for n in session.batches:
        for reference in references:
            whole = _of(reference, n)
            verdict = judge(replace(session, batches=(n,)), whole, measure)
            shape = " x ".join(map(str, whole.channels.shape[-2:]))
            verdicts.append(replace(verdict, why=f"{verdict.why} (batch {n}, {shape} px)"))
    return max(verdicts, key=lambda verdict: (not verdict.passed, verdict.relative_rms))


def _of(reference: Reference, n: int) -> Reference:
    """At least n tiles, the same over again, so that each place in the batch is compared."""
    times = (-(-n // len(reference.channels)), 1, 1, 1)
    target = None if reference.target is None else np.tile(reference.target, times)
    return Reference(np.tile(reference.channels, times), np.tile(reference.estimate, times), target)


def _at_full_size(folder: Path, manifest: Manifest, reference: Reference, shape: tuple[int, ...]) -> list[Reference]:
    """The test tensors laid side by side to a tile as large as those to come, which may take other kernels.

    By ONNX Runtime, in single precision on the processor; none where it is not installed.
    shape: (h, w).
    """
    tiles = reference.channels
    if tiles.shape[-2:] == shape:
        return []
    rows, columns = (-(-side // of) for side, of in zip(shape, tiles.shape[-2:], strict=True))
    laid = [[tiles[(row + column) % len(tiles)] for column in range(columns)] for row in range(rows)]
    mosaic = np.ascontiguousarray(np.block(laid)[np.newaxis, :, : shape[0], : shape[1]])
    try:
        with open_onnxruntime(folder, manifest, Device("cpu")) as exact:
            return [Reference(mosaic, exact.run(mosaic))]
    except (MissingDependency, DeviceUnavailable):
        return []


def _keep_timings(cache: EngineCache, recipe: Recipe, timed: bytes) -> None:
    if not timed:
        return
    about = {name: getattr(recipe, name) for name in ("tensorrt", "capability", "gpu", "system")}
    with cache.lock(recipe.timings_key, lambda: None):
        cache.store(recipe.timings_key, timed, {"kind": "timings", **about})
