"""A scan path: where the probe goes, in order and for how long, and what it records there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import SparseScan
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels.coil_lag import coil_lag
from semrt.kernels.rasterise import rasterise, record
from semrt.kernels.scan_order import nearest_order, serpentine_order
from semrt.scan.statistics import displacement, statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.data import Micrograph, PixelSize

__all__ = ["ORDERS", "ScanPath", "inside"]

ORDERS = {"nearest": nearest_order, "serpentine": serpentine_order}

_SETTLED_STEP = 2.0  # [px]


@dataclass(frozen=True, eq=False)
class ScanPath:
    """The positions of a probe, in the order of the scan.

    positions: (n, 2) float64, the true (y, x) [px], (0, 0) the centre of the top-left pixel; may leave the field.
    shape: (ny, nx) of the field.
    dwell_time: (n,) float64 [µs].
    blank: (n,) bool, samples during which the beam is blanked.
    pattern, seed, parameters: what the path was drawn from, where it was.
    nominal: (n, 2) float64, what the scan generator asks for where the probe does not follow it; else None.
    flyback_time: waited before a sample more than half the field away from the last one [µs].
    settle_time: waited before any other sample more than 2 px away [µs].
    pixel_size: (dy, dx) [nm] or None.  rotation: of the scan, to be set at the instrument [deg].

    Raises InvalidShape, InvalidValue.
    """

    positions: NDArray[np.float64]
    shape: tuple[int, int]
    dwell_time: NDArray[np.float64]
    blank: NDArray[np.bool_]
    pattern: str = ""
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    nominal: NDArray[np.float64] | None = None
    flyback_time: float = 0.0
    settle_time: float = 0.0
    pixel_size: PixelSize | None = None
    rotation: float = 0.0

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise InvalidShape("shape", "(ny, nx) with at least one pixel", tuple(self.shape))
        positions = _finite("positions", self.positions)
        if positions.ndim != 2 or positions.shape[1] != 2 or len(positions) == 0:
            raise InvalidShape("positions", "(n, 2) as (y, x) with at least one sample", positions.shape)
        n = len(positions)
        dwell_time = _finite("dwell_time", self.dwell_time)
        blank = np.ascontiguousarray(self.blank, np.bool_)
        nominal = None if self.nominal is None else _finite("nominal", self.nominal)
        for name, array, wanted in (
            ("dwell_time", dwell_time, (n,)),
            ("blank", blank, (n,)),
            ("nominal", nominal, (n, 2)),
        ):
            if array is not None and array.shape != wanted:
                raise InvalidShape(name, f"{wanted}, as there are {n} positions", array.shape)
        if not (dwell_time >= 0).all():
            raise InvalidValue("dwell_time", "0 µs or more", f"{dwell_time.min()}")
        for name in ("flyback_time", "settle_time"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InvalidValue(name, "0 µs or more", getattr(self, name))
        if not math.isfinite(self.rotation):
            raise InvalidValue("rotation", "a finite angle [deg]", self.rotation)
        if self.pixel_size is not None and not (np.isfinite(self.pixel_size).all() and min(self.pixel_size) > 0):
            raise InvalidValue("pixel_size", "(dy, dx) above zero [nm]", self.pixel_size, "use None when it is unknown")
        object.__setattr__(self, "shape", (int(self.shape[0]), int(self.shape[1])))
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "dwell_time", dwell_time)
        object.__setattr__(self, "blank", blank)
        object.__setattr__(self, "nominal", nominal)

    @property
    def asked(self) -> NDArray[np.float64]:
        """(n, 2) what the scan generator asks for: the nominal positions where they differ from the true ones."""
        return self.positions if self.nominal is None else self.nominal

    @property
    def visited(self) -> NDArray[np.bool_]:
        """(ny, nx) bool, the pixels that the unblanked beam visits."""
        return rasterise(self.positions[~self.blank], self.shape).visited

    @property
    def coverage(self) -> float:
        """Fraction of the pixels that are visited."""
        visited = self.visited
        return float(np.count_nonzero(visited)) / visited.size

    @property
    def wait(self) -> NDArray[np.float64]:
        """(n,) time waited before each sample for the probe to arrive [µs]."""
        step = np.hypot(*np.diff(self.asked, axis=0, prepend=self.asked[:1]).T)
        flyback, jump = step > max(self.shape) / 2, step > _SETTLED_STEP
        return np.where(flyback, self.flyback_time, np.where(jump, self.settle_time, 0.0))

    def sample(self, micrograph: Micrograph, *, probe_sigma: float = 0.0, believed: str = "true") -> SparseScan:
        """What a detector would record of a micrograph along this path.

        Each sample is interpolated at its true position; a pixel gets the mean of its samples, weighted by dwell time.
        probe_sigma: standard deviation of a Gaussian probe [px]; 0 for a point.
        believed: grid the samples at their "true" positions, or at the "nominal" ones, as an instrument does that does
            not know of the lag.
        Raises InvalidShape, InvalidOption, InvalidValue (NaN under the probe), EmptyScan.
        """
        if micrograph.shape != self.shape:
            raise InvalidShape("micrograph", f"{self.shape}, as the scan path has", micrograph.shape)
        if believed not in ("true", "nominal"):
            raise InvalidOption.unknown("believed positions", believed, ("true", "nominal"))
        on = ~self.blank & inside(self.positions, self.shape)
        recorded = record(micrograph.intensity, self.positions[on], probe_sigma=probe_sigma)
        gridded = (self.positions if believed == "true" else self.asked)[on]
        return SparseScan.from_positions(
            gridded,
            recorded,
            self.shape,
            dwell_time=self.dwell_time[on],
            pixel_size=micrograph.pixel_size,
            metadata={**micrograph.metadata, "scan_pattern": self.pattern, "scan_seed": self.seed},
        )

    def with_coil_lag(
        self, *, time_constant: float = 0.0, delay: float = 0.0, slew_limit: float | None = None
    ) -> ScanPath:
        """The same scan as lagging coils drive it: positions become the true ones, nominal those asked for.

        A true position is the mean over the sample's dwell time. Lag that this path has already is replaced.
        time_constant: of the coils' one pole [µs].  delay: of the scan generator [µs].
        slew_limit: highest speed on each axis [px/µs].  Raises InvalidOption.
        """
        true = coil_lag(
            self.asked, self.dwell_time, self.wait, time_constant=time_constant, delay=delay, slew_limit=slew_limit
        )
        return replace(self, positions=true, nominal=self.asked)

    def reordered(self, order: str = "nearest") -> ScanPath:
        """The same samples in an order without long jumps; for points whose order does not matter.

        order: "nearest" (always on to the nearest sample left) or "serpentine" (back and forth in bands).
        Lag is left out, as it depends on the order: apply with_coil_lag again.  Raises InvalidOption.
        """
        if order not in ORDERS:
            raise InvalidOption.unknown("order", order, ORDERS)
        rank = ORDERS[order](self.asked)
        return replace(
            self,
            positions=self.asked[rank],
            nominal=None,
            dwell_time=self.dwell_time[rank],
            blank=self.blank[rank],
            parameters={**self.parameters, "order": order},
        )

    def statistics(self, *, probe_current: float | None = None) -> dict[str, float]:
        """Time, steps, speeds and dose of this scan; see semrt.scan.statistics."""
        return statistics(self, probe_current=probe_current)

    def displacement_warning(self, limit: float = 1.0) -> str | None:
        """One line for the user where 5 % of the samples are displaced by more than `limit` px by lag; else None."""
        far = displacement(self)["displacement_p95_px"]
        if far <= limit:
            return None
        return (
            f"the probe lags: 5 % of the samples are more than {far:.1f} px from where they were asked for; scan "
            "slower, choose a smoother pattern (hilbert, snake, clv), reorder the samples, or grid them at their true "
            "positions"
        )


def inside(positions: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(n,) bool, which positions (n, 2) round to a pixel of the field."""
    y, x = np.floor(positions + 0.5).T
    found: NDArray[np.bool_] = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    return found


def _finite(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.ascontiguousarray(values, np.float64)
    if not np.isfinite(array).all():
        raise InvalidValue(name, "finite values", "NaN or infinite ones", "leave those samples out")
    return array
