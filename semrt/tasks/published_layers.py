"""Thickness of gold under aluminium by networks as published, which see the images themselves and nothing else.

For comparison with `layers`: `semrt train layers-unet-2d` and its like make the models.
DL-Microtomography, github.com/p0l0satik/DL-Microtomography.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import EnergyStack, LayerMap
from semrt.kernels.layers import DetectorResponse
from semrt.physics.backscatter import ENERGIES
from semrt.tasks.layer_network import LayersByNetwork
from semrt.tasks.layer_solvers import estimated_noise, layer_map, layer_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "HEIGHTS",
    "INPUT_CHANNELS",
    "THICKNESS_CHANNELS",
    "VOXEL",
    "VOXEL_CHANNELS",
    "LayersByThickness",
    "LayersByVoxels",
    "thickness_of_voxels",
]

VOXEL = 10.0
"""Height of a voxel [nm]."""
HEIGHTS = 16
"""Voxels above one another."""
INPUT_CHANNELS = tuple(f"{energy:g} keV" for energy in ENERGIES)
THICKNESS_CHANNELS = ("gold", "aluminium")
VOXEL_CHANNELS = tuple(
    f"{material} {VOXEL * k:g}-{VOXEL * (k + 1):g} nm"
    for material in ("nothing", *THICKNESS_CHANNELS)
    for k in range(HEIGHTS)
)
"""Logits: all heights of nothing from the lowest on, then those of gold, then those of aluminium."""


def thickness_of_voxels(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Count the voxels of either material in each column: (2, ny, nx) [nm].

    logits: (classes · heights, ny, nx) in the order of VOXEL_CHANNELS.  Where in its column a voxel lies does not
    matter: gold is known to lie under aluminium.
    """
    labels = logits.reshape(-1, HEIGHTS, *logits.shape[1:]).argmax(0)
    return np.stack([(labels == material).sum(0) * np.float32(VOXEL) for material in (1, 2)]).astype(np.float32)


class _PublishedLayers:
    """What goes in is the same for all of them."""

    accepts = EnergyStack
    gives = LayerMap
    input_channels = INPUT_CHANNELS
    fallbacks = LayersByNetwork.fallbacks

    def prepare(self, measured: EnergyStack) -> NDArray[np.float32]:
        """The network's input, (n, ny, nx): the images as they are."""
        return measured.intensity

    def outside_domain(self, measured: EnergyStack, domain: Mapping[str, Any], *, variant: str = "repo") -> str | None:
        """Why the stack is unlike those of the training: other energies, or another variant of the physics."""
        why = LayersByNetwork().outside_domain(measured, domain)
        if why is None and variant != domain["variant"]:
            return f"trained on the variant {domain['variant']}, not {variant}"
        return why


class LayersByThickness(_PublishedLayers):
    """The task of networks that give thickness, such as the published "UNet-to-2d"."""

    def finish(
        self,
        predicted: NDArray[np.float32],
        prepared: NDArray[np.float32],
        measured: EnergyStack,
        *,
        variant: str = "repo",
    ) -> LayerMap:
        """Thickness in nm, without sigma, and what of the images it leaves unexplained.

        predicted: (2, ny, nx) [nm].  variant: of the physics, see semrt.physics.backscatter.
        """
        return _result(np.maximum(predicted, 0), measured, variant, told=True)


class LayersByVoxels(_PublishedLayers):
    """The task of networks that give the material of each voxel, such as the published "UNet-to-3d"."""

    def finish(
        self,
        predicted: NDArray[np.float32],
        prepared: NDArray[np.float32],
        measured: EnergyStack,
        *,
        variant: str = "repo",
    ) -> LayerMap:
        """Thickness in whole voxels, without sigma.  predicted: in the order of VOXEL_CHANNELS."""
        # Whole voxels leave much unexplained, however right they are.
        return _result(thickness_of_voxels(predicted), measured, variant, told=False)


def _result(thickness: NDArray[np.float32], measured: EnergyStack, variant: str, *, told: bool) -> LayerMap:
    noise = estimated_noise(measured, layer_table(measured.energies, variant))
    as_recorded = DetectorResponse(np.ones(len(measured.energies)))
    unknown = np.full_like(thickness, np.nan)
    result = layer_map(thickness, unknown, measured, variant, as_recorded, noise, told=told)
    return replace(result, sigma=None)
