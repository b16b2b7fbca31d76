"""What the published networks for layers share: the trunk of their U-Nets, and the way they state a thickness.

DL-Microtomography, github.com/p0l0satik/DL-Microtomography, from whose report and source the widths are taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from semrt_export.networks.blocks import two_convolutions

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ENERGIES", "THICKEST", "LayerTrunk", "fractions_to_nm"]

ENERGIES = 31  # images, one a beam energy from 5 to 35 keV
THICKEST = (15.0, 150.0)  # nm; gold, aluminium


class LayerTrunk(nn.Module):
    """A U-Net with batch normalisation, without its last convolution.

    Input (n, c, h, w), output (n, out_channels, h, w); h and w are multiples of `multiple`.
    encoder, decoder: channels after the first and the second convolution of each level, the finest first; the decoder
    has one level less.  dropout: of what is joined at each level.
    What lies beyond the border is taken to be like the border.
    """

    def __init__(
        self,
        channels: int,
        *,
        encoder: Sequence[tuple[int, int]],
        decoder: Sequence[tuple[int, int]],
        dropout: nn.Module,
    ) -> None:
        super().__init__()
        self.out_channels = decoder[0][1]
        inputs = (channels, *(width for _, width in encoder[:-1]))
        from_below = (*(width for _, width in decoder[1:]), encoder[-1][1])
        self.encoder = nn.ModuleList(_level(width, level) for width, level in zip(inputs, encoder, strict=True))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(width, width, 3, stride=2, padding=1, output_padding=1) for width in from_below
        )
        self.decoder = nn.ModuleList(
            _level(skipped + below, level)
            for (_, skipped), below, level in zip(encoder[:-1], from_below, decoder, strict=True)
        )
        self.dropout = dropout

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return int(2 ** len(self.decoder))

    def forward(self, channels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, out_channels, h, w)."""
        features = self.encoder[0](channels)
        skips = []
        for block in self.encoder[1:]:
            skips.append(features)
            features = block(functional.max_pool2d(features, 2))
        for up, block in zip(reversed(self.up), reversed(self.decoder), strict=True):
            features = block(self.dropout(torch.cat((skips.pop(), up(features)), dim=1)))
        return features

    def reach(self) -> int:
        """How far from an output pixel an input pixel can still matter [px].

        At scale s, two 3x3 kernels down and two up reach 4·s. The kernel of a step up reaches s more, as it spreads
        every second position to both sides. The cells of the coarsest scale reach multiple - 1.
        """
        return 2 * self.multiple + sum((4 + 1) * 2**level for level in range(len(self.decoder))) + self.multiple - 1


def fractions_to_nm(fractions: Tensor) -> Tensor:
    """From 0 to 1 of the thickest layer that there may be to nm; (n, 2, h, w), gold first."""
    gold, aluminium = fractions.split(1, dim=1)
    return torch.cat((THICKEST[0] * gold, THICKEST[1] * aluminium), dim=1)


def _level(inputs: int, widths: tuple[int, int]) -> nn.Sequential:
    hidden, outputs = widths
    return two_convolutions(inputs, outputs, hidden=hidden, padding_mode="replicate")
