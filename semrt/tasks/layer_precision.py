"""How well the thickness of layers is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.physics.backscatter import backscatter, backscatter_slopes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["pixel_sigma"]

THINNEST = 1.0
"""[nm], of the lower layer; where there is none, it is known as well as that."""
LARGEST = 1e4
"""[nm]; what the images do not tell of is not known at all."""


def pixel_sigma(thickness: Plane, energies: NDArray[np.float64], variant: str, noise: float) -> NDArray[np.float64]:
    """Standard deviations of the thicknesses (2, ny, nx) [nm] that a pixel tells by itself, both unknown, [nm].

    noise: relative.  Cramér–Rao bound, computed once for each pair of thicknesses.
    """
    pairs, which = np.unique(thickness.reshape(2, -1).T, axis=0, return_inverse=True)
    lower, upper = pairs.T.astype(np.float64)
    bare = lower == 0
    signal, slopes = backscatter_slopes(np.stack([lower, upper]), energies, variant=variant)
    thinnest = backscatter(np.stack([np.full_like(upper, THINNEST), upper]), energies, variant=variant)
    with_none = backscatter(np.stack([np.zeros_like(upper), upper]), energies, variant=variant)
    slopes[:, 0] = np.where(bare, (thinnest - with_none) / THINNEST, slopes[:, 0])
    relative = slopes / (noise * signal[:, None])
    fisher = np.einsum("eip,ejp->pij", relative, relative) + np.eye(2) / LARGEST**2
    variance = np.diagonal(np.linalg.inv(fisher), axis1=1, axis2=2)  # (pairs, 2)
    return np.asarray(np.sqrt(variance).T[:, which.ravel()].reshape(thickness.shape))
