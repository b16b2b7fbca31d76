"""The networks whose shape is the prior: none was trained on anything before it meets the scan.

To add one: a class and its line in NETWORKS.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["NETWORKS", "ConvDecoder", "DeepDecoder", "HourGlass", "Skip", "sizes"]

Size = tuple[int, int]
Border = Literal["reflect", "replicate"]

CELLS_PER_GAP = 5
"""The coarsest pixel of the decoder spans about five gaps between samples: what is finer than the gaps has to come from
the shape of the network, what is coarser from the samples. Measured from 1 to 20 % of the pixels."""


def sizes(shape: Sequence[int], levels: int) -> list[Size]:
    """Heights and widths from the coarsest level to the field itself, each half the next, rounded up."""
    ny, nx = shape
    return [(max(2, -(-ny >> level)), max(2, -(-nx >> level))) for level in range(levels, 0, -1)] + [(ny, nx)]


class ConvDecoder(nn.Module):
    """Upsample and convolve, from a coarse field of random numbers to the image.

    Darestani & Heckel 2021, doi:10.1109/TCI.2021.3097596, with a 1 x 1 convolution after each 3 x 3 one and SiLU, which
    brought 0.5 to 1 dB on micrographs of spheres.
    """

    channels = 16

    def __init__(self, shape: Sequence[int], gap: float) -> None:
        super().__init__()
        deepest = max(0, math.floor(math.log2(max(2, min(shape)) / 2)))
        wanted = round(math.log2(max(1.0, CELLS_PER_GAP * gap)))
        levels = min(deepest, max(4, min(7, wanted)))
        self.sizes = sizes(shape, levels)
        widths = [64] * max(0, levels - 1) + [32, 16]
        widths = widths[-(levels + 1) :]
        self.levels = nn.ModuleList()
        before = self.channels
        for width in widths:
            bend = _convolution(before, width, 3, nn.SiLU(), _border(shape))
            self.levels.append(nn.Sequential(bend, _convolution(width, width, 1, nn.SiLU(), _border(shape))))
            before = width
        self.last = nn.Conv2d(before, 1, 1)

    def random_input(self, generator: torch.Generator) -> Tensor:
        """What the network turns into the image, (1, c, h, w)."""
        return torch.randn(1, self.channels, *self.sizes[0], generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """From the random input to the image, (1, 1, ny, nx)."""
        for size, level in zip(self.sizes, self.levels, strict=True):
            x = level(_resized(x, size))
        return self.last(x)  # type: ignore[no-any-return]


class DeepDecoder(nn.Module):
    """1 x 1 convolutions and upsampling alone, k = 64 channels: under-parametrised, so that it need not be stopped.

    Heckel & Hand 2019, arXiv:1810.03982.
    """

    channels = 64

    def __init__(self, shape: Sequence[int], gap: float) -> None:
        super().__init__()
        levels = min(5, max(0, math.floor(math.log2(max(2, min(shape)) / 2))))
        self.sizes = sizes(shape, levels)
        k = self.channels
        self.mixes = nn.ModuleList(nn.Conv2d(k, k, 1, bias=False) for _ in range(levels + 1))
        self.norms = nn.ModuleList(nn.BatchNorm2d(k) for _ in range(levels + 1))
        self.last = nn.Conv2d(k, 1, 1)

    def random_input(self, generator: torch.Generator) -> Tensor:
        """What the network turns into the image, (1, c, h, w)."""
        return torch.rand(1, self.channels, *self.sizes[0], generator=generator) * 0.1

    def forward(self, x: Tensor) -> Tensor:
        """From the random input to the image, (1, 1, ny, nx)."""
        for size, mix, norm in zip([*self.sizes[1:], self.sizes[-1]], self.mixes, self.norms, strict=True):
            x = norm(functional.relu(_resized(mix(x), size)))
        return self.last(x)  # type: ignore[no-any-return]


class HourGlass(nn.Module):
    """Down and up again without a way round: 16-32-64-128-128, as the literature on sparse scans has it.

    Ulyanov et al. 2018, arXiv:1711.10925, without skip connections; Trampert et al. 2018 for sparse SEM.
    """

    channels = 32
    widths: tuple[int, ...] = (16, 32, 64, 128, 128)
    skip = 0
    """Channels that go round each level."""

    def __init__(self, shape: Sequence[int], gap: float) -> None:
        super().__init__()
        # Half of two pixels is one, of which a normalisation would leave nothing: small fields have fewer levels.
        self.widths = self.widths[: sum(max(shape) > 2 << level for level in range(len(self.widths)))]
        self.sizes = sizes(shape, len(self.widths))
        border = _border(shape)

        def step(before: int, after: int, stride: int = 1) -> nn.Module:
            return _convolution(before, after, 3, nn.LeakyReLU(0.2), border, stride)

        self.down, self.up, self.round = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before = self.channels
        for width in self.widths:
            if self.skip:
                self.round.append(_convolution(before, self.skip, 1, nn.LeakyReLU(0.2), border))
            self.down.append(nn.Sequential(step(before, width, 2), step(width, width)))
            before = width
        for width in reversed(self.widths):
            norm = nn.BatchNorm2d(before + self.skip)
            self.up.append(nn.Sequential(norm, step(before + self.skip, width), step(width, width)))
            before = width
        self.last = nn.Conv2d(before, 1, 1)

    def random_input(self, generator: torch.Generator) -> Tensor:
        """What the network turns into the image, (1, c, ny, nx)."""
        return torch.rand(1, self.channels, *self.sizes[-1], generator=generator) * 0.1

    def forward(self, x: Tensor) -> Tensor:
        """From the random input to the image, (1, 1, ny, nx)."""
        ways_round = []
        for level, down in enumerate(self.down):
            if self.skip:
                ways_round.append(self.round[level](x))
            x = _resized(down(x), self.sizes[-2 - level])
        for up, size in zip(self.up, self.sizes[1:], strict=True):
            x = _resized(x, size)
            x = up(torch.cat([x, ways_round.pop()], 1) if self.skip else x)
        return self.last(x)  # type: ignore[no-any-return]


class Skip(HourGlass):
    """The reference network of the Deep Image Prior: five levels of 128 channels, 4 of them round each level.

    Ulyanov et al. 2018, arXiv:1711.10925 (the code's default for inpainting).
    """

    widths: tuple[int, ...] = (128,) * 5
    skip = 4


NETWORKS: dict[str, Callable[[Sequence[int], float], ConvDecoder | DeepDecoder | HourGlass]] = {
    "conv-decoder": ConvDecoder,
    "deep-decoder": DeepDecoder,
    "hour-glass": HourGlass,
    "skip": Skip,
}
"""Each is made for a field (ny, nx) and the mean gap between its samples [px]."""


def _border(shape: Sequence[int]) -> Border:
    """Mirrored, which was best, but not in small fields, whose coarse levels have nothing to mirror."""
    return "reflect" if min(shape) >= 64 else "replicate"


def _convolution(
    before: int, after: int, kernel: int, activation: nn.Module, border: Border, stride: int = 1
) -> nn.Module:
    convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, padding_mode=border)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), activation)


def _resized(x: Tensor, size: Size) -> Tensor:
    if x.shape[-2:] == size:
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
