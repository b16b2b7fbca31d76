"""Tilt series as the network of `wedge` sees them, slice by slice, with the true density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.data import TiltSeries, Tomogram
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import FILTERS, sirt, wbp
from semrt.simulate.tomograms import KINDS, cases, draw, split_seed
from semrt.tasks.wedge_input import INPUT_CHANNELS, MAPS, NEIGHBOURS, density_scale, solve, usual_density, wedge_input
from semrt.tasks.wedge_series import as_series
from semrt_export.data.pool import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["HeldOutSlice", "TiltSeriesMaker", "cropped", "held_out_slices", "mirrored"]

SIDES, SHARES = (128, 160, 192, 256), (0.3, 0.3, 0.25, 0.15)  # of slices [px], and how often
LOW_SLICES = 0.25  # share of the samples that are lower along the beam than they are wide
SINGLE = 0.2  # share of the series that are one slice, whose neighbours are itself
VOLUMES = 0.3  # share of the samples of which only a reconstruction is left
WEIGHTED = 0.7  # share of those that are back projections
UNIT_ERROR = 0.15  # spread of the logarithm of the scale, which other slices than the sample's tell


@dataclass(frozen=True)
class TiltSeriesMaker:
    """Makes training samples of the wedge network; sample i is the same in every process.

    without: kinds of phantom that are never drawn.
    Inputs (c, nz, nx) as INPUT_CHANNELS has it, targets (1, nz, nx); from 128 to 256 px each way.
    """

    without: tuple[str, ...] = ()

    def __call__(self, index: int) -> Sample:
        """Make sample `index`."""
        rng = split_seed("train", index)
        side = int(rng.choice(SIDES, p=SHARES))
        height = int(rng.integers(SIDES[0] // 32, side // 32 + 1)) * 32 if rng.random() < LOW_SLICES else side
        ny = 1 if rng.random() < SINGLE else 2 * NEIGHBOURS + 1
        kind = None
        if self.without:
            kind = str(rng.choice([name for name in KINDS if name not in self.without]))
        sample = draw(rng, (height, ny, side), kind, n_threads=1)
        series = TiltSeries(sample.series, sample.angles)
        of_volume = rng.random() < VOLUMES
        if of_volume:
            series = _of_its_reconstruction(rng, series, (height, side))
        solved = solve(series, (height, side), of_volume=of_volume, n_threads=1)
        scale = usual_density(solved.tv) * np.exp(UNIT_ERROR * rng.standard_normal())
        planes = wedge_input(series, (height, side), scale=scale, of_volume=of_volume, solved=solved)
        unit = scale if scale > 0 else 1.0
        return Sample(planes[ny // 2], sample.truth[:, ny // 2][None] / unit)


def _of_its_reconstruction(rng: np.random.Generator, series: TiltSeries, shape: tuple[int, int]) -> TiltSeries:
    """What is left of a series whose tomogram alone was kept."""
    geometry = TiltGeometry(series.angles, shape, series.shape[2])
    weighted = rng.random() < WEIGHTED
    if weighted:
        density = wbp(series.intensity, geometry, filter=str(rng.choice(list(FILTERS))), n_threads=1)
    else:
        iterations = int(rng.integers(10, 80))
        density = sirt(series.intensity, geometry, iterations=iterations, n_threads=1)
    return as_series(Tomogram(density, series.tilt_range), weighted=weighted, n_threads=1)


def mirrored(sample: Sample, rng: np.random.Generator) -> Sample:
    """The sample mirrored at random along each axis, as is the range of tilts; beam and axis stay what they are."""
    along_y, along_z, along_x = rng.random(3) < 0.5
    inputs, target = sample
    if along_y:
        channels = np.arange(len(INPUT_CHANNELS))
        for first in (0, 2 * NEIGHBOURS + 1):
            stop = first + 2 * NEIGHBOURS + 1
            channels[first:stop] = channels[first:stop][::-1]
        inputs = inputs[channels]
    inputs, target = (part[:, :: -1 if along_z else 1, :: -1 if along_x else 1] for part in (inputs, target))
    if along_z != along_x:  # what leans to the left now leans to the right
        inputs = inputs.copy()
        low, high = INPUT_CHANNELS.index("lowest"), INPUT_CHANNELS.index("highest")
        inputs[[low, high]] = -inputs[[high, low]]
    return Sample(inputs, target)


def cropped(sample: Sample, rng: np.random.Generator, side: int) -> Sample:
    """A square of `side` px, which keeps to the grid of the network's cells, where something is to be seen."""
    inputs, target = sample
    _, h, w = target.shape
    for _ in range(4):
        top, left = (2 * int(rng.integers((n - side) // 2 + 1)) for n in (h, w))
        window = (slice(None), slice(top, top + side), slice(left, left + side))
        if target[window].any():
            break
    return Sample(inputs[window], target[window])


@dataclass(frozen=True, eq=False)
class HeldOutSlice:
    """A slice for proof.

    kind, condition: of the test set's phantoms and recordings.  planes: (c, nz, nx), the network's input.
    truth, sirt: (nz, nx), in its units.  tilt_range [degrees].
    """

    kind: str
    condition: str
    planes: NDArray[np.float32]
    truth: NDArray[np.float32]
    tilt_range: tuple[float, float]

    @property
    def tv(self) -> NDArray[np.float32]:
        """The first guess."""
        return self.planes[MAPS.index("tv +0")]

    @property
    def sirt(self) -> NDArray[np.float32]:
        """What simultaneous iterations find."""
        return self.planes[MAPS.index("sirt +0")]


def held_out_slices(seed: int, conditions: Sequence[str]) -> Iterator[HeldOutSlice]:
    """One slice of each kind and condition of the test set, with other phantoms and other noise."""
    for name, case in cases(seed).items():
        condition = name.removeprefix(f"{case.kind}-")
        if condition not in conditions:
            continue
        sample = case.sample()
        shape = sample.truth.shape[0], sample.truth.shape[2]
        series = TiltSeries(sample.series, sample.angles)
        scale = density_scale(series, shape)
        planes = wedge_input(series, shape, scale=scale)[0]
        yield HeldOutSlice(case.kind, condition, planes, sample.truth[:, 0] / np.float32(scale), series.tilt_range)
