"""The recipe of `wedge`: tomograms without the noise, and with what no tilt measured filled in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from semrt.errors import InvalidOption
from semrt.metrics import psnr, ssim
from semrt.simulate.tomograms import CONDITIONS, KINDS
from semrt.tasks.wedge_input import CONSTANTS, INPUT_CHANNELS, MAPS, OUTPUT_CHANNELS
from semrt_export.data.tilt_series import HeldOutSlice, TiltSeriesMaker, cropped, held_out_slices, mirrored
from semrt_export.evaluate import Evaluation, Run, summary
from semrt_export.losses import charbonnier, dissimilarity, negative_gain, unmeasured_gain
from semrt_export.networks.wedge_net import WedgeNet
from semrt_export.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from semrt_export.data.pool import Sample

__all__ = ["WedgeRecipe"]

FIRST_GUESS = MAPS.index("tv +0")


@dataclass(frozen=True)
class WedgeRecipe:
    """How `wedge` is made.

    side [px]: of the squares that are learnt from.  without: kinds of phantom never drawn, to see how it does on what
    it does not know.  wedge_share, edge_share, likeness_share: weights in the loss of what no tilt measured, of the
    absolute error and of 1 - SSIM, beside the gain over the first guess [dB].
    held_out_seed, held_out_conditions: of the slices to prove on.
    """

    side: int = 128
    without: tuple[str, ...] = ()
    wedge_share: float = 0.3
    edge_share: float = 3.0
    likeness_share: float = 8.0
    pool_size: int = 12000
    widths: tuple[int, ...] = (64, 96, 144, 192)
    bottom: int = 2
    held_out_seed: int = 7
    held_out_conditions: tuple[str, ...] = ("60-lo", "70-hi")
    schedule: Schedule = field(default=Schedule(batch=6, learning_rate=8e-4, weight_decay=1e-4), repr=False)

    name = "wedge"
    task = "wedge-network"
    input_channels = INPUT_CHANNELS
    output_channels = OUTPUT_CHANNELS
    normalisation = (
        "Densities are in units of the density that is usual in the specimen, tilts in units of 90 degrees, noise of a "
        "detector pixel as a logarithm, as semrt.tasks.wedge_input has it."
    )
    tile = 1024

    def __post_init__(self) -> None:
        for option in ("without", "widths", "held_out_conditions"):  # JSON knows no tuples
            object.__setattr__(self, option, tuple(getattr(self, option)))
        for option, known in (("without", KINDS), ("held_out_conditions", CONDITIONS)):
            for name in getattr(self, option):
                if name not in known:
                    raise InvalidOption.unknown(option, name, known)

    def options(self) -> Mapping[str, Any]:
        """All fields but the schedule."""
        return {name: value for name, value in asdict(self).items() if name != "schedule"}

    def network(self) -> WedgeNet:
        """A new network."""
        network = WedgeNet(len(MAPS), len(CONSTANTS), first_guess=FIRST_GUESS, widths=self.widths, bottom=self.bottom)
        return network.to(memory_format=torch.channels_last)  # a quarter faster to train on a CPU

    def sample_maker(self) -> Callable[[int], Sample]:
        """Random phantoms, tilted and recorded at random, solved as `semrt infer` solves them."""
        return TiltSeriesMaker(self.without)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A square of it, mirrored at random."""
        return mirrored(cropped(sample, rng, self.side), rng)

    def loss(self, predicted: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        """Gain over the first guess, of all and of what no tilt measured, the absolute error, and likeness."""
        first_guess = inputs[:, FIRST_GUESS : FIRST_GUESS + 1]
        low, high = (90 * inputs[:, INPUT_CHANNELS.index(name), 0, 0] for name in ("lowest", "highest"))
        gain = negative_gain(predicted, first_guess, target)
        wedge = unmeasured_gain(predicted, first_guess, target, low, high)
        error = charbonnier(predicted, first_guess, target)
        unlike = dissimilarity(predicted, target, target.amax(dim=(1, 2, 3)).clamp(min=1)).mean()
        return gain + self.wedge_share * wedge + self.edge_share * error + self.likeness_share * unlike

    def held_out(self) -> Sequence[HeldOutSlice]:
        """Slices of phantoms that training never draws."""
        return tuple(held_out_slices(self.held_out_seed, self.held_out_conditions))

    def evaluate(self, run: Run, held_out: Sequence[HeldOutSlice]) -> Evaluation:
        """PSNR and SSIM of each condition, beside those of total variation.

        score: the mean gain over total variation [dB].
        """
        rows: dict[str, list[tuple[float, float, float, float]]] = {}
        lead = []
        for of in held_out:
            found = np.maximum(run(of.planes[None])[0, 0], 0)
            peak = float(of.truth.max())
            of_network, of_tv, of_sirt = (
                psnr(np.maximum(image, 0), of.truth, peak) for image in (found, of.tv, of.sirt)
            )
            lead.append(of_network - of_sirt)
            row = (of_network, of_tv, ssim(found, of.truth, peak), ssim(of.tv, of.truth, peak))
            rows.setdefault(of.condition, []).append(row)
            if of.kind in self.without:
                rows.setdefault(f"{of.kind}, never seen, {of.condition}", []).append(row)
        table, figures = [], {"least_over_sirt_db": min(lead)}
        for images, measured in rows.items():
            columns = [list(column) for column in zip(*measured, strict=True)]
            names = ("psnr", "psnr_of_tv", "ssim", "ssim_of_tv")
            table.append(
                {"images": images, "number": len(measured)} | dict(zip(names, map(summary, columns), strict=True))
            )
            figures |= {f"{images}_{name}": float(np.mean(column)) for name, column in zip(names, columns, strict=True)}
        gains = [row[0] - row[1] for condition in self.held_out_conditions for row in rows[condition]]
        return Evaluation(float(np.mean(gains)), figures, table)

    def objection(self, evaluation: Evaluation) -> str | None:
        """It must do better than total variation everywhere on average, and nowhere worse than SIRT."""
        for row in evaluation.table:
            if not row["psnr"]["mean"] > row["psnr_of_tv"]["mean"]:
                return f"on {row['images']}, PSNR {row['psnr']} is no better than that of total variation"
        if evaluation.figures["least_over_sirt_db"] < 0:
            return f"one slice is {-evaluation.figures['least_over_sirt_db']:.2f} dB below SIRT"
        return None

    def domain(self) -> dict[str, Any]:
        """Between the outermost tilts, and between one and the next [degrees]."""
        return {"span_deg": [95.0, 155.0], "step_deg": [0.9, 5.1]}

    def image_names(self) -> list[str]:
        """None: simulated series alone."""
        return []
