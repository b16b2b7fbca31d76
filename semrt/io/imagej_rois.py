"""Atomic columns as points for the ROI manager of ImageJ and Fiji: a ZIP of multi-point selections."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import MissingDependency

if TYPE_CHECKING:
    from pathlib import Path

    from semrt.data import AtomColumns

__all__ = ["require", "write"]

_MOST = 60_000  # points in a selection, which counts them in 16 bits


def require() -> None:
    """Raise MissingDependency where roifile is not installed."""
    try:
        import roifile  # noqa: F401
    except ImportError as error:
        raise MissingDependency("roifile", "formats", "writing ROIs for ImageJ") from error


def write(path: Path, data: AtomColumns) -> None:
    """Write columns to a new file; in ImageJ too, whole numbers are the centres of pixels where points are meant.

    Raises MissingDependency.
    """
    require()
    from roifile import ROI_TYPE, ImagejRoi

    points = data.positions[:, ::-1].astype(np.float32)  # as (x, y)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for start in range(0, len(points), _MOST):
            name = "columns" if len(points) <= _MOST else f"columns {start // _MOST + 1}"
            selection = ImagejRoi.frompoints(points[start : start + _MOST], name=name)
            selection.roitype = ROI_TYPE.POINT
            archive.writestr(f"{name}.roi", selection.tobytes())
