"""One picture of an infill: what was measured, what was inferred, and how far to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidShape
from semrt.report import display
from semrt.report.fit_curve import fit_curve
from semrt.report.sheet import Caption, Card, Panel, Score, draw_scale_bar, lay_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import Micrograph, SparseScan

__all__ = [
    "Caption",
    "Card",
    "Score",
    "field_text",
    "infill_preview",
    "largest_error",
    "measured_and_inferred",
    "power_spectra",
]

PANEL_AT_MOST = (768, 512)
WIDE_PANEL_AT_MOST = (512, 1200)

Row = list[Panel | Card]


def infill_preview(
    scan: SparseScan,
    inferred: Micrograph,
    caption: Caption,
    *,
    truth: NDArray[np.float32] | None = None,
    card: Card | None = None,
    spectra: bool = False,
) -> NDArray[np.uint8]:
    """Draw samples, result and error map side by side, and the truth with the difference where it is known.

    truth: (ny, nx) in the units of the scan.  card: figures shown beside the truth.  spectra: add power spectra.
    Returns RGB (ny, nx, 3) uint8; large images are averaged down to fit, small ones enlarged by whole multiples.
    Raises InvalidShape where truth or result is not the size of the scan.
    """
    for name, plane in (("inferred", inferred.intensity), ("truth", truth)):
        if plane is not None and plane.shape != scan.shape:
            raise InvalidShape(name, f"{scan.shape}, as the scan has", plane.shape)
    wide = scan.shape[1] > 2 * scan.shape[0]
    size = display.fit(scan.shape, WIDE_PANEL_AT_MOST if wide else PANEL_AT_MOST)
    limits = display.contrast(inferred.intensity if truth is None else truth)
    errors = [] if inferred.error is None else [inferred.error]
    top = largest_error(limits, *errors, *([] if truth is None else [np.abs(inferred.intensity - truth)]))
    rows = [measured_and_inferred(scan, inferred, limits, top, size)]
    if truth is not None:
        row = _compared(inferred, truth, limits, top, size)
        rows.append([*row, card] if card else row)
    if (curve := fit_curve(inferred.provenance.get("details", {}))) is not None:
        rows.append([curve])
    if spectra:
        rows.append(power_spectra(scan, inferred, truth, size))
    return lay_out([[panel] for row in rows for panel in row] if wide else rows, caption)


def measured_and_inferred(
    scan: SparseScan,
    inferred: Micrograph,
    limits: tuple[float, float],
    top: float,
    size: tuple[int, int],
    *,
    where: str = "",
) -> Row:
    """Draw what was measured, what was inferred from it, and the error map if there is one.

    limits: intensities shown black and white.  top: the largest error shown.  size: (ny, nx) of each picture [px].
    where: what the titles add, such as the number of a slice.
    """
    visited = f"{np.count_nonzero(scan.visited):,} of {scan.visited.size:,} pixels visited".replace(",", " ")
    picture = display.grey(display.resized(inferred.intensity, size), limits)
    draw_scale_bar(picture, inferred)
    row: Row = [
        Panel(f"Measured{where}", display.sampled_points(scan, limits, size), visited),
        Panel(f"Inferred{where}", picture, field_text(inferred)),
    ]
    if inferred.error is not None:
        error = display.heat(display.resized(inferred.error, size), (0.0, top))
        row.append(Panel("Estimated error, 1 σ", error, colour_bar=(0.0, top)))
    return row


def _compared(
    inferred: Micrograph, truth: NDArray[np.float32], limits: tuple[float, float], top: float, size: tuple[int, int]
) -> Row:
    shown = display.grey(display.resized(truth, size), limits)
    draw_scale_bar(shown, inferred)
    difference = display.resized(np.abs(inferred.intensity - truth), size)
    return [
        Panel("Truth", shown, "not shown to the model"),
        Panel("True error", display.heat(difference, (0.0, top)), colour_bar=(0.0, top)),
    ]


def power_spectra(
    scan: SparseScan, inferred: Micrograph, truth: NDArray[np.float32] | None, size: tuple[int, int]
) -> Row:
    """Draw the power spectra of what was measured, of what was inferred, and of the truth where it is known."""
    planes = {"measured": scan.intensity, "inferred": inferred.intensity}
    if truth is not None:
        planes["truth"] = truth
    powers = {name: display.power_spectrum(plane) for name, plane in planes.items()}
    low, high = (float(edge) for edge in np.percentile(powers["inferred"], (20, 99.95)))
    limits = low, max(high, low + 1)
    return [
        Panel(f"Power spectrum, {name}", display.heat(display.resized(power, size), limits), "logarithmic, Hann window")
        for name, power in powers.items()
    ]


def largest_error(limits: tuple[float, float], *errors: NDArray[np.float32]) -> float:
    """One scale for estimated and true errors, so that they compare by eye; rounding errors stay black."""
    tops = [float(np.nanpercentile(error, 99.5)) for error in errors]
    return max([1e-3 * (limits[1] - limits[0]), *tops])


def field_text(micrograph: Micrograph) -> str:
    """Say how large a field is, and its pixels."""
    ny, nx = micrograph.shape
    size = f"{nx} × {ny} px"
    if micrograph.pixel_size is None:
        return f"{size}, pixel size unknown"
    dy, dx = micrograph.pixel_size
    return f"{size}, {dx:.3g} nm/px" if dy == dx else f"{size}, {dx:.3g} × {dy:.3g} nm/px"
