"""What the network of `wedge` sees of a tilt series: what solvers make of it, slice by slice, and what they leave over.

Training calls the same function, so that the network knows the mistakes of the solvers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import noise_of, sirt, tv, tv_weight, wbp
from semrt.tasks.wedge_series import blurred
from semrt.tasks.wedge_solvers import OF_A_VOLUME

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from semrt.data import TiltSeries

    Volume = NDArray[np.float32]
    Progress = Callable[[int, int], object]

__all__ = [
    "CONSISTENT",
    "INPUT_CHANNELS",
    "NEIGHBOURS",
    "OUTPUT_CHANNELS",
    "Solved",
    "consistent",
    "density_of",
    "density_scale",
    "solve",
    "usual_density",
    "wedge_input",
]

NEIGHBOURS = 1
"""Slices that the network sees to either side, along the tilt axis."""
_OFFSETS = range(-NEIGHBOURS, NEIGHBOURS + 1)
MAPS = (*(f"tv {k:+d}" for k in _OFFSETS), *(f"sirt {k:+d}" for k in _OFFSETS), "unexplained")
CONSTANTS = ("noise", "lowest", "highest", "step", "volume")
INPUT_CHANNELS = (*MAPS, *CONSTANTS)
OUTPUT_CHANNELS = ("density",)

CONSISTENT = 8
"""Iterations towards the measurement after the network."""
_COARSE = 4.0  # what of the projections counts in them, blurred by so much [px]: finer differences are noise
_SIRT_ITERATIONS, _TV_ITERATIONS = 60, 120
_SCALE_SLICES, _SCALE_ITERATIONS = 8, 60
_LARGEST = 8.0  # of a channel; more tells the network no more


class Solved(NamedTuple):
    """What the solvers say of a tilt series, each (nz, ny, nx) float32 in its units.

    tv: of least total variation.  sirt: by simultaneous iterations.
    unexplained: weighted back projection of what tv leaves over.
    """

    tv: Volume
    sirt: Volume
    unexplained: Volume


def solve(
    series: TiltSeries,
    shape: tuple[int, int],
    *,
    of_volume: bool = False,
    noise: float | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Solved:
    """Reconstruct slices of shape (nz, nx) in the three ways that the network is shown.

    of_volume: whether the series was not measured but projected from a volume, see semrt.tasks.wedge_series.
    noise: `noise_of` the whole series, where this is a part of one along the tilt axis; None where it is all.
    progress: called with (done, total).  Raises InvalidOption.
    """
    geometry = _geometry(series, shape)
    weight = tv_weight(series.intensity, noise) * (OF_A_VOLUME if of_volume else 1.0)
    total = _TV_ITERATIONS + _SIRT_ITERATIONS

    def told(before: int, share: int) -> Progress | None:
        if progress is None:
            return None
        return lambda done, of: progress(before + round(share * done / of), total)

    flat = tv(
        series.intensity,
        geometry,
        weight=weight,
        iterations=_TV_ITERATIONS,
        n_threads=n_threads,
        progress=told(0, _TV_ITERATIONS),
    )
    left = series.intensity - geometry.project(flat, n_threads=n_threads)
    return Solved(
        flat,
        sirt(
            series.intensity,
            geometry,
            iterations=_SIRT_ITERATIONS,
            n_threads=n_threads,
            progress=told(_TV_ITERATIONS, _SIRT_ITERATIONS),
        ),
        wbp(left, geometry, n_threads=n_threads),
    )


def density_of(predicted: Volume, scale: float) -> Volume:
    """The density (nz, ny, nx), nowhere negative, that the network's output (ny, 1, nz, nx) stands for."""
    return np.maximum(predicted[:, 0].swapaxes(0, 1), 0) * np.float32(scale)


def consistent(
    density: Volume, series: TiltSeries, *, iterations: int = CONSISTENT, n_threads: int | None = None
) -> Volume:
    """Bring a density (nz, ny, nx) nearer to the measurement by a few simultaneous iterations from it.

    They mend what is coarse, of which the projections are sure; what is fine in them is noise, which would come back.
    Vacuum stays vacuum. That brought phantoms 0.02 to 0.1 dB nearer to the truth.
    """
    if iterations < 1:
        return density
    geometry = _geometry(series, (density.shape[0], density.shape[2]))
    expected = geometry.project(density, n_threads=n_threads)
    believed = expected + blurred(series.intensity - expected, _COARSE)
    nearer = sirt(believed, geometry, iterations=iterations, start=density, n_threads=n_threads)
    return np.where(density > 0, nearer, 0)


def density_scale(series: TiltSeries, shape: tuple[int, int], *, n_threads: int | None = None) -> float:
    """What density is usual in a specimen, in the units of the series a px; 0 of an empty one.

    series: all of it, so that its parts are seen at one scale; a few slices along the tilt axis are looked at.
    shape: (nz, nx) of a slice.
    """
    ny = series.shape[1]
    chosen = np.unique(np.linspace(0, ny - 1, min(ny, _SCALE_SLICES)).round().astype(int))
    few = np.ascontiguousarray(series.intensity[:, chosen])
    return usual_density(tv(few, _geometry(series, shape), iterations=_SCALE_ITERATIONS, n_threads=n_threads))


def usual_density(volume: Volume) -> float:
    """The mean density where each place counts by its density, so that vacuum does not lower it; 0 of an empty one.

    volume: of any shape, nowhere negative.
    """
    total = float(volume.sum(dtype=np.float64))
    return float(np.square(volume, dtype=np.float64).sum() / total) if total > 0 else 0.0


def wedge_input(
    series: TiltSeries,
    shape: tuple[int, int],
    *,
    scale: float,
    of_volume: bool = False,
    noise: float | None = None,
    solved: Solved | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Gather what the network sees of each slice, (ny, c, nz, nx) float32 as INPUT_CHANNELS has it.

    series: all of it, or a part along the tilt axis, which at its ends is continued by its last slice.
    scale: of `density_scale`.  of_volume, noise, progress: as of `solve`.  solved: by `solve`; None to solve here.
    Raises InvalidOption.
    """
    if solved is None:
        solved = solve(series, shape, of_volume=of_volume, noise=noise, n_threads=n_threads, progress=progress)
    unit = scale if scale > 0 else 1.0
    ny = series.shape[1]
    planes = np.empty((ny, len(INPUT_CHANNELS), *shape), np.float32)
    for at, volume in enumerate((solved.tv, solved.sirt)):
        for k in _OFFSETS:
            seen = np.clip(np.arange(ny) + k, 0, ny - 1)
            planes[:, at * len(_OFFSETS) + k + NEIGHBOURS] = volume.swapaxes(0, 1)[seen]
    planes[:, len(MAPS) - 1] = solved.unexplained.swapaxes(0, 1)
    planes[:, : len(MAPS)] /= unit
    low, high = series.tilt_range
    step = (high - low) / (len(series.angles) - 1)
    if noise is None:
        noise = noise_of(series.intensity)
    constants = (np.log10(max(noise / unit, 1e-3)), low / 90, high / 90, np.log2(step / 2), float(of_volume))
    planes[:, len(MAPS) :] = np.array(constants, np.float32)[:, None, None]
    return np.clip(planes, -_LARGEST, _LARGEST, out=planes)


def _geometry(series: TiltSeries, shape: tuple[int, int]) -> TiltGeometry:
    return TiltGeometry(series.angles, shape, series.shape[2], series.axis_offset)
