"""What the network of `layers` sees of images at many energies: the layers of a Markov field, and what they leave over.

Training calls the same function, so that the network knows the mistakes of the field.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.tasks.layer_solvers import estimated_noise, layer_table, markov_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import EnergyStack
    from semrt.kernels.layers import DetectorResponse
    from semrt.tasks.layer_optics import Optics
    from semrt.tasks.layer_sharpening import SharpField

    Plane = NDArray[np.float32]

__all__ = [
    "INPUT_CHANNELS",
    "LEAST_SIGMA",
    "MISFIT_FLOOR",
    "N_COMPONENTS",
    "OUTPUT_CHANNELS",
    "THICKEST",
    "input_of",
    "layer_input",
]

N_COMPONENTS = 5
"""Of the logarithms of the spectra; more than the third say less than the noise of a pixel."""
THICKEST = (15.0, 150.0)
"""Gold and aluminium [nm], the units of what flows through the network."""
LEAST_SIGMA = 0.01
"""Of the network's thicknesses, in these units; it is added in quadrature to what the network says, as in training."""
INPUT_CHANNELS = (
    "gold",  # of the Markov field, in THICKEST
    "aluminium",
    *(f"spectrum {k}" for k in range(N_COMPONENTS)),  # as the detector would have recorded it were it as expected
    *(f"unexplained {k}" for k in range(N_COMPONENTS)),  # what of it the field's layers do not explain [noise]
    "doubt of gold",  # logarithm of sigma, in THICKEST
    "doubt of aluminium",
    "misfit",  # logarithm of chi² per degree of freedom
    "noise",  # logarithm over that of 2 %, the same everywhere
    "blur",  # [px], of the probe, the same everywhere
    "variant",  # 0 repo, 1 phys
)
OUTPUT_CHANNELS = ("gold", "aluminium", "log_sigma_gold", "log_sigma_aluminium")

EXPECTED_NOISE = 0.02  # relative, of a pixel
MISFIT_FLOOR = 0.1  # added to chi², whose logarithm must not run away
DARKEST = 0.05  # fraction of the beam; less is no signal but a fault, and has no logarithm
SPREADS = np.array([24.0, 10.0, 2.0, 1.0, 1.0])[:, None]  # of the components over all layers [expected noise]
NOISES = 4.0  # unit of what is unexplained
LARGEST = 8.0  # of a channel; more tells the network no more


@lru_cache(maxsize=8)
def _components(energies: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (n, 1) and principal components (n, k) of the logarithms of all layers' spectra, both variants together."""
    tables = [layer_table(np.array(energies), variant).signals for variant in ("repo", "phys")]
    every = np.log(np.concatenate([table.reshape(len(energies), -1) for table in tables], axis=1))
    mean = every.mean(1, keepdims=True)
    columns = np.linalg.svd(every - mean, full_matrices=False)[0]
    columns *= np.sign(columns.sum(0))  # the sign of a component is free, and may differ between libraries
    return mean, columns[:, :N_COMPONENTS]


def layer_input(
    stack: EnergyStack,
    variant: str,
    *,
    response: DetectorResponse | None = None,
    optics: Optics | None = None,
    n_threads: int | None = None,
) -> Plane:
    """Solve by a Markov field, and gather what a network needs to do better: (c, ny, nx) as INPUT_CHANNELS has it.

    response: of the detector; None to estimate it where the images call for it.  optics: blur and drift, likewise.
    Raises InvalidOption.
    """
    noise = estimated_noise(stack, layer_table(stack.energies, variant))
    found = markov_field(
        stack, variant, noise, response=response, optics=optics, sharpen=False if response else None,
        n_threads=n_threads,
    )  # fmt: skip
    return input_of(stack, variant, noise, found)


def input_of(stack: EnergyStack, variant: str, noise: float, found: SharpField) -> Plane:
    """The same of what a field has found already."""
    solved = found.solved
    n, ny, nx = stack.intensity.shape
    gain, offset = solved.response.gain.astype(np.float32)[:, None], np.float32(solved.response.offset)
    recorded = (stack.intensity.reshape(n, -1) - offset) / gain
    mean, components = _components(tuple(stack.energies.tolist()))
    spectrum = _projected(recorded, mean, components)
    explained = _projected(found.expected.reshape(n, -1), mean, components)
    planes = np.empty((len(INPUT_CHANNELS), ny * nx), np.float32)
    unit = np.array(THICKEST)[:, None]
    planes[:2] = solved.thickness.reshape(2, -1) / unit
    planes[2 : 2 + N_COMPONENTS] = spectrum / (EXPECTED_NOISE * SPREADS)
    planes[2 + N_COMPONENTS : 2 + 2 * N_COMPONENTS] = (spectrum - explained) / (noise * NOISES)
    at = 2 + 2 * N_COMPONENTS
    planes[at : at + 2] = np.log(np.hypot(solved.sigma.reshape(2, -1) / unit, LEAST_SIGMA))
    planes[-4] = np.log(solved.cost.ravel() + MISFIT_FLOOR)
    planes[-3] = np.log(noise / EXPECTED_NOISE)
    planes[-2] = 0.0 if found.optics is None else found.optics.blur
    planes[-1] = variant == "phys"
    return np.clip(planes, -LARGEST, LARGEST).reshape(-1, ny, nx)


def _projected(
    signals: NDArray[Any], mean: NDArray[np.float64], components: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(k, pixels) components of the logarithms of signals (n, pixels)."""
    return np.asarray(components.T @ (np.log(np.maximum(signals, DARKEST)) - mean))
