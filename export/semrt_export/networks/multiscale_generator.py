"""The published network for partial scans: an inner generator at half the size, and an outer one around it.

Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0; kernels, widths, slopes and first weights as in
github.com/Jeffrey-Ede/partial-STEM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MultiscaleGenerator"]

OUTER = (32, 64)
INNER = (64, 128, 256, 512, 768)
GLOBAL_BLOCKS, LOCAL_BLOCKS = 6, 3
FIRST_SLOPE, SLOPE = 0.1, 0.01  # of leaky ReLUs: after the first convolutions, and after all others
SPREAD = 0.05  # standard deviation of new weights


class MultiscaleGenerator(nn.Module):
    """Complete a partial scan.

    Input (n, c, h, w), h and w multiples of `multiple`; it looks at the channels first … first + seen - 1 alone.
    Output (n, 1, h, w).  In training, what `unpacked` takes apart, where there is a trainer.
    width: of all layers, times the published one.
    trainer: two convolutions that make a half-size image of what the inner generator gives, so that it has a loss of
        its own; of no use but in training.
    plain_first: leave the weights of the inner generator's first convolution as they are, as was done where it sees the
        path; all others are normalised, Salimans & Kingma 2016, arXiv:1602.07868.

    In the published code, the mean over the image was besides taken off each channel after some of the convolutions,
    also in use. It is not here: what a tile gives would depend on the image beyond its halo.
    Its strided convolutions begin at the first pixel, and these one before it: the same, but for a mirror.
    """

    def __init__(
        self,
        channels: int,
        *,
        first: int = 0,
        seen: int | None = None,
        width: float = 1.0,
        trainer: bool = True,
        plain_first: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.first = channels, first
        self.seen = channels - first if seen is None else seen
        shallow, deep = (round(width * layer) for layer in OUTER)
        inner = [round(width * layer) for layer in INNER]
        down = [_layer(inner[k], inner[k + 1], stride=2) for k in range(len(inner) - 1)]
        up = [_upwards(inner[k + 1], deep if k == 0 else inner[k]) for k in reversed(range(len(inner) - 1))]
        self.inner = nn.Sequential(
            _layer(self.seen, inner[0], 5, slope=FIRST_SLOPE, normalised=not plain_first),
            *down,
            *(_Block(inner[-1]) for _ in range(GLOBAL_BLOCKS)),
            *up,
        )
        self.trainer = nn.Sequential(_layer(deep, deep), _convolution(deep, 1)) if trainer else None
        self.encoder = nn.Sequential(
            _layer(self.seen, shallow, 5, slope=FIRST_SLOPE), _layer(shallow, deep, stride=2, slope=FIRST_SLOPE)
        )
        self.decoder = nn.Sequential(
            *(_Block(deep) for _ in range(LOCAL_BLOCKS)),
            _upwards(deep, shallow),
            _layer(shallow, shallow),
            _convolution(shallow, 1),
        )

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return int(2 ** len(INNER))

    def forward(self, channels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 1, h, w), or in training (n, 5, h/2, w/2)."""
        scan = channels[:, self.first : self.first + self.seen]
        features = self.inner(functional.avg_pool2d(scan, 2))
        outer = self.decoder(self.encoder(scan) + features)
        if self.trainer is None or not self.training:
            return outer
        return torch.cat((functional.pixel_unshuffle(outer, 2), self.trainer(features)), dim=1)

    @staticmethod
    def unpacked(predicted: Tensor) -> tuple[Tensor, Tensor | None]:
        """The completed scan (n, 1, h, w), and the trainer's half-size one (n, 1, h/2, w/2) where there is one."""
        if predicted.shape[1] == 1:
            return predicted, None
        return functional.pixel_shuffle(predicted[:, :4], 2), predicted[:, 4:]

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px], rounded up to `multiple`.

        By way of the inner generator, whose pixels are of 2 px: kernels of 5 and 3 px reach 2 and 1 at their own scale,
        and a step down or up reaches 1 at the finer of its two scales.
        """
        coarsest = self.multiple // 2  # in pixels of the inner generator
        inside = 2 + (coarsest - 1) + GLOBAL_BLOCKS * 3 * coarsest + (coarsest - 1)
        around = 1 + LOCAL_BLOCKS * 3 * 2 + 1 + 1 + 1  # the halving, the blocks, the step up, two convolutions
        return -(-(2 * inside + around) // self.multiple) * self.multiple

    @torch.no_grad()
    def scale_layers(self, channels: Tensor) -> None:
        """Scale the normalised layers so that scans such as these (n, c, h, w) leave each with mean 0 and variance 1.

        To be called once, before training: without it, what so deep a network gives would be anything.
        """

        def scale(layer: nn.Module, _inputs: Sequence[Tensor], output: Tensor) -> Tensor:
            variance, mean = torch.var_mean(output, dim=(0, 2, 3), correction=0)
            factor = (variance + 1e-8).rsqrt()
            length = layer.parametrizations.weight.original0
            length.mul_(factor.reshape(length.shape))
            layer.bias.copy_(-mean * factor)
            return (output - mean[:, None, None]) * factor[:, None, None]

        hooks = [layer.register_forward_hook(scale) for layer in self.modules() if is_parametrized(layer, "weight")]
        self(channels)
        for hook in hooks:
            hook.remove()


class _Block(nn.Module):
    """x + three convolutions of it, each with its leaky ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(_layer(width, width) for _ in range(3)))

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> the same shape."""
        return features + self.layers(features)


def _layer(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, slope: float = SLOPE, normalised: bool = True
) -> nn.Sequential:
    convolution = _convolution(inputs, outputs, kernel, stride=stride, normalised=normalised)
    return nn.Sequential(convolution, nn.LeakyReLU(slope))


def _upwards(inputs: int, outputs: int) -> nn.Sequential:
    """A transposed convolution to twice the size."""
    layer = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    _start(layer)
    return nn.Sequential(weight_norm(layer, dim=1), nn.LeakyReLU(SLOPE))


def _convolution(inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, normalised: bool = True) -> nn.Module:
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)
    _start(layer)
    return weight_norm(layer) if normalised else layer


def _start(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    nn.init.normal_(layer.weight, std=SPREAD)
    nn.init.zeros_(layer.bias)
