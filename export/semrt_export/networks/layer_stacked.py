"""The published stack of U-Nets for layers: each sees what the one before made of the images, and is judged alone.

DL-Microtomography, github.com/p0l0satik/DL-Microtomography; after the hourglasses of Newell et al. 2016,
arXiv:1603.06937.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semrt_export.networks.layer_blocks import ENERGIES, LayerTrunk, fractions_to_nm

__all__ = ["LayerStackedUNet"]


class LayerStackedUNet(nn.Module):
    """From images at several energies to thickness, by one U-Net after the other.

    Input (n, energies, h, w).  Output (n, 2, h, w) [nm], gold up to 15, aluminium up to 150: what the last one says.
    In training mode (n, stacks, 2, h, w), what each says: `losses.mean_over_stacks` takes it.
    h and w are multiples of `multiple`.  width: the base of the widths, which grow to 8 times of it.
    Call `eval()` before use: in training mode, batch normalisation makes a tile depend on the others of its batch.
    """

    def __init__(self, energies: int = ENERGIES, *, width: int = 64, stacks: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.in_channels = energies
        self.trunks = nn.ModuleList(_hourglass(energies, width, dropout) for _ in range(stacks))
        self.ends = nn.ModuleList(nn.Conv2d(width, energies, 1) for _ in range(stacks))
        self.heads = nn.ModuleList(nn.Conv2d(energies, 2, 1) for _ in range(stacks))
        # Nothing follows the last one: weights there would never learn.
        self.remap = nn.ModuleList(nn.Conv2d(2, energies, 1) for _ in range(stacks - 1))

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return self.trunks[0].multiple

    def forward(self, images: Tensor) -> Tensor:
        """(n, energies, h, w) -> (n, 2, h, w) [nm]; in training mode -> (n, stacks, 2, h, w)."""
        answers = []
        for number, (trunk, end, head) in enumerate(zip(self.trunks, self.ends, self.heads, strict=True)):
            features = end(trunk(images))
            fractions = torch.sigmoid(head(features))
            answers.append(fractions_to_nm(fractions))
            if number < len(self.remap):
                images = images + features + self.remap[number](fractions)
        return torch.stack(answers, dim=1) if self.training else answers[-1]

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px], rounded up to `multiple`."""
        reach = sum(trunk.reach() for trunk in self.trunks)
        return -(-reach // self.multiple) * self.multiple


def _hourglass(energies: int, width: int, dropout: float) -> LayerTrunk:
    w = width
    levels = ((w, w), (2 * w, 2 * w), (4 * w, 4 * w), (8 * w, 8 * w))
    return LayerTrunk(energies, encoder=(*levels, levels[-1]), decoder=levels, dropout=nn.Dropout(dropout))
