"""How images at many energies were seen: how wide the probe was, and how they drifted from energy to energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.kernels.layer_sharpening import probe_taps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.float32]

__all__ = ["Optics", "fitted_optics", "seen"]

WIDEST = 3.0
"""Probe, sigma [px]; what is blurred more is not told from slopes."""
_LEAST_SIGMA = 0.35  # [px], about which the probe's derivative is taken; a narrower one is seen nowhere
_STEP, _FAR = 0.2, 2.0  # [px]: drift expected from energy to energy, and altogether
_NUDGE = 0.05  # [px], of derivatives
_LONGEST = 0.3  # [px], of a step of the fit
_ALIKE = 0.02  # [px], which changes no layers
_BORDER = 4  # [px], beyond which nobody knows what lies


@dataclass(frozen=True, eq=False, slots=True)
class Optics:
    """shifts: (n, 2), by how much each image is moved along y and x [px].  blur: sigma of the probe [px]."""

    shifts: NDArray[np.float64]
    blur: float = 0.0

    @property
    def taps(self) -> Images:
        """Of `sharpen_layers`."""
        return probe_taps(self.shifts, self.blur)

    def is_near(self, other: Optics) -> bool:
        """Whether no layer would be found elsewhere."""
        moved = float(np.abs(self.shifts - other.shifts).max())
        return moved < _ALIKE and abs(self.blur - other.blur) < _ALIKE


def seen(signals: Images, optics: Optics) -> Images:
    """Images (n, ny, nx) of signals, beyond which the outermost pixels go on."""
    import cv2

    images = np.empty(signals.shape, np.float32)
    # OpenCV correlates: what lies before a pixel comes last.
    for signal, taps, out in zip(np.ascontiguousarray(signals), optics.taps[:, :, ::-1], images, strict=True):
        down, across = np.ascontiguousarray(taps)
        cv2.sepFilter2D(signal, -1, across, down, dst=out, borderType=cv2.BORDER_REPLICATE)
    return images


def fitted_optics(
    measured: Images, signals: Images, deviation: Images, start: Optics, *, steps: int = 4
) -> tuple[Optics, float]:
    """Fit drift and blur to what layers are expected to show, and say what it gains: half of chi².

    measured, signals (of the layers, as a perfect microscope would see them), deviation: (n, ny, nx).
    start: where to begin.  steps: of Gauss and Newton's.
    """
    n, ny, nx = measured.shape
    border = _BORDER if min(ny, nx) >= 8 * _BORDER else 0
    inner = np.s_[:, border : ny - border, border : nx - border]

    def image(shifts: NDArray[np.float64], blur: float) -> Images:
        return (seen(signals, Optics(shifts, blur))[inner] / deviation[inner]).reshape(n, -1)

    target = (measured[inner] / deviation[inner]).reshape(n, -1)
    slow = _slow_drift(n)
    down, across = np.array([_NUDGE, 0]), np.array([0, _NUDGE])

    def cost(shifts: NDArray[np.float64], blur: float) -> float:
        unlikely = float(shifts.ravel() @ slow @ shifts.ravel())
        return 0.5 * float(np.sum((target - image(shifts, blur)) ** 2, dtype=np.float64)) + 0.5 * unlikely

    shifts, blur = start.shifts, start.blur
    before = cost(np.zeros((n, 2)), 0.0)
    least = cost(shifts, blur)
    for _ in range(steps):
        rest = target - image(shifts, blur)
        about = max(blur, _LEAST_SIGMA)
        slopes = np.stack([
            image(shifts + down, blur) - image(shifts - down, blur),
            image(shifts + across, blur) - image(shifts - across, blur),
            image(shifts, about + _NUDGE) - image(shifts, about - _NUDGE),
        ]) / (2 * _NUDGE)  # fmt: skip
        normal, along = np.zeros((2 * n + 1, 2 * n + 1)), np.zeros(2 * n + 1)
        for e in range(n):
            own = [2 * e, 2 * e + 1, 2 * n]  # its two shifts, and the blur that all have
            normal[np.ix_(own, own)] += slopes[:, e] @ slopes[:, e].T
            along[own] += slopes[:, e] @ rest[e]
        normal[:-1, :-1] += slow
        along[:-1] -= slow @ shifts.ravel()
        step = np.linalg.solve(normal + 1e-6 * np.eye(2 * n + 1), along).clip(-_LONGEST, _LONGEST)
        tried = [(share, blurred) for share in (1.0, 0.5, 0.25) for blurred in (1.0, 0.0)]
        for share, blurred in tried:  # without the blur too: a narrow probe's slope says little of where it leads
            moved = shifts + share * step[:-1].reshape(n, 2)
            wider = float(np.clip(blur + share * blurred * step[-1], 0, WIDEST))
            if (found := cost(moved, wider)) < least:
                shifts, blur, least = moved, wider, found
                break
        else:
            break
    # Layers that were found too far to one side want all images moved; they are to be found again where the mean lies.
    return Optics(shifts - shifts.mean(0), blur), before - least


def _slow_drift(n: int) -> NDArray[np.float64]:
    """What drift is expected to be, as a quadratic form of the 2 n shifts."""
    steps = np.diff(np.eye(n), axis=0) / _STEP
    return np.asarray(np.kron(steps.T @ steps + np.eye(n) / _FAR**2, np.eye(2)), np.float64)
