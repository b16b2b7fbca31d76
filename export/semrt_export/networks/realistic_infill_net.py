"""The network of `infill-adversarial`: that of `infill`, with random numbers for what no sample tells."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from semrt_export.networks.infill_net import InfillNet

__all__ = ["RealisticInfillNet"]


class RealisticInfillNet(InfillNet):
    """Noise and texture need something to be made of: a random map enters where the finest detail is decided.

    Input (n, c, h, w): as of InfillNet, then a map of standard normal numbers, each pixel's its own. What that map adds
    to the features is scaled by what the features say, so that texture may differ from place to place. The layers of
    InfillNet keep their names: weights of `infill` are those to begin with.
    Karras et al. 2019, arXiv:1812.04948, add noise to features likewise.
    """

    def __init__(self, maps: int = 6, constants: int = 3, **options: Any) -> None:
        super().__init__(maps, constants, **options)
        width = self.head.in_channels
        self.texture = nn.Conv2d(self.stem_scale**2, width, 3, padding=1)
        self.strength = nn.Conv2d(width, width, 1)
        for layer, weight, bias in ((self.texture, 0.02, 0.0), (self.strength, 0.0, 1.0)):
            nn.init.normal_(layer.weight, std=weight)
            nn.init.constant_(layer.bias, bias)

    @property
    def in_channels(self) -> int:
        """Channels of the input: maps, constants and the random map."""
        return super().in_channels + 1

    def forward(self, channels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 2, h, w)."""
        known, random = channels[:, :-1], channels[:, -1:]
        features = self.features(known)
        grain = self.texture(functional.pixel_unshuffle(random, self.stem_scale))
        return self.answer(self.decoder[0](features + grain * self.strength(features)), known)
