"""The network of `columns`: a small residual U-Net at half the resolution, which finds and denoises atomic columns.

It has no normalisation layer, so a tile does not depend on the image beyond the receptive field, and every change of
resolution is exact (strided convolution down, pixel shuffle up), so any size that is a multiple of 8 works.

Its blocks are those of the network of `infill`; see there for their sources.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from semrt_export.networks.infill_net import ResidualBlock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ColumnNet"]


class ColumnNet(nn.Module):
    """From a standardised image to where columns are, and to what they alone look like.

    Input (n, c, h, w), the image first; h and w are multiples of `multiple`.
    Output (n, 2, h, w): probability of lying in the disk about a column, 0 to 1; the denoised columns.
    widths: channels at half, quarter and eighth of the resolution.  bottom: blocks at the last one.
    """

    stem_scale = 2  # full resolution is folded into channels: fine detail is kept, at a quarter of the positions

    def __init__(self, channels: int = 2, *, widths: Sequence[int] = (24, 48, 80), bottom: int = 2) -> None:
        super().__init__()
        self.in_channels = channels
        self.stem = _conv(channels * self.stem_scale**2, widths[0])
        steps = list(pairwise(widths))
        self.encoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.bottom = nn.Sequential(*(ResidualBlock(widths[-1]) for _ in range(bottom)))
        self.up = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in steps)
        self.decoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.head = _conv(widths[0], 2 * self.stem_scale**2)
        with torch.no_grad():
            self.head.weight.mul_(0.1)

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return self.stem_scale * 2 ** len(self.down)

    def forward(self, channels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 2, h, w)."""
        features = functional.relu(self.stem(functional.pixel_unshuffle(channels, self.stem_scale)))
        skips = []
        for block, down in zip(self.encoder, self.down, strict=True):
            features = block(features)
            skips.append(features)
            features = functional.relu(down(features))
        features = self.bottom(features)
        for block, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            features = block(functional.pixel_shuffle(up(features), 2) + skips.pop())
        maps = functional.pixel_shuffle(self.head(functional.relu(features)), self.stem_scale)
        return torch.cat((torch.sigmoid(maps[:, :1]), maps[:, 1:]), dim=1)

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px], rounded up to `multiple`.

        Every 3x3 kernel at scale s reaches s; the cells of the coarsest scale reach multiple - 1, as a pixel may fall
        anywhere in its cell. Tiles cut with this halo give what the whole image gives.
        """
        reach = self.stem_scale * (self.stem.kernel_size[0] // 2 + self.head.kernel_size[0] // 2)
        for level, block in enumerate(self.encoder):
            reach += (block.reach + self.decoder[level].reach) * self.stem_scale * 2**level
        reach += sum(block.reach for block in self.bottom) * self.multiple
        reach += self.multiple - 1
        return -(-reach // self.multiple) * self.multiple


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(convolution.bias)
    return convolution
