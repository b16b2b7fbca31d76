"""The published opponents of the network for partial scans: three, each of crops of its own size.

Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0; layers as in github.com/Jeffrey-Ede/partial-STEM.
Spectral normalisation: Miyato et al. 2018, arXiv:1802.05957.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

__all__ = ["SMALLEST_CROP", "MultiscaleDiscriminators", "multiscale_crops"]

WIDTHS = (64, 128, 256, 512)
FACTORS = (1, 2, 4)  # of the sides of the crops
SLOPE = 0.2
SMALLEST_CROP = 46  # px: four kernels of 4 px at steps of 2 px leave a single position of it


class MultiscaleDiscriminators(nn.Module):
    """Say of crops at three scales whether they are of true images: near 1, or near 0.

    width: of all layers, times the published one.
    """

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        widths = [1, *(round(width * layer) for layer in WIDTHS)]
        self.scales = nn.ModuleList(
            nn.Sequential(*(_layer(inputs, outputs) for inputs, outputs in pairwise(widths))) for _ in FACTORS
        )

    def forward(self, crops: Sequence[Tensor]) -> Tensor:
        """Three of (n, 1, side, side) -> (3, n); what is left of a crop is summed up, over places and channels."""
        return torch.stack([judge(crop).sum((1, 2, 3)) for judge, crop in zip(self.scales, crops, strict=True)])


def multiscale_crops(images: Tensor, side: int, rng: np.random.Generator) -> list[Tensor]:
    """Cut a random piece of 1, 2 and 4 times `side` and reduce it to (n, c, side, side), the same of all images.

    images: (n, c, h, w), longer than 2·side each way; mirrored by that much first, so that borders are seen as often.
    """
    wide = functional.pad(images, (2 * side,) * 4, mode="reflect")
    crops = []
    for factor in FACTORS:
        extent = factor * side
        y0, x0 = (int(rng.integers(0, length - extent + 1)) for length in wide.shape[-2:])
        piece = wide[..., y0 : y0 + extent, x0 : x0 + extent]
        crops.append(functional.interpolate(piece, (side, side), mode="bilinear", align_corners=True))
    return crops


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 4, stride=2)
    nn.init.xavier_uniform_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    return nn.Sequential(spectral_norm(convolution), nn.LeakyReLU(SLOPE))
