"""A scan path: where the probe goes, in order, for how long; and what it records there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import Micrograph, SparseScan
from semrt.errors import InvalidShape, InvalidValue
from semrt.kernels.rasterise import rasterise, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["ScanPath"]


@dataclass(frozen=True, eq=False)
class ScanPath:
    """The positions of a probe, in the order of the scan."""

    positions: NDArray[np.float64]
    shape: tuple[int, int]
    dwell_time: NDArray[np.float64]
    blank: NDArray[np.bool_] | None = None
    pattern: str = ""
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    nominal: NDArray[np.float64] | None = None

    @property
    def visited(self) -> NDArray[np.bool_]:
        """(ny, nx) bool."""
        return rasterise(self.positions, self.shape).visited

    @property
    def coverage(self) -> float:
        """Fraction of the pixels visited."""
        return float(self.visited.mean())
