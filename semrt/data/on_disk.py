"""What is too large for memory, and is made piece by piece of what lies in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["OnDisk"]


@dataclass(frozen=True, eq=False, slots=True)
class OnDisk:
    """A measurement of which no more is in memory than the slices that are asked for.

    array: three axes of any real type, mapped into memory.  axis: of its axes, that along which the slices lie.
    made: of a part of the array, float32, to the measurement that it is, such as a TiltSeries.
    """

    array: NDArray[Any]
    axis: int
    made: Callable[[NDArray[np.float32]], Any]

    @property
    def n_slices(self) -> int:
        """How many there are."""
        return int(self.array.shape[self.axis])

    def slab(self, chosen: slice | NDArray[np.intp]) -> Any:
        """The measurement that is made of the chosen slices alone."""
        where: list[Any] = [slice(None)] * 3
        where[self.axis] = chosen
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused as such
            return self.made(np.ascontiguousarray(self.array[tuple(where)], np.float32))

    def planes(self) -> Iterator[NDArray[Any]]:
        """All that lies in the file, plane by plane."""
        yield from self.array
