"""One picture of a reconstructed stack: its first, middle and last slice, and a section across all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from semrt.data import Micrograph, SparseScan
from semrt.errors import InvalidShape
from semrt.report import display
from semrt.report.preview import largest_error, measured_and_inferred, power_spectra
from semrt.report.sheet import Caption, lay_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import PixelSize, SparseVolume, Volume

__all__ = ["volume_preview"]

PANEL_AT_MOST = (512, 512)
WIDE_PANEL_AT_MOST = (400, 1200)

Shown = tuple[SparseScan, Micrograph]


def volume_preview(
    measured: SparseVolume, inferred: Volume, caption: Caption, *, spectra: bool = False
) -> NDArray[np.uint8]:
    """Draw samples, result and error map of three slices, and below them those of the XZ section through the middle.

    All share one contrast and one scale of errors.  spectra: add power spectra of the middle slice.
    Returns RGB (ny, nx, 3) uint8.  Raises InvalidShape where the result is not the size of the stack.
    """
    if inferred.shape != measured.shape:
        raise InvalidShape("inferred", f"{measured.shape}, as the stack has", inferred.shape)
    nz, ny, nx = measured.shape
    slices = {z: _plane(measured, inferred, np.s_[z], inferred.pixel_size) for z in sorted({0, nz // 2, nz - 1})}
    y = _middle_row(measured)
    section = _plane(measured, inferred, np.s_[:, y], _pixel_size_of_section(inferred))
    images = [image for _, image in (*slices.values(), section)]
    limits = display.contrast(np.concatenate([image.intensity for image in images]))
    top = largest_error(limits, *(image.error for image in images if image.error is not None))
    wide = nx > 2 * ny
    size = display.fit((ny, nx), WIDE_PANEL_AT_MOST if wide else PANEL_AT_MOST)
    rows = [measured_and_inferred(*slices[z], limits, top, size, where=f", slice z={z}") for z in slices]
    rows.append(measured_and_inferred(*section, limits, top, _in_proportion(section[1], size), where=f", XZ at y={y}"))
    if spectra:
        rows.append(power_spectra(*slices[nz // 2], None, size))
    told = replace(caption, source=f"{caption.source}, {nz} {'slice' if nz == 1 else 'slices'}")
    return lay_out([[panel] for row in rows for panel in row] if wide else rows, told)


def _plane(
    measured: SparseVolume, inferred: Volume, where: int | tuple[slice, int], pixel_size: PixelSize | None
) -> Shown:
    """What was measured and what was inferred in one plane of the stack."""
    error = None if inferred.error is None else inferred.error[where]
    scan = SparseScan(measured.intensity[where], measured.visited[where], pixel_size)
    return scan, Micrograph(inferred.intensity[where], pixel_size, error)


def _middle_row(measured: SparseVolume) -> int:
    """The y nearest to the middle at which anything was measured."""
    rows = np.flatnonzero(measured.visited.any(axis=(0, 2)))
    return int(rows[np.abs(rows - measured.shape[1] // 2).argmin()])


def _pixel_size_of_section(inferred: Volume) -> PixelSize | None:
    """(dz, dx) [nm]; None unless both are known."""
    if inferred.pixel_size is None or inferred.slice_thickness is None:
        return None
    return inferred.slice_thickness, inferred.pixel_size[1]


def _in_proportion(section: Micrograph, beside: tuple[int, int]) -> tuple[int, int]:
    """Size of a section as wide as the slices beside it, or narrower where it would become higher than they are.

    Where nobody said how thick a slice is, they are drawn one pixel apart.
    """
    nz, nx = section.shape
    dz, dx = section.pixel_size or (1.0, 1.0)
    height = nz * dz / dx * beside[1] / nx
    shrink = min(1.0, beside[0] / height)
    return max(1, round(height * shrink)), max(1, round(beside[1] * shrink))
