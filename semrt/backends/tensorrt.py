"""TensorRT on NVIDIA cards, with engines that `semrt build` made here; it never builds unasked."""

from __future__ import annotations

import ctypes
import itertools
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from semrt import models
from semrt.backends import tensorrt_toolchain
from semrt.backends.base import Session
from semrt.backends.engine_cache import EngineCache
from semrt.backends.tensorrt_toolchain import Graph, Recipe
from semrt.errors import (
    CacheUnusable,
    DeviceUnavailable,
    EngineUnusable,
    InvalidShape,
    InvalidValue,
    ModelNotFound,
    SemrtError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.backends.base import Device
    from semrt.backends.engine_cache import Kept
    from semrt.backends.tensorrt_toolchain import Profile, Runner, Toolchain
    from semrt.models import Manifest

__all__ = ["TensorrtSession", "build_command", "could_build", "has_engine", "installed", "open_tensorrt"]


def open_tensorrt(
    folder: Path,
    manifest: Manifest,
    device: Device,
    *,
    threads: int | None = None,
    precision: str = "fp32",
    reason: str = "",
    tile: int | None = None,
) -> TensorrtSession:
    """Open the engine of a model that was built for this card; threads are those of the card.

    tile [px]: side of the tiles to come; of the engine built for them, if one was, else of the model's own.
    Raises MissingDependency, DeviceUnavailable (also where none is built), ModelDamaged, OutOfMemory, InvalidOption,
    CacheUnusable.
    """
    graph = Graph.read(folder, manifest, precision)
    toolchain = tensorrt_toolchain.toolchain_for(device)
    cache = EngineCache()
    build = f"run: {build_command(folder, manifest, precision, device, tile)}"
    recipe, kept = _kept(cache, [Recipe.of(graph, manifest, precision, toolchain, of) for of in _tiles(manifest, tile)])
    if kept is None:
        what = f"{manifest.name} {manifest.version} in {precision}"
        if tile is not None and tile != manifest.tile:
            what += f" and tiles of {tile} px"
        others = "".join(f", give --tile {of}" for of in _built_tiles(cache, manifest, precision) if of != tile)
        raise DeviceUnavailable(
            str(device), f"no engine is built for {what}", f"{build}{others}, or choose --device cuda"
        )
    try:
        runner = toolchain.open(kept.content, graph)
    except EngineUnusable as error:  # no other: an engine that took minutes to build outlasts a fault of the driver
        cache.remove(recipe.key)  # whole, and yet of no use
        raise EngineUnusable(str(device), error.cause.partition(": ")[2], build) from error
    why = f"{reason or f'{device}, as asked'}; engine {recipe.key[:12]} of {kept.meta.get('when', 'unknown date')}"
    session = TensorrtSession.of(manifest, device, precision, toolchain, runner, why)
    session.build_seconds = kept.meta.get("seconds")
    return session


@dataclass(eq=False)
class TensorrtSession(Session):
    """An engine opened by TensorRT; see backends.base.Session.

    batches: the numbers of tiles that one call of the runner takes, ascending.
    build_seconds: that TensorRT took for the engine, once; None where nobody noted it.
    spans: see backends.spans.
    """

    manifest: Manifest
    device: str
    reason: str
    runtime: str
    precision: str
    sha256: str
    threads: int | None
    runner: Runner | None
    batches: tuple[int, ...]
    build_seconds: float | None = None
    spans: dict[str, float] | None = None

    @classmethod
    def of(
        cls, manifest: Manifest, device: Device, precision: str, toolchain: Toolchain, runner: Runner, reason: str
    ) -> TensorrtSession:
        """Wrap a runner."""
        return cls(
            manifest=manifest,
            device=str(device),
            reason=reason,
            runtime=f"tensorrt {toolchain.version} on {toolchain.gpu}",
            precision=precision,
            sha256=manifest.file(precision)[1],
            threads=None,
            runner=runner,
            batches=tuple(sorted({largest[0] for _, _, largest in runner.profiles})),
        )

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network, (n, c, h, w) float32 -> (n, k, h, w) float32, in batches that the engine was built for."""
        runner = self.runner  # kept while it runs, whoever closes the session meanwhile
        if runner is None:
            raise SemrtError(f"{self.manifest.name}: the session is closed; open it again")
        self._check(tiles, runner.profiles)
        parts, start = [], 0
        while start < len(tiles):
            size = max(itertools.takewhile((len(tiles) - start).__ge__, self.batches), default=self.batches[0])
            part = np.ascontiguousarray(tiles[start : start + size])
            if len(part) < size:  # an engine that takes no fewer
                part = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            parts.append(runner.run(part, self.spans)[: len(tiles) - start])
            start += size
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """Give the card's memory back."""
        runner, self.runner = self.runner, None
        if runner is not None:
            runner.close()

    def _check(self, tiles: NDArray[np.float32], profiles: tuple[Profile, ...]) -> None:
        smallest, _, largest = profiles[0]
        channels, multiple = len(self.manifest.input_channels), self.manifest.multiple
        fits = tiles.ndim == 4 and tiles.shape[0] > 0 and tiles.shape[1] == channels
        for side, low, high in zip(tiles.shape[-2:], smallest[-2:], largest[-2:], strict=False):
            fits = fits and low <= side <= high and (low == high or side % multiple == 0)
        if not fits:
            allowed = (
                str(high) if low == high else f"a multiple of {multiple} up to {high}"
                for low, high in zip(smallest[-2:], largest[-2:], strict=True)
            )
            largest_tile = max(largest[-2:])
            fitting = "leave --tile out" if largest_tile == self.manifest.tile else f"give --tile {largest_tile}"
            hint = f"which is what the engine was built for; {fitting}, or choose --device cuda"
            raise InvalidShape("tiles", f"(n, {channels}, {', '.join(allowed)})", tiles.shape, hint)
        if tiles.dtype != np.float32:
            raise InvalidValue("tiles", "float32", tiles.dtype)


def _tiles(manifest: Manifest, tile: int | None) -> tuple[int | None, ...]:
    """Tiles whose engines take tiles of that side, best first."""
    return (None,) if tile is None else (tile, None) if tile < manifest.tile else (tile,)


def _kept(cache: EngineCache, recipes: Sequence[Recipe]) -> tuple[Recipe, Kept | None]:
    """The first of the engines that is there and passed; none of the last one, where none is."""
    for recipe in recipes:
        kept = cache.load(recipe.key)
        if kept is not None and kept.meta.get("gate", {}).get("passed"):
            return recipe, kept
    return recipe, None


def _built_tiles(cache: EngineCache, manifest: Manifest, precision: str) -> list[int]:
    """Sides of the tiles that engines of this graph were built for, on whatever card, but for the model's own."""
    sha256 = manifest.file(precision)[1]
    of_graph = [entry.meta for entry in cache.entries() if entry.meta.get("onnx") == sha256]
    return sorted({max(meta["profiles"][-1][-1][-2:]) for meta in of_graph} - {manifest.tile})


def has_engine(manifest: Manifest, precision: str) -> bool:
    """Whether an engine was built from this graph, for whatever card; nothing of NVIDIA's is loaded to find out."""
    sha256 = manifest.file(precision)[1]
    try:
        return any(entry.meta.get("onnx") == sha256 for entry in EngineCache().entries())
    except CacheUnusable:
        return False


def installed() -> bool:
    """Whether TensorRT is installed; it is looked for, not imported."""
    return any(find_spec(name) is not None for name in ("tensorrt", "tensorrt_bindings"))


def could_build() -> bool:
    """Whether a build may succeed: TensorRT is installed, and an NVIDIA driver is there."""
    if not installed():
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def build_command(
    folder: Path, manifest: Manifest, precision: str, device: Device | None = None, tile: int | None = None
) -> str:
    """The command that builds a model's engine."""
    try:
        name = manifest.name if models.find(manifest.name) == folder else f'"{folder}"'
    except ModelNotFound:
        name = f'"{folder}"'
    command = f"semrt build {name}" if precision == "fp32" else f"semrt build {name} --precision {precision}"
    if tile is not None and tile != manifest.tile:
        command += f" --tile {tile}"
    return command if device is None or device.index == 0 else f"{command} --device {device}"
