"""What every session does with its tiles before the network sees them: check them, and split them into known sizes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidShape, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from semrt.models import Manifest

__all__ = ["batches", "check_tiles"]


def check_tiles(tiles: NDArray[np.float32], manifest: Manifest, sides: Sequence[int | str | None]) -> None:
    """Raise InvalidShape or InvalidValue for tiles that the network does not take.

    sides: of the graph's input (h, w): a number where it is fixed, else a name or None.
    """
    channels, multiple = len(manifest.input_channels), manifest.multiple
    fits = tiles.ndim == 4 and tiles.shape[0] > 0 and tiles.shape[1] == channels
    for got, side in zip(tiles.shape[-2:], sides, strict=False):
        fits = fits and (got == side if isinstance(side, int) else got > 0 and got % multiple == 0)
    if not fits:
        wanted = (str(side) if isinstance(side, int) else f"a multiple of {multiple}" for side in sides)
        raise InvalidShape("tiles", f"(n, {channels}, {', '.join(wanted)})", tiles.shape)
    if tiles.dtype != np.float32:
        raise InvalidValue("tiles", "float32", tiles.dtype)


def batches(n: int, buckets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Split n tiles into bucket sizes, largest first: no shape is new to the device, nothing is computed in vain.

    buckets: ascending from 1.  Gives the first tile of each batch, and that after its last.
    """
    start = 0
    while start < n:
        left = n - start
        size = max(itertools.takewhile(left.__ge__, buckets))
        yield start, start + size
        start += size
