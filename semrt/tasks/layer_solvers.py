"""Thickness of gold under aluminium without a network: what each pixel says by itself, and what all say together."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from semrt.data import EnergyStack, LayerMap
from semrt.errors import InvalidOption
from semrt.kernels.layers import LayerSmoothness, LayerTable, likeliest_layers, smooth_layers, tikhonov_layers
from semrt.physics.backscatter import VARIANTS, backscatter
from semrt.tasks.layer_optics import seen
from semrt.tasks.layer_sharpening import sharp_field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.kernels.layers import DetectorResponse, SolvedLayers
    from semrt.tasks.layer_optics import Optics
    from semrt.tasks.layer_sharpening import SharpField

__all__ = [
    "LayersByLikelihood",
    "LayersByMarkovField",
    "LayersByTikhonov",
    "estimated_noise",
    "layer_map",
    "layer_table",
    "markov_field",
]

GOLD, ALUMINIUM = np.arange(17.0), np.arange(0.0, 161.0, 2.0)
"""Labels [nm]; solvers refine between them."""
FINE_GOLD = np.concatenate([[0.0], np.arange(1.0, 16.01, 0.25)])
"""Of whole regions in the end: in `repo` a little gold looks like much aluminium, and that a label is half a nanometre
off would decide between them."""
SMOOTHNESS = {"repo": LayerSmoothness(), "phys": LayerSmoothness((0.35, 0.1), (2.0, 6.0))}
"""In `phys`, thin aluminium is so faint that what suits `repo` smooths small pieces of it away."""
N_COMPONENTS = 6
"""Of the logarithms of spectra; what is beyond them, no thickness looks like."""
LEAST_NOISE = 1e-3
"""Relative; simulated images may have none."""
ODD = 0.001
"""Root mean square over energies of images' mean deviations from the model, relative, from which on the detector is
calibrated: where it is as expected, they stay below 0.0008, and an offset of 0.002 makes more."""
DARKEST = 0.02
"""Fraction of the beam; less is no signal but a fault, and has no logarithm."""
ODD_GAIN, ODD_OFFSET = 0.03, 0.012
"""Deviations of a detector that are told of; less may be the estimate's own error."""
POOR = 2.0
"""Mean chi² per degree of freedom from which on the model does not describe the images."""


@lru_cache(maxsize=8)
def _table(energies: tuple[float, ...], variant: str, fine: bool) -> LayerTable:
    gold = FINE_GOLD if fine else GOLD
    labels = np.stack(np.meshgrid(gold, ALUMINIUM, indexing="ij"))
    return LayerTable(backscatter(labels, energies, variant=variant), gold, ALUMINIUM)


def layer_table(energies: NDArray[np.float64], variant: str, *, fine: bool = False) -> LayerTable:
    """Signals of all thicknesses that are looked for; fine for those of regions.  Raises InvalidOption."""
    if variant not in VARIANTS:
        raise InvalidOption.unknown("variant", variant, VARIANTS)
    return _table(tuple(energies.tolist()), variant, fine)


def estimated_noise(stack: EnergyStack, table: LayerTable) -> float:
    """Relative standard deviation of a pixel, from what no thickness can look like; 0.02 where energies are few."""
    n = len(stack.energies)
    if n <= N_COMPONENTS + 2:
        return 0.02
    logarithms = np.log(table.signals.reshape(n, -1))
    mean = logarithms.mean(1, keepdims=True)
    components = np.linalg.svd(logarithms - mean, full_matrices=False)[0][:, :N_COMPONENTS]
    measured = np.log(np.maximum(stack.intensity.reshape(n, -1), DARKEST)) - mean
    rest = measured - components @ (components.T @ measured)
    rest -= np.median(rest, axis=1, keepdims=True)  # gains are no noise
    return max(float(np.sqrt(np.median((rest**2).mean(0)) * n / (n - N_COMPONENTS))), LEAST_NOISE)


def markov_field(
    stack: EnergyStack,
    variant: str,
    noise: float,
    *,
    calibrate: bool | None = None,
    sharpen: bool | None = None,
    response: DetectorResponse | None = None,
    optics: Optics | None = None,
    n_threads: int | None = None,
) -> SharpField:
    """Find the thicknesses of all pixels together, and how the images were recorded.

    variant: of the physics.  noise: relative, of a pixel.
    calibrate: whether to estimate the detector's response from the images; None where these call for it.
    sharpen: whether to look for blur and drift; None where they explain what is left over.
    response, optics: of the detector, and blur and drift, where they are known; then they are not estimated.
    """
    table = layer_table(stack.energies, variant)
    smoothness = SMOOTHNESS[variant]

    def solved(*, calibrate: bool) -> SolvedLayers:
        return smooth_layers(
            stack.intensity,
            table,
            noise=noise,
            smoothness=smoothness,
            response=response,
            calibrate=calibrate,
            n_threads=n_threads,
        )

    calibrated = bool(calibrate) and response is None
    found = solved(calibrate=calibrated)
    if calibrate is None and response is None:
        expected = table.at(found.thickness)
        deviations = np.mean((stack.intensity - expected) / expected, axis=(1, 2))
        if float(deviations.std()) > ODD or abs(float(deviations.mean())) > ODD:
            calibrated = True
            found = solved(calibrate=True)
    return sharp_field(
        stack,
        table,
        layer_table(stack.energies, variant, fine=True),
        variant,
        noise,
        smoothness,
        found,
        calibrate=calibrated,
        sharpen=sharpen,
        optics=optics,
        n_threads=n_threads,
    )


def layer_map(
    thickness: NDArray[np.float32],
    sigma: NDArray[np.float32],
    measured: EnergyStack,
    variant: str,
    response: DetectorResponse,
    noise: float,
    *,
    optics: Optics | None = None,
    told: bool = True,
) -> LayerMap:
    """A result with the calibration of the stack, and what of its images is unexplained.

    thickness, sigma: (2, ny, nx) [nm].  response: of the detector, as estimated.  noise: relative, as estimated.
    optics: blur and drift, as estimated; None where the images are sharp.
    """
    signal = backscatter(thickness, measured.energies, variant=variant)
    if optics is not None:
        signal = seen(signal.astype(np.float32), optics).astype(np.float64)
    expected = response.gain[:, None, None] * signal + response.offset
    residual = np.sqrt(np.mean(((measured.intensity - expected) / expected) ** 2, axis=(1, 2)))
    how_seen = {} if optics is None else {"blur_px": optics.blur, "drift_px": optics.shifts.tolist()}
    return LayerMap(
        thickness,
        sigma,
        residual=residual,
        energies=measured.energies,
        pixel_size=measured.pixel_size,
        metadata=measured.metadata,
        provenance={
            "variant": variant,
            "noise": noise,
            "gain": response.gain.tolist(),
            "offset": response.offset,
            **how_seen,
            "chi2": float(np.mean(residual**2)) / noise**2,
        },
        notes=_notes(response, optics, residual, noise, measured.energies) if told else (),
    )


class LayersByMarkovField:
    """The `layers` model: thicknesses of all pixels together, likely and alike in neighbours."""

    accepts = EnergyStack
    gives = LayerMap
    solvers: Mapping[str, str] = {"mrf": "layers", "ml": "layers-ml", "tikhonov": "layers-tikhonov"}

    def solve(
        self,
        measured: EnergyStack,
        *,
        variant: str = "repo",
        noise: float | None = None,
        calibrate: bool | None = None,
        sharpen: bool | None = None,
        n_threads: int | None = None,
    ) -> LayerMap:
        """Find the layers.

        variant: of the physics, see semrt.physics.backscatter.  noise: relative, of a pixel; estimated where None.
        calibrate: estimate the detector's gain at each energy and its offset from the images; None where these call
            for it.  sharpen: estimate blur and drift from energy to energy, and find the layers behind them; None where
            they explain what the layers of sharp images leave over.  Raises InvalidOption.
        """
        table = layer_table(measured.energies, variant)
        noise = estimated_noise(measured, table) if noise is None else noise
        found = markov_field(measured, variant, noise, calibrate=calibrate, sharpen=sharpen, n_threads=n_threads)
        solved = found.solved
        return layer_map(solved.thickness, solved.sigma, measured, variant, solved.response, noise, optics=found.optics)


class LayersByLikelihood:
    """The `layers-ml` model: the likeliest thickness of each pixel by itself."""

    accepts = EnergyStack
    gives = LayerMap

    def solve(
        self,
        measured: EnergyStack,
        *,
        variant: str = "repo",
        noise: float | None = None,
        n_threads: int | None = None,
    ) -> LayerMap:
        """Find the layers.  Options as those of `layers`; the detector is taken at its word."""
        table = layer_table(measured.energies, variant)
        noise = estimated_noise(measured, table) if noise is None else noise
        found = likeliest_layers(measured.intensity, table, noise=noise, n_threads=n_threads)
        return layer_map(found.thickness, found.sigma, measured, variant, found.response, noise)


class LayersByTikhonov:
    """The `layers-tikhonov` model: least squares with a penalty on slopes, the report's baseline."""

    accepts = EnergyStack
    gives = LayerMap

    def solve(
        self,
        measured: EnergyStack,
        *,
        variant: str = "repo",
        noise: float | None = None,
        alpha: float = 0.25,
        n_threads: int | None = None,
    ) -> LayerMap:
        """Find the layers.  alpha: of the penalty.  Options as those of `layers-ml`."""
        table = layer_table(measured.energies, variant)
        noise = estimated_noise(measured, table) if noise is None else noise
        found = tikhonov_layers(measured.intensity, table, alpha=alpha, noise=noise, n_threads=n_threads)
        return layer_map(found.thickness, found.sigma, measured, variant, found.response, noise, told=False)


def _notes(
    response: DetectorResponse,
    optics: Optics | None,
    residual: NDArray[np.float64],
    noise: float,
    energies: NDArray[np.float64],
) -> tuple[str, ...]:
    notes = []
    if optics is not None:
        farthest = float(np.hypot(*optics.shifts.T).max())
        notes.append(
            f"the images were taken to be blurred by {optics.blur:.2f} px (sigma) and to have drifted by up to "
            f"{farthest:.2f} px, as they show; --set sharpen=false takes them for sharp"
        )
    worst = int(np.abs(response.gain - 1).argmax())
    if abs(response.gain[worst] - 1) >= ODD_GAIN or abs(response.offset) >= ODD_OFFSET:
        notes.append(
            f"the detector was taken to have a gain of up to {response.gain[worst]:.3f} (at {energies[worst]:g} keV) "
            f"and an offset of {response.offset:+.4f}, as the images show; compare them with its calibration"
        )
    if (chi2 := float(np.mean(residual**2)) / noise**2) > POOR:
        notes.append(
            f"the model leaves {np.sqrt(chi2):.1f} times the noise unexplained; another variant, other materials?"
        )
    return tuple(notes)
