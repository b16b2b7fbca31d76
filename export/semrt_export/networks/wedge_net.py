"""The network of `wedge`: a residual U-Net at half the resolution that corrects a slice of least total variation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from semrt_export.networks.residual_unet import ResidualUNet

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WedgeNet"]


class WedgeNet(nn.Module):
    """Add a correction to the first guess of a slice.

    Input (n, c, h, w): the maps, then the constants, which hold one value an image and are not folded into channels.
    Output (n, 1, h, w), in the units of the maps; what is below zero is to be taken for zero.
    h and w are multiples of `multiple`.
    first_guess: the channel that is corrected.  widths, bottom: as of ResidualUNet.
    """

    stem_scale = 2
    below_zero = 0.1  # by what is left of it: vacuum need not be hit exactly, but whoever misses it learns from that

    def __init__(
        self,
        maps: int,
        constants: int,
        *,
        first_guess: int,
        widths: Sequence[int] = (48, 72, 112, 160),
        bottom: int = 2,
    ) -> None:
        super().__init__()
        self.maps, self.constants, self.first_guess = maps, constants, first_guess
        self.body = ResidualUNet(
            maps * self.stem_scale**2 + constants, self.stem_scale**2, widths=widths, bottom=bottom, stem_scale=1
        )
        nn.init.zeros_(self.body.head.weight)  # before training, the output is the first guess

    @property
    def in_channels(self) -> int:
        """Channels of the input: maps and constants."""
        return self.maps + self.constants

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return self.stem_scale * self.body.multiple

    def forward(self, channels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 1, h, w)."""
        maps = functional.pixel_unshuffle(channels[:, : self.maps], self.stem_scale)
        constants = channels[:, self.maps :, :: self.stem_scale, :: self.stem_scale]
        correction = functional.pixel_shuffle(self.body(torch.cat((maps, constants), dim=1)), self.stem_scale)
        density = channels[:, self.first_guess : self.first_guess + 1] + correction
        return functional.leaky_relu(density, self.below_zero)

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px], a multiple of `multiple`."""
        reach = self.stem_scale * self.body.receptive_field_radius() + self.stem_scale - 1
        return -(-reach // self.multiple) * self.multiple
