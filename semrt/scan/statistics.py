"""What a scan asks of the instrument and does to the specimen: times, steps, speeds, lag, dose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.scan.scan_path import ScanPath

__all__ = ["displacement", "electrons", "statistics"]

_ELECTRONS_PER_PA_US = 1e-18 / 1.602176634e-19  # of 1 pA during 1 µs


def statistics(path: ScanPath, *, probe_current: float | None = None) -> dict[str, float]:
    """Time, steps, speeds and, at a given current, dose; the unit ends each name.

    Speeds and steps are those asked of the coils, from the middle of a dwell time to the middle of the next. Total time
    counts flyback and settling. Fluence is the mean over the field, and over what is visited of it; [e/Å²] only where
    the pixel size is known.
    probe_current: [pA].  Raises InvalidOption.
    """
    steps = np.diff(path.asked, axis=0)
    length = np.hypot(steps[:, 0], steps[:, 1])
    wait = path.wait
    between = (path.dwell_time[:-1] + path.dwell_time[1:]) / 2 + wait[1:]
    velocity = _per(steps, between)
    with np.errstate(invalid="ignore"):  # from one infinite velocity to another
        change = np.nan_to_num(np.diff(velocity, axis=0), nan=np.inf, posinf=np.inf, neginf=-np.inf)
    acceleration = _per(change, (between[:-1] + between[1:]) / 2)
    exposure_time = float(path.dwell_time[~path.blank].sum())
    known = {
        "samples": float(len(path.positions)),
        "coverage": path.coverage,
        "exposure_time_us": exposure_time,
        "total_time_us": float(path.dwell_time.sum() + wait.sum()),
        "path_length_px": float(length.sum()),
        "largest_step_px": float(length.max(initial=0)),
        "largest_velocity_px_per_us": _largest(velocity),
        "largest_acceleration_px_per_us2": _largest(acceleration),
    }
    if path.nominal is not None:
        known |= displacement(path)
    if probe_current is not None:
        known |= _dose(path, electrons(probe_current, exposure_time), known["coverage"])
    return known


def displacement(path: ScanPath) -> dict[str, float]:
    """How far [px] the true positions are from those asked for: mean, 95th percentile, largest."""
    distance = np.hypot(*(path.positions - path.asked).T)
    return {
        "displacement_mean_px": float(distance.mean()),
        "displacement_p95_px": float(np.percentile(distance, 95)),
        "displacement_largest_px": float(distance.max()),
    }


def electrons(probe_current: float, time: float) -> float:
    """How many electrons a current [pA] brings in a time [µs].  Raises InvalidOption."""
    if not (math.isfinite(probe_current) and probe_current >= 0):
        raise InvalidOption(f"probe_current: expected 0 pA or more, got {probe_current}")
    return probe_current * time * _ELECTRONS_PER_PA_US


def _dose(path: ScanPath, brought: float, coverage: float) -> dict[str, float]:
    pixels = path.shape[0] * path.shape[1]
    dose = {"electrons": brought}
    if coverage > 0:
        dose["electrons_per_visited_pixel"] = brought / (pixels * coverage)
    if path.pixel_size is not None:
        pixel_area = 100 * path.pixel_size[0] * path.pixel_size[1]  # [Å²]
        dose["fluence_e_per_A2"] = brought / (pixels * pixel_area)
        if coverage > 0:
            dose["visited_fluence_e_per_A2"] = dose["fluence_e_per_A2"] / coverage
    return dose


def _per(change: NDArray[np.float64], time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change per time; infinite where something changes in no time."""
    at_once = np.where(change == 0, 0.0, np.inf)
    return np.divide(change, time[:, None], out=at_once, where=time[:, None] > 0)


def _largest(vectors: NDArray[np.float64]) -> float:
    return float(np.hypot(vectors[:, 0], vectors[:, 1]).max(initial=0))
