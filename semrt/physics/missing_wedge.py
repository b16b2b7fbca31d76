"""What a limited range of tilts measures of a volume: a sector of its Fourier space; the rest is a missing wedge.

A volume is (z, y, x), the tilt axis is y. The projection at tilt θ holds the frequencies along
(kz, kx) = k (sin θ, cos θ), whatever ky is, so tilts from `low` to `high` hold those of a double
sector. Frequencies are in cycles a pixel, in the order of np.fft.fft2; voxels are as long along z as along x.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption, InvalidShape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Frequencies = NDArray[np.floating[Any]]

__all__ = ["LIMITS", "measured_part", "measured_sector", "merge"]

# How far out tilts measure: to the Nyquist frequency of a projection, or to the corners of the volume's own.
LIMITS = ("disc", "square")


def measured_sector(
    shape: tuple[int, int], low: float, high: float, *, limit: str = "square", soft: float = 0.0
) -> NDArray[np.float32]:
    """Share (0 to 1) of each frequency that tilts from low to high measure, (nz, nx) float32, ordered as fft2 has them.

    shape: (nz, nx) of a slice.  low, high: [degrees], no more than 180 apart; they need not be symmetric.
    limit: a name of LIMITS; beyond the disc |k| <= 0.5 nothing is measured.
    soft: over how many degrees the share falls from 1 to 0, half of them on either side of the edge.
    The mean is always measured.  The mask is that of a real volume: a frequency and its opposite have the same share.
    Raises InvalidOption.
    """
    nz, nx = _slice(shape)
    low, high, soft = float(low), float(high), float(soft)
    if not (math.isfinite(low) and math.isfinite(high) and 0 <= high - low <= 180):
        raise InvalidOption(f"tilt range: expected low <= high, at most 180 degrees apart, got {low:g} to {high:g}")
    if not 0 <= soft <= 90:
        raise InvalidOption(f"soft: expected 0 to 90 degrees, got {soft:g}")
    if limit not in LIMITS:
        raise InvalidOption.unknown("limit", limit, LIMITS)
    kz, kx = np.fft.fftfreq(nz)[:, None], np.fft.fftfreq(nx)[None]
    share = _share_of_direction(kz, kx, low, high, soft)
    # Where a length is even, the Nyquist frequency stands for both its signs.
    share = 0.5 * (share + _share_of_direction(_mirrored(kz), _mirrored(kx), low, high, soft))
    if limit == "disc":
        share[np.hypot(kz, kx) > 0.5 + 1e-9] = 0
    share[0, 0] = 1
    return share.astype(np.float32)


def measured_part(
    volume: ArrayLike, low: float, high: float, *, limit: str = "square", soft: float = 0.0
) -> NDArray[np.float32]:
    """Keep of a volume what tilts from low to high measure, (nz, ny, nx) float32; the rest of it lies in the wedge.

    volume: (nz, ny, nx).  The other arguments are those of `measured_sector`.  Raises InvalidShape, InvalidOption.
    """
    given = _volume("volume", volume)
    return _masked(given, _sector_of(given, low, high, limit, soft))


def merge(
    volume: ArrayLike, inferred: ArrayLike, low: float, high: float, *, limit: str = "square", soft: float = 0.0
) -> NDArray[np.float32]:
    """Take what tilts from low to high measure from one volume, and the rest from another: (nz, ny, nx) float32.

    volume: (nz, ny, nx), reconstructed from the tilts.  inferred: likewise.
    The other arguments are those of `measured_sector`.  Raises InvalidShape, InvalidOption.
    """
    given, other = _volume("volume", volume), _volume("inferred", inferred)
    if other.shape != given.shape:
        raise InvalidShape("inferred", f"{given.shape}, as volume has", other.shape)
    # Of the difference alone, so that less of a border that does not fit its opposite leaks.
    merged = _masked(given - other, _sector_of(given, low, high, limit, soft))
    merged += other
    return merged


def _sector_of(volume: NDArray[np.float32], low: float, high: float, limit: str, soft: float) -> NDArray[np.float32]:
    nz, _, nx = volume.shape
    return measured_sector((nz, nx), low, high, limit=limit, soft=soft)


def _masked(volume: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Slice by slice, so that memory holds the spectrum of no more than one."""
    nz, ny, nx = volume.shape
    half, kept = mask[:, : nx // 2 + 1], np.empty_like(volume)
    for y in range(ny):
        kept[:, y] = np.fft.irfft2(np.fft.rfft2(volume[:, y]) * half, (nz, nx))
    return kept


def _share_of_direction(kz: Frequencies, kx: Frequencies, low: float, high: float, soft: float) -> Frequencies:
    """1 in the sector and 0 beside it, falling as a cosine over `soft` degrees."""
    direction = np.degrees(np.arctan2(kz, kx))
    from_middle = np.abs(np.mod(direction - 0.5 * (low + high) + 90, 180) - 90)
    half = 0.5 * (high - low)
    # Half a turn on the sector begins again: what falls there as it does here adds up to 1 where they touch.
    return np.minimum(1, _fall(from_middle - half, soft) + _fall(180 - from_middle - half, soft))


def _fall(beyond: Frequencies, soft: float) -> Frequencies:
    """From 1 to 0 about the edge.  beyond: [degrees]."""
    if soft == 0:
        return np.asarray(beyond <= 1e-9, np.float64)
    return np.asarray(0.5 - 0.5 * np.sin(np.pi * np.clip(beyond / soft, -0.5, 0.5)))


def _mirrored(frequency: Frequencies) -> Frequencies:
    """The frequencies with the other sign of the Nyquist frequency, where there is one."""
    return np.where(frequency == -0.5, 0.5, frequency)


def _slice(shape: tuple[int, int]) -> tuple[int, int]:
    if len(shape) != 2 or min(shape) < 1:
        raise InvalidOption(f"shape: expected (nz, nx) with at least one pixel, got {shape}")
    return int(shape[0]), int(shape[1])


def _volume(name: str, volume: ArrayLike) -> NDArray[np.float32]:
    given = np.asarray(volume, np.float32)
    if given.ndim != 3 or 0 in given.shape:
        raise InvalidShape(name, "(nz, ny, nx) with at least one pixel", given.shape)
    return given
