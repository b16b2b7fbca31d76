"""Samples that no training draws: for the test tensors of a model, for calibration, for comparing graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.models import Reference

if TYPE_CHECKING:
    from semrt_export.evaluate import Run
    from semrt_export.train import Recipe

__all__ = ["FIRST_UNSEEN", "reference_of"]

FIRST_UNSEEN = 10**8  # index of samples that no training run reaches
REFERENCE_SIDE = 128  # px of the test tensors that go with a model


def reference_of(recipe: Recipe, run: Run, multiple: int, *, count: int = 2, first: int = 100) -> Reference:
    """Samples that no training drew, about REFERENCE_SIDE px wide, and what the network makes of them.

    run: the exported graph in single precision.  first: which of them come, counted from FIRST_UNSEEN.
    """
    make = recipe.sample_maker()
    samples = [make(FIRST_UNSEEN + first + number) for number in range(count)]
    sides = [min(REFERENCE_SIDE, *(sample.inputs.shape[axis] for sample in samples)) for axis in (-2, -1)]
    h, w = (side // multiple * multiple for side in sides)
    halves = np.stack([sample.inputs[..., :h, :w] for sample in samples]).astype(np.float16)
    channels = halves.astype(np.float32)
    estimate = run(channels)
    targets = np.stack([sample.target[..., :h, :w] for sample in samples])
    # The truth may be that of the first outputs alone, with no more said of the others.
    fits = targets.shape[1] <= estimate.shape[1] and targets.shape[-2:] == estimate.shape[-2:]
    return Reference(channels, estimate, targets.astype(np.float16).astype(np.float32) if fits else None)
