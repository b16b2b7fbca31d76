"""How fast a network learns, and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass

from semrt.errors import InvalidOption

__all__ = ["Budget", "Schedule", "StagedSchedule"]


@dataclass(frozen=True)
class Schedule:
    """How a recipe is optimised: AdamW, a linear warm-up, then half a cosine down to `final` of the learning rate."""

    batch: int = 4
    learning_rate: float = 5e-4
    final: float = 0.01
    warm_up: int = 200  # steps
    weight_decay: float = 1e-4
    largest_gradient: float = 1.0  # norm to which gradients are clipped
    ema_decay: float = 0.999  # of the averaged weights, which are the ones evaluated and exported

    def learning_rate_at(self, step: int, spent: float) -> float:
        """spent: fraction of the budget, from 0 to 1."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(spent, 1.0)))
        return self.learning_rate * min(1.0, (step + 1) / self.warm_up) * (self.final + (1 - self.final) * cosine)

    def ema_decay_at(self, step: int) -> float:
        """Young averages forget faster: the first weights are worth nothing."""
        return min(self.ema_decay, (1 + step) / (10 + step))


@dataclass(frozen=True)
class StagedSchedule(Schedule):
    """Equal stages, each at a constant rate for its first half and then down to it over `steps_down`, in equal steps.

    stages: rate of each, relative to the learning rate.  Nothing warms up; `final` has no meaning here.
    github.com/Jeffrey-Ede/partial-STEM.
    """

    stages: tuple[float, ...] = (1.0,)
    steps_down: int = 8

    def learning_rate_at(self, step: int, spent: float) -> float:
        """spent: fraction of the budget, from 0 to 1."""
        stage, within = divmod(min(spent, 1 - 1e-9) * len(self.stages), 1)
        down = int(self.steps_down * max(0.0, 2 * within - 1)) / self.steps_down
        return self.learning_rate * self.stages[int(stage)] * (1 - down)


@dataclass(frozen=True)
class Budget:
    """How long to train in all, earlier runs of the same folder included.  Raises InvalidOption when endless."""

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise InvalidOption("training needs an end: give --max-seconds, --max-steps or both")

    def spent(self, steps: int, seconds: float) -> float:
        """The fraction that is used up; 1 or more ends the training."""
        by_steps = steps / self.steps if self.steps else 0.0
        by_seconds = seconds / self.seconds if self.seconds else 0.0
        return max(by_steps, by_seconds)
