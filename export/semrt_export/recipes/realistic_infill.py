"""The recipe of `infill-adversarial`: begins with the weights of `infill`, and learns to look as recorded.

semrt train infill-adversarial --out RUN --start-from infill --max-seconds 3600 --images IMAGES
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from semrt.errors import InvalidOption
from semrt.metrics import blur_5x5, spectral_distance
from semrt.tasks.realistic_infill import INPUT_CHANNELS
from semrt_export.data.real_images import find_images
from semrt_export.data.sparse_scans import SparseScanMaker, held_out_scans
from semrt_export.evaluate import Evaluation, Run, gain_db, summary
from semrt_export.networks.multiscale_discriminators import SMALLEST_CROP
from semrt_export.networks.realistic_infill_net import RealisticInfillNet
from semrt_export.realism_objective import RealismObjective
from semrt_export.recipes.sparse_scans import CONSTANTS, FIRST_GUESS, FIRST_GUESS_ERROR, SparseScanRecipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from semrt_export.data.pool import Sample
    from semrt_export.data.sparse_scans import HeldOutScan
    from semrt_export.objective import Objective

__all__ = ["RealisticInfillRecipe"]

RANDOM = INPUT_CHANNELS.index("random")


@dataclass(frozen=True)
class RealisticInfillRecipe(SparseScanRecipe):
    """How `infill-adversarial` is made; as SparseScanRecipe, and:

    spectral_weight, adversarial_weight: of the two that ask for realism, see RealismObjective.
    opponent_width: of the three opponents, times the published.  crop [px]: what they look at.
    """

    spectral_weight: float = 0.2
    adversarial_weight: float = 0.5
    opponent_width: float = 0.5
    crop: int = SMALLEST_CROP

    name: ClassVar[str] = "infill-adversarial"
    input_channels = INPUT_CHANNELS

    def __post_init__(self) -> None:
        super().__post_init__()
        if not SMALLEST_CROP <= self.crop < self.side / 2:
            raise InvalidOption(f"crop: expected {SMALLEST_CROP} px to less than half the side, got {self.crop}")
        for option in ("spectral_weight", "adversarial_weight"):
            if not 0 <= getattr(self, option) < np.inf:
                raise InvalidOption(f"{option}: expected zero or above, got {getattr(self, option)}")

    def network(self) -> RealisticInfillNet:
        """A new network, which gives the first guess with white noise as the samples have it."""
        return RealisticInfillNet(
            RANDOM - len(CONSTANTS),
            len(CONSTANTS),
            first_guess=FIRST_GUESS,
            first_guess_error=FIRST_GUESS_ERROR,
            noise=INPUT_CHANNELS.index("noise"),
            widths=self.widths,
        )

    def sample_maker(self) -> Callable[[int], Sample]:
        """Random sparse scans with two truths: without noise, and as recorded."""
        images = find_images(self.images)
        return SparseScanMaker(images, self.seed, self.side, self.coverage, self.real_share, realistic=True)

    def objective(self) -> Objective:
        """A new opponent."""
        return RealismObjective(
            self.bounds,
            FIRST_GUESS,
            spectral_weight=self.spectral_weight,
            adversarial_weight=self.adversarial_weight,
            width=self.opponent_width,
            crop=self.crop,
        )

    def held_out(self) -> Sequence[HeldOutScan]:
        """Whole scans of images that are in no training sample, with two truths."""
        images = find_images(self.held_out_images)
        return tuple(
            held_out_scans(
                images, seed=self.seed + 10**6, side=self.held_out_side, draws=self.held_out_draws, realistic=True
            )
        )

    def evaluate(self, run: Run, held_out: Sequence[HeldOutScan]) -> Evaluation:
        """Gain [dB] of the blurred image over the blurred first guess, and distance of spectra [dB] to the recorded.

        score: gain less distance, averaged over scans of each kind of image, then over the kinds.
        """
        judged = [(scan, *_judged(run, scan.sample)) for scan in held_out]
        table = []
        for group in ("images", "pattern", "coverage"):
            for value in dict.fromkeys(getattr(scan, group) for scan in held_out):
                chosen = [row[1:] for row in judged if getattr(row[0], group) == value]
                gain, distance, before = zip(*chosen, strict=True)
                table.append(
                    {
                        "group": group,
                        "value": value,
                        "scans": len(chosen),
                        "gain_of_blurred_db": summary(gain),
                        "spectral_distance_db": round(fmean(distance), 3),
                        "that_of_first_guess_db": round(fmean(before), 3),
                    }
                )
        figures = {f"distance_{row['value']}": row["spectral_distance_db"] for row in table}
        figures |= {f"gain_{row['value']}": row["gain_of_blurred_db"]["mean"] for row in table}
        kinds = [row for row in table if row["group"] == "images"]
        score = fmean(row["gain_of_blurred_db"]["mean"] - row["spectral_distance_db"] for row in kinds)
        return Evaluation(score, figures, table)

    def objection(self, evaluation: Evaluation) -> str | None:
        """Every group must be nearer to recorded images than the first guess is."""
        losers = [
            row["value"] for row in evaluation.table if row["spectral_distance_db"] >= row["that_of_first_guess_db"]
        ]
        return f"no more realistic than the first guess for {', '.join(losers)}" if losers else None


def _judged(run: Run, sample: Sample) -> tuple[float, float, float]:
    inputs = np.asarray(sample.inputs, np.float32)
    image, (clean, recorded) = run(inputs[None])[0, 0], np.asarray(sample.target, np.float32)
    guess = inputs[FIRST_GUESS]
    gain = gain_db(blur_5x5(image), blur_5x5(guess), blur_5x5(clean))
    return gain, spectral_distance(image, recorded), spectral_distance(guess, recorded)
