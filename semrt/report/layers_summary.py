"""What was found of layers, in a few figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from semrt.data import LayerMap

__all__ = ["COVERED", "summary_of"]

COVERED = 1.0  # [nm]; what is thinner is no layer
EXPECTED_NOISE = 0.02  # relative, of a pixel; where the provenance does not say how large it was


def summary_of(found: LayerMap) -> dict[str, Any]:
    """Gather figures of each material, and how well the model explains the images; ready for JSON.

    layers: name -> covered_share of the field (thicker than 1 nm), median_nm there, max_nm, mean_sigma_nm there, and
        volume_nm3 of all, each None where there is nothing to tell.
    misfit: rms_relative over all energies and pixels, chi (in units of the noise), and the worst energy; or None.
    """
    return {
        "layers": {name: _of_layer(found, k) for k, name in enumerate(found.names)},
        "misfit": _misfit(found),
    }


def _of_layer(found: LayerMap, k: int) -> dict[str, float | None]:
    thickness = found.thickness[k]
    covered = thickness > COVERED
    sigma = found.sigma[k][covered & np.isfinite(found.sigma[k])] if found.sigma is not None else np.empty(0)
    volume = None
    if found.pixel_size is not None:
        dy, dx = found.pixel_size
        volume = float(thickness.sum(dtype=np.float64) * dy * dx)
    return {
        "covered_share": float(covered.mean()),
        "median_nm": float(np.median(thickness[covered])) if covered.any() else None,
        "max_nm": float(thickness.max()),
        "volume_nm3": volume,
        "mean_sigma_nm": float(sigma.mean(dtype=np.float64)) if sigma.size else None,
    }


def _misfit(found: LayerMap) -> dict[str, float | None] | None:
    if found.residual is None or not np.isfinite(found.residual).any():
        return None
    rms = float(np.sqrt(np.nanmean(found.residual**2)))
    noise = found.provenance.get("details", {}).get("noise") or EXPECTED_NOISE
    worst = None if found.energies is None else float(found.energies[np.nanargmax(found.residual)])
    return {"rms_relative": rms, "noise": float(noise), "chi": rms / float(noise), "worst_keV": worst}
