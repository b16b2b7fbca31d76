"""Figures of a restored tomogram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.tasks.wedge_problem import chi2_of

if TYPE_CHECKING:
    from semrt.data import Tomogram

__all__ = ["summary_of"]


def summary_of(found: Tomogram) -> dict[str, Any]:
    """Size, range of tilts, how well the measurement is explained, and how much was inferred.

    chi2: mean square of what is unexplained, in that of the noise; None where no series was measured or fitted.
    misfit: root mean square of what is unexplained, in that of the projections; None where these are empty.
    inferred_share: of the energy of the contrast (density less its mean), what lies in the missing wedge.
    """
    told = found.provenance.get("details", {})
    seen = told.get("seen")
    return {
        "tomogram": {
            "shape": list(found.shape),
            "voxel_size_nm": found.voxel_size,
            "tilt_range": found.tilt_range,
            "inferred_share": _inferred_share(found),
        },
        "misfit": {
            "chi2": chi2_of(told) if seen is not None else None,
            "rms_relative": float(np.sqrt(told["unexplained"] / seen)) if seen else None,
            "noise": told.get("noise"),
        },
    }


def _inferred_share(found: Tomogram) -> float | None:
    """Plane by plane, as a volume may be larger than memory."""
    if found.inferred is None:
        return None
    n = found.density.size
    mean = sum(float(plane.sum(dtype=np.float64)) for plane in found.density) / n
    squares = sum(float(np.square(plane, dtype=np.float64).sum()) for plane in found.density)
    inferred = sum(float(np.square(plane, dtype=np.float64).sum()) for plane in found.inferred)
    contrast = squares - n * mean**2
    return inferred / contrast if contrast > 1e-9 * max(squares, 1e-30) else 0.0
