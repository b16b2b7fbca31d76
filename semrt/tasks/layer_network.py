"""Thickness of gold under aluminium: a network corrects what a Markov field found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import EnergyStack, LayerMap
from semrt.kernels.layers import DetectorResponse, SolvedLayers, detector_response, fitted_response
from semrt.physics.backscatter import backscatter
from semrt.tasks.layer_input import (
    INPUT_CHANNELS,
    LEAST_SIGMA,
    MISFIT_FLOOR,
    OUTPUT_CHANNELS,
    THICKEST,
    layer_input,
)
from semrt.tasks.layer_optics import Optics, fitted_optics, seen
from semrt.tasks.layer_sharpening import ODD
from semrt.tasks.layer_solvers import estimated_noise, layer_map, layer_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["LayersByNetwork"]


class LayersByNetwork:
    """The `layers-network` task: a Markov field, and a network that knows what microscopes do to it."""

    accepts = EnergyStack
    gives = LayerMap
    input_channels = INPUT_CHANNELS
    fallbacks: Mapping[str, str] = {"classical": "layers"}

    def prepare(
        self, measured: EnergyStack, *, variant: str = "repo", n_threads: int | None = None
    ) -> NDArray[np.float32]:
        """The network's input, (c, ny, nx) in the order of INPUT_CHANNELS.

        variant: of the physics, see semrt.physics.backscatter.  Raises InvalidOption.
        """
        return layer_input(measured, variant, n_threads=n_threads)

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
        table = layer_table(measured.energies, variant)
        noise = estimated_noise(measured, table)
        # How the images were recorded once more, rather than carried: by the field's layers it takes a moment.
        cost = np.exp(prepared[INPUT_CHANNELS.index("misfit")]) - MISFIT_FLOOR
        field = SolvedLayers(prepared[:n] * unit, sigma, cost, DetectorResponse(np.ones(len(measured.energies))))
        response = detector_response(measured.intensity, table, field, noise=noise)
        signals = backscatter(field.thickness, measured.energies, variant=variant).astype(np.float32)
        recorded = ((measured.intensity - response.offset) / response.gain[:, None, None]).astype(np.float32)
        blur = float(prepared[INPUT_CHANNELS.index("blur")].flat[0])
        optics, gained = fitted_optics(recorded, signals, noise * signals, Optics(np.zeros((len(signals), 2)), blur))
        if not (blur or gained > ODD):
            return layer_map(thickness, sigma, measured, variant, response, noise)
        response = fitted_response(measured.intensity, seen(signals, optics), noise=noise)
        return layer_map(thickness, sigma, measured, variant, response, noise, optics=optics)

    def outside_domain(self, measured: EnergyStack, domain: Mapping[str, Any]) -> str | None:
        """Why the stack is unlike those of the training: it was recorded at other energies."""
        trained = np.asarray(domain["energies_keV"], np.float64)
        if len(trained) == len(measured.energies) and np.allclose(trained, measured.energies, rtol=1e-3):
            return None
        return f"trained on {_told(trained)}, not {_told(measured.energies)}"


def _told(energies: NDArray[np.float64]) -> str:
    return f"{len(energies)} energies from {energies[0]:g} to {energies[-1]:g} keV"
