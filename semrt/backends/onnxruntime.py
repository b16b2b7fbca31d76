"""ONNX Runtime on the CPU and on NVIDIA cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.backends import onnxruntime_cuda as cuda
from semrt.backends.base import Session
from semrt.backends.batches import batches, check_tiles
from semrt.backends.cores import physical_cores
from semrt.backends.onnxruntime_binding import LANES, BoundGraph
from semrt.errors import (
    DeviceUnavailable,
    MissingDependency,
    ModelDamaged,
    OutOfMemory,
    SemrtError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.backends.base import Device
    from semrt.models import Manifest

__all__ = ["OnnxSession", "open_onnxruntime"]

_CPU = "CPUExecutionProvider"
_FULL = (
    "Failed to allocate memory",
    "bad_alloc",
    "out of memory",
    "ALLOC_FAILED",
    "Available memory of",  # what a limit on it leaves
)
_OTHER_SHAPE = "computed output shape"
_FATAL = 4  # severity; all else arrives as an exception, and stderr belongs to the command line


def open_onnxruntime(
    folder: Path,
    manifest: Manifest,
    device: Device,
    *,
    threads: int | None = None,
    precision: str = "fp32",
    reason: str = "",
    gpu_memory: int | None = None,
) -> OnnxSession:
    """Open a model with ONNX Runtime on "cpu" or "cuda"; the file's hash is checked first.

    gpu_memory: bytes of a card that the network may take at most.
    Raises MissingDependency, DeviceUnavailable (rather than fall back), ModelDamaged, OutOfMemory, InvalidOption.
    """
    onnxruntime = _import(device)
    threads = threads or physical_cores()
    settings = _settings(onnxruntime, threads)
    providers: list[Any] = [_CPU]
    if device.kind == "cuda":
        cuda.require_provider(onnxruntime, str(device))
        providers = [(cuda.PROVIDER, cuda.provider_options(device.index, gpu_memory)), _CPU]
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    name, sha256 = manifest.file(precision)
    path = folder / name
    onnx = manifest.load(folder, precision)
    try:
        graph = onnxruntime.InferenceSession(onnx, settings, providers=providers, enable_fallback=0)
    except Exception as error:
        cure = "close what else takes it" if gpu_memory is None else "allow more with --gpu-mem"
        raise _translated(error, str(device), path, cure) from error
    _check_tensors(graph, manifest, path)
    bound = None
    if device.kind == "cuda":
        cuda.require_placement(graph, cuda.PROVIDER, str(device))
        memory = cuda.host_memory(device.index)
        place = "cuda", device.index
        bound = BoundGraph(onnxruntime, graph, manifest, memory, place, frugal=gpu_memory is not None)
        reason = reason or f"{device}, as asked"
        reason += f", in {gpu_memory / 2**30:.3g} GiB of it" if gpu_memory is not None else ""
        reason += "" if memory.pinned else ", without page-locked memory, as the CUDA runtime was not found"
    return OnnxSession(
        manifest=manifest,
        device=str(device),
        reason=reason or f"{device}, as asked",
        runtime=f"onnxruntime {onnxruntime.__version__}",
        precision=precision,
        sha256=sha256,
        threads=threads,
        path=path,
        graph=graph,
        bound=bound,
    )


@dataclass(eq=False)
class OnnxSession(Session):
    """A graph opened by ONNX Runtime; see backends.base.Session.

    bound: runs it in memory that stays, where that is faster: on a card.  spans: see backends.spans.
    """

    manifest: Manifest
    device: str
    reason: str
    runtime: str
    precision: str
    sha256: str
    threads: int | None
    path: Path
    graph: Any
    bound: BoundGraph | None = None
    spans: dict[str, float] | None = None

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network, (n, c, h, w) float32 -> (n, k, h, w) float32, in batches of the manifest's sizes."""
        graph, bound = self.graph, self.bound  # kept while it runs, whoever closes the session meanwhile
        if graph is None:
            raise SemrtError(f"{self.manifest.name}: the session is closed; open it again")
        free_batch, _, *sides = graph.get_inputs()[0].shape
        check_tiles(tiles, self.manifest, sides)
        tiles = np.ascontiguousarray(tiles)
        buckets = (1,) if free_batch == 1 else self.manifest.batch
        places = list(batches(len(tiles), buckets))
        if bound is not None and (predicted := self._run_bound(bound, tiles, places)) is not None:
            return predicted
        parts = [self._run_batch(graph, tiles[start:stop]) for start, stop in places]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @property
    def lanes(self) -> int:
        """How many calls at once are worth the while: on a card one computes while another is copied."""
        return 1 if self.bound is None else LANES

    def close(self) -> None:
        """Give the graph's memory back."""
        bound, self.graph, self.bound = self.bound, None, None
        if bound is not None:
            bound.close()

    def _run_bound(
        self, bound: BoundGraph, tiles: NDArray[np.float32], places: list[tuple[int, int]]
    ) -> NDArray[np.float32] | None:
        """Run it there; None where binding itself fails, which is noted, and not tried again."""
        try:
            if self.spans is not None and bound.keeps_time:
                return bound.run_clocked(tiles, places, self.spans)
            return bound.run(tiles, places)
        except Exception as error:
            told = _translated(error, self.device, self.path)
            if isinstance(told, OutOfMemory):
                bound.spare()
            elif isinstance(told, DeviceUnavailable) and not bound.proven:
                self.bound = None
                self.reason += f", batches not bound to memory, as {told.cause}"
                return None
            raise told from error

    def _run_batch(self, graph: Any, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            (predicted,) = graph.run([self.manifest.output], {self.manifest.input: tiles})
        except Exception as error:
            raise _translated(error, self.device, self.path) from error
        n, _, h, w = tiles.shape
        wanted = (n, len(self.manifest.output_channels), h, w)
        if predicted.shape != wanted:
            raise ModelDamaged(self.path, f"{self.manifest.output}: expected shape {wanted}, got {predicted.shape}")
        return np.asarray(predicted, np.float32)


def _import(device: Device) -> Any:
    extra = "gpu" if device.kind == "cuda" else "cpu"
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise _missing(extra) from error
    except ImportError as error:
        cure = f'run: pip install --force-reinstall "semrt[{extra}]"'
        raise DeviceUnavailable(str(device), f"onnxruntime does not load, {error}", cure) from error
    if not hasattr(onnxruntime, "InferenceSession"):  # an empty folder stays when one of its two packages goes
        raise _missing(extra)
    onnxruntime.set_default_logger_severity(_FATAL)
    return onnxruntime


def _missing(extra: str) -> MissingDependency:
    return MissingDependency("onnxruntime", extra, "running a network (extra cpu, or gpu for an NVIDIA card)")


def _settings(onnxruntime: Any, threads: int | None) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.intra_op_num_threads = threads or 0  # 0: ONNX Runtime counts the cores itself
    settings.log_severity_level = _FATAL
    # Idle threads that spin slowed the network by up to 1.7 as soon as anything else was running. Memory pattern and
    # arena stay on: without the arena a tile took up to 1.6 times as long. See benchmarks/runtimes.py.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return settings


def _check_tensors(graph: Any, manifest: Manifest, path: Path) -> None:
    for kind, name, tensors, channels in (
        ("input", manifest.input, graph.get_inputs(), len(manifest.input_channels)),
        ("output", manifest.output, graph.get_outputs(), len(manifest.output_channels)),
    ):
        named = {tensor.name: tensor for tensor in tensors}
        if name not in named or (kind == "input" and len(named) > 1):
            raise ModelDamaged(path, f"expected {kind} {name!r}, got {', '.join(map(repr, named))}")
        shape = tuple(named[name].shape)
        fits = len(shape) == 4 and shape[0] in (1, *_symbols(shape)) and shape[1] in (channels, *_symbols(shape))
        if not fits or named[name].type != "tensor(float)":
            wanted = f"(n, {channels}, h, w) of float"
            raise ModelDamaged(path, f"{kind} {name!r}: expected {wanted}, got {shape} of {named[name].type}")


def _symbols(shape: tuple[int | str | None, ...]) -> list[str | None]:
    return [side for side in shape if not isinstance(side, int)]


def _translated(error: Exception, device: str, path: Path, cure: str = "") -> SemrtError:
    """Say in semrt's words what ONNX Runtime raised: it knows but a handful of classes, so its text decides.

    cure: what to do where memory is short, if it is not a smaller tile or batch.
    """
    text = str(error)
    if isinstance(error, MemoryError) or any(sign in text for sign in _FULL):
        return OutOfMemory(device, *([cure] if cure else []))
    if device == "cpu" or type(error).__name__ in ("InvalidProtobuf", "InvalidGraph") or _OTHER_SHAPE in text:
        return ModelDamaged(path, text)
    return DeviceUnavailable(device, cuda.telling_phrase(error), "choose --device cpu")
