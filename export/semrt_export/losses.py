"""What training makes small."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["LOSSES", "charbonnier", "negative_gain"]


def negative_gain(predicted: Tensor, first_guess: Tensor, target: Tensor, *, floor: float = 1e-5) -> Tensor:
    """Minus the gain over the first guess [dB], averaged over the crops: 10·log10 of the ratio of mean squared errors.

    Every crop counts alike, whether its scan was dense or sparse, flat or full of contrast; under a plain mean
    squared error the few hardest crops would be all that counts.  All (n, 1, h, w).
    floor: mean squared error below which nothing is gained: an almost perfect first guess must not rule the step.
    """
    error = (predicted - target).square().mean(dim=(1, 2, 3))
    error_before = (first_guess - target).square().mean(dim=(1, 2, 3))
    return (10 / math.log(10)) * ((error + floor).log() - (error_before + floor).log()).mean()


def charbonnier(predicted: Tensor, first_guess: Tensor, target: Tensor, *, smoothing: float = 1e-2) -> Tensor:
    """Mean absolute error with a rounded tip, relative to the first guess in each crop: single edges may be wrong.

    All (n, 1, h, w).  Charbonnier et al. 1994, doi:10.1109/ICIP.1994.413553.
    """

    def of(image: Tensor) -> Tensor:
        return torch.sqrt((image - target).square() + smoothing**2).mean(dim=(1, 2, 3))

    return (of(predicted) / of(first_guess)).mean()


LOSSES = {"gain": negative_gain, "charbonnier": charbonnier}
