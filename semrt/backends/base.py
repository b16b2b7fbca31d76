"""What every backend gives: a session that runs a network on tiles, and says where."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import numpy as np

from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from numpy.typing import NDArray

    from semrt.models import Manifest

__all__ = ["Device", "Session", "parse_device", "warm_up"]


@dataclass(frozen=True)
class Device:
    """A place to compute: its kind, such as "cuda" or "torch:cuda", and its number where the machine has several."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return self.kind if _is_one(self.kind) else f"{self.kind}:{self.index}"


@runtime_checkable
class Session(Protocol):
    """A model opened on a device; it knows tensors, no microscopy.

    device: where it really runs, "cpu", "cuda:0" or "torch:cuda:0".  reason: why there, in a sentence.
    runtime: the software that runs it, and its version.
    precision, sha256: which of the model's files it runs.
    threads: CPU threads of the network; None where the runtime chose.

    Safe to run from several threads.  As a context manager it closes itself.
    """

    manifest: Manifest
    device: str
    reason: str
    runtime: str
    precision: str
    sha256: str
    threads: int | None

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network: (n, c, h, w) float32 -> (n, k, h, w) float32, any n from 1.

        Raises InvalidShape, InvalidValue (another dtype), OutOfMemory, DeviceUnavailable, ModelDamaged.
        """
        ...

    def close(self) -> None:
        """Give memory and device back; closing twice does no harm."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def parse_device(text: str, kinds: Iterable[str]) -> Device:
    """Read "cpu", "cuda:1" or "torch:cuda"; a kind without a number means its first device.  Raises InvalidOption."""
    kinds = sorted(kinds)
    match = re.fullmatch(r"([a-z]+(?::[a-z]+)?)(?::(\d{1,3}))?", text)
    if match is None or match[1] not in kinds or (_is_one(match[1]) and match[2] is not None):
        choices = ", ".join(kind if _is_one(kind) else f"{kind}, {kind}:N" for kind in kinds)
        raise InvalidOption(f"device {text!r} is unknown; choose from: auto, {choices}")
    return Device(match[1], int(match[2] or 0))


def _is_one(kind: str) -> bool:
    """Whether a machine has one such device, which needs no number: its processor, whatever runs there."""
    return kind.rpartition(":")[2] == "cpu"


def warm_up(session: Session, batch: int = 1, tile: int | None = None) -> float:
    """Run once on zeros, so that the first image does not pay for the runtime's own preparations; seconds it took."""
    side = tile or session.manifest.tile
    zeros = np.zeros((batch, len(session.manifest.input_channels), side, side), np.float32)
    started = time.perf_counter()
    session.run(zeros)
    return time.perf_counter() - started
