"""A Markov field's layers once more, as seen through a wide probe in images that drifted apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt.kernels.layer_sharpening import sharpen_layers
from semrt.kernels.layers import SolvedLayers, film, fitted_response, smooth_layers
from semrt.physics.backscatter import backscatter
from semrt.tasks.layer_optics import WIDEST, Optics, fitted_optics, seen
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
FILM_TURNS = 3
"""Of layers and detector, in which films are kept away."""
ODD_DETECTOR = 0.01
"""Standard deviation of gains about 1 and of the offset about 0 that detectors are expected to have."""
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
class _Corrected:
    """Images (n, ny, nx) as a perfect detector would have recorded them, and the standard deviation of their noise."""

    images: Images
    deviation: Images


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

    def corrected(self, intensity: Images, response: DetectorResponse) -> _Corrected:
        """Noise is in proportion to the mean of 3 by 3 pixels as they were recorded: in proportion to what is left of
        them, a wrong offset would seem to explain the images better.
        """
        import cv2

        gain = response.gain[:, None, None]
        means = np.stack([cv2.blur(image, (3, 3), borderType=cv2.BORDER_REPLICATE) for image in intensity])
        deviation = np.asarray(self.noise * np.maximum(means, DARKEST) / gain, np.float32)
        return _Corrected(np.asarray((intensity - response.offset) / gain, np.float32), deviation)

    def found(
        self, seen_as: _Corrected, thickness: Images, optics: Optics, *, doubt: bool = False, search: bool = False
    ) -> SharpLayers:
        """doubt: tell it too.  search: be quick, as costs alone are looked at."""
        # Behind blur, regions that may be anything take over what is wrong of their neighbours.
        return sharpen_layers(
            seen_as.images,
            self.table if optics.taps.shape[2] > 1 else self.fine,
            thickness,
            optics.taps,
            signals=self.signals,
            deviation=seen_as.deviation,
            smoothness=self.smoothness,
            rounds=2 if search else 4,
            doubt=doubt,
            n_threads=self.n_threads,
        )

    def signals_of(self, thickness: Images) -> Images:
        """(n, ny, nx), computed once for each pair of thicknesses."""
        pairs, which = np.unique(thickness.reshape(2, -1).T, axis=0, return_inverse=True)
        every = self.signals(pairs.T.astype(np.float64)).astype(np.float32)[:, which.ravel()]
        return every.reshape(-1, *thickness.shape[1:])

    def optics(self, seen_as: _Corrected, thickness: Images, start: Optics, steps: int) -> tuple[Optics, float]:
        return fitted_optics(seen_as.images, self.signals_of(thickness), seen_as.deviation, start, steps=steps)

    def surprise(self, sharp: SharpLayers, response: DetectorResponse) -> float:
        """Of layers and of a detector so far from a perfect one."""
        return sharp.cost + 0.5 * float(np.sum((response.gain - 1) ** 2) + response.offset**2) / ODD_DETECTOR**2

    def best_blur(self, measured: _Corrected, thickness: Images, optics: Optics) -> tuple[Optics, Images, float]:
        """The blur through which layers explain the images best, layers found through a little more, and their cost.

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
        return replace(optics, blur=blur), found[best + 1].thickness, at


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
    measured = model.corrected(stack.intensity, response)
    thickness = field.thickness
    if optics is not None:
        thickness = start
        if not looked or start.shape != field.thickness.shape:
            wider = replace(optics, blur=optics.blur + BLURS)
            thickness = model.found(measured, field.thickness, wider).thickness
    still = Optics(np.zeros((len(stack.energies), 2)))
    sharp = model.found(measured, thickness, optics or still, doubt=True)
    if optics is not None and looked and calibrate:  # a detector taken for another may have led the layers astray
        afresh = smooth_layers(
            stack.intensity, table, noise=noise, smoothness=smoothness, response=response, n_threads=n_threads
        )
        wider = replace(optics, blur=optics.blur + BLURS)
        thickness = model.found(measured, afresh.thickness, wider).thickness
        sharp = min(sharp, model.found(measured, thickness, optics, doubt=True), key=lambda one: one.cost)
    off = (measured.images - sharp.expected) / measured.deviation
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
    measured = model.corrected(part, response)
    still = Optics(np.zeros((len(intensity), 2)), 2 * BLURS)
    optics, gained = model.optics(measured, layers, still, 8)
    if not sharpen and gained < ODD:
        return None, layers, response
    sharp = model.found(measured, layers, Optics(np.zeros((len(intensity), 2))))
    optics, layers, cost = model.best_blur(measured, layers, optics)
    if not sharpen and sharp.cost < cost:  # of slopes, which look like blur until regions may be anything
        return None, layers, response
    for turn in range(TURNS):
        sharp = model.found(measured, layers, optics)
        layers = sharp.thickness
        if calibrate:
            response = fitted_response(part, sharp.expected, noise=model.noise)
            if turn == 0:
                layers, response = _without_films(model, part, layers, optics, response)
            measured = model.corrected(part, response)
        before = optics
        optics, _ = model.optics(measured, layers, before, 4)
        if optics.is_near(before):
            break
    return optics, layers, response


def _without_films(
    model: _Model, part: Images, layers: Images, optics: Optics, response: DetectorResponse
) -> tuple[Images, DetectorResponse]:
    """Layers and response with no thin film on the bare substrate, if they surprise less: it looks like an offset."""
    given = model.found(model.corrected(part, response), layers, optics)
    bare, other = given, response
    for _ in range(FILM_TURNS):
        thickness = np.where(film(bare.thickness), np.float32(0), bare.thickness)
        other = fitted_response(part, seen(model.signals_of(thickness), optics), noise=model.noise)
        bare = model.found(model.corrected(part, other), thickness, optics)
    if model.surprise(bare, other) < model.surprise(given, response):
        return bare.thickness, other
    return given.thickness, response
