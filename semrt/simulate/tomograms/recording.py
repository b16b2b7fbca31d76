"""From density to a tilt series: projections, seen a little beside where they should be, and counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from semrt.errors import InvalidOption, InvalidShape
from semrt.physics.tilt import TiltGeometry
from semrt.simulate.fields import log_uniform

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from semrt.simulate.tomograms.grid import Space

    Array = NDArray[np.float64]
    Images = NDArray[np.float32]

__all__ = ["Exposure", "Recording", "draw_angles", "draw_recording", "record"]


@dataclass(frozen=True, slots=True)
class Recording:
    """How the projections of a tilt series are recorded, with a detector whose signal grows with thickness (ADF).

    peak_counts: expected where the series is brightest.
    misalignment: standard deviation of each projection's shift along s, left over from alignment [px].
    drift: root mean square of a shift that wanders slowly from projection to projection [px].
    axis_offset: of the tilt axis from the middle of the detector [px].
    tilt_error: standard deviation of the tilts about what the stage says [deg].
    gain: standard deviation about 1 of the beam current, which differs from projection to projection.
    read_noise: standard deviation that the detector adds to each pixel [counts].
    """

    peak_counts: float = 1000.0
    misalignment: float = 0.0
    drift: float = 0.0
    axis_offset: float = 0.0
    tilt_error: float = 0.0
    gain: float = 0.0
    read_noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.peak_counts <= 1e9:
            raise InvalidOption(f"peak_counts: expected above 0 and at most 1e9, got {self.peak_counts}")
        if not np.isfinite(self.axis_offset):
            raise InvalidOption(f"axis_offset: expected px, got {self.axis_offset}")
        for name in ("misalignment", "drift", "tilt_error", "gain", "read_noise"):
            if not 0 <= (value := getattr(self, name)) < np.inf:
                raise InvalidOption(f"{name}: expected zero or more, got {value}")

    def shifts(self, rng: np.random.Generator, n: int) -> Array:
        """Draw the shift along s of each of n projections [px], (n,): what drifts has zero mean."""
        walk = np.cumsum(rng.standard_normal(n))
        walk -= walk.mean()
        walk *= self.drift / np.sqrt(max(n * n - 1, 1) / (6 * n))  # mean square of n unit steps about their mean
        return np.asarray(self.axis_offset + walk + self.misalignment * rng.standard_normal(n))

    def gains(self, rng: np.random.Generator, n: int) -> Array:
        """Draw the beam current of each of n projections, (n,), above zero."""
        return np.maximum(1 + self.gain * rng.standard_normal(n), 0.05)


def draw_recording(rng: np.random.Generator) -> Recording:
    """Draw how a series is recorded, from nearly ideal to badly aligned; one in four is aligned perfectly."""
    counts = log_uniform(rng, 30, 3000)
    read = rng.uniform(0, 0.05) * counts if rng.random() < 0.3 else 0.0
    if rng.random() < 0.25:
        return Recording(counts, read_noise=read)
    return Recording(
        counts,
        misalignment=log_uniform(rng, 0.05, 0.7) if rng.random() < 0.7 else 0.0,
        drift=rng.uniform(0, 0.8) if rng.random() < 0.3 else 0.0,
        axis_offset=rng.normal(0, 0.5) if rng.random() < 0.4 else 0.0,
        tilt_error=log_uniform(rng, 0.02, 0.3) if rng.random() < 0.5 else 0.0,
        gain=rng.uniform(0, 0.03) if rng.random() < 0.4 else 0.0,
        read_noise=read,
    )


def draw_angles(rng: np.random.Generator) -> Array:
    """Draw the tilts of a series [deg], rising: ±50 to ±75, in steps of 1 to 5; half of the ranges are lopsided."""
    low, high = rng.uniform(50, 75, 2)
    if rng.random() < 0.5:
        low = high
    step = round(2 * log_uniform(rng, 1, 5)) / 2
    return np.asarray(-low + step * np.arange(int((low + high) / step + 1e-6) + 1))


class Exposure(NamedTuple):
    """A recorded tilt series; densities are relative, lengths in px of the reconstruction.

    expected: (n, ny, ns) float32, mean of the series but for the gains.  series: (n, ny, ns) float32 [density × px].
    tilts: (n,) [deg], as they were; shifts: (n,) [px]; gains: (n,).  dose: counts for a density of 1 along 1 px.
    """

    expected: Images
    series: Images
    tilts: Array
    shifts: Array
    gains: Array
    dose: float


def record(
    density: Space,
    angles: ArrayLike,
    rng: np.random.Generator,
    recording: Recording | None = None,
    *,
    supersampling: int = 1,
    width: int | None = None,
    n_threads: int | None = None,
) -> Exposure:
    """Record the projections of a density (mz, ny, mx) about its y axis, sampled more finely than they are seen.

    angles: (n,) [deg], what the stage says.  recording: None for 1000 counts and no fault.
    supersampling: samples to a px along z and x.  width: of the detector [px]; None for mx / supersampling.
    n_threads: for the projections; None for all cores.
    A projection is density × path in px; counts are divided by the dose, so that series are in that unit too.
    Raises InvalidShape, InvalidValue, InvalidOption.
    """
    recording = Recording() if recording is None else recording
    stated = np.asarray(angles, np.float64)
    if density.ndim != 3 or min(density.shape) < 1:
        raise InvalidShape("density", "(mz, ny, mx)", density.shape)
    if stated.ndim != 1 or not len(stated):
        raise InvalidShape("angles", "(n,) with at least one tilt", stated.shape)
    if supersampling < 1 or density.shape[0] % supersampling or density.shape[2] % supersampling:
        raise InvalidOption(f"supersampling: expected a divisor of {density.shape[::2]} samples, got {supersampling}")
    width = density.shape[2] // supersampling if width is None else width
    n = len(stated)
    tilts = stated + recording.tilt_error * rng.standard_normal(n)
    shifts, gains = recording.shifts(rng, n), recording.gains(rng, n)
    beyond = int(np.ceil(np.abs(shifts).max())) + 1  # what is shifted into the detector comes from there
    samples = supersampling * (width + 2 * beyond)
    geometry = TiltGeometry(tilts, (density.shape[0], density.shape[2]), samples)
    expected = _binned(geometry.project(density, n_threads=n_threads), shifts, supersampling, width)
    most = float(expected.max())
    dose = recording.peak_counts / most if most > 0 else recording.peak_counts
    counts = rng.poisson(expected * (dose * gains)[:, None, None]).astype(np.float32)
    if recording.read_noise:
        counts += np.float32(recording.read_noise) * rng.standard_normal(counts.shape, dtype=np.float32)
    return Exposure(expected, counts / np.float32(dose), tilts, shifts, gains, dose)


def _binned(fine: Images, shifts: Array, supersampling: int, width: int) -> Images:
    """Shift each projection (ny, ms) along s [px], and average it over the px of a detector: (n, ny, width).

    What a px holds is the exact integral over it of what is constant over each sample: none is lost between px.
    """
    n, ny, ms = fine.shape
    total = np.zeros((n, ny, ms + 1))
    np.cumsum(fine, axis=2, out=total[:, :, 1:])
    edges = np.clip((np.arange(width + 1) - width / 2 - shifts[:, None]) * supersampling + ms / 2, 0, ms)
    left = np.minimum(edges.astype(np.intp), ms - 1)
    part = (edges - left)[:, None]
    left = np.broadcast_to(left[:, None], (n, ny, width + 1))
    at = np.take_along_axis(total, left, 2) * (1 - part) + np.take_along_axis(total, left + 1, 2) * part
    return np.asarray(np.maximum(np.diff(at, axis=2), 0) / supersampling**2, np.float32)  # rounding goes below zero
