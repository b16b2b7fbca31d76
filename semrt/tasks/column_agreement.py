"""Whether two maps show the same columns: what a network in another precision must not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.backends.gate import Lost
from semrt.tasks.column_finder import found_disks
from semrt.tasks.column_input import OUTPUT_CHANNELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.models import Reference

__all__ = ["MOST_F1", "f1_lost"]

MOST_F1 = 0.002
"""What two maps may lack to an F1 of 1 and still show the same columns."""
MATCHED = 1.0
"""px of the map, of the twelve between two columns, by which the places of one column may differ."""
_AT_ONCE = 512


def f1_lost(estimate: NDArray[np.float32], reference: Reference) -> Lost:
    """What F1 lacks to 1, of the columns in other maps against those in the reference's, all tiles together.

    estimate: (n, k, h, w), in the order of OUTPUT_CHANNELS.  Columns are found as Columns.finish finds them.
    """
    maps = (np.clip(of[:, OUTPUT_CHANNELS.index("columns")], 0, 1) for of in (estimate, reference.estimate))
    hits = found = wanted = 0
    for other, right in zip(*maps, strict=True):
        these, those = found_disks(other).positions, found_disks(right).positions
        hits += _matched(these, those)
        found, wanted = found + len(these), wanted + len(those)
    f1 = 2 * hits / (found + wanted) if found + wanted else 1.0
    return Lost(1 - f1, MOST_F1, f"F1 of the reference's {wanted} columns lower by {1 - f1:.2g}")


def _matched(these: NDArray[np.float64], those: NDArray[np.float64]) -> int:
    """How many of those have one of these within MATCHED; both (n, 2) [px], none nearer to its like than that."""
    if not len(those):
        return 0
    near: set[int] = set()
    for start in range(0, len(these), _AT_ONCE):  # of a large tile, all distances would take hundreds of MB
        apart = np.linalg.norm(these[start : start + _AT_ONCE, np.newaxis] - those, axis=-1)
        nearest = apart.argmin(axis=1)
        near.update(nearest[apart.min(axis=1) <= MATCHED].tolist())
    return len(near)
