"""The network of `layers`: a small residual U-Net, which corrects thickness that a solver found pixel by pixel.

What the images say of a pixel's own column, the solver knows better than a network of this size; the network adds
what the neighbours say, and what may be believed when the microscope does not keep to the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from semrt_export.networks.residual_unet import ResidualUNet

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LayerNet"]


class LayerNet(ResidualUNet):
    """Add to the first guess a correction, and say how far off the sum may be.

    Input (n, c, h, w), among its channels the first guess of gold and, next, of aluminium; h and w are multiples of
    `multiple`.  Output (n, 4, h, w): gold, aluminium, and the natural logarithms of their standard deviations, all in
    the units of the first guess.
    first_guess: the channel of gold.  widths: channels at each resolution, the finest first.  bottom: blocks at the
    last one.  stem_scale: 1 works at full resolution; 2 folds it into channels and works at half, which is faster and,
    with one width less, sees as far.
    """

    def __init__(
        self,
        channels: int,
        *,
        first_guess: int = 0,
        widths: Sequence[int] = (24, 40, 64, 96),
        bottom: int = 1,
        stem_scale: int = 1,
    ) -> None:
        super().__init__(channels, 4, widths=widths, bottom=bottom, stem_scale=stem_scale)
        self.first_guess = first_guess
        nn.init.zeros_(self.head.weight)  # before training, the output is the first guess, and its error one unit

    def forward(self, channels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 4, h, w)."""
        maps = super().forward(channels)
        first_guess = channels[:, self.first_guess : self.first_guess + 2]
        return torch.cat((first_guess + maps[:, :2], maps[:, 2:]), dim=1)
