"""The published network for atomic columns: a U-Net of 64, 128 and 256 channels with a sigmoid.

Lin et al. 2021, doi:10.1038/s41598-021-84499-w, whose weights are trained on images of one size and scale; here to be
compared with, or trained on this library. U-Net: Ronneberger et al. 2015, arXiv:1505.04597.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from semrt_export.networks.blocks import two_convolutions

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ColumnUNet"]


class ColumnUNet(nn.Module):
    """From an image to the probability that a column is there.

    Input (n, c, h, w), output (n, outputs, h, w) from 0 to 1; h and w are multiples of `multiple`.
    Call `eval()` before use: in training mode, batch normalisation makes a tile depend on the others of its batch.
    """

    def __init__(self, channels: int = 1, outputs: int = 1, *, widths: Sequence[int] = (64, 128, 256)) -> None:
        super().__init__()
        self.in_channels = channels
        steps = list(pairwise(widths))
        self.first = two_convolutions(channels, widths[0])
        self.encoder = nn.ModuleList(two_convolutions(fine, coarse) for fine, coarse in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in steps)
        self.decoder = nn.ModuleList(two_convolutions(2 * fine, fine) for fine, _ in steps)
        self.head = nn.Conv2d(widths[0], outputs, 1)

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return int(2 ** len(self.encoder))

    def forward(self, channels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, outputs, h, w)."""
        features = self.first(channels)
        skips = []
        for block in self.encoder:
            skips.append(features)
            features = block(functional.max_pool2d(features, 2))
        for up, block in zip(reversed(self.up), reversed(self.decoder), strict=True):
            features = block(torch.cat((skips.pop(), up(features)), dim=1))
        return torch.sigmoid(self.head(features))

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px], rounded up to `multiple`.

        Two 3x3 kernels at each scale, down and up; the cells of the coarsest scale reach multiple - 1.
        """
        levels = len(self.encoder)
        reach = 2 * 2**levels + sum(2 * 2 * 2**level for level in range(levels)) + self.multiple - 1
        return -(-reach // self.multiple) * self.multiple
