"""The published hybrid for layers, "UVNet": a 2-D encoder, whose channels become heights, and a 3-D decoder.

DL-Microtomography, github.com/p0l0satik/DL-Microtomography. There, the decoder normalises each image by itself, so
that every voxel depends on all others, and the network is bound to images of 128 px and batches of 16; here it
normalises by batches, as the encoder does, and only channels are reshaped. The last step there gives two materials
by ReLU, here three classes as logits.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from semrt.errors import InvalidOption
from semrt_export.networks.blocks import two_convolutions
from semrt_export.networks.layer_blocks import ENERGIES

__all__ = ["LayerHybridUNet"]

LEVELS = 3
HEIGHTS = 2 ** (LEVELS + 1)  # two at the bottom, doubled with each step up


class LayerHybridUNet(nn.Module):
    """From images at several energies to the class of each voxel.

    Input (n, energies, h, w), output (n, classes, 16, h, w): logits, the lowest voxel first.
    h and w are multiples of `multiple`.  width: the base of the widths, which grow to 8 times of it.
    Call `eval()` before use: in training mode, batch normalisation makes a tile depend on the others of its batch.
    Raises InvalidOption (width not a multiple of 32, as channels are shared out to heights and groups).
    """

    def __init__(self, energies: int = ENERGIES, *, width: int = 64, classes: int = 3) -> None:
        if width < 32 or width % 32:
            raise InvalidOption(f"width: expected a multiple of 32, got {width}")
        super().__init__()
        self.in_channels = energies
        encoded = (width, 2 * width, 4 * width)
        self.encoder = nn.ModuleList(
            two_convolutions(inputs, outputs, bias=False) for inputs, outputs in pairwise((energies, *encoded))
        )
        self.bottom = nn.Conv2d(encoded[-1], 8 * width, 3, padding=1, bias=False)
        # The finest first, as everywhere: what comes from below, what a step up makes of it, what goes on.
        below = (5 * width // 16, 5 * width // 4, 4 * width)
        raised = (6, 5 * width // 8, 4 * width)
        joined = (6, *below[:-1])
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(inputs, outputs, 2, stride=2, groups=2)
            for inputs, outputs in zip(below, raised, strict=True)
        )
        self.decoder = nn.ModuleList(
            two_convolutions(skipped // _heights(level) + inputs, outputs, dimensions=3, bias=False)
            for level, (skipped, inputs, outputs) in enumerate(zip(encoded, raised, joined, strict=True))
        )
        self.head = nn.Conv3d(joined[0], classes, 3, padding=1)

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return int(2**LEVELS)

    def forward(self, images: Tensor) -> Tensor:
        """(n, energies, h, w) -> (n, classes, 16, h, w)."""
        features = images
        skips = []
        for level, block in enumerate(self.encoder):
            features = block(features)
            skips.append(features.unflatten(1, (-1, _heights(level))))
            features = functional.max_pool2d(features, 2)
        volume = self.bottom(features).unflatten(1, (-1, _heights(LEVELS)))
        for up, block in zip(reversed(self.up), reversed(self.decoder), strict=True):
            volume = block(torch.cat((skips.pop(), up(volume)), dim=1))
        return self.head(volume)

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px], rounded up to `multiple`.

        Two 3x3 kernels at each scale, down and up, one at the bottom and one at the end; the cells of the coarsest
        scale reach multiple - 1.
        """
        reach = sum(4 * 2**level for level in range(LEVELS)) + 2**LEVELS + 1 + self.multiple - 1
        return -(-reach // self.multiple) * self.multiple


def _heights(level: int) -> int:
    return HEIGHTS // 2**level
