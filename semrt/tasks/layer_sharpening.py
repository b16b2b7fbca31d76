"""A Markov field's layers once more, as seen through a wide probe in images that drifted apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt.kernels.layer_sharpening import sharpen_layers
from semrt.kernels.layers import SolvedLayers, fitted_response
from semrt.physics.backscatter import backscatter
from semrt.tasks.layer_optics import WIDEST, Optics, fitted_optics
from semrt.tasks.layer_precision import pixel_sigma

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import EnergyStack
    from semrt.kernels.layer_sharpening import SharpLayers
    from semrt.kernels.layers import DetectorResponse, LayerSmoothness, LayerTable

    Images = NDArray[np.float32]

__all__ = ["SharpField", "sharp_field"]

ODD = 60.0
"""Half of chi² that drift and blur gain, from which on layers are found again: where there is neither, it is below
40."""
SIDE = 192
"""[px], of what is looked at to find the blur."""
BLURS = 0.15
"""[px], between those tried."""
TURNS = 4
"""Of layers and optics, at most."""
MOST_ALIKE = 25
"""Pixels of a region that are trusted to tell of the same thickness."""
DARKEST = 0.05
"""Fraction of the beam; noise is not taken to fall below that of such an image."""


@dataclass(frozen=True, eq=False, slots=True)
class SharpField:
    """solved: the layers.  expected: (n, ny, nx), what is seen of them by a perfect detector.

    optics: as estimated; None where the images are sharp.
    """

    solved: SolvedLayers
    expected: Images
    optics: Optics | None


@dataclass(frozen=True, eq=False)
class _Model:
    """What is known of a stack, however it was seen."""

    energies: NDArray[np.float64]
    table: LayerTable
    fine: LayerTable
    variant: str
    noise: float
    smoothness: LayerSmoothness
    n_threads: int | None

    def signals(self, thickness: NDArray[np.float64]) -> NDArray[np.float64]:
        return backscatter(thickness, self.energies, variant=self.variant)

    def found(
        self, measured: Images, thickness: Images, optics: Optics, *, doubt: bool = False, search: bool = False
    ) -> SharpLayers:
        """doubt: tell it too.  search: be quick, as costs alone are looked at."""
        # Behind blur, regions that may be anything take over what is wrong of their neighbours.
        return sharpen_layers(
            measured,
            self.table if optics.taps.shape[2] > 1 else self.fine,
            thickness,
            optics.taps,
            signals=self.signals,
            deviation=self.deviation(measured),
            smoothness=self.smoothness,
            rounds=2 if search else 4,
            doubt=doubt,
            n_threads=self.n_threads,
        )

    def deviation(self, measured: Images) -> Images:
        """In proportion to the mean of 3 by 3 pixels."""
        import cv2

        means = np.stack([cv2.blur(image, (3, 3), borderType=cv2.BORDER_REPLICATE) for image in measured])
        return np.asarray(self.noise * np.maximum(means, DARKEST), np.float32)

    def optics(self, measured: Images, thickness: Images, start: Optics, steps: int) -> tuple[Optics, float]:
        pairs, which = np.unique(thickness.reshape(2, -1).T, axis=0, return_inverse=True)
        every = self.signals(pairs.T.astype(np.float64)).astype(np.float32)[:, which.ravel()]
        return fitted_optics(measured, every.reshape(measured.shape), self.deviation(measured), start, steps=steps)

    def best_blur(self, measured: Images, thickness: Images, optics: Optics) -> tuple[Optics, Images]:
        """The blur through which layers explain the images best, and layers found through a little more.

        A field of blurred images explains them by blurred layers; only once these may change, the right blur is best.
        """
        found: dict[int, SharpLayers] = {}

        def cost(step: int) -> float:
            if step not in found:
                found[step] = self.found(measured, thickness, replace(optics, blur=step * BLURS), search=True)
            return found[step].cost

        best = max(round(optics.blur / BLURS), 1)
        while best * BLURS < WIDEST and cost(best + 1) < cost(best):
            best += 1
        while best > 0 and cost(best - 1) < cost(best):
            best -= 1
        before, at, after = cost(abs(best - 1)), cost(best), cost(best + 1)
        bent = before - 2 * at + after
        parabola = 0.5 * (before - after) / bent if bent > 0 else 0.0
        blur = BLURS * float(np.clip(best + parabola, 0, None))
        return replace(optics, blur=blur), found[best + 1].thickness


def sharp_field(
    stack: EnergyStack,
    table: LayerTable,
    fine: LayerTable,
    variant: str,
    noise: float,
    smoothness: LayerSmoothness,
    field: SolvedLayers,
    *,
    calibrate: bool,
    sharpen: bool | None = None,
    optics: Optics | None = None,
    n_threads: int | None = None,
) -> SharpField:
    """Find how the images were seen, and the layers anew, where drift and blur explain what a field left over.

    Either way pixels and regions are then put where they explain the images best, regions of sharp images on the finer
    table, and sigma becomes that of a region of equal pixels, of which 25 at most are trusted to be independent, and
    how far off lies what would explain the images nearly as well.
    table, smoothness: those of the field.  fine: a table of more thicknesses.
    calibrate: whether to estimate the detector's response again.
    sharpen: False to take the images for sharp, True for images with drift and blur, None to decide.
    optics: how they were seen, where it is known.
    """
    model = _Model(stack.energies, table, fine, variant, noise, smoothness, n_threads)
    response, start = field.response, field.thickness
    looked = optics is None and sharpen is not False
    if looked:
        optics, start, response = _estimated(model, stack.intensity, field, calibrate=calibrate, sharpen=sharpen)
    measured = _as_recorded(stack.intensity, response)
    thickness = field.thickness
    if optics is not None:
        thickness = start
        if not looked or start.shape != field.thickness.shape:
            wider = replace(optics, blur=optics.blur + BLURS)
            thickness = model.found(measured, field.thickness, wider).thickness
    still = Optics(np.zeros((len(stack.energies), 2)))
    sharp = model.found(measured, thickness, optics or still, doubt=True)
    off = (measured - sharp.expected) / model.deviation(measured)
    cost = np.sum(off**2, axis=0) / max(len(stack.energies) - 2, 1)
    alone = pixel_sigma(sharp.thickness, stack.energies, variant, noise)
    sigma = np.hypot(alone / np.sqrt(np.minimum(sharp.alike, MOST_ALIKE)), sharp.doubt).astype(np.float32)
    return SharpField(SolvedLayers(sharp.thickness, sigma, cost, response), sharp.expected, optics)


def _estimated(
    model: _Model, intensity: Images, field: SolvedLayers, *, calibrate: bool, sharpen: bool | None
) -> tuple[Optics | None, Images, DetectorResponse]:
    """Optics (None for sharp images), layers and the detector's response, from the middle of the images."""
    window = tuple(slice(max(0, (size - SIDE) // 2), (size + SIDE) // 2) for size in intensity.shape[1:])
    part, layers, response = intensity[:, *window], field.thickness[:, *window], field.response
    measured = _as_recorded(part, response)
    still = Optics(np.zeros((len(intensity), 2)), 2 * BLURS)
    optics, gained = model.optics(measured, layers, still, 4)
    if not sharpen and gained < ODD:
        return None, layers, response
    optics, layers = model.best_blur(measured, layers, optics)
    for _ in range(TURNS):
        sharp = model.found(measured, layers, optics)
        layers = sharp.thickness
        if calibrate:
            response = fitted_response(part, sharp.expected, noise=model.noise)
            measured = _as_recorded(part, response)
        before = optics
        optics, _ = model.optics(measured, layers, before, 2)
        if optics.is_near(before):
            break
    return optics, layers, response


def _as_recorded(intensity: Images, response: DetectorResponse) -> Images:
    """By a perfect detector."""
    return np.asarray((intensity - response.offset) / response.gain[:, None, None], np.float32)
