"""What the recipes have in common that complete sparse scans of any path and coverage, by correcting a first guess."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from semrt.kernels import mask_statistics
from semrt.tasks.familiarity import traits_of
from semrt.tasks.infill import INPUT_CHANNELS, OUTPUT_CHANNELS
from semrt_export.data.real_images import find_images
from semrt_export.data.sparse_scans import PATTERNS, HeldOutScan, SparseScanMaker, held_out_scans, random_visited
from semrt_export.losses import NORMAL_90, interval_loss
from semrt_export.networks.infill_net import InfillNet
from semrt_export.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from semrt_export.data.pool import Sample

__all__ = ["CONSTANTS", "EXPOSURE", "FIRST_GUESS", "FIRST_GUESS_ERROR", "SMOOTH_GUESS", "SparseScanRecipe"]

FIRST_GUESS = INPUT_CHANNELS.index("first_guess")
FIRST_GUESS_ERROR = INPUT_CHANNELS.index("first_guess_error")
SMOOTH_GUESS = INPUT_CHANNELS.index("smooth_guess")
EXPOSURE = INPUT_CHANNELS.index("exposure")
N_FAMILIAR = 400  # samples that tell what is familiar
UNSEEN = 2 * 10**8  # index of the first of them: no training draws it
FACTORS = (0.25, 4.0)  # by which stated errors may be scaled
LEAST_ERROR = 1e-3  # of a first guess, in spreads: what is better is perfect
CONSTANTS = ("noise", "correlation_range", "misfit")  # the last channels: one number for the whole image


@dataclass(frozen=True)
class SparseScanRecipe:
    """How a network is made that completes sparse scans.

    images, held_out_images: folders of real micrographs, to train on and to prove on; procedural ones are always used.
    side, held_out_side [px]: of the samples, and of the scans for proof.  coverage: smallest and largest.
    real_share: of the samples, where there are images.  held_out_draws: procedural images for each pattern.
    """

    images: tuple[str, ...] = ()
    held_out_images: tuple[str, ...] = ()
    seed: int = 1
    side: int = 256
    coverage: tuple[float, float] = (1 / 120, 1 / 4)
    real_share: float = 0.4
    pool_size: int = 6000
    widths: tuple[int, ...] = (44, 72, 112, 144)
    held_out_side: int = 320
    held_out_draws: int = 3
    schedule: Schedule = field(default=Schedule(), repr=False)

    input_channels: ClassVar[tuple[str, ...]] = INPUT_CHANNELS
    output_channels = OUTPUT_CHANNELS
    normalisation = "Intensities are standardised by mean and spread of the visited pixels, as semrt.tasks.infill does."
    tile = 1344  # with its halo: 2 × 2 tiles make 2048², 4 × 4 make 4096², with little overlap

    def __post_init__(self) -> None:
        for option in ("images", "held_out_images", "coverage", "widths"):  # JSON knows no tuples
            object.__setattr__(self, option, tuple(getattr(self, option)))

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

    def bounds(self, predicted: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        """What the intervals that the stated error makes cost, in mean errors of the first guess."""
        estimate, sigma = predicted.split(1, dim=1)
        scale = (inputs[:, FIRST_GUESS : FIRST_GUESS + 1] - target).abs().mean(dim=(1, 2, 3)) + LEAST_ERROR
        # The estimate must not become what is easy to bound.
        return interval_loss(sigma, (estimate - target).detach(), scale)

    def held_out(self) -> Sequence[HeldOutScan]:
        """Whole scans of images that are in no training sample."""
        images = find_images(self.held_out_images)
        return tuple(held_out_scans(images, seed=self.seed + 10**6, side=self.held_out_side, draws=self.held_out_draws))

    def calibrate(self, network: InfillNet, held_out: Sequence[HeldOutScan]) -> str:
        """Scale the stated error so that 90 % intervals hold 90 % of the unvisited pixels of held-out scans.

        The share is averaged over scans, then over kinds of images. Training meets its own scans at 90 %; others are
        a little harder.
        """
        network.eval()
        excess: dict[str, list[NDArray[np.floating]]] = {}
        for scan in held_out:
            inputs = np.asarray(scan.sample.inputs, np.float32)
            with torch.inference_mode():
                estimate, sigma = network(torch.from_numpy(inputs[None]))[0].numpy()
            unvisited = inputs[EXPOSURE] == 0
            ratio = np.abs(estimate - scan.sample.target[0])[unvisited] / (NORMAL_90 * sigma[unvisited])
            excess.setdefault(scan.images, []).append(np.sort(ratio))

        def held(factor: float) -> float:
            """The share, were all errors stated by that factor larger."""
            return fmean(
                fmean(np.searchsorted(ratios, factor, side="right") / len(ratios) for ratios in scans)
                for scans in excess.values()
            )

        before, (least, most) = held(1.0), FACTORS
        for _ in range(30):
            middle = (least * most) ** 0.5
            least, most = (middle, most) if held(middle) < 0.9 else (least, middle)
        network.scale_error(most)
        return f"90 % intervals held {before:.3f} of held-out pixels; errors are stated {most:.3f} times as large"

    def domain(self) -> dict[str, Any]:
        """Coverage, patterns, the largest gap [px] and the traits among scans drawn as those of the training."""
        rng = np.random.default_rng(self.seed)
        masks = (random_visited(rng, (self.side, self.side), self.coverage) for _ in range(500))
        largest_gap = max(mask_statistics(mask).largest_gap for mask in masks)
        return {
            "coverage": list(self.coverage),
            "largest_gap": round(largest_gap, 1),
            "patterns": sorted(PATTERNS),
            "familiar": self._familiar(),
        }

    def _familiar(self) -> dict[str, list[float]]:
        """The traits that scans drawn as those of the training have, each from least to most."""
        make = self.sample_maker()
        samples = (make(UNSEEN + number).inputs for number in range(N_FAMILIAR))
        traits = [traits_of(dict(zip(self.input_channels, inputs, strict=True))) for inputs in samples]
        values = {name: [each[name] for each in traits] for name in traits[0]}
        return {name: [float(f"{limit:.3g}") for limit in (min(drawn), max(drawn))] for name, drawn in values.items()}

    def image_names(self) -> list[str]:
        """File names of the real images trained on."""
        return [path.name for path in find_images(self.images)]
