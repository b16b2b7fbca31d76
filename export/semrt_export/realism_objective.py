"""What `infill-adversarial` learns from: to be right where the scan tells, and to look as recorded everywhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from semrt_export.losses import cautious_gain
from semrt_export.objective import Objective
from semrt_export.opponent import Opponent
from semrt_export.partial_scan_objective import blurred

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

__all__ = ["RealismObjective", "band_powers"]

N_BANDS = 12


class RealismObjective(Objective):
    """The error of the blurred image, its spectrum against that of the recorded one, and what an opponent says of it.

    Blurred, noise as recorded costs little; the spectrum asks for as much of it, at each frequency; the opponent, for
    all else that tells a completed from a recorded image. It learns beside, as in AdversarialObjective.
    bounds: of (predicted, inputs, target), the loss of the stated error.  first_guess: the channel of it.
    spectral_weight: of a difference of 1 dB.  adversarial_weight: of what the opponent says, once it has learnt for the
    first `alone` of the budget.  width, crop, rate: of the opponent.
    """

    def __init__(
        self,
        bounds: Callable[[Tensor, Tensor, Tensor], Tensor],
        first_guess: int,
        *,
        spectral_weight: float = 0.1,
        adversarial_weight: float = 0.5,
        width: float = 0.5,
        crop: int = 70,
        rate: float = 2e-4,
        alone: float = 0.05,
    ) -> None:
        nn.Module.__init__(self)
        self.bounds, self.first_guess = bounds, first_guess
        self.spectral_weight, self.adversarial_weight = spectral_weight, adversarial_weight
        self.alone = alone
        self.opponent = Opponent(width=width, crop=crop, rate=rate, momentum=0.5)
        self._figures = dict.fromkeys(("gain_db", "spectral_db", "fooled"), float("nan"))

    def forward(
        self, predicted: Tensor, inputs: Tensor, target: Tensor, spent: float, rng: np.random.Generator
    ) -> Tensor:
        """predicted: (n, 2, h, w), image and stated error.  target: (n, 2, h, w), without noise, and as recorded."""
        image, (clean, recorded) = predicted[:, :1], target.split(1, dim=1)
        guess = inputs[:, self.first_guess : self.first_guess + 1]
        error = cautious_gain(blurred(image), blurred(guess), blurred(clean))
        powers = 10 * (band_powers(image).log10() - band_powers(recorded).log10())
        spectral = powers.abs().mean()
        fooled = self.opponent.judge(recorded, image, rng).mean()
        weight = self.adversarial_weight if spent >= self.alone else 0.0
        self._figures |= {"gain_db": -error.item(), "spectral_db": spectral.item(), "fooled": fooled.item()}
        return error + self.spectral_weight * spectral + weight * fooled + self.bounds(predicted, inputs, clean)

    def learn(self) -> None:
        """Let the opponent take its step, against the completions that the network was just judged by."""
        self.opponent.learn()

    def figures(self) -> Mapping[str, float]:
        """Of the last step: gain of the blurred image, difference of spectra, and what the opponent made of it."""
        return {**self._figures, "opponent_loss": self.opponent.loss}


def band_powers(images: Tensor, *, floor: float = 1e-8) -> Tensor:
    """Mean power in N_BANDS rings of frequency, equally wide on a logarithmic scale, (n, 1, h, w) -> (n, N_BANDS).

    A Hann window keeps the borders out.  floor: added, so that an image without any noise has a logarithm.
    """
    h, w = images.shape[-2:]
    window = torch.outer(torch.hann_window(h, periodic=False), torch.hann_window(w, periodic=False)).to(images)
    centred = images - images.mean(dim=(2, 3), keepdim=True)
    spectrum = torch.fft.rfft2(centred * window, norm="ortho")
    power = spectrum.real.square() + spectrum.imag.square()
    frequency = torch.hypot(torch.fft.fftfreq(h)[:, None], torch.fft.rfftfreq(w)[None]).to(images)
    lowest = 2 / min(h, w)
    place = (frequency / lowest).clamp(min=1e-9).log() / math.log(0.5 / lowest) * N_BANDS
    inside = (frequency >= lowest) & (frequency < 0.5)
    bands = torch.where(inside, place.floor().clamp(0, N_BANDS - 1), N_BANDS).long().flatten()
    sums = power.flatten(1).new_zeros(len(images), N_BANDS + 1).index_add(1, bands, power.flatten(1))
    counts = torch.bincount(bands, minlength=N_BANDS + 1).clamp(min=1)
    return (sums / counts)[:, :N_BANDS] + floor
