"""The samples of a scan under way, gridded as they arrive."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from semrt.data import SparseScan
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.scan.scan_path import inside

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from semrt.data import PixelSize
    from semrt.scan import ScanPath

__all__ = ["Samples"]


class Samples:
    """Sums over the samples of each pixel, from which any moment's scan is made; safe to add to from any thread.

    Sums rather than samples: a scan that goes round and round for hours takes no more memory. They are those of
    semrt.kernels.rasterise, in the same order, so that the scan is the same to the last bit.

    shape: (ny, nx).  path: whose order intensities alone come in; its dwell times weigh its samples, and any other
    sample counts as one of 1 µs.
    """

    def __init__(self, shape: tuple[int, int], path: ScanPath | None) -> None:
        self.shape = shape
        self.path = path
        self._on = None if path is None else ~path.blank & inside(path.positions, shape)
        self._lock = threading.Lock()
        self._time = np.zeros(shape[0] * shape[1])
        self._signal = np.zeros_like(self._time)
        self._along = 0
        self.count = 0
        self.version = 0  # told apart by it: what has come since an image was made

    @property
    def along(self) -> int:
        """How many samples of the path have come."""
        return self._along

    def add(self, y: ArrayLike, x: ArrayLike, intensity: ArrayLike) -> None:
        """Add samples at (y, x) [px], (n,) each.  Raises InvalidShape, InvalidValue, and then adds none."""
        rows, columns, values = (_line(name, given) for name, given in (("y", y), ("x", x), ("intensity", intensity)))
        if not rows.shape == columns.shape == values.shape:
            got = tuple(array.size for array in (rows, columns, values))
            raise InvalidShape("y, x, intensity", "three of one length", got)
        at = np.stack((rows, columns), axis=1)
        if not (within := inside(at, self.shape)).all():
            first = tuple(at[~within][0].tolist())
            outside = f"{np.count_nonzero(~within)} of {len(at)} outside, the first at {first}"
            raise InvalidValue("positions", f"(y, x) within the field of {self.shape} px", outside, "leave those out")
        _check_finite(values)
        with self._lock:
            self._sum(at, np.ones(len(at)), values)

    def add_in_order(self, intensity: ArrayLike) -> None:
        """Add the next samples of the path, (n,); those that are blanked or outside the field may be NaN.

        Raises InvalidOption without a path, InvalidShape, InvalidValue, and then adds none.
        """
        if self.path is None or self._on is None:
            raise InvalidOption("add: intensities alone need a pattern or path; give it, or add(y, x, intensity)")
        values = _line("intensity", intensity)
        with self._lock:
            left = len(self._on) - self._along
            if len(values) > left:
                wanted = f"at most the {left} samples that are left of the path's {len(self._on)}"
                raise InvalidValue("intensity", wanted, len(values), "restart() begins the path again")
            part = slice(self._along, self._along + len(values))
            on = self._on[part]
            _check_finite(values[on])
            self._sum(self.path.positions[part][on], self.path.dwell_time[part][on], values[on])
            self._along += len(values)

    def restart(self, *, keep: bool) -> None:
        """Begin the path again.  keep: what was measured goes on to count."""
        with self._lock:
            self._along = 0
            if not keep:
                self._time[:] = 0
                self._signal[:] = 0
                self.count = 0
                self.version += 1

    def scan(self, pixel_size: PixelSize | None) -> tuple[SparseScan, int, int]:
        """What has been measured so far, how many samples that are, and its version.

        Raises InvalidValue before the first sample.
        """
        with self._lock:
            time, signal, count, version = self._time.copy(), self._signal.copy(), self.count, self.version
        visited = time > 0
        if not visited.any():
            raise InvalidValue("live scan", "at least one sample", "none", "add() what was measured first")
        mean = np.divide(signal, time, out=np.zeros_like(signal), where=visited)
        scan = SparseScan(
            mean.astype(np.float32).reshape(self.shape),
            visited.reshape(self.shape),
            pixel_size,
            dwell_time=None if self.path is None else time.astype(np.float32).reshape(self.shape),
            metadata={} if self.path is None else {"scan_pattern": self.path.pattern, "scan_seed": self.path.seed},
        )
        return scan, count, version

    def _sum(self, at: NDArray[np.float64], weight: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        y, x = np.floor(at + 0.5).astype(np.intp).T
        pixel = y * self.shape[1] + x
        np.add.at(self._time, pixel, weight)
        np.add.at(self._signal, pixel, weight * values)
        self.count += len(values)
        self.version += 1


def _line(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """(n,) from a single number too.  Raises InvalidShape, InvalidValue."""
    given = np.asarray(values)
    if given.dtype.kind not in "buif":
        raise InvalidValue(name, "real numbers", f"dtype {given.dtype}")
    if given.ndim > 1:
        raise InvalidShape(name, "(n,), or a single number", given.shape)
    return np.atleast_1d(given).astype(np.float64)


def _check_finite(values: NDArray[np.float64]) -> None:
    if not np.isfinite(values).all():
        raise InvalidValue("intensity", "finite values", "NaN or infinite ones", "leave those samples out")
