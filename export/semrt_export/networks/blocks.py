"""What several networks are built of.

U-Net: Ronneberger et al. 2015, arXiv:1505.04597. Residual blocks without normalisation: Lim et al. 2017 (EDSR),
arXiv:1707.02921. Pixel shuffle: Shi et al. 2016, arXiv:1609.05158.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ResidualBlock", "convolution", "two_convolutions"]


class ResidualBlock(nn.Module):
    """x + convolution(relu(convolution(x))); small at first, so that a new network starts near the identity."""

    def __init__(self, width: int, *, second_kernel: int = 3) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = convolution(width, width, second_kernel)
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    @property
    def reach(self) -> int:
        """How many pixels, at its own resolution, an output sees to each side."""
        return self.first.kernel_size[0] // 2 + self.second.kernel_size[0] // 2

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> the same shape."""
        return features + self.second(functional.relu(self.first(features)))


def convolution(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    """A convolution that keeps the size, with weights for a ReLU to follow."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def two_convolutions(
    inputs: int,
    outputs: int,
    *,
    hidden: int | None = None,
    dimensions: int = 2,
    bias: bool = True,
    padding_mode: str = "zeros",
) -> nn.Sequential:
    """The step of a plain U-Net: twice a convolution by 3 pixels each way, batch normalisation and ReLU.

    hidden: channels between the two; `outputs` of them by default.  dimensions: 2 or 3.
    bias, padding_mode: as of `torch.nn.Conv2d`.
    """
    convolve, normalise = (nn.Conv2d, nn.BatchNorm2d) if dimensions == 2 else (nn.Conv3d, nn.BatchNorm3d)
    between = outputs if hidden is None else hidden
    layers: list[nn.Module] = []
    for before, after in ((inputs, between), (between, outputs)):
        layers += [
            convolve(before, after, 3, padding=1, bias=bias, padding_mode=padding_mode),
            normalise(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
