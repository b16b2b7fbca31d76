"""Which samples to keep from a method, so that they can judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.kernels import mask_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cells", "disjoint_cells"]


@dataclass(frozen=True, eq=False)
class Cells:
    """Squares of the size of the gaps between samples, each of which is kept back whole or not at all.

    Single samples of a path have neighbours on both sides, and would be far easier to predict than what the probe
    never visited.

    number: (ny, nx) of the cell that each pixel belongs to.  draw: (ny, nx), uniform in [0, 1), the same within a cell.
    """

    number: NDArray[np.int64]
    draw: NDArray[np.float64]

    @classmethod
    def of(cls, visited: NDArray[np.bool_], rng: np.random.Generator, n_threads: int | None = None) -> Cells:
        """Lay cells over a field, (ny, nx), with at least one visited pixel."""
        side = max(2, round(mask_statistics(visited, n_threads=n_threads).mean_gap))
        draws = rng.random(tuple(length // side + 1 for length in visited.shape))
        rows, columns = (np.arange(length) // side for length in visited.shape)
        return cls(rows[:, None] * draws.shape[1] + columns, draws[np.ix_(rows, columns)])


def disjoint_cells(
    visited: NDArray[np.bool_],
    fraction: float,
    count: int,
    rng: np.random.Generator,
    n_threads: int | None = None,
) -> list[NDArray[np.bool_]]:
    """Draw `count` sets of visited pixels, (ny, nx) each, that share no pixel and hold about `fraction` of them each.

    A fraction that cannot be had `count` times is cut to 1 / count; one that would leave nothing is empty.
    """
    draw = Cells.of(visited, rng, n_threads).draw
    fraction = min(fraction, 1 / count)
    drawn = [visited & (k * fraction <= draw) & (draw < (k + 1) * fraction) for k in range(count)]
    return [unseen if (visited & ~unseen).any() else np.zeros_like(unseen) for unseen in drawn]
