"""Losses that depend on those before: outliers limited, and pixels weighted, by what they have been so far.

As in github.com/Jeffrey-Ede/ALRC and github.com/Jeffrey-Ede/partial-STEM.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semrt_export.losses import gaussian_blur

__all__ = ["AdaptiveClipping", "RunningErrorWeights"]


class AdaptiveClipping(nn.Module):
    """Adaptive learning rate clipping: no loss teaches more than one that lies so far above the running mean.

    A loss beyond the mean and `deviations` standard deviations is scaled down to it as a whole, gradient and all; mean
    and mean square follow the scaled losses, so that an outlier hardly moves the threshold.
    decay: of the running means.  mean, mean_square: where they begin.
    Ede & Beanland 2020, doi:10.1088/2632-2153/ab81e2.
    """

    def __init__(
        self, *, deviations: float = 3.0, decay: float = 0.999, mean: float = 25.0, mean_square: float = 30.0**2
    ) -> None:
        super().__init__()
        self.deviations, self.decay = deviations, decay
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("mean_square", torch.tensor(mean_square))

    @property
    def highest(self) -> Tensor:
        """The loss above which one is limited."""
        # The mean square may round to below the squared mean, where all losses are alike.
        variance = (self.mean_square - self.mean.square()).clamp(min=0)
        return self.mean + self.deviations * (variance + 1e-8).sqrt()

    def forward(self, losses: Tensor) -> Tensor:
        """(n,) -> (n,), one loss a sample; the running means then take in the mean over the samples."""
        highest = self.highest
        limited = losses * torch.where(losses < highest, 1.0, highest / losses).detach()
        with torch.no_grad():
            self.mean.lerp_(limited.mean(), 1 - self.decay)
            self.mean_square.lerp_(limited.square().mean(), 1 - self.decay)
        return limited


class RunningErrorWeights(nn.Module):
    """Weigh pixels by their running mean squared error, smoothed, so that those that are always wrong count more.

    Published as of no use (Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0), and here to be compared.
    side [px]: of the images, which must all be of one path.  decay: of the running mean.  start: where it begins.
    """

    def __init__(self, side: int, *, decay: float = 0.999, start: float = 3.0) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("error", torch.full((1, 1, side, side), start))

    def forward(self, squares: Tensor) -> Tensor:
        """Squared errors (n, 1, side, side) -> the same, weighted; the weights are 1 on average."""
        with torch.no_grad():
            self.error.lerp_(squares.mean(dim=0, keepdim=True), 1 - self.decay)
            weights = gaussian_blur(self.error, radius=1, sigma=1.5)
        return squares * (weights / weights.mean())
