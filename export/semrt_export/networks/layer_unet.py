"""The published U-Nets for layers: one trunk, which ends in thickness or in classes of voxels.

DL-Microtomography, github.com/p0l0satik/DL-Microtomography. There, images of any size are stretched to the nearest
multiple of 16; here the size is to be a multiple, as pixels that were stretched are no longer those measured.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semrt_export.networks.layer_blocks import ENERGIES, LayerTrunk, fractions_to_nm

__all__ = ["LayerUNet2d", "LayerUNet3d"]


class LayerUNet2d(nn.Module):
    """From images at several energies to thickness, "UNet-to-2d".

    Input (n, energies, h, w), output (n, 2, h, w) [nm]: gold up to 15, aluminium up to 150.
    h and w are multiples of `multiple`.  width: the base of the widths, which grow to 16 times of it.
    Call `eval()` before use: in training mode, batch normalisation makes a tile depend on the others of its batch.
    """

    def __init__(self, energies: int = ENERGIES, *, width: int = 32) -> None:
        super().__init__()
        self.in_channels = energies
        self.trunk = _trunk(energies, width)
        self.head = nn.Conv2d(width, 2, 1)

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return self.trunk.multiple

    def forward(self, images: Tensor) -> Tensor:
        """(n, energies, h, w) -> (n, 2, h, w) [nm]."""
        return fractions_to_nm(torch.sigmoid(self.head(self.trunk(images))))

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px], rounded up to `multiple`."""
        return -(-self.trunk.reach() // self.multiple) * self.multiple


class LayerUNet3d(nn.Module):
    """From images at several energies to the class of each voxel, "UNet-to-3d".

    Input (n, energies, h, w), output (n, classes, heights, h, w): logits, the lowest voxel first.
    h and w are multiples of `multiple`.  width: the base of the widths, which grow to 16 times of it.
    Call `eval()` before use: in training mode, batch normalisation makes a tile depend on the others of its batch.
    """

    def __init__(self, energies: int = ENERGIES, *, width: int = 32, classes: int = 3, heights: int = 16) -> None:
        super().__init__()
        self.in_channels = energies
        self.classes, self.heights = classes, heights
        self.trunk = _trunk(energies, width)
        self.head = nn.Conv2d(width, classes * heights, 1)

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return self.trunk.multiple

    def forward(self, images: Tensor) -> Tensor:
        """(n, energies, h, w) -> (n, classes, heights, h, w)."""
        return self.head(self.trunk(images)).unflatten(1, (self.classes, self.heights))

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px], rounded up to `multiple`."""
        return -(-self.trunk.reach() // self.multiple) * self.multiple


def _trunk(energies: int, width: int) -> LayerTrunk:
    """Four levels and the bottom; the last level up narrows to `width`."""
    w = width
    return LayerTrunk(
        energies,
        encoder=((w, 2 * w), (4 * w, 4 * w), (8 * w, 8 * w), (16 * w, 16 * w), (16 * w, 16 * w)),
        decoder=((2 * w, w), (2 * w, 2 * w), (4 * w, 4 * w), (8 * w, 8 * w)),
        dropout=nn.Dropout2d(0.5),
    )
