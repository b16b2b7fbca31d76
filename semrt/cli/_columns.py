"""Results of the kind that finds atomic columns: a table, and the images that belong to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.cli._kinds import beside
from semrt.data import Micrograph
from semrt.io import imagej_rois
from semrt.report.columns_preview import columns_preview, headline_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.data import AtomColumns
    from semrt.report.sheet import Caption

INPUT = "image"
FORMATS = (".csv",)
ROLES = ("map", "denoised", "rois")
MAKING: dict[str, Any] = {}
SAVES = {"csv": True, "map": True, "denoised": True, "rois": False}  # ROIs need an extra
ENDINGS = {"map": "_map.tif", "denoised": "_denoised.tif", "rois": "_rois.zip"}


def require(saves: Collection[str]) -> None:
    """Raise MissingDependency where ROIs cannot be written."""
    if "rois" in saves:
        imagej_rois.require()


def places(target: Path, saves: Collection[str]) -> list[Path]:
    """Those that are to be saved."""
    return [beside(target, ending) for role, ending in ENDINGS.items() if role in saves]


def companions(target: Path, result: AtomColumns, saves: Collection[str]) -> dict[str, tuple[Path, Any]]:
    """Those that are to be saved, and that there are."""
    images = {"map": result.column_map, "denoised": result.denoised}
    held: dict[str, Any] = {
        role: Micrograph(image, result.pixel_size, metadata=result.metadata, provenance=result.provenance)
        for role, image in images.items()
        if image is not None
    }
    return {
        role: (beside(target, ENDINGS[role]), data) for role, data in {**held, "rois": result}.items() if role in saves
    }


def described(measured: Micrograph, result: AtomColumns) -> dict[str, Any]:
    """How large the image is, how many columns there are, how far apart, and how well they are known."""
    known = result.sigma[np.isfinite(result.sigma)]
    return {
        "image": {"shape": list(result.shape), "pixel_size_nm": result.pixel_size},
        "columns": {
            "number": len(result),
            "spacing_px": result.spacing,
            "spacing_nm": _median(result.nearest_distances("nm")) if result.pixel_size is not None else None,
            "median_sigma_px": _median(known),
        },
    }


def headline(measured: Micrograph, result: AtomColumns) -> dict[str, Any]:
    """Number, spacing and accuracy instead of a share of measured pixels; all were."""
    return {"coverage": None, "told": headline_of(result)}


def preview(measured: Micrograph, result: AtomColumns, caption: Caption, **more: Any) -> NDArray[np.uint8]:
    """The image with its columns.  more: keywords of columns_preview."""
    return columns_preview(measured, result, caption, **more)


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if values.size and np.isfinite(values).any() else None
