"""Tiles and batches that fit into the memory there is: halved when it runs out, and remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from semrt import tiling
from semrt.errors import InvalidShape, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from semrt.backends import Session

__all__ = ["Size", "run_fitting"]

Run = Callable[[int, int], "NDArray[np.float32]"]
"""Of tile and batch."""


@dataclass(frozen=True)
class Size:
    """What one call of a session is given.

    tile: longest side of a tile [px].  batch: tiles at once.  asked: what did not fit; None where everything did.
    """

    tile: int
    batch: int
    asked: Size | None = None

    @property
    def record(self) -> dict[str, Any]:
        """What the provenance says of what did not fit."""
        if self.asked is None:
            return {}
        return {"asked": {"tile": self.asked.tile, "batch": self.asked.batch}, "why": "out of memory"}

    def __str__(self) -> str:
        return f"{self.batch} x {self.tile} px"


_fitting: WeakKeyDictionary[Session, dict[Size, Size]] = WeakKeyDictionary()
"""What fitted instead of what was asked for: nothing is tried again and again while a session is open."""


def run_fitting(run: Run, session: Session, asked: Size, shape: Sequence[int], images: int) -> tuple[Any, Size, str]:
    """Run with what was asked for; while memory is short, all over with half of the batch, then half of the tile.

    run: what is to be run.  shape: (ny, nx) of each of so many images.
    Returns what it gives, the size that it ran with, and a line to tell of that, empty where nothing is new in it.
    Raises what it raises; OutOfMemory where nothing is left to halve.
    """
    remembered = _fitting.setdefault(session, {})
    size = remembered.get(asked, asked)
    manifest = session.manifest
    too_large: Size | None = None
    while True:
        try:
            result = run(size.tile, size.batch)
            break
        except OutOfMemory as error:
            smaller = tiling.halved(shape, images, size.tile, size.batch, manifest.halo, manifest.multiple)
            if smaller is None:
                raise _nothing_left(session, size) from error
        except InvalidShape as error:  # a network that takes no such tile
            if too_large is None:
                raise
            raise _nothing_left(session, too_large) from error
        too_large, size = size, Size(*smaller, asked)
    if too_large is None:
        return result, size, ""
    remembered[asked] = size
    return result, size, f"out of memory on {session.device} at {asked}; it runs at {size} from now on"


def _nothing_left(session: Session, size: Size) -> OutOfMemory:
    cure = (
        f"{size} is the least that {session.manifest.name} takes; close what else uses it, or choose another --device"
    )
    return OutOfMemory(session.device, cure)
