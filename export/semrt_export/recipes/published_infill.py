r"""Recipes of the published network for partial scans, to be compared with `infill`: small here, or as published.

    semrt train infill-published --out RUN --max-seconds 600
    semrt train infill-published-adversarial --out RUN --max-steps 2000000 --images IMAGES --device cuda \
        --set width=1.0 --set side=512 --set crop=70 --set published_schedule=true --set pool_size=161069

The second is the published training, of 161,069 crops of 512 px; half as many steps do without the opponent.
`published()` of each recipe gives its options.  Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from semrt.errors import InvalidOption
from semrt.kernels import mask_statistics
from semrt.tasks.published_infill import INPUT_CHANNELS
from semrt_export.data.published_scans import PATTERNS, PathScanner, PublishedHeldOut, PublishedScanMaker
from semrt_export.data.real_images import find_images
from semrt_export.evaluate import Evaluation, Run
from semrt_export.networks.multiscale_discriminators import SMALLEST_CROP
from semrt_export.networks.multiscale_generator import MultiscaleGenerator
from semrt_export.partial_scan_objective import AdversarialObjective, PartialScanObjective
from semrt_export.schedule import StagedSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from semrt_export.data.pool import Sample
    from semrt_export.schedule import Schedule

__all__ = ["SEES", "AdversarialInfillRecipe", "PublishedInfillRecipe"]

SEES = {"scan": (0, 1), "scan-and-path": (0, 2), "filled-scan": (2, 1)}
"""What the network looks at: the first of INPUT_CHANNELS that it sees, and how many."""
NARROWEST = 1 / 32  # that leaves each layer a channel
COARSEST = 32  # px
OTHER_SIDES = (64, 128, 256, 512, 1024)  # px; of fields that are scanned alike
MARGIN = 1.03
FAST = {"batch": 4, "learning_rate": 1e-3}
AS_PUBLISHED = {"batch": 1, "learning_rate": 3e-4}


@dataclass(frozen=True)
class PublishedInfillRecipe:
    """How `infill-published` is made: against the blurred truth alone.

    width: of all layers, times the published.  side [px]: of the samples.  sees: a key of SEES.
    pattern, nominal, blurred: see PathScanner.
    trainer: give the inner generator a loss of its own.  clipping, running_weights, hard_examples: see
    PartialScanObjective.  images, held_out_images: folders of real micrographs, to train on and to prove on.
    real_share: of the samples, where there are images.  published_schedule: batches of 1 at 3e-4, not of 4 at 1e-3.
    held_out_draws: procedural images to measure on.  Raises InvalidOption.
    """

    width: float = 0.125
    side: int = 128
    sees: str = "scan-and-path"
    pattern: str = "ede-spiral"
    nominal: float = 16.0
    blurred: bool = False
    trainer: bool = True
    clipping: bool = True
    running_weights: bool = False
    hard_examples: bool = True
    images: tuple[str, ...] = ()
    held_out_images: tuple[str, ...] = ()
    real_share: float = 0.4
    published_schedule: bool = False
    pool_size: int = 2000
    held_out_draws: int = 12
    seed: int = 1

    name: ClassVar[str] = "infill-published"
    task = "infill-published"
    input_channels = INPUT_CHANNELS
    output_channels = ("intensity",)
    normalisation = "Less the mean, over twice the spread of the visited pixels, as semrt.tasks.published_infill does."
    tile = 2048  # what the network sees to each side, 672 px, leaves little of smaller ones
    stages: ClassVar[tuple[float, ...]] = (1.0,)

    def __post_init__(self) -> None:
        for option in ("images", "held_out_images"):  # JSON knows no tuples
            object.__setattr__(self, option, tuple(getattr(self, option)))
        for option, least in (("width", NARROWEST), ("side", COARSEST), ("pool_size", 1), ("held_out_draws", 1)):
            if not least <= getattr(self, option) < np.inf:
                raise InvalidOption(f"{option}: expected {least} or more, got {getattr(self, option)}")
        if self.side % COARSEST:
            raise InvalidOption(f"side: expected a multiple of {COARSEST} px, got {self.side}")
        if not 1 < self.nominal <= self.side / 2:
            raise InvalidOption(f"nominal: expected a distance from 1 px to half the side, got {self.nominal}")
        if self.pattern not in PATTERNS:
            raise InvalidOption.unknown("pattern", self.pattern, PATTERNS)
        if self.sees not in SEES:
            raise InvalidOption.unknown("sees", self.sees, SEES)

    @classmethod
    def published(cls) -> dict[str, Any]:
        """The options of the published training, but for its images."""
        return {"width": 1.0, "side": 512, "published_schedule": True, "pool_size": 161069}

    @property
    def schedule(self) -> Schedule:
        """How it is optimised: Adam, nothing clipped but outliers, nothing averaged."""
        return StagedSchedule(
            **(AS_PUBLISHED if self.published_schedule else FAST),
            weight_decay=0.0,
            largest_gradient=1e9,
            ema_decay=0.0,
            stages=self.stages,
        )

    def options(self) -> Mapping[str, Any]:
        """All fields."""
        return asdict(self)

    def network(self) -> MultiscaleGenerator:
        """A new network, its layers scaled to scans along the path."""
        first, seen = SEES[self.sees]
        network = MultiscaleGenerator(
            len(INPUT_CHANNELS),
            first=first,
            seen=seen,
            width=self.width,
            trainer=self.trainer,
            plain_first=self.sees == "scan-and-path",
        )
        noise = torch.empty(1, self.side, self.side).uniform_(-0.8, 0.8)
        path = torch.from_numpy(self._visited(self.side)).to(noise)
        network.scale_layers(torch.stack([noise * path, path.expand_as(noise), noise], dim=1))
        return network

    def objective(self) -> PartialScanObjective:
        """A new memory of losses."""
        return PartialScanObjective(self.side, **self._remembered())

    def _remembered(self) -> dict[str, bool]:
        return {name: getattr(self, name) for name in ("clipping", "running_weights", "hard_examples")}

    def _scanner(self) -> PathScanner:
        return PathScanner(self.pattern, self.nominal, self.blurred)

    def _visited(self, side: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return self._scanner()(np.zeros((side, side), np.float32), np.random.default_rng(0)).visited

    def sample_maker(self) -> Callable[[int], Sample]:
        """Scans along the path, prepared as `semrt infer` prepares them."""
        return PublishedScanMaker(self._scanner(), find_images(self.images), self.seed, self.side, self.real_share)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Nothing: the path is always the same."""
        return sample

    def held_out(self) -> Sequence[PublishedHeldOut]:
        """Scans of images that are in no training sample."""
        paths = find_images(self.held_out_images)
        return PublishedHeldOut.all_of(
            self._scanner(), paths, seed=self.seed + 10**6, side=self.side, draws=self.held_out_draws
        )

    def evaluate(self, run: Run, held_out: Sequence[PublishedHeldOut]) -> Evaluation:
        """Errors against the blurred truth, images from 0 to 1.  score: PSNR [dB], averaged over scans.

        Beside them, those of the nearest sample, of natural neighbours then Gaussian, and of the mean of the samples.
        """
        rows = []
        for scan in held_out:
            answers = {
                "network": scan.in_units_of_the_image(run(scan.sample.inputs[None].astype(np.float32))[0, 0]),
                "nearest": scan.in_units_of_the_image(scan.sample.inputs[INPUT_CHANNELS.index("nearest")]),
                "natural": scan.classical,
                "mean": np.full_like(scan.truth, scan.mean),
            }
            rows.append({name: float(np.mean((answer - scan.truth) ** 2)) for name, answer in answers.items()})
        table = []
        for images in dict.fromkeys(scan.images for scan in held_out):
            chosen = [row for row, scan in zip(rows, held_out, strict=True) if scan.images == images]
            table.append({"images": images, "scans": len(chosen), **_rounded(_percent(chosen))})
        figures = _percent(rows)
        score = float(np.mean([-10 * np.log10(max(row["network"], 1e-12)) for row in rows]))
        return Evaluation(score, figures, table)

    def objection(self, evaluation: Evaluation) -> str | None:
        """It must give numbers, and do better than to say the mean: these are for comparison."""
        found, mean = (evaluation.figures[f"rmse_{name}"] for name in ("network", "mean"))
        if not isfinite(found):
            return "the network gives NaN or infinity"
        return None if found < mean else f"RMSE {found:.2f} % is no better than that of the mean, {mean:.2f} %"

    def domain(self) -> dict[str, Any]:
        """Coverage and largest gap [px] of the path in fields of several sizes, and a little more for all others."""
        masks = [mask_statistics(self._visited(side)) for side in OTHER_SIDES if side >= 2 * self.nominal]
        coverage = [mask.coverage for mask in masks]
        return {
            "coverage": [round(min(coverage) / MARGIN, 5), round(max(coverage) * MARGIN, 5)],
            "largest_gap": round(max(mask.largest_gap for mask in masks) * MARGIN, 1),
            "patterns": [self.pattern],
        }

    def image_names(self) -> list[str]:
        """File names of the real images trained on."""
        return [path.name for path in find_images(self.images)]


@dataclass(frozen=True)
class AdversarialInfillRecipe(PublishedInfillRecipe):
    """How `infill-published-adversarial` is made: the same for half of the budget, then against an opponent.

    adversarial_weight: of what the opponent says.  crop [px]: what crops of 1, 2 and 4 times it are reduced to.
    """

    adversarial_weight: float = 1.0
    crop: int = SMALLEST_CROP

    name = "infill-published-adversarial"
    stages = (1.0, 1 / 3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not SMALLEST_CROP <= self.crop < self.side / 2:
            raise InvalidOption(f"crop: expected {SMALLEST_CROP} px to less than half the side, got {self.crop}")
        if not 0 < self.adversarial_weight < np.inf:
            raise InvalidOption(f"adversarial_weight: expected above zero, got {self.adversarial_weight}")

    @classmethod
    def published(cls) -> dict[str, Any]:
        """The options of the published training, but for its images."""
        return super().published() | {"crop": 70}

    def objective(self) -> AdversarialObjective:
        """A new opponent, and a new memory of losses."""
        return AdversarialObjective(
            self.side, width=self.width, crop=self.crop, weight=self.adversarial_weight, **self._remembered()
        )


def _percent(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Root mean square errors [%], of mean squares averaged over scans."""
    return {f"rmse_{name}": 100 * float(np.sqrt(np.mean([row[name] for row in rows]))) for name in rows[0]}


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}
