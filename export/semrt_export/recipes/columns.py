"""The recipe of `columns`: atomic columns in ADF-STEM images of any structure, scale and dose, found blindly."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from semrt.errors import InvalidOption
from semrt.simulate.columns import cases
from semrt.tasks.column_input import INPUT_CHANNELS, OUTPUT_CHANNELS, STANDARD_SPACING
from semrt_export.column_maps import classical_columns, f1_of, iou, map_columns, on_whole
from semrt_export.data.columns import TARGETS, ColumnImageMaker, HeldOutColumns, held_out_columns
from semrt_export.evaluate import Evaluation, Run, summary
from semrt_export.networks.column_net import ColumnNet
from semrt_export.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from semrt_export.data.pool import Sample

__all__ = ["ColumnsRecipe"]

CASES = (
    "square-starved",
    "hexagonal-starved",
    "dumbbells-starved",
    "perovskite-fair",
    "perovskite-faint",
    "edge-carbon",
    "particle-carbon",
    "interface",
    "monolayer-defects",
    "graphene-starved",
)


@dataclass(frozen=True)
class ColumnsRecipe:
    """How `columns` is made.

    side [px]: of the samples.  clean_share: weight of the denoised image in the loss.
    held_out_draws: images of the library to prove on, held_out_side [px].
    held_out_cases: names of the test set, recorded anew.
    """

    seed: int = 1
    side: int = 128
    clean_share: float = 0.3
    pool_size: int = 16000
    widths: tuple[int, ...] = (24, 48, 80)
    bottom: int = 2
    held_out_draws: int = 40
    held_out_side: int = 256
    held_out_cases: tuple[str, ...] = CASES
    schedule: Schedule = field(default=Schedule(batch=8, learning_rate=1e-3, weight_decay=1e-4), repr=False)

    name = "columns"
    input_channels = INPUT_CHANNELS
    output_channels = OUTPUT_CHANNELS
    normalisation = (
        f"Images are resampled so that columns lie {STANDARD_SPACING:g} px apart, and standardised by mean and spread "
        "of the image and of its parts, as semrt.tasks.column_input does."
    )
    tile = 1024

    def __post_init__(self) -> None:
        for option in ("widths", "held_out_cases"):  # JSON knows no tuples
            object.__setattr__(self, option, tuple(getattr(self, option)))
        for name in self.held_out_cases:
            if name not in (known := cases()):
                raise InvalidOption.unknown("held_out_cases", name, known)

    def options(self) -> Mapping[str, Any]:
        """All fields but the schedule."""
        return {name: value for name, value in asdict(self).items() if name != "schedule"}

    def network(self) -> ColumnNet:
        """A new network."""
        network = ColumnNet(len(INPUT_CHANNELS), widths=self.widths, bottom=self.bottom)
        return network.to(memory_format=torch.channels_last)  # a quarter faster to train on a CPU

    def sample_maker(self) -> Callable[[int], Sample]:
        """Random images of the library, prepared as `semrt infer` prepares them."""
        return ColumnImageMaker(self.seed, self.side)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Flips and a transposition: every channel is a map, and none knows a direction."""
        return sample.turned(rng)

    def loss(self, predicted: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of the map and, to a small share, the error of the denoised image; weighted by pixel."""
        columns, clean, weight = target.unbind(1)
        total = weight.sum().clamp(min=1)
        entropy = functional.binary_cross_entropy(predicted[:, 0], columns, weight=weight, reduction="sum")
        error = functional.smooth_l1_loss(predicted[:, 1], clean, reduction="none", beta=0.5)
        return (entropy + self.clean_share * (weight * error).sum()) / total

    def held_out(self) -> Sequence[HeldOutColumns]:
        """Whole images of other seeds."""
        seed = self.seed + 10**6
        return tuple(
            held_out_columns(self.held_out_cases, seed=seed, draws=self.held_out_draws, side=self.held_out_side)
        )

    def evaluate(self, run: Run, held_out: Sequence[HeldOutColumns]) -> Evaluation:
        """F1 of the maxima of the map, beside that of the maxima of the smoothed image; IoU of the map.

        score: the mean F1 over images of the library. Cases do not decide which weights are kept.
        """
        measured = []
        for image in held_out:
            predicted = on_whole(run, image.planes)
            overlap = iou(predicted[0], image.target[TARGETS.index("columns")], image.target[TARGETS.index("weight")])
            f1, classical = (
                f1_of(found, image) for found in (map_columns(predicted[0]), classical_columns(image.planes))
            )
            error = predicted[1] - image.target[TARGETS.index("clean")]
            measured.append((image, f1, classical, overlap, float(np.sqrt(np.mean(error**2)))))
        table, figures = [], {}
        for images in dict.fromkeys(image.images for image in held_out):
            chosen = [row[1:] for row in measured if row[0].images == images]
            f1, classical, overlap, error = (list(column) for column in zip(*chosen, strict=True))
            table.append(
                {
                    "images": images,
                    "number": len(chosen),
                    "f1": summary(f1),
                    "f1_of_maxima_of_the_image": summary(classical),
                    "iou": summary(overlap),
                    "rms_of_clean": round(float(np.mean(error)), 3),
                }
            )
            figures |= {f"{images}_f1": float(np.mean(f1)), f"{images}_worst": min(f1)}
            figures |= {f"{images}_classical": float(np.mean(classical)), f"{images}_iou": float(np.mean(overlap))}
            figures[f"{images}_clean"] = float(np.mean(error))
        return Evaluation(figures["library_f1"], figures, table)

    def objection(self, evaluation: Evaluation) -> str | None:
        """The map must do better than the image itself, on average and at worst."""
        for row in evaluation.table:
            map_f1, image_f1 = row["f1"], row["f1_of_maxima_of_the_image"]
            if not all(map_f1[name] > image_f1[name] for name in ("mean", "worst")):
                return (
                    f"on {row['images']}, maxima of the map (F1 {map_f1}) are no better than the image's ({image_f1})"
                )
        return None

    def domain(self) -> dict[str, Any]:
        """Spacing as the network sees it [px], what errors of it are mastered, and which columns are asked for."""
        return {"standard_spacing": STANDARD_SPACING, "spacing_error": [0.5, 2.0], "least_snr": 3.0}

    def image_names(self) -> list[str]:
        """None: simulated images alone."""
        return []
