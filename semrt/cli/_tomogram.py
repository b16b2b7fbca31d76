"""Results of the kind that restores tomograms: the density, and how much of it was inferred."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from semrt.cli._kinds import beside
from semrt.data import TiltSeries
from semrt.report.wedge_preview import headline_of, wedge_preview
from semrt.report.wedge_summary import summary_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from semrt.data import OnDisk, Tomogram
    from semrt.report.sheet import Caption

    Measured = TiltSeries | Tomogram | OnDisk

INPUT = "tomogram"
FORMATS = (".mrc", ".rec", ".tif", ".tiff", ".npz")
ROLES = ("inferred",)
SAVES = {"inferred": False}
MAKING: dict[str, Any] = {}


def require(saves: Collection[str]) -> None:
    """Nothing is needed."""


def places(target: Path, saves: Collection[str]) -> list[Path]:
    """What was inferred, if it is to be saved."""
    return [_path(target)] if "inferred" in saves else []


def companions(target: Path, result: Tomogram, saves: Collection[str]) -> dict[str, tuple[Path, Any]]:
    """What was inferred, if it is to be saved; an NPZ holds it itself, but is no volume that a viewer opens."""
    inferred = result.inferred_part() if "inferred" in saves else None
    return {} if inferred is None else {"inferred": (_path(target), inferred)}


def described(measured: Measured, result: Tomogram) -> dict[str, Any]:
    """What was measured, and of the result how large it is, and how far to trust it."""
    first = measured.slab(slice(0, 1))
    told: dict[str, Any] = {"kind": "tilt series" if isinstance(first, TiltSeries) else "tomogram"}
    if isinstance(first, TiltSeries):
        n, _, ns = first.shape
        told |= {"shape": [n, measured.n_slices, ns], "tilts": n, "axis_offset_px": first.axis_offset}
        told["pixel_size_nm"] = first.pixel_size
    else:
        nz, _, nx = first.shape
        told |= {"shape": [nz, measured.n_slices, nx], "voxel_size_nm": first.voxel_size}
    return {"measured": {**told, "tilt_range": first.tilt_range}, **summary_of(result)}


def headline(measured: Measured, result: Tomogram) -> dict[str, Any]:
    """How far to trust the result, instead of a share of measured pixels."""
    return {"coverage": None, "told": headline_of(result)}


def preview(measured: Measured, result: Tomogram, caption: Caption, **more: Any) -> NDArray[np.uint8]:
    """Sections before and after, with spectra.  more: keywords of wedge_preview."""
    return wedge_preview(measured, result, caption, **more)


def _path(target: Path) -> Path:
    return beside(target, f"_inferred{'.mrc' if target.suffix.lower() == '.npz' else target.suffix}")
