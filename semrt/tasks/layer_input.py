"""What the network of `layers` sees of images at many energies: a first guess in each pixel, and what it rests on.

Training calls the same function, so that the network knows the mistakes of the guesses made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption
from semrt.physics.backscatter import VARIANTS, backscatter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import EnergyStack

    Plane = NDArray[np.float32]

__all__ = ["INPUT_CHANNELS", "LEAST_SIGMA", "N_COMPONENTS", "OUTPUT_CHANNELS", "THICKEST", "LayerInput", "layer_input"]

N_COMPONENTS = 6
"""Of the logarithms of the spectra; the fourth is worth a quarter of the noise of a pixel already."""
THICKEST = (15.0, 150.0)
"""Gold and aluminium [nm], the units of what flows through the network."""
LEAST_SIGMA = 0.01
"""Of the network's thicknesses, in these units; it is added in quadrature to what the network says, as in training."""
INPUT_CHANNELS = (
    "gold",  # first guess of the pixel by itself, in THICKEST
    "aluminium",
    *(f"component {k}" for k in range(N_COMPONENTS)),  # of the spectrum, put right by what all pixels have in common
    *(f"calibration {k}" for k in range(N_COMPONENTS)),  # that itself, the same everywhere
    "misfit",  # of the spectrum to any thickness, logarithm of its mean square over that of noise
    "noise",  # logarithm over that expected, the same everywhere
    "variant",  # 0 repo, 1 phys
)
OUTPUT_CHANNELS = ("gold", "aluminium", "log_sigma_gold", "log_sigma_aluminium")

EXPECTED_NOISE = 0.02  # relative, of a pixel
DARKEST = 0.05  # fraction of the beam; less is no signal but a fault, and has no logarithm
GOLD_GRID, ALUMINIUM_GRID = np.arange(0, 16.25, 0.5), np.concatenate([[0.0], np.arange(2.0, 161.0, 2.0)])
SCALES = np.array([24.0, 10.0, 3.0, 2.0, 2.0, 2.0])  # of the components, about their spread [noise]
LARGEST = 8.0  # of a channel; more tells the network no more
PIXELS_AT_ONCE = 256  # so that their distances to all labels stay in the cache
ROUNDS, PIXELS, EVERY = 8, 3000, 2  # of the calibration, for it, and label of the grid that it looks at


@dataclass(frozen=True, eq=False, slots=True)
class LayerInput:
    """The network's input, and what was estimated on the way.

    planes: (c, ny, nx) float32 in the order of INPUT_CHANNELS.
    noise: relative standard deviation of a pixel.
    calibration: (n,) relative deviation of the images from the model at each energy, as far as any thickness
        does not explain it.
    """

    planes: Plane
    noise: float
    calibration: NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class _Spectra:
    """What layers can look like: logarithms of spectra as a mean, components, and labels in their space.

    mean: (n,).  components: (n, k), orthonormal.  labels: (2, m) [nm].  points: (m, k) [EXPECTED_NOISE].
    coarse: those of a coarser grid.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    labels: NDArray[np.float64]
    points: Plane
    coarse: Plane


def _nearest(features: Plane, points: Plane) -> NDArray[np.intp]:
    """Which of the points (m, k) is nearest to each of the features (p, k), (p,)."""
    half_square = 0.5 * (points**2).sum(1)
    found = np.empty(len(features), np.intp)
    for first in range(0, len(features), PIXELS_AT_ONCE):
        some = slice(first, first + PIXELS_AT_ONCE)
        found[some] = (features[some] @ points.T - half_square).argmax(1)
    return found


@lru_cache(maxsize=8)
def _spectra(energies: tuple[float, ...], variant: str) -> _Spectra:
    labels = np.stack(np.meshgrid(GOLD_GRID, ALUMINIUM_GRID, indexing="ij")).reshape(2, -1)
    logarithms = {name: np.log(backscatter(labels, energies, variant=name)).T for name in VARIANTS}
    every = np.concatenate(list(logarithms.values()))
    mean = every.mean(0)
    _, _, rows = np.linalg.svd(every - mean, full_matrices=False)
    rows *= np.sign(rows.sum(1, keepdims=True))  # the sign of a component is free, and may differ between libraries
    components = rows[:N_COMPONENTS].T
    points = (logarithms[variant] - mean) @ components / EXPECTED_NOISE
    coarse = points.reshape(len(GOLD_GRID), -1, N_COMPONENTS)[::EVERY, ::EVERY].reshape(-1, N_COMPONENTS)
    return _Spectra(mean, components, labels, points.astype(np.float32), coarse.astype(np.float32))


def layer_input(stack: EnergyStack, variant: str) -> LayerInput:
    """Find the likeliest thickness in each pixel by itself, calibrated on all of them.

    Images that deviate alike in all pixels, by the gain of a detector at an energy or an offset, are put right as far
    as no thickness explains it.  Raises InvalidOption.
    """
    if variant not in VARIANTS:
        raise InvalidOption.unknown("variant", variant, VARIANTS)
    n, ny, nx = stack.intensity.shape
    spectra = _spectra(tuple(stack.energies.tolist()), variant)
    logarithms = np.log(np.maximum(stack.intensity.reshape(n, -1), DARKEST)).T.astype(np.float64) - spectra.mean
    features = (logarithms @ spectra.components / EXPECTED_NOISE).astype(np.float32)
    rest = logarithms - (features * np.float32(EXPECTED_NOISE)) @ spectra.components.T
    common = np.median(rest, axis=0)
    rest -= common
    noise = float(np.sqrt(np.median((rest**2).mean(1)) * n / (n - N_COMPONENTS)))

    calibration = _calibration(features, spectra.coarse)
    features -= calibration
    label = _nearest(features, spectra.points)
    misfit = ((features - spectra.points[label]) ** 2).sum(1) * EXPECTED_NOISE**2 / max(noise, 1e-4) ** 2
    planes = np.empty((len(INPUT_CHANNELS), ny * nx), np.float32)
    planes[:2] = spectra.labels[:, label] / np.array(THICKEST)[:, None]
    planes[2 : 2 + N_COMPONENTS] = (features / SCALES).T
    planes[2 + N_COMPONENTS : 2 + 2 * N_COMPONENTS] = (calibration / SCALES)[:, None]
    planes[-3] = np.log(misfit / N_COMPONENTS + 0.1)
    planes[-2] = np.log(max(noise, 1e-4) / EXPECTED_NOISE)
    planes[-1] = VARIANTS.index(variant)
    np.clip(planes, -LARGEST, LARGEST, out=planes)
    deviation = common + EXPECTED_NOISE * spectra.components @ calibration
    return LayerInput(planes.reshape(-1, ny, nx), noise, deviation)


def _calibration(features: Plane, points: Plane) -> NDArray[np.float32]:
    """What all pixels deviate by from the nearest thickness, (k,), found in rounds since one hides behind the other."""
    some = features[:: max(1, len(features) // PIXELS)]
    found = np.zeros(features.shape[1], np.float32)
    for _ in range(ROUNDS):
        moved = some - found
        found = found + np.median(moved - points[_nearest(moved, points)], axis=0)
    return found
