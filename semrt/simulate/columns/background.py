"""What else reaches the detector: backgrounds that vary slowly, and the speckle of an amorphous support.

To add a background, write it and its line in BACKGROUNDS: (rng, shape, spacing of the columns [px]) -> (ny, nx)
float32, zero mean and unit variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.simulate.fields import coordinates, log_uniform, power_law, smooth

if TYPE_CHECKING:
    from collections.abc import Callable

    from semrt.simulate.columns.probe import Canvas
    from semrt.simulate.fields import Plane, Shape

__all__ = ["BACKGROUNDS", "amorphous"]


def _constant(rng: np.random.Generator, shape: Shape, spacing: float) -> Plane:
    return np.zeros(shape, np.float32)


def _plane(rng: np.random.Generator, shape: Shape, spacing: float) -> Plane:
    y, _ = coordinates(rng, shape)
    return _unit(y)


def _slow(rng: np.random.Generator, shape: Shape, spacing: float) -> Plane:
    return _unit(smooth(rng, shape, rng.uniform(0.25, 1.0) * max(shape) + 4))


def _carbon(rng: np.random.Generator, shape: Shape, spacing: float) -> Plane:
    """Draw a film of uneven thickness: power at all lengths within a band, most of it at long ones."""
    shortest = rng.uniform(1.5, 4) * spacing
    longest = max(log_uniform(rng, 0.1, 1) * max(shape), 2 * shortest)
    return power_law(rng, shape, rng.uniform(1.0, 2.5), shortest=shortest, longest=longest)


BACKGROUNDS: dict[str, Callable[[np.random.Generator, Shape, float], Plane]] = {
    "carbon": _carbon,
    "constant": _constant,
    "plane": _plane,
    "slow": _slow,
}


def amorphous(rng: np.random.Generator, canvas: Canvas, scale: float, shifts: Plane | None = None) -> Plane:
    """Draw the image of an amorphous film: atoms at random, but not nearer than bonds allow, seen by the same probe.

    scale: px in an Å.  shifts: of rows [px], as Canvas.field has them.  Returns (ny, nx) float32, zero mean, unit
    variance.
    """
    atoms = np.fft.rfft2(rng.standard_normal(canvas.size, dtype=np.float32)) * canvas.transfer()
    # Atoms that keep their distance lack long waves: half the power is gone at twice the bond length of carbon.
    k2 = (canvas.ky**2 + canvas.kx**2) * np.float32((2 * 1.5 * scale / (2 * np.pi)) ** 2)
    atoms = atoms * np.sqrt((0.15 + k2) / (1 + k2))
    return _unit(canvas.field(atoms, shifts))


def _unit(field: Plane) -> Plane:
    """Shift and scale a field to zero mean and unit variance, where it varies."""
    field = field - field.mean()
    spread = float(field.std())
    return np.asarray(field / spread, np.float32) if spread > 0 else np.asarray(field, np.float32)
