"""What the published network for partial scans learns from.

Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0; weights and rates as in github.com/Jeffrey-Ede/partial-STEM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from semrt_export.adaptive_losses import AdaptiveClipping, RunningErrorWeights
from semrt_export.hard_examples import HardExamples
from semrt_export.losses import gaussian_blur
from semrt_export.networks.multiscale_generator import MultiscaleGenerator
from semrt_export.objective import Objective
from semrt_export.opponent import Opponent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from semrt_export.data.pool import Sample, SamplePool

__all__ = ["AdversarialObjective", "PartialScanObjective", "blurred"]

WEIGHT = 200.0  # of mean squared errors, of images from -1 to 1


def blurred(images: Tensor) -> Tensor:
    """The published target, as micrographs are noisy: 5×5 Gaussian of σ 2.5 px; (n, 1, h, w)."""
    return gaussian_blur(images, radius=2, sigma=2.5)


class PartialScanObjective(Objective):
    """Mean squared errors to the blurred truth, of the completed scan and of the trainer's half-size one.

    The published trainer learns from twice its error; to Adam that is the same.
    side [px]: of the samples.  clipping: limit outliers (AdaptiveClipping), of either error by itself.
    running_weights: weigh pixels (RunningErrorWeights).  hard_examples: show again what went badly (HardExamples).
    """

    def __init__(
        self, side: int, *, clipping: bool = True, running_weights: bool = False, hard_examples: bool = True
    ) -> None:
        nn.Module.__init__(self)
        self._adapts = {"clipping": clipping, "running_weights": running_weights}
        self.outer_error = _MeanSquares(side, **self._adapts)
        self.inner_error = _MeanSquares(side // 2, **self._adapts)
        self.hard_examples = HardExamples() if hard_examples else None

    def draw(self, pool: SamplePool, rng: np.random.Generator, count: int, among: Sequence[int]) -> list[Sample]:
        """The samples of one step, some of them hard ones."""
        if self.hard_examples is None:
            return super().draw(pool, rng, count, among)
        return self.hard_examples.draw(pool, rng, count, among)

    def forward(
        self, predicted: Tensor, inputs: Tensor, target: Tensor, spent: float, rng: np.random.Generator
    ) -> Tensor:
        """predicted: as MultiscaleGenerator has it in training.  target: (n, 1, h, w), as sharp and noisy as it is."""
        outer, inner = MultiscaleGenerator.unpacked(predicted)
        losses = self.outer_losses(outer, target, spent, rng)
        if inner is not None:
            losses = losses + self.inner_error(inner, blurred(functional.avg_pool2d(target, 2)))
        return losses.mean()

    def outer_losses(self, outer: Tensor, target: Tensor, spent: float, rng: np.random.Generator) -> Tensor:
        """(n,): of the completed scans."""
        losses = self.outer_error(outer, blurred(target))
        if self.hard_examples is not None:
            self.hard_examples.judge(losses.tolist(), rng)
        return losses

    def figures(self) -> Mapping[str, float]:
        """The loss above which an outlier is limited, where any is."""
        clipping = self.outer_error.clipping
        return {} if clipping is None else {"highest_loss": float(clipping.highest)}


class AdversarialObjective(PartialScanObjective):
    """The same for the first half of the budget; then an opponent judges what is completed, which may be sharp.

    In the second half the error is that of the blurred completion, so that noise as the truth has it costs nothing. To
    it comes `weight` times the sum over the three scales of (D - 1)²; the opponent learns to say 1 of the truth, and 0
    of the completions, of the same crops. Mao et al. 2017, arXiv:1611.04076.
    width: of the opponent, times the published.  crop [px]: side to which crops are reduced.
    """

    def __init__(
        self, side: int, *, width: float = 1.0, crop: int = 70, weight: float = 1.0, rate: float = 1e-4, **options: bool
    ) -> None:
        super().__init__(side, **options)
        self.weight = weight
        self.blurred_error = _MeanSquares(side, **self._adapts)
        self.opponent = Opponent(width=width, crop=crop, rate=rate)

    def outer_losses(self, outer: Tensor, target: Tensor, spent: float, rng: np.random.Generator) -> Tensor:
        """(n,): of the completed scans."""
        if spent < 0.5:
            return super().outer_losses(outer, target, spent, rng)
        losses = self.blurred_error(blurred(outer), blurred(target))
        if self.hard_examples is not None:
            self.hard_examples.judge(losses.tolist(), rng)
        return losses + self.weight * self.opponent.judge(target, outer, rng)

    def learn(self) -> None:
        """Let the opponent take its step, against the completions that the network was just judged by."""
        self.opponent.learn()

    def figures(self) -> Mapping[str, float]:
        """With the opponent's loss."""
        return {**super().figures(), "opponent_loss": self.opponent.loss}


class _MeanSquares(nn.Module):
    """200 times the mean squared error of each image, weighted and limited as asked for."""

    def __init__(self, side: int, *, clipping: bool, running_weights: bool) -> None:
        super().__init__()
        self.clipping = AdaptiveClipping() if clipping else None
        self.weights = RunningErrorWeights(side) if running_weights else None

    def forward(self, images: Tensor, truth: Tensor) -> Tensor:
        """(n, 1, h, w) each -> (n,)."""
        squares = (images - truth).square()
        if self.weights is not None:
            squares = self.weights(squares)
        losses = WEIGHT * squares.mean(dim=(1, 2, 3))
        return losses if self.clipping is None else self.clipping(losses)
