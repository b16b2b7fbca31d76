"""Random numbers, smooth random fields and the linear filters that scenes are drawn with.

Arrays are (ny, nx) float32, and scalars are Python floats so that they stay so; lengths in px, angles in radians. Every
function works for any shape from 1 × 1 up.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Plane",
    "Shape",
    "blur",
    "choice",
    "coordinates",
    "log_uniform",
    "place",
    "power_law",
    "resample",
    "smooth",
    "smoothstep",
    "stretched",
    "texture",
    "warped",
]

Shape = tuple[int, int]
Plane = NDArray[np.floating[Any]]  # float32; NumPy types float32 times a Python float as any floating


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between low and high, each octave as likely."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def choice(rng: np.random.Generator, *options: float) -> float:
    """Draw one of the options, each as likely."""
    return float(options[int(rng.integers(len(options)))])


def place(rng: np.random.Generator, shape: Shape, margin: float = 0.0) -> tuple[float, float]:
    """Draw a position (y, x) [px] in the image or up to `margin` px outside it."""
    return rng.uniform(-margin, shape[0] + margin), rng.uniform(-margin, shape[1] + margin)


def coordinates(rng: np.random.Generator, shape: Shape) -> tuple[Plane, Plane]:
    """(y, x) [px] of each pixel in a frame turned by a random angle about a random origin."""
    ny, nx = shape
    angle = rng.uniform(0, 2 * math.pi)
    c, s = math.cos(angle), math.sin(angle)
    y0, x0 = place(rng, shape)
    y = np.arange(ny, dtype=np.float32)[:, None] - y0
    x = np.arange(nx, dtype=np.float32)[None, :] - x0
    return c * y + s * x, c * x - s * y


def warped(rng: np.random.Generator, y: Plane, x: Plane, wavelength: float, amplitude: float) -> tuple[Plane, Plane]:
    """Move coordinates by a smooth random displacement: wavelength and RMS amplitude in px."""
    shape = (y.shape[0], y.shape[1])
    return y + amplitude * smooth(rng, shape, wavelength), x + amplitude * smooth(rng, shape, wavelength)


def smooth(rng: np.random.Generator, shape: Shape, wavelength: float) -> Plane:
    """Draw a random field without detail below `wavelength` [px]; zero mean and unit variance over many draws."""
    ny, nx = shape
    step = max(wavelength / 2, 1.0)
    knots = rng.standard_normal((int(ny / step) + 5, int(nx / step) + 5), dtype=np.float32)
    by = _spline(ny, knots.shape[0], step, 1 + rng.random())
    bx = _spline(nx, knots.shape[1], step, 1 + rng.random())
    with np.errstate(invalid="ignore"):  # OpenBLAS at times works on memory beyond a matrix, and numpy sees its NaN
        drawn = (by @ knots) @ bx.T
    return np.asarray(drawn / (151 / 315), np.float32)  # 151/315: mean square of the spline's weights


def power_law(
    rng: np.random.Generator,
    shape: Shape,
    exponent: float,
    *,
    shortest: float = 0.0,
    longest: float = np.inf,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> Plane:
    """Draw a Gaussian random field whose power falls as frequency**-exponent; zero mean, unit variance in the field.

    shortest, longest: wavelengths [px] outside which the power is damped.
    stretch: ratio of the correlation lengths along and across the direction `angle`.
    """
    ny, nx = (_fast_length(int(1.25 * n) + 4) for n in shape)  # larger than shown, so that opposite edges differ
    fy: Plane = np.fft.fftfreq(ny).astype(np.float32)[:, None]
    fx: Plane = np.fft.rfftfreq(nx).astype(np.float32)[None, :]
    if stretch != 1.0:
        c, s = math.cos(angle), math.sin(angle)
        fy, fx = (c * fy + s * fx) * stretch, (c * fx - s * fy) / stretch
    f2 = fy * fy + fx * fx
    f2.flat[0] = 1
    amplitude = f2 ** (-exponent / 4)
    if shortest > 0:
        amplitude *= np.exp(f2 * (-0.5 * shortest**2))
    if np.isfinite(longest):
        amplitude *= 1 - np.exp(f2 * (-0.5 * longest**2))
    amplitude.flat[0] = 0
    noise = np.fft.rfft2(rng.standard_normal((ny, nx), dtype=np.float32))
    field = np.fft.irfft2(noise * amplitude, (ny, nx))[: shape[0], : shape[1]].astype(np.float32)
    field -= field.mean()
    spread = float(field.std())
    return field / spread if spread > 0 else field


def texture(rng: np.random.Generator, shape: Shape, strongest: float) -> Plane:
    """Draw the fine texture of a surface or a film: none in a third, else a power-law field.

    strongest: the largest standard deviation; each octave below it, down to a thirtieth, is as likely.
    """
    if rng.random() < 1 / 3:
        return np.zeros(shape, np.float32)
    strength = log_uniform(rng, strongest / 30, strongest)
    return strength * power_law(rng, shape, rng.uniform(1, 3.2), shortest=choice(rng, 0.5, 1.0, 2.0, 4.0))


def blur(image: Plane, sigma: float | tuple[float, float]) -> Plane:
    """Gaussian blur with sigma (or sigma along y and x) [px]; the image is mirrored at its edges."""
    sy, sx = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    return _blur_rows(_blur_rows(image, sy).T, sx).T


def resample(image: Plane, shape: Shape) -> Plane:
    """Show the same scene on a finer (or equal) grid, by cubic B-splines: smooth, without overshoot."""
    sy, sx = shape[0] / image.shape[0], shape[1] / image.shape[1]
    by = _spline(shape[0], image.shape[0] + 4, sy, 1.5 + 0.5 / sy)  # pixel centres lie on pixel centres
    bx = _spline(shape[1], image.shape[1] + 4, sx, 1.5 + 0.5 / sx)
    return np.asarray((by @ np.pad(image, 2, mode="edge")) @ bx.T, np.float32)


def smoothstep(values: Plane, width: float = 1.0) -> Plane:
    """0 below -width/2, 1 above width/2, and a smooth edge between: the coverage of a pixel by a half-plane."""
    t = np.clip(values / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def stretched(image: Plane, tail: float = 0.0) -> Plane:
    """Bring an image to [0, 1]; a fraction `tail` saturates at each end. A constant image becomes 0.5."""
    if tail > 0:
        low, high = (float(q) for q in np.quantile(image, [tail, 1 - tail]))
    else:
        low, high = float(image.min()), float(image.max())
    if not high > low:
        return np.full(image.shape, 0.5, np.float32)
    return np.asarray(np.clip((image - low) / (high - low), 0, 1), np.float32)


def _spline(n: int, knots: int, step: float, first: float) -> Plane:
    """(n, knots) weights of cubic B-splines at n points, `step` to a knot; the first lies at knot number `first`."""
    at = np.arange(n) / step + first
    distance = np.abs(at[:, None] - np.arange(knots))
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, inner, outer).astype(np.float32)


def _blur_rows(image: Plane, sigma: float) -> Plane:
    if sigma < 0.1:
        return image
    reach = max(1, int(3.5 * sigma + 0.5))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps = taps / taps.sum()
    padded = np.pad(image, ((reach, reach), (0, 0)), mode="symmetric")
    n = image.shape[0]
    total = float(taps[reach]) * padded[reach : reach + n]
    for k in range(1, reach + 1):
        total += float(taps[reach + k]) * (padded[reach - k : reach - k + n] + padded[reach + k : reach + k + n])
    return np.asarray(total, np.float32)


def _fast_length(n: int) -> int:
    """Find the next length whose only prime factors are 2, 3 and 5."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1
