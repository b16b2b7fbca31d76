"""Images of atomic columns as the network sees them, with where the columns are and what they alone look like."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt.simulate.columns import cases, draw, draw_imaging, draw_specimen, record
from semrt.simulate.columns.neighbours import pairs
from semrt.simulate.fields import log_uniform
from semrt.tasks.column_input import ColumnInput, network_input, resampled
from semrt_export.data.pool import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from semrt.simulate.columns import ColumnImage, Imaging, Specimen

__all__ = ["TARGETS", "ColumnImageMaker", "HeldOutColumns", "column_targets", "disks", "held_out_columns"]

TARGETS = ("columns", "clean", "weight")  # weight: of each pixel in the loss

RADIUS = 0.32  # of a disk, in distances to the nearest column: the gap between disks is as wide as a disk's radius
RADIUS_RANGE = (0.27, 0.38)  # of a disk [spacings of the lattice]
SMALLEST_RADIUS = 1.25  # px of the network
SEEN = 3.0  # signal-to-noise ratio of the faintest column that the network must find
UNSEEN_WEIGHT = 0.1  # of the pixels about fainter ones: neither found nor denied
MOST_WEIGHT = 2.5  # of the pixels about faint columns
MOST_ERROR = 1.2  # octaves by which the standard spacing may be missed
ON_CARBON = 0.35  # share of the samples that are particles or edges on a film; few of the library's are
EXTENT = (13.0, 30.0)  # side of the images drawn [spacings]
SIDES = (96, 600)  # the same [px]
FIELD = (512, 512)  # px; what spacings are drawn for
BORDER = 2.0  # sigmas of the probe; columns nearer to the edge are not judged


@dataclass(frozen=True)
class ColumnImageMaker:
    """Makes training samples of the columns network; sample i is the same in every process.

    side [px] of a sample.  Inputs (2, side, side), targets (3, side, side) in the order of TARGETS.
    """

    seed: int = 0
    side: int = 128

    def __call__(self, index: int) -> Sample:
        """Make sample `index`."""
        rng = np.random.default_rng((self.seed, index))
        specimen = draw_specimen(rng, FIELD)
        imaging = draw_imaging(rng, specimen)
        if rng.random() < ON_CARBON:
            specimen, imaging = _on_carbon(specimen, imaging, rng)
        sides = specimen.spacing * rng.uniform(*EXTENT) * rng.uniform(0.85, 1.15, 2)
        ny, nx = (int(side) for side in np.clip(sides, *SIDES))
        image = record(specimen, imaging, (ny, nx), rng, bound=False)
        seen = _as_seen(image, rng)
        return _crop(Sample(seen.planes, column_targets(image, seen)), self.side, rng)


@dataclass(frozen=True, eq=False)
class HeldOutColumns:
    """An image for proof, with what it is called in tables.

    planes: the network's input.  target: as `column_targets` has it.
    y, x: (n,) of all columns [px of the planes].  counted: (n,) those that must be found.
    spacing: of the lattice, border: width of the rim where no column counts [px of the planes].
    """

    images: str
    name: str
    planes: NDArray[np.float32]
    target: NDArray[np.float32]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    counted: NDArray[np.bool_]
    spacing: float
    border: float


def held_out_columns(names: Sequence[str], *, seed: int, draws: int, side: int = 256) -> Iterator[HeldOutColumns]:
    """Whole images: `draws` of the library with at least ten columns to be found, then the named cases.

    seed: must differ from that of the training; cases are recorded with it too.
    """
    found, number = 0, 0
    while found < draws:
        image = draw(np.random.default_rng((seed, number)), (side, side))
        number += 1
        if np.count_nonzero(image.counted()) >= 10:
            yield _held_out("library", image.settings["specimen"]["structure"], image)
            found += 1
    table = cases(seed)
    for name in names:
        yield _held_out("cases", name, table[name].image(bound=False))


def column_targets(image: ColumnImage, seen: ColumnInput) -> NDArray[np.float32]:
    """What the network should answer to an image, and how much each pixel matters: (3, h, w), see TARGETS."""
    shape = seen.planes.shape[1:]
    y, x = seen.to_planes(image.y, image.x)
    spacing = image.spacing * math.sqrt(seen.scale[0] * seen.scale[1])
    visible = image.snr >= SEEN
    nearest = _nearest(y[visible], x[visible], 1.5 * spacing)
    low, high = (bound * spacing for bound in RADIUS_RANGE)
    radius = np.maximum(np.clip(RADIUS * nearest, low, high), SMALLEST_RADIUS)
    target = np.empty((len(TARGETS), *shape), np.float32)
    target[0] = disks(y[visible], x[visible], radius, np.ones(len(radius)), shape)
    target[1] = resampled(image.clean, shape) / np.float32(seen.spread)
    relative = image.intensity[visible] / np.percentile(image.intensity, 90) if visible.any() else np.empty(0)
    extra = np.clip(relative**-0.5, 1, MOST_WEIGHT) - 1
    target[2] = 1 + disks(y[visible], x[visible], 0.5 * nearest, extra, shape)
    hidden = disks(y[~visible], x[~visible], np.full((~visible).sum(), 0.4 * spacing), np.ones(1), shape)
    target[2] = np.where((hidden > 0.5) & (target[0] == 0), UNSEEN_WEIGHT, target[2])
    return target


def disks(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    radius: NDArray[np.float64],
    height: NDArray[np.float64],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Draw disks whose border pixels are covered in part: (h, w), the greater of two where they overlap.

    y, x, radius: (n,) [px].  height: (n,), or (1,) for all.
    """
    drawn = np.zeros(shape[0] * shape[1], np.float32)
    if not len(y):
        return drawn.reshape(shape)
    reach = math.ceil(radius.max() + 0.5)
    offsets = np.arange(-reach, reach + 1)
    rows, columns = (np.rint(at).astype(np.intp)[:, None] + offsets for at in (y, x))
    distance = np.hypot((rows - y[:, None])[:, :, None], (columns - x[:, None])[:, None, :])
    value = height[:, None, None] * np.clip(radius[:, None, None] + 0.5 - distance, 0, 1)
    held = ((rows >= 0) & (rows < shape[0]))[:, :, None] & ((columns >= 0) & (columns < shape[1]))[:, None, :]
    held &= value > 0
    index = rows[:, :, None] * shape[1] + columns[:, None, :]
    np.maximum.at(drawn, index[held], value[held].astype(np.float32))
    return drawn.reshape(shape)


def _on_carbon(specimen: Specimen, imaging: Imaging, rng: np.random.Generator) -> tuple[Specimen, Imaging]:
    """Lay particles, or the crystal's edge, on a carbon film, whose speckle looks much like columns."""
    if rng.random() < 0.6:
        specimen = replace(specimen, particles=int(rng.integers(1, 4)), grains=1, partner=None)
    else:
        specimen = replace(specimen, profile="edge")
    level, variation = rng.uniform(0.1, 0.6), rng.uniform(0.02, 0.2)
    carbon = log_uniform(rng, 0.01, 0.06) if rng.random() < 0.8 else 0.0
    return specimen, replace(imaging, background="carbon", level=level, variation=variation, carbon=carbon)


def _as_seen(image: ColumnImage, rng: np.random.Generator) -> ColumnInput:
    """As in use, or with an error of the scale, as the estimate may have, within what can be mastered."""
    estimated = network_input(image.counts, n_threads=1)
    kind = rng.random()
    error = math.log2(estimated.spacing / image.spacing)
    if kind < 0.25:
        error = rng.uniform(-1, 1)
    elif kind < 0.5:
        error += rng.normal(0, 0.2)
    elif abs(error) < MOST_ERROR:
        return estimated
    error = float(np.clip(error, -MOST_ERROR, MOST_ERROR))
    return network_input(image.counts, spacing=image.spacing * 2**error, n_threads=1)


def _nearest(y: NDArray[np.float64], x: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Distance to the nearest other column, (n,), at most `most`."""
    nearest = np.full(len(y), most)
    i, j = pairs(y, x, most)
    np.minimum.at(nearest, i, np.hypot(y[i] - y[j], x[i] - x[j]))
    return nearest


def _crop(sample: Sample, side: int, rng: np.random.Generator) -> Sample:
    """Cut the better filled of two random squares; beyond a small image lies its mirror image, which does not count."""
    h, w = sample.inputs.shape[1:]
    missing = ((0, 0), (0, max(0, side - h)), (0, max(0, side - w)))
    inputs, target = (np.pad(part, missing, mode="symmetric") for part in sample)
    target[TARGETS.index("weight"), h:] = 0
    target[TARGETS.index("weight"), :, w:] = 0
    origins = rng.integers(0, np.array(inputs.shape[1:]) - side + 1, (2, 2)).tolist()
    windows = [(slice(None), slice(y0, y0 + side), slice(x0, x0 + side)) for y0, x0 in origins]
    window = max(windows, key=lambda window: float(target[window][0].sum()))
    return Sample(inputs[window], target[window])


def _held_out(images: str, name: str, image: ColumnImage) -> HeldOutColumns:
    seen = network_input(image.counts, n_threads=1)
    y, x = seen.to_planes(image.y, image.x)
    scale = math.sqrt(seen.scale[0] * seen.scale[1])
    counted, border = image.counted(border=BORDER), BORDER * image.probe_sigma * scale
    target = column_targets(image, seen)
    return HeldOutColumns(images, name, seen.planes, target, y, x, counted, image.spacing * scale, border)
