"""Results of the kind that completes a sparse scan: an image or a stack, with its error map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

from semrt import io
from semrt.data import Micrograph, SparseScan, SparseVolume, Volume
from semrt.report.preview import infill_preview
from semrt.report.volume_preview import volume_preview

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from semrt.report.sheet import Caption

    Sparse: TypeAlias = SparseScan | SparseVolume
    Whole: TypeAlias = Micrograph | Volume

INPUT = "scan"
FORMATS: tuple[str, ...] = ()
ROLES = ("error_map",)
MAKING: dict[str, Any] = {}
SAVES: dict[str, bool] = {}


def require(saves: Collection[str]) -> None:
    """Nothing is needed."""


def places(target: Path, saves: Collection[str]) -> list[Path]:
    """The error map, where the format of the result does not hold it."""
    return [path for path in [io.error_path(target)] if path is not None]


def companions(target: Path, result: Whole, saves: Collection[str]) -> dict[str, tuple[Path, Whole]]:
    """The error map, where the format of the result does not hold it."""
    return dict(zip(ROLES, io.companions(target, result).items(), strict=False))


def described(measured: Sparse, result: Whole) -> dict[str, Any]:
    """What was measured."""
    told = {"shape": list(measured.shape), "coverage": measured.coverage, "pixel_size_nm": measured.pixel_size}
    if isinstance(measured, SparseVolume):
        of_slices = measured.coverage_of_slices
        told["coverage_of_slices"] = {"min": float(of_slices.min()), "max": float(of_slices.max())}
        told["slice_thickness_nm"] = measured.slice_thickness
    return {"scan": told}


def headline(measured: Sparse, result: Whole) -> dict[str, Any]:
    """The share of the pixels that were measured."""
    return {"coverage": measured.coverage}


def preview(measured: Sparse, result: Whole, caption: Caption, **more: Any) -> NDArray[np.uint8]:
    """An image, or slices and a section of a stack.  more: keywords of infill_preview, or of volume_preview."""
    if isinstance(measured, SparseVolume) and isinstance(result, Volume):
        return volume_preview(measured, result, caption, **more)
    return infill_preview(cast("SparseScan", measured), cast("Micrograph", result), caption, **more)
