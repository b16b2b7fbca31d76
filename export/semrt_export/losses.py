"""What training makes small."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "LEAST_CONTRAST",
    "LEAST_UNLIKE",
    "LOSSES",
    "NORMAL_90",
    "cautious_gain",
    "cautious_likeness",
    "charbonnier",
    "dissimilarity",
    "gaussian_blur",
    "interval_loss",
    "laplace_likelihood",
    "mean_over_stacks",
    "negative_gain",
    "thickness_loss",
    "unmeasured_gain",
    "voxel_cross_entropy",
]


NORMAL_90 = 1.645
"""Standard deviations about the mean that hold 90 % of a normal distribution."""
LEAST_CONTRAST = 0.1
"""That a crop is judged in: of one that shows nothing, noise must not become the contrast."""
LEAST_UNLIKE = 1e-3
"""Of 1 - SSIM: below, nothing is gained."""


def negative_gain(predicted: Tensor, first_guess: Tensor, target: Tensor, *, floor: float = 1e-5) -> Tensor:
    """Minus the gain over the first guess [dB], averaged over the crops: 10·log10 of the ratio of mean squared errors.

    Every crop counts alike, whether its scan was dense or sparse, flat or full of contrast; under a plain mean
    squared error the few hardest crops would be all that counts.  All (n, 1, h, w).
    floor: mean squared error below which nothing is gained: an almost perfect first guess must not rule the step.
    """
    error = (predicted - target).square().mean(dim=(1, 2, 3))
    error_before = (first_guess - target).square().mean(dim=(1, 2, 3))
    return (10 / math.log(10)) * ((error + floor).log() - (error_before + floor).log()).mean()


def cautious_gain(
    predicted: Tensor, first_guess: Tensor, target: Tensor, *, caution: float = 1.0, floor: float = 2e-6
) -> Tensor:
    """As `negative_gain`, but what a crop loses counts 1 + caution times: to do harm is worse than to be of no use.

    predicted, first_guess, target: (n, 1, h, w).
    """
    error = (predicted - target).square().mean(dim=(1, 2, 3))
    error_before = (first_guess - target).square().mean(dim=(1, 2, 3))
    return _cautious(error, error_before, caution, floor)


def cautious_likeness(predicted: Tensor, rivals: Sequence[Tensor], target: Tensor, *, caution: float = 1.0) -> Tensor:
    """As `cautious_gain`, of what SSIM leaves of one, over the best of the rivals in each crop.

    The mean squared error forgives noise in what is flat and blurred edges, which eyes do not.
    predicted, rivals, target: (n, 1, h, w), in units in which samples spread by about 1.
    """
    contrast = (target.amax(dim=(1, 2, 3)) - target.amin(dim=(1, 2, 3))).clamp(min=LEAST_CONTRAST)
    unlike = dissimilarity(torch.cat((predicted, *rivals), dim=1), target, contrast, stride=2)
    return _cautious(unlike[:, 0], unlike[:, 1:].amin(dim=1), caution, LEAST_UNLIKE)


def _cautious(after: Tensor, before: Tensor, caution: float, floor: float) -> Tensor:
    """The mean ratio of errors, (n,) [dB], those that grew counted 1 + caution times."""
    loss = (10 / math.log(10)) * ((after + floor).log() - (before + floor).log())
    return (loss + caution * functional.relu(loss)).mean()


def interval_loss(sigma: Tensor, error: Tensor, scale: Tensor, *, held: float = 0.9) -> Tensor:
    """What makes the interval of ± 1.645 sigma hold the share `held` of the errors, pixel by pixel: the pinball loss.

    sigma, error: (n, 1, h, w), the standard deviation that is stated, and what it was stated of.
    scale: (n,), in which each crop is counted, so that all count alike.
    Koenker & Bassett 1978, doi:10.2307/1913643; 1.645 is what a normal distribution has for 0.9.
    """
    beyond = error.abs() - NORMAL_90 * sigma
    cost = torch.maximum(held * beyond, (held - 1) * beyond)
    return (cost.mean(dim=(1, 2, 3)) / scale).mean()


def charbonnier(predicted: Tensor, first_guess: Tensor, target: Tensor, *, smoothing: float = 1e-2) -> Tensor:
    """Mean absolute error with a rounded tip, relative to the first guess in each crop: single edges may be wrong.

    All (n, 1, h, w).  Charbonnier et al. 1994, doi:10.1109/ICIP.1994.413553.
    """

    def of(image: Tensor) -> Tensor:
        return torch.sqrt((image - target).square() + smoothing**2).mean(dim=(1, 2, 3))

    return (of(predicted) / of(first_guess)).mean()


def unmeasured_gain(
    predicted: Tensor,
    first_guess: Tensor,
    target: Tensor,
    low: Tensor,
    high: Tensor,
    *,
    finest: float = 0.25,
    floor: float = 1e-5,
) -> Tensor:
    """As `negative_gain`, of the frequencies that tilts from low to high did not measure.

    All images (n, 1, h, w), of slices (z, x); low, high: (n,) [degrees].  finest: frequency up to which it is asked for
    [cycles a pixel]; beyond, noise is all that there is.
    """
    h, w = target.shape[-2:]
    kz = torch.fft.fftfreq(h, device=target.device)[:, None]
    kx = torch.fft.rfftfreq(w, device=target.device)[None]
    direction = torch.rad2deg(torch.atan2(kz, kx.clamp(min=1e-9)))  # -90 to 90, as kx is not below zero
    beyond = torch.maximum(low[:, None, None] - direction, direction - high[:, None, None])
    unmeasured = ((beyond > 0) & (torch.hypot(kz, kx) < finest)).float()
    unmeasured[..., 0] /= 2  # each of the others stands for its opposite too

    def energy(error: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(error[:, 0], norm="ortho")
        return (unmeasured * (spectrum.real.square() + spectrum.imag.square())).sum(dim=(1, 2)) / (h * w)

    after, before = energy(predicted - target), energy(first_guess - target)
    return (10 / math.log(10)) * ((after + floor).log() - (before + floor).log()).mean()


def dissimilarity(predicted: Tensor, target: Tensor, data_range: Tensor, *, stride: int = 1) -> Tensor:
    """1 - SSIM, with the window and the constants of semrt.metrics.ssim, of each image, (n, k).

    predicted: (n, k, h, w), target: (n, 1, h, w), 11 px or more each way.  data_range: (n,), what counts as 1.
    stride [px]: between windows; neighbouring ones see much the same.
    """

    def smooth(image: Tensor) -> Tensor:
        return _convolved(image, 5, 1.5, stride)

    scale = data_range[:, None, None, None]
    middle = target.mean(dim=(2, 3), keepdim=True)  # far from zero, squares would leave nothing of a small variance
    x, y = (predicted - middle) / scale, (target - middle) / scale
    mean_x, mean_y = smooth(x), smooth(y)
    var_x, var_y = ((smooth(z * z) - mean.square()).clamp(min=0) for z, mean in ((x, mean_x), (y, mean_y)))
    covariance = smooth(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + middle / scale, mean_y + middle / scale
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2))
    return 1 - similarity.mean(dim=(2, 3))


def gaussian_blur(images: Tensor, *, radius: int, sigma: float) -> Tensor:
    """Convolve with a Gaussian of 2·radius + 1 px each way, mirrored at the border; (n, 1, h, w), same shape."""
    return _convolved(functional.pad(images, (radius,) * 4, mode="reflect"), radius, sigma)


def thickness_loss(predicted: Tensor, target: Tensor, *, aluminium_weight: float = 0.1) -> Tensor:
    """Mean squared error of thickness [nm²], over pixels and materials; each square times the weight of its material.

    Both (n, 2, h, w) [nm]: gold, whose weight is 1, and aluminium, which is ten times as thick.
    DL-Microtomography, github.com/p0l0satik/DL-Microtomography: 1, 0.1 and 0.01 were tried, and 0.1 did best.
    """
    gold, aluminium = (predicted - target).square().mean(dim=(0, 2, 3))
    return (gold + aluminium_weight * aluminium) / 2


def mean_over_stacks(loss: Callable[[Tensor, Tensor], Tensor], predicted: Tensor, target: Tensor) -> Tensor:
    """The mean of what `loss` says of each answer, so that every network of a stack learns from the truth itself.

    predicted: (n, stacks, 2, h, w).  target: (n, 2, h, w).  Newell et al. 2016, arXiv:1603.06937.
    """
    return torch.stack([loss(answer, target) for answer in predicted.unbind(1)]).mean()


def voxel_cross_entropy(logits: Tensor, labels: Tensor, *, class_weights: Sequence[float] | None = None) -> Tensor:
    """Mean cross entropy of the class of each voxel.

    logits: (n, classes, nz, h, w).  labels: (n, nz, h, w), whole numbers of any type.
    class_weights: one a class; the mean is then weighted by that of each voxel's true class, and nearly all are empty.
    """
    weights = None if class_weights is None else logits.new_tensor(class_weights)
    return functional.cross_entropy(logits, labels.long(), weight=weights)


def laplace_likelihood(predicted: Tensor, target: Tensor, *, floor: float, beta: float = 0.5) -> Tensor:
    """Minus the logarithm of the likelihood of errors that follow a Laplace distribution, without its constant.

    Thickness goes in steps: most pixels are nearly exact, and few, where a step was missed, are far off.
    predicted: (n, 2·k, h, w), k estimates and then the natural logarithms of their standard deviations.
    target: (n, k, h, w).  floor: added in quadrature to the standard deviations, so that exact pixels, of which there
    are many where there is no layer, do not rule the step; in their units.
    beta: each pixel counts as its standard deviation to this power; at 0, the plain likelihood, pixels once given up
    are hardly learnt from any more, and at 1, the estimates learn as from their mean absolute error.
    Seitzer et al. 2022, arXiv:2203.09168, there of the normal distribution.
    """
    estimate, log_sigma = predicted.chunk(2, dim=1)
    sigma = torch.sqrt((2 * log_sigma).exp() + floor**2)
    cost = math.sqrt(2) * (estimate - target).abs() / sigma + sigma.log()
    return (sigma.detach() ** beta * cost).mean()


def _convolved(images: Tensor, radius: int, sigma: float, stride: int = 1) -> Tensor:
    """The Gaussian mean about each pixel of (n, k, h, w) that has `radius` neighbours on all sides, or each stride-th.

    By products of matrices: on a CPU they take far less time than convolutions of a single channel.
    """
    h, w = images.shape[-2:]
    down, across = (_gaussian_rows(length, radius, sigma, stride).to(images) for length in (h, w))
    return down @ images @ across.T


@cache
def _gaussian_rows(length: int, radius: int, sigma: float, stride: int) -> Tensor:
    """A Gaussian about each stride-th pixel of a line, (pixels, length)."""
    middle = torch.arange(radius, length - radius, stride, dtype=torch.float64)
    away = torch.arange(length, dtype=torch.float64) - middle[:, None]
    taps = torch.where(away.abs() <= radius, torch.exp(-0.5 * (away / sigma).square()), 0.0)
    return taps / taps.sum(dim=1, keepdim=True)


LOSSES = {"cautious-gain": cautious_gain, "gain": negative_gain, "charbonnier": charbonnier}
"""Those of `infill`, which know a first guess."""
