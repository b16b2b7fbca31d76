"""Samples that went badly, kept to be shown again.

As in github.com/Jeffrey-Ede/partial-STEM, where the samples themselves are kept; here their indices in the pool.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from semrt_export.data.pool import Sample, SamplePool

__all__ = ["HardExamples"]

STEP = 5.0  # standard deviations of the losses from their mean, towards which the threshold moves
DECAY = 0.99  # of all running means
FIRST_MEAN, FIRST_MEAN_SQUARE = 1.5, 4.0  # of the losses


class HardExamples(nn.Module):
    """Draw samples from a pool, a share of them from those whose loss lay above a threshold.

    The threshold moves so that as large a share of what comes from the pool is kept, each in a random place of `size`.
    """

    def __init__(self, *, size: int = 50, share: float = 0.2) -> None:
        super().__init__()
        self.share = share
        self.register_buffer("kept", torch.full((size,), -1))  # -1 until the first samples are drawn
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        self.register_buffer("share_kept", torch.tensor(share, dtype=torch.float64))
        self.register_buffer("mean", torch.tensor(FIRST_MEAN, dtype=torch.float64))
        self.register_buffer("mean_square", torch.tensor(FIRST_MEAN_SQUARE, dtype=torch.float64))
        self._shown: list[tuple[int, bool]] = []  # index of each sample of the step, and whether it was kept before

    def draw(self, pool: SamplePool, rng: np.random.Generator, count: int, among: Sequence[int]) -> list[Sample]:
        """`count` samples; what the pool has replaced since it was kept is drawn anew.  among: the indices there."""
        if self.kept[0] < 0 and len(among):
            self.kept.copy_(torch.from_numpy(rng.choice(among, size=len(self.kept))))
        samples, self._shown = [], []
        for _ in range(count):
            index = int(self.kept[rng.integers(len(self.kept))]) if rng.random() < self.share else -1
            again = index >= 0 and pool.path(index).exists()
            ((index, sample),) = pool.draw_named(rng, 1, [index] if again else among)
            samples.append(sample)
            self._shown.append((index, again))
        return samples

    def judge(self, losses: Sequence[float], rng: np.random.Generator) -> None:
        """Keep those of the samples drawn last whose losses are high, and move the threshold."""
        for (index, again), loss in zip(self._shown, losses, strict=True):
            self.mean.lerp_(self.mean.new_tensor(loss), 1 - DECAY)
            self.mean_square.lerp_(self.mean.new_tensor(loss**2), 1 - DECAY)
            spread = math.sqrt(max(0.0, float(self.mean_square - self.mean**2)))
            keeps = not again and loss > self.threshold
            if keeps:
                self.kept[rng.integers(len(self.kept))] = index
            self.share_kept.lerp_(self.mean.new_tensor(float(keeps)), 1 - DECAY)
            side = 1 if self.share_kept >= self.share else -1
            self.threshold.lerp_(self.mean + side * STEP * spread, 1 - DECAY)
