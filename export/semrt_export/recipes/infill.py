"""The recipe of `infill`: sparse scans of any path and coverage, one network that corrects kriging."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption
from semrt.kernels import mask_statistics
from semrt.tasks.infill import INPUT_CHANNELS
from semrt_export.data.real_images import find_images
from semrt_export.data.sparse_scans import PATTERNS, HeldOutScan, SparseScanMaker, held_out_scans, random_visited
from semrt_export.evaluate import Evaluation, Run, gain_db, summary
from semrt_export.losses import LOSSES
from semrt_export.networks.infill_net import InfillNet
from semrt_export.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from semrt_export.data.pool import Sample

__all__ = ["InfillRecipe"]

FIRST_GUESS = INPUT_CHANNELS.index("first_guess")
FIRST_GUESS_ERROR = INPUT_CHANNELS.index("first_guess_error")
SMOOTH_GUESS = INPUT_CHANNELS.index("smooth_guess")
CONSTANTS = ("noise", "correlation_range")  # the last channels: one number for the whole image


@dataclass(frozen=True)
class InfillRecipe:
    """How `infill` is made.

    images, held_out_images: folders of real micrographs, to train on and to prove on; procedural ones are always used.
    side, held_out_side [px]: of the samples, and of the scans for proof.  coverage: smallest and largest.
    real_share: of the samples, where there are images.  criterion: a key of LOSSES.
    held_out_draws: procedural images for each pattern.
    """

    images: tuple[str, ...] = ()
    held_out_images: tuple[str, ...] = ()
    seed: int = 1
    side: int = 256
    coverage: tuple[float, float] = (1 / 120, 1 / 4)
    real_share: float = 0.4
    criterion: str = "gain"
    pool_size: int = 6000
    widths: tuple[int, ...] = (56, 72, 112, 144)
    held_out_side: int = 320
    held_out_draws: int = 3
    schedule: Schedule = field(default=Schedule(), repr=False)

    name = "infill"
    input_channels = INPUT_CHANNELS
    output_channels = ("intensity",)
    normalisation = "Intensities are standardised by mean and spread of the visited pixels, as semrt.tasks.infill does."
    tile = 1344  # with its halo: 2 × 2 tiles make 2048², 4 × 4 make 4096², with little overlap

    def __post_init__(self) -> None:
        for option in ("images", "held_out_images", "coverage", "widths"):  # JSON knows no tuples
            object.__setattr__(self, option, tuple(getattr(self, option)))
        if self.criterion not in LOSSES:
            raise InvalidOption.unknown("criterion", self.criterion, LOSSES)

    def options(self) -> Mapping[str, Any]:
        """All fields but the schedule."""
        return {name: value for name, value in asdict(self).items() if name != "schedule"}

    def network(self) -> InfillNet:
        """A new network, which reproduces the first guess."""
        assert INPUT_CHANNELS[-len(CONSTANTS) :] == CONSTANTS
        return InfillNet(
            len(INPUT_CHANNELS) - len(CONSTANTS),
            len(CONSTANTS),
            first_guess=FIRST_GUESS,
            first_guess_error=FIRST_GUESS_ERROR,
            widths=self.widths,
        )

    def sample_maker(self) -> Callable[[int], Sample]:
        """Random sparse scans, prepared as `semrt infer` prepares them."""
        images = find_images(self.images)
        return SparseScanMaker(images, self.seed, self.side, self.coverage, self.real_share)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Flips and a transposition: every channel is a map, and none knows a direction."""
        return sample.turned(rng)

    def loss(self, predicted: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        """`criterion` of LOSSES, relative to the first guess."""
        return LOSSES[self.criterion](predicted, inputs[:, FIRST_GUESS : FIRST_GUESS + 1], target)

    def held_out(self) -> Sequence[HeldOutScan]:
        """Whole scans of images that are in no training sample."""
        images = find_images(self.held_out_images)
        return tuple(held_out_scans(images, seed=self.seed + 10**6, side=self.held_out_side, draws=self.held_out_draws))

    def evaluate(self, run: Run, held_out: Sequence[HeldOutScan]) -> Evaluation:
        """Gain [dB] over the first guess, and over the better of kriging and smoothed natural neighbours in each scan.

        score: the gain over the first guess, averaged over scans of each kind of image, then over the kinds.
        """
        gains = [(scan, *_gains(run, scan.sample)) for scan in held_out]
        table = []
        for group in ("images", "pattern", "coverage"):
            for value in dict.fromkeys(getattr(scan, group) for scan in held_out):
                chosen = [(first, best) for scan, first, best in gains if getattr(scan, group) == value]
                table.append(
                    {
                        "group": group,
                        "value": value,
                        "scans": len(chosen),
                        "over_first_guess_db": summary(first for first, _ in chosen),
                        "over_best_classical_db": summary(best for _, best in chosen),
                    }
                )
        figures = {row["value"]: row["over_first_guess_db"]["mean"] for row in table}
        figures["best_classical"] = fmean(best for _, _, best in gains)
        score = fmean(row["over_first_guess_db"]["mean"] for row in table if row["group"] == "images")
        return Evaluation(score, figures, table)

    def objection(self, evaluation: Evaluation) -> str | None:
        """Every kind of image, pattern and coverage must gain on average."""
        losers = [row["value"] for row in evaluation.table if not row["over_first_guess_db"]["mean"] > 0]
        return f"no gain over the first guess for {', '.join(losers)}" if losers else None

    def domain(self) -> dict[str, Any]:
        """Coverage, patterns, and the largest gap [px] among scans drawn as those of the training."""
        rng = np.random.default_rng(self.seed)
        masks = (random_visited(rng, (self.side, self.side), self.coverage) for _ in range(500))
        largest_gap = max(mask_statistics(mask).largest_gap for mask in masks)
        return {"coverage": list(self.coverage), "largest_gap": round(largest_gap, 1), "patterns": sorted(PATTERNS)}

    def image_names(self) -> list[str]:
        """File names of the real images trained on."""
        return [path.name for path in find_images(self.images)]


def _gains(run: Run, sample: Sample) -> tuple[float, float]:
    inputs = np.asarray(sample.inputs, np.float32)
    estimate, truth = run(inputs[None])[0, 0], sample.target[0]
    first_guess, smooth = inputs[FIRST_GUESS], inputs[FIRST_GUESS] + inputs[SMOOTH_GUESS]
    over_first = gain_db(estimate, first_guess, truth)
    return over_first, min(over_first, gain_db(estimate, smooth, truth))
