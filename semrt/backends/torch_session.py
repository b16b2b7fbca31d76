"""torch as a third opinion: a model's graph by other kernels, on the processor and on NVIDIA cards.

It is for checking, `auto` never takes it, and neither it nor onnx is imported before it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.backends.base import Session
from semrt.backends.batches import batches, check_tiles
from semrt.backends.cores import physical_cores
from semrt.errors import DeviceUnavailable, MissingDependency, ModelDamaged, OutOfMemory, SemrtError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.backends.base import Device
    from semrt.backends.torch_runners import Runner
    from semrt.models import Manifest

__all__ = ["TorchSession", "open_torch"]

_NO_CARD = "install a torch built for CUDA and the NVIDIA driver, or choose --device torch:cpu"


def open_torch(
    folder: Path,
    manifest: Manifest,
    device: Device,
    *,
    threads: int | None = None,
    precision: str = "fp32",
    reason: str = "",
) -> TorchSession:
    """Open a model with torch on "torch:cpu" or "torch:cuda"; the file's hash is checked first.

    Raises MissingDependency, DeviceUnavailable (rather than fall back), ModelDamaged, ModelUnsuitable for a graph with
    an operator that is not known, OutOfMemory, InvalidOption.
    """
    name, _ = manifest.file(precision)
    path = folder / name
    torch = _import(str(device))
    kind = device.kind.partition(":")[2]
    if kind == "cuda" and device.index >= (count := torch.cuda.device_count() if torch.cuda.is_available() else 0):
        raise DeviceUnavailable(str(device), f"torch {torch.__version__} sees {count} CUDA devices", _NO_CARD)
    place = torch.device(kind, device.index if kind == "cuda" else None)
    from semrt.backends.torch_graph import TorchGraph
    from semrt.backends.torch_runners import CpuRunner, CudaRunner

    content = manifest.load(folder, precision)
    threads = (threads or physical_cores()) if kind == "cpu" else None
    try:
        graph = TorchGraph.read(content, manifest, path, place)
        runner = CpuRunner(graph, threads) if kind == "cpu" else CudaRunner(graph, place)
    except RuntimeError as error:
        raise _translated(error, str(device)) from error
    return TorchSession(
        manifest=manifest,
        device=f"torch:{runner.place}",
        reason=reason or f"{device}, as asked",
        runtime=f"torch {torch.__version__}",
        precision=precision,
        sha256=manifest.file(precision)[1],
        threads=threads,
        path=path,
        shape=graph.shape,
        runner=runner,
    )


@dataclass(eq=False)
class TorchSession(Session):
    """A graph computed by torch; see backends.base.Session.

    shape: of its input, a name or None for a free side.  spans: see backends.spans.
    """

    manifest: Manifest
    device: str
    reason: str
    runtime: str
    precision: str
    sha256: str
    threads: int | None
    path: Path
    shape: tuple[int | str | None, ...]
    runner: Runner | None
    spans: dict[str, float] | None = None

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network, (n, c, h, w) float32 -> (n, k, h, w) float32, in batches of the manifest's sizes."""
        runner = self.runner  # kept while it runs, whoever closes the session meanwhile
        if runner is None:
            raise SemrtError(f"{self.manifest.name}: the session is closed; open it again")
        check_tiles(tiles, self.manifest, self.shape[2:])
        tiles = np.ascontiguousarray(tiles)
        buckets = (1,) if self.shape[0] == 1 else self.manifest.batch
        parts = [self._run_batch(runner, tiles[start:stop]) for start, stop in batches(len(tiles), buckets)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """Give the graph's memory back."""
        runner, self.runner = self.runner, None
        if runner is not None:
            runner.close()

    def _run_batch(self, runner: Runner, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            predicted = runner.run(tiles, self.spans)
        except RuntimeError as error:
            raise _translated(error, self.device) from error
        n, _, h, w = tiles.shape
        wanted = (n, len(self.manifest.output_channels), h, w)
        if predicted.shape != wanted:
            raise ModelDamaged(self.path, f"{self.manifest.output}: expected shape {wanted}, got {predicted.shape}")
        return predicted


def _import(device: str) -> Any:
    """Import torch, and onnx, which reads the graph.  Raises MissingDependency, DeviceUnavailable."""
    for package in ("onnx", "torch"):
        try:
            module = import_module(package)
        except ModuleNotFoundError as error:
            raise MissingDependency(package, "torch", f"device {device}") from error
        except (ImportError, OSError) as error:
            cure = 'run: pip install --force-reinstall "semrt[torch]"; or choose --device cpu'
            raise DeviceUnavailable(device, f"{package} does not load, {error}", cure) from error
    return module


def _translated(error: RuntimeError, device: str) -> SemrtError:
    """Say in semrt's words what torch raised."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text or "out of memory" in text:
        return OutOfMemory(device)
    return DeviceUnavailable(device, text.partition("\n")[0], "choose --device cpu")
