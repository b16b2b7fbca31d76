"""Thickness of gold under aluminium: a network corrects what each pixel says by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import EnergyStack, LayerMap
from semrt.physics.backscatter import backscatter
from semrt.tasks.layer_input import INPUT_CHANNELS, LEAST_SIGMA, OUTPUT_CHANNELS, THICKEST, layer_input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Layers", "layer_map"]

WORTH_A_NOTE = 0.01
"""Deviation of an image from the model, relative, that thickness does not explain; ideal images show up to 0.7 %."""


class Layers:
    """The `layers` model: the likeliest thickness of each pixel, and a network that knows its neighbours."""

    accepts = EnergyStack
    gives = LayerMap
    input_channels = INPUT_CHANNELS
    fallbacks: Mapping[str, str] = {"classical": "layers-mrf"}
    solvers: Mapping[str, str] = {"mrf": "layers-mrf", "ml": "layers-ml", "tikhonov": "layers-tikhonov"}

    def prepare(self, measured: EnergyStack, *, variant: str = "repo") -> NDArray[np.float32]:
        """The network's input, (c, ny, nx) in the order of INPUT_CHANNELS.

        variant: of the physics, see semrt.physics.backscatter.  Raises InvalidOption.
        """
        return layer_input(measured, variant).planes

    def finish(
        self,
        predicted: NDArray[np.float32],
        prepared: NDArray[np.float32],
        measured: EnergyStack,
        *,
        variant: str = "repo",
    ) -> LayerMap:
        """Thickness and its standard deviation in nm, and what of the images they leave unexplained."""
        unit = np.array(THICKEST, np.float32)[:, None, None]
        n = len(OUTPUT_CHANNELS) // 2
        thickness = np.maximum(predicted[:n], 0) * unit
        sigma = np.sqrt(np.exp(2 * predicted[n:]) + np.float32(LEAST_SIGMA**2)) * unit
        seen = layer_input(measured, variant)
        return layer_map(thickness, sigma, measured, variant, _notes(seen.calibration, measured.energies))

    def outside_domain(self, measured: EnergyStack, domain: Mapping[str, Any]) -> str | None:
        """Why the stack is unlike those of the training: it was recorded at other energies."""
        trained = np.asarray(domain["energies_keV"], np.float64)
        if len(trained) == len(measured.energies) and np.allclose(trained, measured.energies, rtol=1e-3):
            return None
        return f"trained on {_told(trained)}, not {_told(measured.energies)}"


def layer_map(
    thickness: NDArray[np.float32],
    sigma: NDArray[np.float32],
    measured: EnergyStack,
    variant: str,
    notes: tuple[str, ...] = (),
    **told: Any,
) -> LayerMap:
    """A result with the calibration of the stack, and what of its images is unexplained.

    thickness, sigma: (2, ny, nx) [nm].  told: of how it was found, for the provenance.
    """
    expected = backscatter(thickness, measured.energies, variant=variant)
    relative = (measured.intensity - expected) / expected
    return LayerMap(
        thickness,
        sigma,
        residual=np.sqrt(np.mean(relative**2, axis=(1, 2))),
        energies=measured.energies,
        pixel_size=measured.pixel_size,
        metadata=measured.metadata,
        provenance=told,
        notes=notes,
    )


def _notes(calibration: NDArray[np.float64], energies: NDArray[np.float64]) -> tuple[str, ...]:
    worst = int(np.abs(calibration).argmax())
    if abs(calibration[worst]) < WORTH_A_NOTE:
        return ()
    return (
        f"the images deviate from the model by up to {100 * calibration[worst]:+.1f} % (at {energies[worst]:g} keV) "
        "wherever one looks, which was put right; a gain or an offset of the detector?",
    )


def _told(energies: NDArray[np.float64]) -> str:
    return f"{len(energies)} energies from {energies[0]:g} to {energies[-1]:g} keV"
