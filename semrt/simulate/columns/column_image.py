"""What a simulation of atomic columns hands over: an image and the whole truth about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.data import PixelSize
    from semrt.simulate.columns.probe import Probe
    from semrt.simulate.fields import Plane

__all__ = ["ColumnImage", "signal_to_noise"]

_NODES = np.arange(-3, 4) * 0.8  # where the sum over a column's pixels is sampled [sigma]


@dataclass(frozen=True, eq=False, slots=True)
class ColumnImage:
    """An ADF-STEM image of atomic columns, and the truth.

    counts: (ny, nx) float32, as recorded.
    clean: (ny, nx) float32, the columns alone: no noise, no background, no row jitter [counts].
    background: (ny, nx) float32, what else reached the detector, its offset included [counts].
    expected: (ny, nx) float32, mean of counts: columns as the jittered scan saw them, background, flicker.
    y, x: (n,) positions in the image [px]; drift and shear have moved them, row jitter is noise about them.
    intensity: (n,) height of each column's own peak [counts].
    species: (n,) elements, such as Ti+O.
    snr: (n,) intensity over the standard deviation of its best estimate where position, neighbours and background are
        known: sqrt(sum of intensity² p² / variance) over pixels, p the probe's profile.
    crlb_y, crlb_x: (n,) least standard deviation of any unbiased estimate of the position [px], with positions and
        intensities of the neighbours and a local plane background unknown (see bound.py); None if not asked for.
        Row jitter is not in it, nor what smoothing of the recorded image took away.
    spacing: nearest-neighbour distance of the lattice [px].
    probe: the image of a column.  pixel_size: (dy, dx) [nm].
    gain, offset, read_noise: variance of counts is gain · (expected - offset) + read_noise² [counts²].
    settings: what was drawn, ready for JSON.
    """

    counts: Plane
    clean: Plane
    background: Plane
    expected: Plane
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    intensity: NDArray[np.float64]
    species: NDArray[np.str_]
    snr: NDArray[np.float64]
    crlb_y: NDArray[np.float64] | None
    crlb_x: NDArray[np.float64] | None
    spacing: float
    probe: Probe
    pixel_size: PixelSize
    gain: float = 1.0
    offset: float = 0.0
    read_noise: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        ny, nx = self.counts.shape
        return ny, nx

    @property
    def probe_sigma(self) -> float:
        """Width of the probe's Gaussian [px]."""
        return self.probe.sigma

    def counted(self, least_snr: float = 5.0, border: float = 2.0) -> NDArray[np.bool_]:
        """Which columns a finder is judged by, (n,): bright enough, and `border` sigmas of the probe from the edge."""
        ny, nx = self.shape
        margin = border * self.probe_sigma
        within = np.minimum(np.minimum(self.y, ny - 1 - self.y), np.minimum(self.x, nx - 1 - self.x))
        return np.asarray((self.snr >= least_snr) & (within >= margin))

    def table(self) -> dict[str, NDArray[Any]]:
        """The truth, a line a column: index, y_px, x_px, intensity, species, snr, and the bounds if they are known."""
        truth: dict[str, NDArray[Any]] = {
            "index": np.arange(len(self.y)),
            "y_px": self.y,
            "x_px": self.x,
            "intensity": self.intensity,
            "species": self.species,
            "snr": self.snr,
        }
        if self.crlb_y is not None and self.crlb_x is not None:
            truth |= {"crlb_y_px": self.crlb_y, "crlb_x_px": self.crlb_x}
        return truth

    def column_map(self, radius: float, *, gaussian: bool = False, least_snr: float = 0.0) -> Plane:
        """Draw where columns are: (ny, nx) float32 from 0 to 1, the greater of two where they overlap.

        radius: of a disc, whose border pixels are covered in part, or sigma of a Gaussian [px].
        least_snr: columns below it are left out.  Raises InvalidOption.
        """
        if not radius > 0:
            raise InvalidOption(f"radius: expected px above zero, got {radius}")
        ny, nx = self.shape
        reach = math.ceil(4 * radius if gaussian else radius + 0.5)
        seen = self.snr >= least_snr
        y, x = self.y[seen], self.x[seen]
        offsets = np.arange(-reach, reach + 1)
        rows, columns = (np.rint(at).astype(np.intp)[:, None] + offsets for at in (y, x))
        square = ((rows - y[:, None]) ** 2)[:, :, None] + ((columns - x[:, None]) ** 2)[:, None, :]
        value = np.exp(square * (-0.5 / radius**2)) if gaussian else np.clip(radius + 0.5 - np.sqrt(square), 0, 1)
        held = ((rows >= 0) & (rows < ny))[:, :, None] & ((columns >= 0) & (columns < nx))[:, None, :] & (value > 0)
        index = rows[:, :, None] * nx + columns[:, None, :]
        drawn = np.zeros(ny * nx, np.float32)
        np.maximum.at(drawn, index[held], value[held].astype(np.float32))
        return drawn.reshape(ny, nx)


def signal_to_noise(
    y: NDArray[np.float64], x: NDArray[np.float64], peak: NDArray[np.float64], variance: Plane, probe: Probe
) -> NDArray[np.float64]:
    """Matched-filter signal-to-noise ratio of columns, (n,): sqrt(sum of (peak · p)² / variance) over the field.

    variance: (ny, nx) [counts²]; it varies slowly over a column, so that the sum needs few of its pixels.
    """
    ny, nx = variance.shape
    step = probe.sigma * float(_NODES[1] - _NODES[0])
    weight = probe.profile(probe.sigma * np.hypot(_NODES[:, None], _NODES[None, :])) ** 2 * step * step
    rows = np.rint(y[:, None] + probe.sigma * _NODES).astype(np.intp)
    columns = np.rint(x[:, None] + probe.sigma * _NODES).astype(np.intp)
    inside = ((rows >= 0) & (rows < ny))[:, :, None] & ((columns >= 0) & (columns < nx))[:, None, :]
    noise = variance[np.clip(rows, 0, ny - 1)[:, :, None], np.clip(columns, 0, nx - 1)[:, None, :]]
    information = (inside * weight / np.maximum(noise, np.finfo(np.float32).tiny)).sum((1, 2))
    return np.asarray(peak * np.sqrt(information))
