"""Images of layers at many energies as the network sees them, with how thick the layers are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.data import EnergyStack
from semrt.kernels.layers import DetectorResponse
from semrt.simulate.layers import Recording, draw, draw_recording, split_seed
from semrt.tasks.layer_input import THICKEST, layer_input
from semrt.tasks.layer_optics import Optics
from semrt_export.data.pool import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from semrt.simulate.layers import LayerSample

__all__ = ["RECORDINGS", "HeldOutLayers", "LayerSampleMaker", "held_out_layers"]

REPO = 0.7  # share of the samples that follow the published model
COMMON_ERROR, OWN_ERROR, OFFSET_ERROR = 5e-4, 5e-4, 5e-4  # of the estimated response, as measured
SHIFT_ERROR, BLUR_ERROR = 0.03, 0.01  # [px], of the estimated optics
UNSEEN_BLUR, UNSEEN_DRIFT = 0.32, 0.03  # [px], below which images are taken for sharp
SELDOM = 0.15  # share of the samples where it is three times as wrong
RECORDINGS = {
    "exact": Recording(),
    "offset": Recording(offset=0.01),
    "gain": Recording(gain=0.01),
    "blur": Recording(blur=0.7),
    "drift and all": Recording(offset=0.005, gain=0.01, blur=0.7, drift=0.4),
}


@dataclass(frozen=True)
class LayerSampleMaker:
    """Makes training samples of the layers network; sample i is the same in every process.

    side [px] of a sample.  Inputs (c, side, side), targets (2, side, side): gold and aluminium in THICKEST.
    """

    side: int = 128

    def __call__(self, index: int) -> Sample:
        """Make sample `index`."""
        rng = split_seed("train", index)
        variant = "repo" if rng.random() < REPO else "phys"
        sample = draw(rng, (self.side, self.side), recording=draw_recording(rng), variant=variant)
        stack = EnergyStack(sample.intensity, sample.energies)
        planes = layer_input(
            stack, variant, response=_as_estimated(sample, rng), optics=_optics_as_estimated(sample, rng), n_threads=1
        )
        return Sample(planes, sample.thickness / np.array(THICKEST, np.float32)[:, None, None])


@dataclass(frozen=True, eq=False)
class HeldOutLayers:
    """A stack for proof.

    images: what it is called in tables.  planes: the network's input.  thickness: (2, ny, nx) [nm], the truth.
    """

    images: str
    planes: NDArray[np.float32]
    thickness: NDArray[np.float32]


def held_out_layers(number: int, *, side: int = 128) -> Iterator[HeldOutLayers]:
    """Stacks of the validation split: `number` of each recording of Perlin layers, and of other structures."""
    at = 0
    for images, kind, variant, recording in [
        *((f"perlin, {name}", "perlin", "repo", recording) for name, recording in RECORDINGS.items()),
        ("perlin, phys", "perlin", "phys", Recording()),
        ("strips", "strips", "repo", Recording()),
        ("varied", "varied", "repo", Recording()),
    ]:
        for _ in range(number):
            sample = draw(split_seed("validation", at), (side, side), kind, recording=recording, variant=variant)
            yield HeldOutLayers(images, _planes(sample, variant), sample.thickness)
            at += 1


def _planes(sample: LayerSample, variant: str) -> NDArray[np.float32]:
    return layer_input(EnergyStack(sample.intensity, sample.energies), variant, n_threads=1)


def _optics_as_estimated(sample: LayerSample, rng: np.random.Generator) -> Optics | None:
    """What the estimate of blur and drift would be; None where neither would be noticed."""
    recording, shifts = sample.settings["recording"], np.array(sample.settings["shifts_px"])
    if recording["blur"] < UNSEEN_BLUR and recording["drift"] < UNSEEN_DRIFT:
        return None
    errors = np.cumsum(rng.standard_normal(shifts.shape), axis=0)
    errors -= errors.mean(0)
    scale = 3.0 if rng.random() < SELDOM else 1.0
    blur = recording["blur"] + scale * BLUR_ERROR * rng.standard_normal()
    return Optics(shifts + scale * SHIFT_ERROR * errors / errors.std(), max(blur, 0.0))


def _as_estimated(sample: LayerSample, rng: np.random.Generator) -> DetectorResponse:
    """What the estimate of the detector's response would be, which takes ten times as long: the truth, and an error."""
    scale = 3.0 if rng.random() < SELDOM else 1.0
    gains = np.array(sample.settings["gains"])
    offset = sample.settings["recording"]["offset"]
    errors = scale * (COMMON_ERROR * rng.standard_normal() + OWN_ERROR * rng.standard_normal(len(gains)))
    return DetectorResponse(gains * (1 + errors), offset + scale * OFFSET_ERROR * rng.standard_normal())
