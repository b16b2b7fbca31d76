"""The network of `columns`: a small residual U-Net at half the resolution, which finds and denoises atomic columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from semrt_export.networks.residual_unet import ResidualUNet

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ColumnNet"]


class ColumnNet(ResidualUNet):
    """From a standardised image to where columns are, and to what they alone look like.

    Input (n, c, h, w), the image first; h and w are multiples of `multiple`.
    Output (n, 2, h, w): probability of lying in the disk about a column, 0 to 1; the denoised columns.
    widths: channels at half, quarter and eighth of the resolution.  bottom: blocks at the last one.
    """

    def __init__(self, channels: int = 2, *, widths: Sequence[int] = (24, 48, 80), bottom: int = 2) -> None:
        # Full resolution is folded into channels: fine detail is kept, at a quarter of the positions.
        super().__init__(channels, 2, widths=widths, bottom=bottom, stem_scale=2)

    def forward(self, channels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 2, h, w)."""
        maps = super().forward(channels)
        return torch.cat((torch.sigmoid(maps[:, :1]), maps[:, 1:]), dim=1)
