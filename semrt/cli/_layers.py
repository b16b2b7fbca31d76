"""Results of the kind that finds layers: their thickness, how well it is known, and the voxels that they fill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.cli._kinds import beside
from semrt.data import LabelVolume, SparseVolume, Volume
from semrt.report.layers_preview import headline_of, layers_preview
from semrt.report.layers_summary import summary_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.data import EnergyStack, LayerMap
    from semrt.report.sheet import Caption

INPUT = "stack"
FORMATS = (".tif", ".tiff", ".mrc", ".npz")
ROLES = ("sigma", "voxels", "residual")
SAVES = {"sigma": True, "voxels": True, "residual": False}
MAKING: dict[str, Any] = {"voxel": 10.0}  # height [nm]


def require(saves: Collection[str]) -> None:
    """Nothing is needed."""


def places(target: Path, saves: Collection[str]) -> list[Path]:
    """Those that are to be saved."""
    return [path for role, path in _paths(target).items() if role in saves]


def companions(target: Path, result: LayerMap, saves: Collection[str], **making: Any) -> dict[str, tuple[Path, Any]]:
    """Those that are to be saved, and that there are.  making: voxel, the height of one [nm]."""
    paths = _paths(target)
    held: dict[str, Any] = {}
    if result.sigma is not None and "sigma" in paths:
        told = {**result.metadata, "slices": list(result.names), "quantity": "standard deviation of thickness, nm"}
        known = np.isfinite(result.sigma)
        if known.all():
            held["sigma"] = Volume(result.sigma, result.pixel_size, metadata=told, provenance=result.provenance)
        elif known.any((1, 2)).all():
            held["sigma"] = SparseVolume(result.sigma, known, result.pixel_size, metadata=told)
    if "voxels" in saves:
        height = making["voxel"]
        materials = {"labels": ["nothing", *result.names], "voxel_height_nm": height, "first_slice": "lowest"}
        held["voxels"] = LabelVolume(
            result.voxels(height),
            result.names,
            result.pixel_size,
            height,
            {**result.metadata, **materials},
            result.provenance,
        )
    if result.residual is not None:
        held["residual"] = result
    return {role: (paths[role], data) for role, data in held.items() if role in saves}


def described(measured: EnergyStack, result: LayerMap) -> dict[str, Any]:
    """What was measured, how much there is of either material, and how well the model explains the images."""
    return {
        "stack": {
            "shape": list(measured.shape),
            "energies_keV": measured.energies.tolist(),
            "pixel_size_nm": measured.pixel_size,
        },
        **summary_of(result),
    }


def headline(measured: EnergyStack, result: LayerMap) -> dict[str, Any]:
    """What was found instead of a share of measured pixels; all were."""
    return {"coverage": None, "told": headline_of(result)}


def preview(measured: EnergyStack, result: LayerMap, caption: Caption, **more: Any) -> NDArray[np.uint8]:
    """Images, maps, a section and a view of the layers.  more: keywords of layers_preview."""
    return layers_preview(measured, result, caption, **more)


def _paths(target: Path) -> dict[str, Path]:
    """Where each would be; an NPZ holds sigma itself, but is no volume that a viewer opens."""
    suffix = ".mrc" if target.suffix.lower() == ".npz" else target.suffix
    paths = {"voxels": beside(target, f"_voxels{suffix}"), "residual": beside(target, "_residual.csv")}
    return paths if suffix != target.suffix else {"sigma": beside(target, f"_sigma{suffix}"), **paths}
