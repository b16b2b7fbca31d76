"""What the network of `layers` sees of images at many energies: the layers of a Markov field, and what they leave over.

Training calls the same function, so that the network knows the mistakes of the field.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.kernels.layers import smooth_layers
from semrt.physics.backscatter import backscatter
from semrt.tasks.layer_solvers import SMOOTHNESS, estimated_noise, layer_table, markov_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import EnergyStack
    from semrt.kernels.layers import DetectorResponse

    Plane = NDArray[np.float32]

__all__ = ["INPUT_CHANNELS", "LEAST_SIGMA", "N_COMPONENTS", "OUTPUT_CHANNELS", "THICKEST", "layer_input"]

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
    "misfit",  # logarithm of chi² per degree of freedom
    "noise",  # logarithm over that of 2 %, the same everywhere
    "variant",  # 0 repo, 1 phys
)
OUTPUT_CHANNELS = ("gold", "aluminium", "log_sigma_gold", "log_sigma_aluminium")

EXPECTED_NOISE = 0.02  # relative, of a pixel
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
    stack: EnergyStack, variant: str, *, response: DetectorResponse | None = None, n_threads: int | None = None
) -> Plane:
    """Solve by a Markov field, and gather what a network needs to do better: (c, ny, nx) as INPUT_CHANNELS has it.

    response: of the detector; None to estimate it where the images call for it.  Raises InvalidOption.
    """
    table = layer_table(stack.energies, variant)
    noise = estimated_noise(stack, table)
    if response is None:
        found = markov_field(stack, variant, noise, n_threads=n_threads)
    else:
        smoothness = SMOOTHNESS[variant]
        found = smooth_layers(
            stack.intensity, table, noise=noise, smoothness=smoothness, response=response, n_threads=n_threads
        )
    n, ny, nx = stack.intensity.shape
    gain, offset = found.response.gain.astype(np.float32)[:, None], np.float32(found.response.offset)
    recorded = (stack.intensity.reshape(n, -1) - offset) / gain
    mean, components = _components(tuple(stack.energies.tolist()))
    spectrum = _projected(recorded, mean, components)
    signals = backscatter(found.thickness.reshape(2, -1), stack.energies, variant=variant)
    explained = _projected(signals, mean, components)
    planes = np.empty((len(INPUT_CHANNELS), ny * nx), np.float32)
    planes[:2] = found.thickness.reshape(2, -1) / np.array(THICKEST)[:, None]
    planes[2 : 2 + N_COMPONENTS] = spectrum / (EXPECTED_NOISE * SPREADS)
    planes[2 + N_COMPONENTS : 2 + 2 * N_COMPONENTS] = (spectrum - explained) / (noise * NOISES)
    planes[-3] = np.log(found.cost.ravel() + 0.1)
    planes[-2] = np.log(noise / EXPECTED_NOISE)
    planes[-1] = variant == "phys"
    return np.clip(planes, -LARGEST, LARGEST).reshape(-1, ny, nx)


def _projected(
    signals: NDArray[Any], mean: NDArray[np.float64], components: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(k, pixels) components of the logarithms of signals (n, pixels)."""
    return np.asarray(components.T @ (np.log(np.maximum(signals, DARKEST)) - mean))
