"""The recipe of `layers-network`: thickness of gold under aluminium where the microscope does not keep to the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import LayerMap
from semrt.metrics import label_scores, thickness_mae
from semrt.physics.backscatter import ENERGIES
from semrt.tasks.layer_input import INPUT_CHANNELS, LEAST_SIGMA, OUTPUT_CHANNELS, THICKEST
from semrt_export.data.layers import LayerSampleMaker, held_out_layers
from semrt_export.evaluate import Evaluation, Run, summary
from semrt_export.losses import laplace_likelihood
from semrt_export.networks.layer_net import LayerNet
from semrt_export.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from semrt_export.data.layers import HeldOutLayers
    from semrt_export.data.pool import Sample

__all__ = ["LayersRecipe"]


@dataclass(frozen=True)
class LayersRecipe:
    """How a network for `layers` is made.

    side [px]: of the samples.  floor: of the standard deviations in the loss [thickest layers].
    stem_scale: divisor of the resolution at which the network works; what is finer is folded into channels.
    held_out_stacks: of each kind to prove on.
    """

    side: int = 128
    floor: float = LEAST_SIGMA
    pool_size: int = 12000
    widths: tuple[int, ...] = (24, 40, 64)
    stem_scale: int = 1
    held_out_stacks: int = 6
    schedule: Schedule = field(default=Schedule(batch=4, learning_rate=1e-3, weight_decay=1e-4), repr=False)

    name = "layers-network"
    input_channels = INPUT_CHANNELS
    output_channels = OUTPUT_CHANNELS
    normalisation = (
        f"Thickness is in units of {THICKEST[0]:g} nm of gold and {THICKEST[1]:g} nm of aluminium, first that of a "
        "Markov field; spectra are principal components of their logarithms, as semrt.tasks.layer_input has it."
    )
    tile = 512

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON knows no tuples

    def options(self) -> Mapping[str, Any]:
        """All fields but the schedule."""
        return {name: value for name, value in asdict(self).items() if name != "schedule"}

    def network(self) -> LayerNet:
        """A new network."""
        return LayerNet(len(INPUT_CHANNELS), widths=self.widths, stem_scale=self.stem_scale)

    def sample_maker(self) -> Callable[[int], Sample]:
        """Random layers, recorded by random instruments."""
        return LayerSampleMaker(self.side)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Flips and a transposition: a pixel sees its own column alone, whichever way the image lies."""
        return sample.turned(rng)

    def loss(self, predicted: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        """Likelihood of the errors: thickness and how far off it may be."""
        return laplace_likelihood(predicted, target, floor=self.floor)

    def held_out(self) -> Sequence[HeldOutLayers]:
        """Stacks of layers that training never draws."""
        return tuple(held_out_layers(self.held_out_stacks, side=self.side))

    def evaluate(self, run: Run, held_out: Sequence[HeldOutLayers]) -> Evaluation:
        """Mean IoU of voxels of 10 nm, beside that of the first guess.

        score: the mean over all kinds of stacks.
        """
        rows: dict[str, list[tuple[float, float, NDArray[np.float64]]]] = {}
        for stack in held_out:
            estimate = run(stack.planes[None])[0, :2] * np.array(THICKEST)[:, None, None]
            first_guess = stack.planes[:2] * np.array(THICKEST)[:, None, None]
            scores = (_miou(thickness, stack.thickness) for thickness in (estimate, first_guess))
            rows.setdefault(stack.images, []).append((*scores, thickness_mae(estimate, stack.thickness)))
        table = []
        for images, measured in rows.items():
            miou, before, mae = zip(*measured, strict=True)
            gold, aluminium = np.mean(mae, axis=0).round(2).tolist()
            table.append(
                {
                    "images": images,
                    "number": len(measured),
                    "miou": summary(miou),
                    "miou_of_the_first_guess": summary(before),
                    "mae_gold_nm": gold,
                    "mae_aluminium_nm": aluminium,
                }
            )
        figures = {str(row["images"]): float(row["miou"]["mean"]) for row in table}
        return Evaluation(float(np.mean(list(figures.values()))), figures, table)

    def objection(self, evaluation: Evaluation) -> str | None:
        """It must do better than the first guess on every kind of stack."""
        for row in evaluation.table:
            if not row["miou"]["mean"] > row["miou_of_the_first_guess"]["mean"]:
                return f"on {row['images']}, mean IoU {row['miou']} is no better than the first guess's"
        return None

    def domain(self) -> dict[str, Any]:
        """The energies [keV], and how thick the layers may be [nm]."""
        return {"energies_keV": ENERGIES.tolist(), "thickest_nm": list(THICKEST)}

    def image_names(self) -> list[str]:
        """None: simulated stacks alone."""
        return []


def _miou(thickness: NDArray[np.floating], truth: NDArray[np.float32]) -> float:
    labels, true = (LayerMap(np.maximum(of, 0).astype(np.float32)).voxels(total=160.0) for of in (thickness, truth))
    return label_scores(labels, true)["miou"]
