"""One picture of atomic columns: where they are, what the network saw of them, and how far apart they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidShape
from semrt.report import display
from semrt.report.canvas import AMBER, QUIET, RAISED, TEAL, blank, box, text
from semrt.report.preview import field_text
from semrt.report.sheet import Caption, Panel, draw_scale_bar, lay_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import AtomColumns, Micrograph

__all__ = ["columns_preview", "headline_of"]

PANEL_AT_MOST = (512, 512)
PLOT = (300, 512)
BINS = 48
APART_AT_LEAST = 10
"""Neighbours in the picture [px]; where they would be nearer, a carpet of dots, only a part of the field is shown."""


def columns_preview(
    measured: Micrograph, found: AtomColumns, caption: Caption, *, spectra: bool = False
) -> NDArray[np.uint8]:
    """Draw the image and the columns on it, map and denoised image where there are any, and how far apart columns are.

    spectra: add power spectra of the image and of the denoised one.
    Returns RGB (ny, nx, 3) uint8.  Raises InvalidShape where the columns are of another image.
    """
    if found.shape != measured.shape:
        raise InvalidShape("columns", f"{measured.shape}, as the image has", found.shape)
    size = display.fit(measured.shape, PANEL_AT_MOST)
    limits = display.contrast(measured.intensity)
    whole = display.grey(display.resized(measured.intensity, size), limits)
    draw_scale_bar(whole, measured)
    panels = [Panel("Measured", whole, field_text(measured)), _marked(measured, found, limits, size)]
    if found.column_map is not None:
        map_of = display.heat(display.resized(found.column_map, size), (0.0, 1.0))
        panels.append(Panel("Probability of a column", map_of, colour_bar=(0.0, 1.0)))
    if found.denoised is not None:
        shown = display.grey(display.resized(found.denoised, size), display.contrast(found.denoised))
        panels.append(Panel("Denoised, without background", shown, "in the units of the image"))
    if spectra:
        panels += _spectra(measured, found, size)
    panels.append(_distances(found))
    return lay_out([panels[at : at + 2] for at in range(0, len(panels), 2)], caption)


def headline_of(found: AtomColumns) -> str:
    """Say in a line how many columns there are, how far apart, and how well they are known."""
    n = len(found)
    said = [f"{n:,} {'column' if n == 1 else 'columns'}".replace(",", " ")]
    if found.spacing is not None:
        length, unit = _lengths(found)
        said.append(f"nearest neighbours {np.median(length):.4g} {unit} apart")
    known = found.sigma[np.isfinite(found.sigma)]
    if known.size:
        scale, unit = _unit(found)
        said.append(f"positions to {np.median(known) * scale:.2g} {unit} (median σ)")
    return ", ".join(said)


def _marked(measured: Micrograph, found: AtomColumns, limits: tuple[float, float], size: tuple[int, int]) -> Panel:
    """Draw the columns on the image, or on as much of its middle as keeps them apart."""
    import cv2

    ny, nx = measured.shape
    apart = found.spacing or APART_AT_LEAST
    share = min(1.0, apart * size[0] / ny / APART_AT_LEAST)
    part = tuple(max(1, round(length * share)) for length in (ny, nx))
    y0, x0 = (ny - part[0]) // 2, (nx - part[1]) // 2
    cut = np.ascontiguousarray(measured.intensity[y0 : y0 + part[0], x0 : x0 + part[1]])
    way = cv2.INTER_LINEAR if part[0] <= size[0] else cv2.INTER_AREA
    picture = display.grey(np.asarray(cv2.resize(cut, size[::-1], interpolation=way), np.float32), limits)
    scale = np.array(size) / part
    radius = float(np.clip(0.14 * apart * scale[0], 1.5, 7))
    low, high = (float(np.min(found.score)), float(np.max(found.score))) if len(found) else (0.0, 1.0)
    sure = (found.score - low) / (high - low) if high > low else np.ones(len(found))
    colours = np.rint(np.array(AMBER) + sure[:, None] * (np.array(TEAL) - np.array(AMBER))).astype(int)
    at = (found.positions - (y0, x0) + 0.5) * scale - 0.5
    shown = np.flatnonzero(((at > -radius) & (at < np.array(size) + radius)).all(1))
    for (y, x), colour in zip(np.rint(16 * at[shown]).astype(int).tolist(), colours[shown].tolist(), strict=True):
        # Places and radii are in sixteenths of a pixel.
        cv2.circle(picture, (x, y), round(radius * 16), colour, -1 if radius < 3 else 2, cv2.LINE_AA, 4)
    where = "" if share == 1 else f"the middle, {part[1]} × {part[0]} px; "
    return Panel("Columns", picture, f"{where}{len(shown)} marked, green the surest, amber the least")


def _spectra(measured: Micrograph, found: AtomColumns, size: tuple[int, int]) -> list[Panel]:
    planes = {"measured": measured.intensity}
    if found.denoised is not None:
        planes["denoised"] = found.denoised
    panels = []
    for name, plane in planes.items():
        power = display.power_spectrum(plane)
        low, high = (float(edge) for edge in np.percentile(power, (20, 99.95)))
        picture = display.heat(display.resized(power, size), (low, max(high, low + 1)))
        panels.append(Panel(f"Power spectrum, {name}", picture, "logarithmic, Hann window"))
    return panels


def _distances(found: AtomColumns) -> Panel:
    """Draw the histogram of the distances to the nearest neighbour."""
    ny, nx = PLOT
    picture = blank(ny, nx, RAISED)
    title = "Distance to the nearest neighbour"
    if found.spacing is None:
        text(picture, "fewer than two columns", (ny // 2, nx // 2), 16, QUIET, align="centre")
        return Panel(title, picture)
    length, unit = _lengths(found)
    low, middle, high = (float(edge) for edge in np.percentile(length, (2, 50, 98)))
    margin = max(0.25 * (high - low), 1e-3 * middle)
    low, high = low - margin, high + margin
    counts, _ = np.histogram(length, BINS, (low, high))
    left, foot, top = 20, ny - 40, 20
    step = (nx - 2 * left) / BINS
    for number, count in enumerate(counts):
        height = round((foot - top) * count / max(1, counts.max()))
        if height:
            corner = foot - height, round(left + number * step) + 1
            box(picture, corner, (height, max(1, round(step) - 2)), TEAL)
    box(picture, (foot, left), (1, nx - 2 * left), QUIET)
    for share in (0.0, 0.5, 1.0):
        at = round(left + share * (nx - 2 * left))
        text(picture, f"{low + share * (high - low):.4g}", (foot + 22, at), 14, QUIET, align="centre")
    spread = float(np.diff(np.percentile(length, (25, 75)))[0]) / 1.349  # that of a normal distribution
    return Panel(title, picture, f"[{unit}]; median {middle:.4g}, spread {spread:.2g}, n = {len(found)}")


def _lengths(found: AtomColumns) -> tuple[NDArray[np.float64], str]:
    """Distances to the nearest neighbour in picometres, or in pixels where the pixel size is unknown."""
    if found.pixel_size is None:
        return found.nearest_distances(), "px"
    return 1000 * found.nearest_distances("nm"), "pm"


def _unit(found: AtomColumns) -> tuple[float, str]:
    if found.pixel_size is None:
        return 1.0, "px"
    return 1000 * float(np.mean(found.pixel_size)), "pm"
