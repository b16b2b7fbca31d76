"""Images of layers at many energies as the published networks see them, and by what their answers are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from semrt.data import LayerMap
from semrt.metrics import iou, label_scores, thickness_mae
from semrt.simulate.layers import draw, split_seed
from semrt.tasks.published_layers import HEIGHTS, THICKNESS_CHANNELS, VOXEL
from semrt_export.data.pool import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from semrt.simulate.layers import LayerSample

__all__ = ["PerlinLayerMaker", "layer_scores", "perlin_layers", "voxel_labels"]


@dataclass(frozen=True)
class PerlinLayerMaker:
    """Makes training samples as published; sample i is the same in every process.

    side [px] of a sample.  Inputs (n, side, side), images with 2 % of noise; targets (2, side, side) [nm].
    """

    side: int
    variant: str

    def __call__(self, index: int) -> Sample:
        """Make sample `index`."""
        sample = perlin_layers("train", index, self.side, self.variant)
        return Sample(sample.intensity, sample.thickness)


def perlin_layers(split: str, number: int, side: int, variant: str) -> LayerSample:
    """Stack `number` of a split; side [px]."""
    return draw(split_seed(split, number), (side, side), "perlin", variant=variant)


def layer_scores(thickness: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, float]:
    """How right a thickness is, as microtomography publishes it: both (2, ny, nx) [nm].

    miou, recall, accuracy: of voxels of three classes.  iou_gold, iou_aluminium.  mae_gold_nm, mae_aluminium_nm.
    """
    labels, true = (LayerMap(of.astype(np.float32)).voxels(VOXEL, HEIGHTS * VOXEL) for of in (thickness, truth))
    overlap, mae = iou(labels, true), thickness_mae(thickness, truth)
    return label_scores(labels, true) | {
        **{f"iou_{material}": float(overlap[k + 1]) for k, material in enumerate(THICKNESS_CHANNELS)},
        **{f"mae_{material}_nm": float(mae[k]) for k, material in enumerate(THICKNESS_CHANNELS)},
    }


def voxel_labels(thickness: Tensor) -> Tensor:
    """(n, heights, h, w), as LayerMap.voxels has them, from thickness (n, 2, h, w) [nm]."""
    lower, upper = torch.floor(thickness / VOXEL + 1e-4).unsqueeze(2).unbind(1)
    z = torch.arange(HEIGHTS, device=thickness.device)[:, None, None]
    return 2 * (z < lower + upper).long() - (z < lower).long()
