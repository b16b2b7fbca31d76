"""A small residual U-Net, which the networks of `columns` and of `layers` are.

It has no normalisation layer, so a tile does not depend on the image beyond the receptive field, and every change of
resolution is exact (strided convolution down, pixel shuffle up), so any size that is a multiple of `multiple` works.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from semrt_export.networks.blocks import ResidualBlock, convolution

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ResidualUNet"]


class ResidualUNet(nn.Module):
    """From channels to maps of any value.

    Input (n, c, h, w), output (n, outputs, h, w); h and w are multiples of `multiple`.
    widths: channels at each resolution, the finest first, each half of the one before.  bottom: blocks at the last one.
    stem_scale: the finest resolution, as a divisor of the image's; what is finer is folded into channels.
    """

    def __init__(
        self, channels: int, outputs: int, *, widths: Sequence[int], bottom: int = 2, stem_scale: int = 2
    ) -> None:
        super().__init__()
        self.in_channels = channels
        self.stem_scale = stem_scale
        self.stem = convolution(channels * stem_scale**2, widths[0])
        steps = list(pairwise(widths))
        self.encoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.bottom = nn.Sequential(*(ResidualBlock(widths[-1]) for _ in range(bottom)))
        self.up = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in steps)
        self.decoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.head = convolution(widths[0], outputs * stem_scale**2)
        with torch.no_grad():
            self.head.weight.mul_(0.1)

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return self.stem_scale * 2 ** len(self.down)

    def forward(self, channels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, outputs, h, w)."""
        # Not at scale 1: a shuffle that does nothing would be a node of the graph all the same.
        folded = functional.pixel_unshuffle(channels, self.stem_scale) if self.stem_scale > 1 else channels
        features = functional.relu(self.stem(folded))
        skips = []
        for block, down in zip(self.encoder, self.down, strict=True):
            features = block(features)
            skips.append(features)
            features = functional.relu(down(features))
        features = self.bottom(features)
        for block, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            features = block(functional.pixel_shuffle(up(features), 2) + skips.pop())
        maps = self.head(functional.relu(features))
        return functional.pixel_shuffle(maps, self.stem_scale) if self.stem_scale > 1 else maps

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
