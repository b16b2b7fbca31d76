"""What TensorRT is to semrt: it turns a graph into an engine for one card, and opens it.

What NVIDIA's software does stands behind Toolchain and Runner; all the rest needs no card.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from semrt.backends.engine_cache import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from semrt.backends.base import Device
    from semrt.models import Manifest

    Shape = tuple[int, ...]
    Profile = tuple[Shape, Shape, Shape]  # smallest, usual, largest (n, c, h, w)
    Progress = Callable[[int, int, str], None]

__all__ = ["MOST_PIXELS", "Graph", "Recipe", "Runner", "Toolchain", "profiles_of", "toolchain_for"]

MOST_PIXELS = 2**23
"""Of all tiles of a batch; the engine gives no card more at once, and what is built for more needs memory for more."""


@dataclass(frozen=True)
class Graph:
    """What an engine is made from.  channels: of the input, and of the output."""

    path: Path
    onnx: bytes
    input: str
    output: str
    channels: tuple[int, int]

    @classmethod
    def read(cls, folder: Path, manifest: Manifest, precision: str) -> Graph:
        """Read it and compare its hash.  Raises InvalidOption, ModelDamaged."""
        onnx = manifest.load(folder, precision)
        channels = len(manifest.input_channels), len(manifest.output_channels)
        return cls(folder / manifest.file(precision)[0], onnx, manifest.input, manifest.output, channels)


class Runner(Protocol):
    """An opened engine.  profiles: the shapes that it takes."""

    profiles: tuple[Profile, ...]

    def run(self, tiles: NDArray[np.float32], spans: dict[str, float] | None = None) -> NDArray[np.float32]:
        """Run one batch of a shape that a profile has; from several threads.

        spans: where the seconds of the card are added, if it keeps time; see semrt.backends.spans.
        Raises OutOfMemory, DeviceUnavailable, ModelDamaged (an output of another shape).
        """
        ...

    def close(self) -> None:
        """Give the card's memory back."""
        ...


class Toolchain(Protocol):
    """TensorRT on one card."""

    @property
    def version(self) -> str:
        """Of TensorRT."""
        ...

    @property
    def flags(self) -> tuple[str, ...]:
        """What else changes what it builds."""
        ...

    @property
    def capability(self) -> str:
        """The compute capability of the card, such as "9.0"."""
        ...

    @property
    def gpu(self) -> str:
        """The name of the card."""
        ...

    def build(
        self, graph: Graph, profiles: Sequence[Profile], timings: bytes, progress: Progress
    ) -> tuple[bytes, bytes]:
        """Build an engine: itself, and what was timed, which makes the next build shorter.

        timings: those of an earlier build, or none.  progress: called with how far it is; what it raises ends it.
        Raises OutOfMemory, DeviceUnavailable, ModelUnsuitable, ModelDamaged, Interrupted.
        """
        ...

    def open(self, plan: bytes, graph: Graph) -> Runner:
        """Open an engine.  Raises OutOfMemory, DeviceUnavailable, EngineUnusable (the engine is at fault)."""
        ...


@dataclass(frozen=True)
class Recipe:
    """All that an engine depends on; another value of any of them is another engine."""

    onnx: str
    profiles: tuple[Profile, ...]
    precision: str
    flags: tuple[str, ...]
    tensorrt: str
    capability: str
    gpu: str
    system: str

    @classmethod
    def of(
        cls, graph: Graph, manifest: Manifest, precision: str, toolchain: Toolchain, tile: int | None = None
    ) -> Recipe:
        """Gather it.  tile [px]: side of the tiles, that of the manifest when None."""
        return cls(
            onnx=hashlib.sha256(graph.onnx).hexdigest(),
            profiles=profiles_of(manifest, tile),
            precision=precision,
            flags=tuple(toolchain.flags),
            tensorrt=toolchain.version,
            capability=toolchain.capability,
            gpu=toolchain.gpu,
            system=f"{platform.system()} {platform.machine()}",
        )

    @property
    def key(self) -> str:
        """Of the engine, in hexadecimal digits."""
        return key_of(asdict(self))

    @property
    def timings_key(self) -> str:
        """Of what is timed: the same for every graph."""
        told = asdict(self)
        return key_of({"timings": {name: told[name] for name in ("tensorrt", "capability", "gpu", "system")}})


def profiles_of(manifest: Manifest, tile: int | None = None) -> tuple[Profile, ...]:
    """The shapes an engine is built for: one profile a batch, tuned for a tile and open to smaller ones.

    tile [px]: that of the manifest when None.
    """
    channels, least = len(manifest.input_channels), manifest.multiple
    tile = manifest.tile if tile is None else tile
    batches = [n for n in manifest.batch if n == 1 or n * tile**2 <= MOST_PIXELS]
    return tuple(((n, channels, least, least), *(((n, channels, tile, tile),) * 2)) for n in batches)


def toolchain_for(device: Device) -> Toolchain:
    """Load NVIDIA's software.  Raises MissingDependency, DeviceUnavailable."""
    from semrt.backends.tensorrt_native import NativeToolchain

    return NativeToolchain(device)
