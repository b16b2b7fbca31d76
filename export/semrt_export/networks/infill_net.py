"""The network of `infill`: a residual U-Net at a quarter of the resolution that corrects a classical first guess.

It has no normalisation layer, so a tile does not depend on the image beyond the receptive field, and every change of
resolution is exact (strided convolution down, pixel shuffle up), so any size that is a multiple of 32 works.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from semrt_export.networks.blocks import ResidualBlock, convolution

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["InfillNet"]


class InfillNet(nn.Module):
    """Add to the first guess a correction, in units of the first guess's own error, and say how wrong the sum may be.

    Input (n, c, h, w): the maps, then the constants, which hold one value an image and so need no full resolution.
    first_guess, first_guess_error: the channels of the classical estimate and of its standard deviation.
    Output (n, 2, h, w): the image, standardised as the first guess is, and its standard deviation, both in the same
    units. h and w are multiples of `multiple`.
    """

    stem_scale = 4  # full resolution is folded into channels: fine detail is kept, at a sixteenth of the positions
    error_floor = 0.02  # a first guess that claims no error at all may still be corrected
    log_error_range = (-4.0, 3.0)  # of the stated error over that of the first guess: beyond, a slip rather than a scan

    def __init__(
        self,
        maps: int = 6,
        constants: int = 3,
        *,
        first_guess: int = 2,
        first_guess_error: int = 3,
        widths: Sequence[int] = (48, 64, 96, 128),
    ) -> None:
        super().__init__()
        self.maps, self.constants = maps, constants
        self.first_guess, self.first_guess_error = first_guess, first_guess_error
        self.stem = convolution(maps * self.stem_scale**2 + constants, widths[0])
        steps = list(pairwise(widths))
        # At the finest scale, where a block costs most, there is one alone, on the way up.
        self.encoder = nn.ModuleList((nn.Identity(), *(ResidualBlock(width) for width in widths[1:-1])))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        # The second kernel is 1x1 here: at 1/32 each 3x3 adds 32 px to the halo of every tile.
        self.bottom = ResidualBlock(widths[-1], second_kernel=1)
        self.up = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in steps)
        self.decoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.head = convolution(widths[0], 2 * self.stem_scale**2)
        nn.init.zeros_(self.head.weight)  # before training, the output is the first guess

    @property
    def in_channels(self) -> int:
        """Channels of the input: maps and constants."""
        return self.maps + self.constants

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return self.stem_scale * 2 ** len(self.down)

    def forward(self, channels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 2, h, w)."""
        return self.answer(self.decoder[0](self.features(channels)), channels)

    def features(self, channels: Tensor) -> Tensor:
        """What all scales but the last block of the finest say, (n, widths[0], h / stem_scale, w / stem_scale)."""
        maps = functional.pixel_unshuffle(channels[:, : self.maps], self.stem_scale)
        constants = channels[:, self.maps :, :: self.stem_scale, :: self.stem_scale]
        features = functional.relu(self.stem(torch.cat((maps, constants), dim=1)))
        skips = []
        for block, down in zip(self.encoder, self.down, strict=True):
            features = block(features)
            skips.append(features)
            features = functional.relu(down(features))
        features = self.bottom(features)
        for level in reversed(range(len(self.up))):
            features = functional.pixel_shuffle(self.up[level](features), 2) + skips[level]
            if level > 0:
                features = self.decoder[level](features)
        return features

    def answer(self, features: Tensor, channels: Tensor) -> Tensor:
        """The image and its standard deviation, (n, 2, h, w), from the last features and what went in."""
        correction, log_error = functional.pixel_shuffle(self.head(features), self.stem_scale).chunk(2, dim=1)
        first_guess = channels[:, self.first_guess : self.first_guess + 1]
        scale = channels[:, self.first_guess_error : self.first_guess_error + 1] + self.error_floor
        stated = scale * torch.exp(torch.clamp(log_error, *self.log_error_range))
        return torch.cat((first_guess + correction * scale, stated), dim=1)

    @torch.no_grad()
    def scale_error(self, factor: float) -> None:
        """State all standard deviations by a factor larger, or smaller."""
        self.head.bias[self.stem_scale**2 :] += math.log(factor)

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px], rounded up to `multiple`.

        Every kernel of k pixels at scale s reaches (k // 2)·s; the cells of the coarsest scale reach multiple - 1, as
        a pixel may fall anywhere in its cell. Tiles cut with this halo give what the whole image gives.
        """
        scale, reach = self.stem_scale, self.stem.kernel_size[0] // 2 * self.stem_scale
        blocks = (*enumerate(self.decoder), *enumerate(self.encoder[1:], start=1))
        reach += sum(block.reach * scale * 2**level for level, block in blocks)
        reach += self.bottom.reach * self.multiple
        reach += self.head.kernel_size[0] // 2 * scale
        reach += self.multiple - 1
        return -(-reach // self.multiple) * self.multiple
