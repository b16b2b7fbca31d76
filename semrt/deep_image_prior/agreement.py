"""What samples that a network did not see say of it: how far to trust it, when to stop, how large its error is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ENOUGH", "Patience", "RunningVariance", "blend_weight", "calibrated_error"]

ENOUGH = 100
"""Held-out samples from which on their mean square error is a better guide than the running variance."""
FEWEST = 30
"""Held-out samples from which on an error map can be calibrated at all."""
NORMAL_90 = 1.6449
MIXES = np.linspace(0, 1, 6)


def blend_weight(network: NDArray[np.float32], classical: NDArray[np.float32]) -> float:
    """Weight of the network in network + classical that held-out samples ask for, less its standard error.

    network, classical: (n,) errors at the same held-out samples.  Between 0, the classical estimate alone, and 1.
    The standard error is taken off because what must not happen is a result worse than the classical one.
    """
    difference = (classical - network).astype(np.float64)
    power = float(difference @ difference)
    if len(difference) < 2 or power == 0:
        return 0.0
    weight = float(classical.astype(np.float64) @ difference) / power
    residual = classical - weight * difference
    deviation = float(np.sqrt((residual**2 * difference**2).sum())) / power
    return float(np.clip(weight - deviation, 0, 1))


def calibrated_error(
    residual: NDArray[np.float32],
    spread: NDArray[np.float32],
    classical: NDArray[np.float32],
) -> tuple[float, float] | None:
    """How to mix the spread of the iterates with the error of the classical estimate into one that is right.

    residual, spread, classical: (n,) at held-out samples; residual is signed, the others are standard deviations.
    Returns (a, b) of error² = a spread² + b classical², such that 90 % of the residuals lie within 1.645 of it: the mix
    of greatest likelihood, then scaled; None where there are too few samples to tell.
    """
    if len(residual) < FEWEST:
        return None
    squares = residual.astype(np.float64) ** 2
    parts = [part.astype(np.float64) ** 2 for part in (spread, classical)]
    means = [float(part.mean()) for part in parts]
    best, least = None, np.inf
    for mix in MIXES:
        shares = mix, 1 - mix
        if any(share > 0 and mean == 0 for share, mean in zip(shares, means, strict=True)):
            continue
        factors = [share / mean if share else 0.0 for share, mean in zip(shares, means, strict=True)]
        variance = sum(factor * part for factor, part in zip(factors, parts, strict=True)) + 1e-6
        scale = float(np.mean(squares / variance))
        surprise = float(np.mean(np.log(variance))) + np.log(max(scale, 1e-300))
        if surprise < least:
            covering = float(np.quantile(squares / variance, 0.9)) / NORMAL_90**2
            best, least = (factors[0] * covering, factors[1] * covering), surprise
    return best


@dataclass
class Patience:
    """Stop when a figure has not fallen for so many iterations."""

    patience: int
    least: float = np.inf
    best_iteration: int = 0

    def improved(self, iteration: int, figure: float) -> bool:
        """Whether this is the best so far."""
        if figure < self.least:
            self.least, self.best_iteration = figure, iteration
            return True
        return False

    def exhausted(self, iteration: int) -> bool:
        """Whether it is time to stop."""
        return iteration - self.best_iteration >= self.patience


@dataclass
class RunningVariance:
    """Variance of the last few outputs: it falls while the image forms, and rises when noise is fitted.

    Wang et al. 2021, arXiv:2112.06074.  A subset of the pixels is enough.
    """

    window: int = 8
    pixels: int = 2**16
    _last: list[NDArray[np.float32]] = field(default_factory=list)

    def of(self, output: NDArray[np.float32]) -> float:
        """Take in one more output, (ny, nx), and give the variance of the window; infinite until it is full."""
        step = max(1, output.size // self.pixels)
        self._last = [*self._last[-self.window + 1 :], output.ravel()[::step].copy()]
        if len(self._last) < self.window:
            return np.inf
        return float(np.var(np.stack(self._last), axis=0).mean())
