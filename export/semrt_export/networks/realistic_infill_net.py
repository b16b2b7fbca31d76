"""The network of `infill-adversarial`: that of `infill`, with random numbers for what no sample tells."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from semrt_export.networks.infill_net import InfillNet

__all__ = ["RealisticInfillNet"]


class RealisticInfillNet(InfillNet):
    """Noise and texture need something to be made of: a random map enters where the finest detail is decided.

    Input (n, c, h, w): as of InfillNet, then a map of standard normal numbers, each pixel's its own. That map goes two
    ways: to the image itself, times the noise of the scan's own samples and what the features make of that, so that a
    new network gives white noise as the samples have it; and to the features, for texture, scaled by them. The layers
    of InfillNet keep their names: weights of `infill` are those to begin with.
    Karras et al. 2019, arXiv:1812.04948, add noise to features likewise.
    noise: the channel of the noise of a sample.
    """

    log_grain_range = (-3.0, 1.5)  # of the noise beside that of the samples: beyond, a slip

    def __init__(self, maps: int = 6, constants: int = 3, *, noise: int = 6, **options: Any) -> None:
        super().__init__(maps, constants, **options)
        self.noise = noise
        width = self.head.in_channels
        self.grain = nn.Conv2d(width, self.stem_scale**2, 3, padding=1)
        nn.init.zeros_(self.grain.weight)
        nn.init.zeros_(self.grain.bias)
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
        texture = self.texture(functional.pixel_unshuffle(random, self.stem_scale))
        features = self.decoder[0](features + texture * self.strength(features))
        image, error = self.answer(features, known).split(1, dim=1)
        log_grain = functional.pixel_shuffle(self.grain(features), self.stem_scale)
        grain = torch.exp(torch.clamp(log_grain, *self.log_grain_range)) * known[:, self.noise : self.noise + 1]
        return torch.cat((image + grain * random, error), dim=1)
