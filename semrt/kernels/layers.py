"""Thickness of two layers from the signals of each pixel at many beam energies, by tables of a model's signals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt import _core
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels._threads import thread_count

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "DetectorResponse",
    "LayerSmoothness",
    "LayerTable",
    "SolvedLayers",
    "detector_response",
    "film",
    "fitted_response",
    "likeliest_layers",
    "smooth_layers",
    "tikhonov_layers",
]

_CALIBRATION_SIDE = 64  # [px]; as many pixels tell gain and offset well enough
_CALIBRATION_STEPS = 4
_STARTS = (0.0, -0.015, -0.0075, 0.0075, 0.015)  # offsets; layers everywhere can pass for one
_GAIN_SPREAD, _OFFSET_SPREAD = 0.01, 0.01  # what instruments are expected to have
_CORRELATED = 10.0  # pixels that are wrong together count as one
_COMPARED = 100.0  # and more of them where solutions are compared, or labels a little off would outweigh odd gains
_FILM, _AS_GOOD = 6.0, 1.02  # [nm]; and what surprises so little more without a film has none
_CREDIBLE = 4.0  # chi² per degree of freedom; what fits worse lies across an edge and tells nothing of the detector


@dataclass(frozen=True, eq=False, slots=True)
class LayerTable:
    """What a model of the specimen says that comes back, on a grid of thicknesses.

    signals: (n, n_lower, n_upper) float64, above zero, at each energy.
    lower, upper: (n_lower,), (n_upper,) thicknesses [nm], rising, zero or more; 0 means that there is no layer, which
        for the lower one is a branch of its own: nothing is interpolated between 0 and the next label.
    Raises InvalidShape, InvalidValue.
    """

    signals: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float64))
        for name, labels in (("lower", self.lower), ("upper", self.upper)):
            if labels.ndim != 1 or not labels.size:
                raise InvalidShape(name, "(n,) with at least one thickness", labels.shape)
            if not (np.isfinite(labels).all() and labels[0] >= 0 and (np.diff(labels.astype(np.float32)) > 0).all()):
                raise InvalidValue(name, "rising thicknesses of zero or more [nm]", "others")
        if self.signals.ndim != 3 or self.signals.shape[1:] != (self.lower.size, self.upper.size):
            raise InvalidShape("signals", f"(n, {self.lower.size}, {self.upper.size})", self.signals.shape)
        if not self.signals.size:
            raise InvalidShape("signals", "(n, n_lower, n_upper) with at least one energy", self.signals.shape)
        if not (np.isfinite(self.signals).all() and (self.signals > 0).all()):
            raise InvalidValue("signals", "finite values above zero", "others")

    def at(self, thickness: ArrayLike) -> NDArray[np.float64]:
        """Signals (n, ...) of the labels nearest to thicknesses (2, ...) [nm]."""
        lower, upper = (
            np.searchsorted(0.5 * (labels[1:] + labels[:-1]), values)
            for labels, values in zip((self.lower, self.upper), np.asarray(thickness, np.float64), strict=True)
        )
        return np.asarray(self.signals[:, lower, upper])


@dataclass(frozen=True, slots=True)
class LayerSmoothness:
    """What two neighbouring pixels that differ cost, in half chi²: weight times their difference, up to a limit.

    weight: of each nm, for the lower and the upper layer.  limit: differences beyond it cost no more [nm].
    """

    weight: tuple[float, float] = (0.35, 0.14)
    limit: tuple[float, float] = (2.0, 6.0)

    def __post_init__(self) -> None:
        for name in ("weight", "limit"):
            values = getattr(self, name)
            if len(values) != 2 or not all(math.isfinite(value) and value >= 0 for value in values):
                raise InvalidOption(f"{name}: expected two values of zero or more, got {values}")


@dataclass(frozen=True, eq=False, slots=True)
class DetectorResponse:
    """What a detector made of the signals: measured = gain · signal + offset.  gain: (n,), one for each energy."""

    gain: NDArray[np.float64]
    offset: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class SolvedLayers:
    """Layers that explain an image.

    thickness: (2, ny, nx) float32 [nm], lower and upper.
    sigma: (2, ny, nx) float32, their standard deviations [nm] from the Fisher matrix, both unknown; where there is no
        lower layer, that of the thinnest.
    cost: (ny, nx) float32, chi² per degree of freedom; about 1 where model and noise are right.
    response: what was taken for the detector's.
    """

    thickness: NDArray[np.float32]
    sigma: NDArray[np.float32]
    cost: NDArray[np.float32]
    response: DetectorResponse


def likeliest_layers(
    intensity: ArrayLike,
    table: LayerTable,
    *,
    noise: float = 0.02,
    response: DetectorResponse | None = None,
    n_threads: int | None = None,
) -> SolvedLayers:
    """Find the likeliest thicknesses in each pixel by itself, among the labels and then between them.

    intensity: (n, ny, nx).  noise: standard deviation relative to the signal.  response: None for gain 1, offset 0.
    The same for any number of threads.  Raises InvalidShape, InvalidValue, InvalidOption.
    """
    return _solve(_core.likeliest_layers, intensity, table, noise, response, (), n_threads)


def smooth_layers(
    intensity: ArrayLike,
    table: LayerTable,
    *,
    noise: float = 0.02,
    smoothness: LayerSmoothness | None = None,
    response: DetectorResponse | None = None,
    calibrate: bool = False,
    n_threads: int | None = None,
) -> SolvedLayers:
    """Find the thicknesses of all pixels together: likely, and alike in neighbours but where a layer ends.

    intensity, noise, response: as for `likeliest_layers`.  smoothness: None for what suits backscatter at 2 % of noise.
    calibrate: estimate gains and offset from the image itself, which needs several thicknesses in the field, bare
        substrate best among them; on means of pixels, about 64 × 64 of them.  Not with `response`.
    sigma is that of a region of equal pixels, of which it trusts 100 at most.  Regions stay on the grid of labels
    unless their signals contradict it.  The same for any number of threads.
    Raises InvalidShape, InvalidValue, InvalidOption.  Besag 1986, doi:10.1111/j.2517-6161.1986.tb01412.x.
    """
    settings = LayerSmoothness() if smoothness is None else smoothness
    if calibrate:
        if response is not None:
            raise InvalidOption("calibrate: finds the response; leave out one of the two")
        response = _calibrated(intensity, table, noise, settings, n_threads)
    return _solve(_core.smooth_layers, intensity, table, noise, response, (settings.weight, settings.limit), n_threads)


def tikhonov_layers(
    intensity: ArrayLike,
    table: LayerTable,
    *,
    alpha: float = 0.25,
    noise: float = 0.02,
    response: DetectorResponse | None = None,
    n_threads: int | None = None,
) -> SolvedLayers:
    """Find thicknesses by least squares with a penalty on slopes, the classical baseline.

    intensity, noise, response: as for `likeliest_layers`.  Minimises chi² + alpha times squared differences between the
    4 neighbours, each layer in tenths of the range of its labels.  The same for any number of threads.
    Raises InvalidShape, InvalidValue, InvalidOption.
    """
    if not (math.isfinite(alpha) and alpha >= 0):
        raise InvalidOption(f"alpha: expected zero or more, got {alpha}")
    return _solve(_core.tikhonov_layers, intensity, table, noise, response, (float(alpha),), n_threads)


def detector_response(
    intensity: ArrayLike, table: LayerTable, solved: SolvedLayers, *, noise: float = 0.02
) -> DetectorResponse:
    """Fit a gain for each energy and a common offset to what an image has on its solution.

    intensity: (n, ny, nx).  noise: relative to the signal.  Gains are expected within 0.01 of 1, the offset within 0.01
    of 0, and left there as far as the image does not tell.  Pixels whose cost is 4 or more, and more than twice the
    median, are left out.  Raises InvalidShape, InvalidValue.
    """
    stack = _stack(intensity, table)
    believed = solved.cost <= max(_CREDIBLE, 2 * float(np.median(solved.cost)))
    return fitted_response(stack[:, believed], table.at(solved.thickness[:, believed]), noise=noise)


def fitted_response(measured: ArrayLike, expected: ArrayLike, *, noise: float = 0.02) -> DetectorResponse:
    """Fit a gain for each energy and a common offset to what a perfect detector would have recorded.

    measured, expected: (n, ...), above zero.  Priors and noise are those of `detector_response`.
    """
    signals = np.asarray(expected, np.float64).reshape(len(np.asarray(expected)), -1)
    # Relative residuals have equal noise: measured / expected - 1 = (gain - 1) + offset / expected.
    ratio, inverse = np.asarray(measured).reshape(signals.shape) / signals - 1, 1 / signals
    ratio_mean, inverse_mean = ratio.mean(axis=1), inverse.mean(axis=1)
    pixel = 1 / (_CORRELATED * noise**2)
    pixels = pixel * ratio.shape[1]
    shrunk = pixels / (1 + pixels * _GAIN_SPREAD**2)  # what is left of the means' weight when gains may follow them
    spread = inverse - inverse_mean[:, None]
    along = pixel * float(np.sum(spread * ratio)) + shrunk * float(ratio_mean @ inverse_mean)
    within = pixel * float(np.sum(spread**2)) + shrunk * float(inverse_mean @ inverse_mean)
    offset = along / (within + 1 / _OFFSET_SPREAD**2)
    gain = 1 + (ratio_mean - offset * inverse_mean) * (1 - shrunk / pixels)
    return DetectorResponse(np.maximum(gain, 0.1), offset)


def _calibrated(
    intensity: ArrayLike, table: LayerTable, noise: float, smoothness: LayerSmoothness, n_threads: int | None
) -> DetectorResponse:
    """Solution and detector in turn, from several offsets, on an image of fewer pixels, each the mean of several."""
    stack = _stack(intensity, table)
    n, ny, nx = stack.shape
    every = max(1, min(ny, nx) // _CALIBRATION_SIDE)
    whole = stack[:, : ny // every * every, : nx // every * every]
    small = whole.reshape(n, ny // every, every, nx // every, every).mean(axis=(2, 4))
    finer = noise / every
    weights = tuple(every * weight for weight in smoothness.weight)

    def solve(response: DetectorResponse) -> SolvedLayers:
        return _solve(_core.smooth_layers, small, table, finer, response, (weights, smoothness.limit), n_threads)

    def surprise(solved: SolvedLayers) -> float:
        """Chi² of pixels, of gains and of the offset; a small one is likely."""
        response = solved.response
        chi2 = n * float(np.minimum(solved.cost, _CREDIBLE).sum()) / _COMPARED
        unlike_one = float(np.sum((response.gain - 1) ** 2)) / _GAIN_SPREAD**2
        return float(chi2 + unlike_one + (response.offset / _OFFSET_SPREAD) ** 2)

    def follow(response: DetectorResponse, steps: int) -> SolvedLayers:
        solved = solve(response)
        for _ in range(steps):
            solved = solve(detector_response(small, table, solved, noise=finer))
        return solved

    starts = [DetectorResponse(np.ones(n), offset) for offset in _STARTS]
    best = min((follow(start, 2) for start in starts), key=surprise)
    best = follow(best.response, _CALIBRATION_STEPS)
    if np.count_nonzero(film(best.thickness)) > np.count_nonzero((best.thickness == 0).all(0)):
        other = best  # kept away for some rounds, since solution and detector follow one another slowly
        for _ in range(_CALIBRATION_STEPS):
            bare = np.where(film(other.thickness), np.float32(0), other.thickness)
            other = solve(detector_response(small, table, replace(other, thickness=bare), noise=finer))
        if surprise(other) < _AS_GOOD * surprise(best):
            best = other
    return best.response


def film(thickness: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a thin film alone lies on the substrate, (ny, nx); all over it, a detector's offset looks like one."""
    return np.asarray((thickness[0] == 0) & (thickness[1] > 0) & (thickness[1] <= _FILM))


def _solve(
    solver: Any,
    intensity: ArrayLike,
    table: LayerTable,
    noise: float,
    response: DetectorResponse | None,
    settings: tuple[Any, ...],
    n_threads: int | None,
) -> SolvedLayers:
    stack = _stack(intensity, table)
    if not (math.isfinite(noise) and noise > 0):
        raise InvalidOption(f"noise: expected a standard deviation above 0, relative to the signal, got {noise}")
    detector = _response(response, len(stack))
    thickness, sigma, cost = solver(
        stack,
        table.signals,
        table.lower,
        table.upper,
        float(noise),
        detector.gain.tolist(),
        float(detector.offset),
        *settings,
        thread_count(n_threads),
    )
    return SolvedLayers(thickness, sigma, cost, detector)


def _stack(intensity: ArrayLike, table: LayerTable) -> NDArray[np.float32]:
    stack = np.ascontiguousarray(intensity, np.float32)
    if stack.ndim != 3 or 0 in stack.shape or len(stack) != len(table.signals):
        raise InvalidShape("intensity", f"({len(table.signals)}, ny, nx) with at least one pixel", stack.shape)
    if not np.isfinite(stack).all():
        raise InvalidValue(
            "intensity", "finite values", "NaN or infinite ones", "replace them by their neighbours' mean"
        )
    return stack


def _response(response: DetectorResponse | None, n: int) -> DetectorResponse:
    if response is None:
        return DetectorResponse(np.ones(n))
    gain = np.asarray(response.gain, np.float64)
    if gain.shape != (n,):
        raise InvalidShape("gain", f"({n},)", gain.shape)
    if not (np.isfinite(gain).all() and (gain > 0).all() and math.isfinite(response.offset)):
        raise InvalidValue("response", "gains above zero and a finite offset", "others")
    return DetectorResponse(gain, response.offset)
