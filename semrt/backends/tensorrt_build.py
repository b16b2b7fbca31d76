"""Build an engine, compare it with the reference, keep it; what gives other numbers is not kept."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from semrt.backends import tensorrt_toolchain
from semrt.backends.engine_cache import EngineCache
from semrt.backends.gate import judge
from semrt.backends.tensorrt import TensorrtSession
from semrt.backends.tensorrt_toolchain import Graph, Recipe
from semrt.errors import ModelUnsuitable
from semrt.models import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from semrt.backends.base import Device
    from semrt.backends.gate import Verdict
    from semrt.backends.tensorrt_toolchain import Progress
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
    progress: Progress = lambda done, total, what: None,
    cache: EngineCache | None = None,
) -> Built:
    """Build the engine of a model for a card, unless it is there already.

    progress: called with how far it is, how far there is to go, and what is counted; what it raises ends the build,
        and nothing of it stays. Also called while another process builds the same engine, which is waited for.
    Raises MissingDependency, DeviceUnavailable, OutOfMemory, InvalidOption, ModelDamaged, CacheUnusable, and
    ModelUnsuitable: a model without test tensors, a graph that TensorRT cannot take, an engine of other numbers.
    """
    graph = Graph.read(folder, manifest, precision)
    reference = Reference.read(folder, manifest)
    if reference is None:
        why = "has no test tensors to compare an engine with; export it again, or choose --device cuda"
        raise ModelUnsuitable(f"{manifest.name}: {why}")
    toolchain = tensorrt_toolchain.toolchain_for(device)
    recipe = Recipe.of(graph, manifest, precision, toolchain)
    cache = cache or EngineCache()
    path = cache.path(recipe.key)
    with cache.lock(recipe.key, lambda: progress(0, 1, "build, which another process is making")):
        kept = cache.load(recipe.key)
        if kept is not None and kept.meta.get("gate", {}).get("passed"):
            return Built(recipe.key, path, False, kept.meta)
        started = time.monotonic()
        timings = cache.load(recipe.timings_key)
        plan, timed = toolchain.build(graph, recipe.profiles, timings.content if timings else b"", progress)
        seconds = time.monotonic() - started
        runner = toolchain.open(plan, graph)
        with closing(TensorrtSession.of(manifest, device, precision, toolchain, runner, "built now")) as session:
            verdict = _judged(session, reference)
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
            **asdict(recipe),
        }
        cache.store(recipe.key, plan, meta)
    _keep_timings(cache, recipe, timed)
    return Built(recipe.key, path, True, meta)


def _judged(session: TensorrtSession, reference: Reference) -> Verdict:
    """The worst of the comparisons of every batch: each has a profile of its own, and may be wrong alone."""
    verdicts = []
    for n in session.batches:
        verdict = judge(replace(session, batches=(n,)), reference)
        verdicts.append(replace(verdict, why=f"{verdict.why} (batch {n})"))
    return max(verdicts, key=lambda verdict: (not verdict.passed, verdict.relative_rms))


def _keep_timings(cache: EngineCache, recipe: Recipe, timed: bytes) -> None:
    if not timed:
        return
    about = {name: getattr(recipe, name) for name in ("tensorrt", "capability", "gpu", "system")}
    with cache.lock(recipe.timings_key, lambda: None):
        cache.store(recipe.timings_key, timed, {"kind": "timings", **about})
