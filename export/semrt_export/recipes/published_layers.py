r"""Recipes of the published networks for layers, to be compared with `layers`: small here by default, or as published.

    semrt train layers-unet-2d --out RUN --max-seconds 600
    semrt train layers-unet-2d --out RUN --max-steps 88125 --device cuda \
        --set width=32 --set side=128 --set dropout=0.5 --set published_schedule=true

The second is the published training, 150 epochs of 9400 structures, in batches of 16; `published()` of each recipe
gives its options.  DL-Microtomography, github.com/p0l0satik/DL-Microtomography.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import nn

from semrt.errors import InvalidOption
from semrt.physics.backscatter import ENERGIES, VARIANTS
from semrt.tasks.published_layers import (
    HEIGHTS,
    INPUT_CHANNELS,
    THICKNESS_CHANNELS,
    VOXEL_CHANNELS,
    thickness_of_voxels,
)
from semrt_export.data.published_layers import PerlinLayerMaker, layer_scores, perlin_layers, voxel_labels
from semrt_export.evaluate import Evaluation, Run
from semrt_export.losses import mean_over_stacks, thickness_loss, voxel_cross_entropy
from semrt_export.networks.layer_convolutions import LayerConvolutions
from semrt_export.networks.layer_hybrid import LayerHybridUNet
from semrt_export.networks.layer_stacked import LayerStackedUNet
from semrt_export.networks.layer_unet import LayerUNet2d, LayerUNet3d
from semrt_export.networks.voxel_channels import VoxelsAsChannels
from semrt_export.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from semrt.simulate.layers import LayerSample
    from semrt_export.data.pool import Sample

__all__ = [
    "AS_PUBLISHED",
    "FAST",
    "ConvolutionsRecipe",
    "HybridRecipe",
    "PublishedLayersRecipe",
    "StackedRecipe",
    "UNet2dRecipe",
    "UNet3dRecipe",
]

HELD_OUT_SIDE = 128  # px
COARSEST = 16  # px; what samples must be a multiple of, in the deepest of the networks

FAST = Schedule(batch=8, learning_rate=2e-3, warm_up=50, weight_decay=5e-5, ema_decay=0.0)
"""For narrow networks and minutes. Weights are not averaged, as no batch had the statistics of their average."""
AS_PUBLISHED = Schedule(
    batch=16, learning_rate=3e-5, final=1.0, warm_up=1, weight_decay=5e-5, largest_gradient=1e9, ema_decay=0.0
)
"""Adam at one rate, nothing clipped, nothing averaged; but decay acts on the weights, not by way of the gradient."""


@dataclass(frozen=True)
class PublishedLayersRecipe:
    """What is the same for all of them: images as they are in, judged by voxels of 10 nm.

    width: base of the network's widths.  side [px]: of the samples.  variant: of the physics.
    published_schedule: AS_PUBLISHED instead of FAST.  held_out_stacks: Perlin structures to measure on.
    Raises InvalidOption.
    """

    width: int = 8
    side: int = 64
    variant: str = "repo"
    published_schedule: bool = False
    pool_size: int = 9400
    held_out_stacks: int = 6

    published_width: ClassVar[int]
    name: ClassVar[str]
    task: ClassVar[str]
    output_channels: ClassVar[Sequence[str]]
    input_channels = INPUT_CHANNELS
    normalisation = "Images are fractions of the beam, as they were recorded."
    tile = 512
    half_precision_limit = 0.05  # images are mostly mean and little contrast, and half precision rounds the whole

    def __post_init__(self) -> None:
        for option, least in (("width", 1), ("pool_size", 1), ("held_out_stacks", 1), ("side", COARSEST)):
            if getattr(self, option) < least:
                raise InvalidOption(f"{option}: expected {least} or more, got {getattr(self, option)}")
        if self.side % COARSEST:
            raise InvalidOption(f"side: expected a multiple of {COARSEST} px, got {self.side}")
        if self.variant not in VARIANTS:
            raise InvalidOption.unknown("variant", self.variant, VARIANTS)

    @classmethod
    def published(cls) -> dict[str, Any]:
        """The options of the published training."""
        return {"width": cls.published_width, "side": 128, "published_schedule": True}

    @property
    def schedule(self) -> Schedule:
        """How it is optimised."""
        return AS_PUBLISHED if self.published_schedule else FAST

    def options(self) -> Mapping[str, Any]:
        """All fields."""
        return asdict(self)

    def sample_maker(self) -> Callable[[int], Sample]:
        """Perlin structures of the training split; the same for all of these recipes."""
        return PerlinLayerMaker(self.side, self.variant)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Flips and a transposition: a pixel sees its own column alone, whichever way the image lies."""
        return sample.turned(rng)

    def thickness(self, predicted: NDArray[np.float32]) -> NDArray[np.float32]:
        """From the network's output, (k, h, w), to thickness (2, h, w) [nm], as the runtime has it."""
        return np.maximum(predicted, 0)

    def held_out(self) -> Sequence[LayerSample]:
        """Structures of the validation split."""
        return [
            perlin_layers("validation", number, HELD_OUT_SIDE, self.variant) for number in range(self.held_out_stacks)
        ]

    def evaluate(self, run: Run, held_out: Sequence[LayerSample]) -> Evaluation:
        """What `layer_scores` says, on average, and the mean IoU of answering that there is nothing.  score: mean IoU.

        All is NaN for a network that gives what is not finite.
        """
        answers = [run(sample.intensity[None])[0] for sample in held_out]
        finite = all(np.isfinite(answer).all() for answer in answers)
        rows = []
        for answer, sample in zip(answers, held_out, strict=True):
            found = layer_scores(
                self.thickness(answer) if finite else np.zeros_like(sample.thickness), sample.thickness
            )
            nothing = layer_scores(np.zeros_like(sample.thickness), sample.thickness)
            rows.append(found | {"miou_of_nothing": nothing["miou"]})
        figures = {name: float(np.mean([row[name] for row in rows])) if finite else np.nan for name in rows[0]}
        table = {name: round(value, 3) for name, value in figures.items()}
        images = f"perlin, {self.variant}"
        return Evaluation(figures["miou"], figures, [{"images": images, "number": len(rows), **table}])

    def objection(self, evaluation: Evaluation) -> str | None:
        """It must give numbers, and do better than to see nothing: these are for comparison."""
        figures = evaluation.figures
        if not all(isfinite(value) for value in figures.values()):
            return "the network gives NaN or infinity"
        if not figures["miou"] > figures["miou_of_nothing"]:
            return f"mean IoU {figures['miou']:.3f} is no better than seeing nothing ({figures['miou_of_nothing']:.3f})"
        return None

    def domain(self) -> dict[str, Any]:
        """The energies [keV], and the variant of the physics."""
        return {"energies_keV": ENERGIES.tolist(), "variant": self.variant}

    def image_names(self) -> list[str]:
        """None: simulated stacks alone."""
        return []


@dataclass(frozen=True)
class _ThicknessRecipe(PublishedLayersRecipe):
    """Networks that give thickness.  aluminium_weight: in the loss; 1, 0.1 and 0.01 are published, 0.1 as the best."""

    aluminium_weight: float = 0.1

    task = "layers-thickness"
    output_channels = THICKNESS_CHANNELS

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.aluminium_weight < np.inf:
            raise InvalidOption(f"aluminium_weight: expected above zero, got {self.aluminium_weight}")

    def loss(self, predicted: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        """Mean squared error, weighted by material."""
        return thickness_loss(predicted, target, aluminium_weight=self.aluminium_weight)


@dataclass(frozen=True)
class _VoxelsRecipe(PublishedLayersRecipe):
    """Networks that give the material of each voxel."""

    task = "layers-voxels"
    output_channels = VOXEL_CHANNELS

    def loss(self, predicted: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of the voxels."""
        return voxel_cross_entropy(predicted.unflatten(1, (-1, HEIGHTS)), voxel_labels(target))

    def thickness(self, predicted: NDArray[np.float32]) -> NDArray[np.float32]:
        """From logits to thickness in whole voxels."""
        return thickness_of_voxels(predicted)


@dataclass(frozen=True)
class _WithDropout(PublishedLayersRecipe):
    """dropout: share that is dropped in training; narrow networks cannot spare the published half."""

    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise InvalidOption(f"dropout: expected a share from 0 to below 1, got {self.dropout}")

    @classmethod
    def published(cls) -> dict[str, Any]:
        """The options of the published training."""
        return super().published() | {"dropout": 0.5}


@dataclass(frozen=True)
class ConvolutionsRecipe(_ThicknessRecipe):
    """How `layers-3conv` is made."""

    width: int = 32

    name = "layers-3conv"
    published_width = 64

    def network(self) -> LayerConvolutions:
        """A new network."""
        return LayerConvolutions(width=self.width)


@dataclass(frozen=True)
class UNet2dRecipe(_WithDropout, _ThicknessRecipe):
    """How `layers-unet-2d` is made."""

    name = "layers-unet-2d"
    published_width = 32

    def network(self) -> LayerUNet2d:
        """A new network."""
        network = LayerUNet2d(width=self.width)
        network.trunk.dropout = nn.Dropout2d(self.dropout)
        return network


@dataclass(frozen=True)
class StackedRecipe(_WithDropout, _ThicknessRecipe):
    """How `layers-stacked` is made: three U-Nets, one after the other."""

    name = "layers-stacked"
    published_width = 64
    tile = 1024  # the halo of three U-Nets leaves nothing of smaller tiles

    def network(self) -> LayerStackedUNet:
        """A new network."""
        return LayerStackedUNet(width=self.width, dropout=self.dropout)

    def loss(self, predicted: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        """The mean of what each U-Net of the stack deserves, (n, stacks, 2, h, w)."""

        def of(answer: Tensor, truth: Tensor) -> Tensor:
            return thickness_loss(answer, truth, aluminium_weight=self.aluminium_weight)

        return mean_over_stacks(of, predicted, target)


@dataclass(frozen=True)
class UNet3dRecipe(_WithDropout, _VoxelsRecipe):
    """How `layers-unet-3d` is made."""

    name = "layers-unet-3d"
    published_width = 32

    def network(self) -> VoxelsAsChannels:
        """A new network."""
        network = LayerUNet3d(width=self.width, heights=HEIGHTS)
        network.trunk.dropout = nn.Dropout2d(self.dropout)
        return VoxelsAsChannels(network)


@dataclass(frozen=True)
class HybridRecipe(_VoxelsRecipe):
    """How `layers-hybrid` is made.  width: a multiple of 32."""

    width: int = 32

    name = "layers-hybrid"
    published_width = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 32:
            raise InvalidOption(f"width: expected a multiple of 32, got {self.width}")

    def network(self) -> VoxelsAsChannels:
        """A new network."""
        return VoxelsAsChannels(LayerHybridUNet(width=self.width))
