"""The recipe of `infill`: the lowest error that can be had of sparse scans of any path and coverage."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from semrt.errors import InvalidOption
from semrt.metrics import ssim
from semrt_export.evaluate import Evaluation, Run, gain_db, summary
from semrt_export.losses import LEAST_CONTRAST, LEAST_UNLIKE, LOSSES, NORMAL_90, cautious_likeness
from semrt_export.recipes.sparse_scans import EXPOSURE, FIRST_GUESS, SMOOTH_GUESS, SparseScanRecipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from semrt_export.data.pool import Sample
    from semrt_export.data.sparse_scans import HeldOutScan

__all__ = ["InfillRecipe"]


@dataclass(frozen=True)
class InfillRecipe(SparseScanRecipe):
    """How `infill` is made; as SparseScanRecipe, and:

    criterion: a key of LOSSES.  likeness_weight: of 1 dB of what SSIM leaves of one, where the criterion has 1.
    """

    criterion: str = "cautious-gain"
    likeness_weight: float = 0.7

    name: ClassVar[str] = "infill"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.criterion not in LOSSES:
            raise InvalidOption.unknown("criterion", self.criterion, LOSSES)
        if not 0 <= self.likeness_weight < np.inf:
            raise InvalidOption(f"likeness_weight: expected zero or above, got {self.likeness_weight}")

    def loss(self, predicted: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        """`criterion` of LOSSES and likeness, over what is known without a network, and the intervals of the error."""
        image, first_guess = predicted[:, :1], inputs[:, FIRST_GUESS : FIRST_GUESS + 1]
        smooth = first_guess + inputs[:, SMOOTH_GUESS : SMOOTH_GUESS + 1]
        gain = LOSSES[self.criterion](image, first_guess, target)
        likeness = cautious_likeness(image, (first_guess, smooth), target)
        return gain + self.likeness_weight * likeness + self.bounds(predicted, inputs, target)

    def evaluate(self, run: Run, held_out: Sequence[HeldOutScan]) -> Evaluation:
        """Gain [dB] over the first guess, and over the better of it and smoothed natural neighbours in each scan.

        Beside it, the gain [dB] in likeness over the better of both, by what SSIM leaves of one, and the share of
        unvisited pixels whose errors the stated 90 % intervals hold.
        score: gain over the first guess and likeness, as training weighs them, averaged over scans of each kind of
        image, then over the kinds.
        """
        judged = [(scan, _judged(run, scan.sample)) for scan in held_out]
        table = []
        for group in ("images", "pattern", "coverage"):
            for value in dict.fromkeys(getattr(scan, group) for scan in held_out):
                chosen = [found for scan, found in judged if getattr(scan, group) == value]
                table.append(
                    {
                        "group": group,
                        "value": value,
                        "scans": len(chosen),
                        "over_first_guess_db": summary(found.over_first_guess for found in chosen),
                        "over_best_classical_db": summary(found.over_best for found in chosen),
                        "likeness_db": summary(found.likeness for found in chosen),
                        "held_by_90_percent_intervals": round(fmean(found.held for found in chosen), 3),
                    }
                )
        figures = {row["value"]: row["over_first_guess_db"]["mean"] for row in table}
        figures["best_classical"] = fmean(found.over_best for _, found in judged)
        figures["likeness"] = fmean(found.likeness for _, found in judged)
        figures["held_90"] = fmean(found.held for _, found in judged)
        score = fmean(
            row["over_first_guess_db"]["mean"] + self.likeness_weight * row["likeness_db"]["mean"]
            for row in table
            if row["group"] == "images"
        )
        return Evaluation(score, figures, table)

    def objection(self, evaluation: Evaluation) -> str | None:
        """Every kind of image, pattern and coverage must gain on average."""
        losers = [row["value"] for row in evaluation.table if not row["over_first_guess_db"]["mean"] > 0]
        return f"no gain over the first guess for {', '.join(losers)}" if losers else None


class _Judged(NamedTuple):
    """What a network made of a scan: gains [dB], and the share of errors that 90 % intervals held."""

    over_first_guess: float
    over_best: float
    likeness: float
    held: float


def _judged(run: Run, sample: Sample) -> _Judged:
    inputs = np.asarray(sample.inputs, np.float32)
    (estimate, sigma), truth = run(inputs[None])[0], np.asarray(sample.target[0], np.float32)
    first_guess, smooth = inputs[FIRST_GUESS], inputs[FIRST_GUESS] + inputs[SMOOTH_GUESS]
    over_first = gain_db(estimate, first_guess, truth)
    contrast = max(float(np.ptp(truth)), LEAST_CONTRAST)
    unlike, *rivals = (1 - ssim(image, truth, contrast) + LEAST_UNLIKE for image in (estimate, first_guess, smooth))
    unvisited = inputs[EXPOSURE] == 0
    held = np.abs(estimate - truth)[unvisited] <= NORMAL_90 * sigma[unvisited]
    return _Judged(
        over_first_guess=over_first,
        over_best=min(over_first, gain_db(estimate, smooth, truth)),
        likeness=float(10 * np.log10(min(rivals) / unlike)),
        held=float(held.mean()),
    )
