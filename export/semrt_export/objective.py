"""What a network learns from, where that is more than a loss: it may remember, choose samples, and have an opponent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from semrt_export.data.pool import Sample, SamplePool
    from semrt_export.train import Recipe

__all__ = ["Objective", "objective_of"]


class Objective(nn.Module):
    """A recipe's `loss`, of samples drawn evenly.

    One that does more redefines what it needs. All that it remembers from step to step must be among its parameters,
    buffers or extra state: they are in the checkpoint, so that a resumed run ends as one that was never stopped.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def draw(self, pool: SamplePool, rng: np.random.Generator, count: int, among: Sequence[int]) -> list[Sample]:
        """The samples of one step.  among: the indices that are there."""
        return pool.draw(rng, count, among)

    def forward(
        self, predicted: Tensor, inputs: Tensor, target: Tensor, spent: float, rng: np.random.Generator
    ) -> Tensor:
        """A number to make small.

        spent: fraction of the budget, from 0 to 1.  rng: that of the step, which `draw` has drawn from already.
        """
        return self.loss(predicted, inputs, target)

    def learn(self) -> None:
        """Take the step of the opponent, once the network has taken its own."""

    def figures(self) -> Mapping[str, float]:
        """Named numbers of the last step, for the curve; always the same names."""
        return {}


def objective_of(recipe: Recipe) -> Objective:
    """What a recipe's `objective()` gives, or its `loss`."""
    make = getattr(recipe, "objective", None)
    return Objective(recipe.loss) if make is None else make()
