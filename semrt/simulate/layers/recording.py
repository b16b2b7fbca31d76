"""From thickness to images: what comes back at each beam energy, seen through probe, drift and detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from semrt.errors import InvalidOption
from semrt.physics.backscatter import ENERGIES, GOLD_UNDER_ALUMINIUM, LayerStack, backscatter
from semrt.simulate.fields import log_uniform

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Images = NDArray[np.float32]

__all__ = ["Exposure", "Recording", "draw_recording", "expose", "signal_of"]


@dataclass(frozen=True, slots=True)
class Recording:
    """How the images of a series are recorded.

    noise: standard deviation relative to what is expected.
    offset: of the detector, in all images [fraction of the beam].
    gain: standard deviation about 1 of the gain, which differs from energy to energy.
    blur: sigma of the probe [px].
    drift: root mean square of the images' shifts along either axis [px]; they wander slowly from energy to energy.
    """

    noise: float = 0.02
    offset: float = 0.0
    gain: float = 0.0
    blur: float = 0.0
    drift: float = 0.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.offset):
            raise InvalidOption(f"offset: expected a fraction of the beam, got {self.offset}")
        for name in ("noise", "gain", "blur", "drift"):
            if not 0 <= (value := getattr(self, name)) < np.inf:
                raise InvalidOption(f"{name}: expected zero or more, got {value}")

    def shifts(self, rng: np.random.Generator, n: int) -> Array:
        """Draw the shift (y, x) of each of n images [px], (n, 2): a random walk with zero mean."""
        walk: Array = np.cumsum(rng.standard_normal((n, 2)), axis=0)
        walk -= walk.mean(0)
        walk *= self.drift / np.sqrt(max(n * n - 1, 1) / (6 * n))  # mean square of n unit steps about their mean
        return walk

    def gains(self, rng: np.random.Generator, n: int) -> Array:
        """Draw the gain of each of n images, (n,), above zero."""
        return np.maximum(1 + self.gain * rng.standard_normal(n), 0.05)

    @property
    def margin(self) -> int:
        """How far outside the field lies what blur and drift may bring into it [px]."""
        return int(np.ceil(3.5 * self.blur + 4 * self.drift)) if self.blur or self.drift else 0


def draw_recording(rng: np.random.Generator) -> Recording:
    """Draw how a series is recorded, from nearly ideal to what an uncalibrated instrument does.

    In one of four draws there is nothing but noise.
    """
    noise = log_uniform(rng, 0.005, 0.05)
    if rng.random() < 0.25:
        return Recording(noise)
    return Recording(
        noise,
        offset=float(rng.normal(0, 0.006)),
        gain=rng.uniform(0, 0.015),
        blur=rng.uniform(0, 1.0) if rng.random() < 0.6 else 0.0,
        drift=rng.uniform(0, 0.6) if rng.random() < 0.5 else 0.0,
    )


def signal_of(
    thickness: Images,
    energies: ArrayLike = ENERGIES,
    *,
    variant: str = "repo",
    layers: LayerStack = GOLD_UNDER_ALUMINIUM,
) -> Images:
    """Signal of layers (2, ny, nx) [nm], (n, ny, nx) float32, computed once for each pair of thicknesses that occurs.

    As `backscatter` otherwise, which takes several times longer for terraces.
    """
    pixels = np.ascontiguousarray(thickness.reshape(2, -1).T, np.float32) + np.float32(0)  # no negative zeros
    pairs, which = np.unique(pixels.view(np.uint64).ravel(), return_inverse=True)
    seen = pairs.view(np.float32).reshape(-1, 2).T
    signal = backscatter(seen, energies, variant=variant, layers=layers).astype(np.float32)
    return signal.take(which, axis=1).reshape(-1, *thickness.shape[1:])


class Exposure(NamedTuple):
    """A recorded series.

    expected: (n, ny, nx) float32, mean of intensity.  intensity: (n, ny, nx) float32, with noise, zero or more.
    shifts: (n, 2) as (y, x) [px] and gains: (n,), of each image.
    """

    expected: Images
    intensity: Images
    shifts: Array
    gains: Array


def expose(signal: Images, recording: Recording, rng: np.random.Generator, *, margin: int = 0) -> Exposure:
    """Record signals (n, ny, nx), beyond the edges of which they are mirrored, and cut off the margin [px]."""
    shifts, gains = recording.shifts(rng, len(signal)), recording.gains(rng, len(signal))
    expected = signal
    if recording.blur or recording.drift:
        expected = _moved(signal, shifts, recording.blur)
    if margin:
        expected = expected[:, margin:-margin, margin:-margin]
    if recording.gain:
        expected = expected * gains.astype(np.float32)[:, None, None]
    if recording.offset:
        expected = expected + np.float32(recording.offset)
    expected = np.ascontiguousarray(expected)
    noise = rng.standard_normal(expected.shape, dtype=np.float32)
    noise *= np.float32(recording.noise)
    noise += 1
    noise *= expected
    return Exposure(expected, np.maximum(noise, 0, out=noise), shifts, gains)


def _moved(images: Images, shifts: Array, sigma: float) -> Images:
    """Shift each image by its own (y, x) [px], linearly between pixels, and blur all by sigma [px]."""
    import cv2

    moved = np.empty_like(images)
    for image, (dy, dx), out in zip(images, shifts.tolist(), moved, strict=True):
        cv2.sepFilter2D(image, -1, _taps(dx, sigma), _taps(dy, sigma), dst=out, borderType=cv2.BORDER_REFLECT)
    return moved


def _taps(shift: float, sigma: float) -> Images:
    """Weights, odd in number, of the pixels about one in an image that is shifted and blurred."""
    whole = int(np.floor(shift))
    part = shift - whole
    around = int(3.5 * sigma + 0.5)
    reach = around + abs(whole) + 1
    at = np.arange(-reach, reach + 1)

    def gaussian(centre: int) -> Array:
        taps = np.where(np.abs(at - centre) <= around, np.exp(-0.5 * ((at - centre) / max(sigma, 1e-3)) ** 2), 0.0)
        return np.asarray(taps / taps.sum())

    # A correlation: what moves to higher positions is taken from lower ones.
    return ((1 - part) * gaussian(-whole) + part * gaussian(-whole - 1)).astype(np.float32)
