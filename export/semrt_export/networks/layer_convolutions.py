"""The smallest published network for layers, "3Conv": three convolutions, hardly more than a formula for each pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semrt_export.networks.layer_blocks import ENERGIES, fractions_to_nm

__all__ = ["LayerConvolutions"]


class LayerConvolutions(nn.Module):
    """From images at several energies to thickness.

    Input (n, energies, h, w), output (n, 2, h, w) [nm]: gold up to 15, aluminium up to 150; any h and w.
    width: channels after the first convolution, twice as many after the second.  The published text gives the number
    of weights alone (below 100 000); this is the largest power of two that keeps it.
    Call `eval()` before use: in training mode, batch normalisation makes a tile depend on the others of its batch.
    """

    multiple = 1

    def __init__(self, energies: int = ENERGIES, *, width: int = 64) -> None:
        super().__init__()
        self.in_channels = energies
        self.layers = nn.Sequential(
            *(nn.Conv2d(energies, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(inplace=True)),
            nn.Conv2d(2 * width, 2, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(n, energies, h, w) -> (n, 2, h, w) [nm]."""
        return fractions_to_nm(torch.sigmoid(self.layers(images)))

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px]."""
        return 3
