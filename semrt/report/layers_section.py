"""Charts of layers: a cut across them, how far the images are from them, and a table of what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.report.canvas import FAINT, INK, QUIET, RAISED, TEAL, blank, box, text, text_width
from semrt.report.layers_relief import LOWER, SUBSTRATE, UPPER, top_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from semrt.data import LayerMap

__all__ = ["cross_section", "nice_steps", "residual_plot", "row_shown", "summary_table", "volume_text"]

LEFT, RIGHT, TOP = 58, 18, 40
FOOT = 46
SUBSTRATE_HEIGHT = 34
COLOURS = (LOWER, UPPER)


def row_shown(found: LayerMap) -> int:
    """The row through the thickest lower layer, or upper one without any; of equals the one with more of both."""
    plane = found.thickness[0] if found.thickness[0].any() else found.thickness[1]
    highest = plane.max(axis=1)
    rows = np.flatnonzero(highest >= top_of(plane) * (1 - 1e-3))
    return int(rows[found.thickness[:, rows].sum(axis=(0, 2)).argmax()])


def cross_section(found: LayerMap, y: int, size: tuple[int, int]) -> tuple[NDArray[np.uint8], float | None]:
    """Draw the layers of one row, upright, on their substrate; heights to the scale of the axis on the left.

    Returns RGB (ny, nx, 3) of this size, and how much higher they are drawn than they are wide, None where nobody
    said how large a pixel is.
    """
    ny, nx = size
    picture = blank(ny, nx, RAISED)
    width, floor = nx - LEFT - RIGHT, ny - FOOT - SUBSTRATE_HEIGHT
    lower, upper = found.thickness[:, y].astype(np.float64)
    highest = max(float((lower + upper).max()), 1.0)
    px_per_nm = (floor - TOP) / highest
    of = np.minimum(((np.arange(width) + 0.5) * len(lower) / width).astype(int), len(lower) - 1)
    tops = [np.rint(px_per_nm * level).astype(int)[of] for level in (lower, lower + upper)]
    above = floor - 1 - np.arange(floor)[:, None]  # of each row, over the substrate [px]
    field = picture[:floor, LEFT : LEFT + width]
    for step in nice_steps(highest):
        row = floor - round(step * px_per_nm)
        box(picture, (row, LEFT), (1, width), FAINT)
        text(picture, f"{step:g}", (row + 5, LEFT - 10), 13, QUIET, align="right")
    field[above < tops[1]] = UPPER
    field[above < tops[0]] = LOWER
    text(picture, "nm", (22, LEFT - 10), 13, QUIET, align="right")
    box(picture, (floor, LEFT), (SUBSTRATE_HEIGHT, width), SUBSTRATE)
    text(picture, "substrate", (floor + 22, LEFT + 12), 13, INK)
    _legend(picture, found.names, nx - RIGHT)
    unit, scale = _lateral(found)
    length = len(lower) * scale
    for step in nice_steps(length, most=6):
        at = LEFT + round(step / length * width)
        label = f"{step:g} {unit}" if step else "0"
        text(picture, label, (ny - FOOT + 24, min(at, nx - RIGHT - 20)), 13, QUIET, align="centre")
    if found.pixel_size is None:
        return picture, None
    return picture, px_per_nm / (width / (len(lower) * found.pixel_size[1]))


def residual_plot(found: LayerMap, noise: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw how far the images are from those that the layers would give, at each energy; a line marks the noise."""
    import cv2

    assert found.residual is not None
    ny, nx = size
    picture = blank(ny, nx, RAISED)
    percent = 100 * np.nan_to_num(found.residual)
    energies = np.arange(1.0, len(percent) + 1) if found.energies is None else found.energies
    top = 1.15 * max(float(percent.max()), 100 * noise)
    low, high = float(energies[0]), float(energies[-1])
    floor = ny - FOOT

    def at(energy: float, value: float) -> tuple[int, int]:
        x = LEFT + (nx - LEFT - RIGHT - 8) * (energy - low) / max(high - low, 1e-12)
        return round(16 * x), round(16 * (floor - (floor - TOP) * value / top))  # in sixteenths of a pixel

    for step in nice_steps(top, most=5):
        row = at(low, step)[1] // 16
        box(picture, (row, LEFT), (1, nx - LEFT - RIGHT), FAINT)
        text(picture, f"{step:g}", (row + 5, LEFT - 10), 13, QUIET, align="right")
    text(picture, "%", (22, LEFT - 10), 13, QUIET, align="right")
    for energy in (low, (low + high) / 2, high):
        x = min(max(at(energy, 0)[0] // 16, LEFT + 10), nx - RIGHT - 16)
        text(picture, f"{energy:.4g}", (ny - FOOT + 22, x), 13, QUIET, align="centre")
    row = at(low, 100 * noise)[1] // 16
    for x in range(LEFT, nx - RIGHT - 6, 12):
        box(picture, (row, x), (1, 7), INK, opacity=0.7)
    text(picture, "noise", (row + 18, nx - RIGHT), 13, QUIET, align="right")
    points = np.array([at(*pair) for pair in zip(energies, percent, strict=True)], np.int32)
    cv2.polylines(picture, [points], False, TEAL, 2, cv2.LINE_AA, 4)
    for x, y in points.tolist():
        cv2.circle(picture, (x, y), 16 * 3, TEAL, -1, cv2.LINE_AA, 4)
    return picture


def summary_table(layers: dict[str, dict[str, Any]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw the figures of each material side by side.  layers: as layers_summary.summary_of gathers them."""
    ny, nx = size
    picture = blank(ny, nx, RAISED)
    lines: list[tuple[str, str, Callable[[float], str]]] = [
        ("of the field", "covered_share", lambda value: f"{100 * value:.1f} %"),
        ("median there", "median_nm", lambda value: f"{value:.3g} nm"),
        ("at most", "max_nm", lambda value: f"{value:.3g} nm"),
        ("mean σ there", "mean_sigma_nm", lambda value: f"{value:.2g} nm"),
        ("volume", "volume_nm3", volume_text),
    ]
    columns = (nx - 24 - max((nx - 130) // 2, 112), nx - 24)
    step = min(58, (ny - 60) // len(lines))
    for (name, _), right, colour in zip(layers.items(), columns, COLOURS, strict=True):
        width = text_width(name, 15, bold=True)
        box(picture, (26, right - width - 18), (12, 12), colour, radius=3)
        text(picture, name, (38, right), 15, INK, bold=True, align="right")
    for line, (words, key, written) in enumerate(lines):
        y = 44 + (line + 1) * step
        box(picture, (y - step + 8, 20), (1, nx - 40), FAINT)
        text(picture, words, (y, 20), 14, QUIET)
        for figures, right in zip(layers.values(), columns, strict=True):
            value = figures[key]
            text(picture, "–" if value is None else written(value), (y, right), 14, INK, align="right")
    return picture


def volume_text(cubic_nm: float) -> str:
    """Write a volume in the unit that keeps its figure short: 350 nm³, 0.012 µm³."""
    return f"{cubic_nm / 1e9:.3g} µm³" if cubic_nm >= 1e6 else f"{cubic_nm:.3g} nm³"


def nice_steps(top: float, *, most: int = 4) -> Sequence[float]:
    """Round values from zero up to `top`, at most so many above zero."""
    rough = top / most
    decade = 10.0 ** np.floor(np.log10(rough))
    step = next(size * decade for size in (1, 2, 2.5, 5, 10) if size * decade >= rough * (1 - 1e-9))
    return [float(f"{k * step:.6g}") for k in range(int(top / step + 1e-9) + 1)]


def _legend(picture: NDArray[np.uint8], names: tuple[str, str], right: int) -> None:
    for name, colour in zip(reversed(names), reversed(COLOURS), strict=True):
        right -= text_width(name, 14)
        text(picture, name, (26, right), 14, INK)
        right -= 20
        box(picture, (14, right), (12, 12), colour, radius=3)
        right -= 24


def _lateral(found: LayerMap) -> tuple[str, float]:
    """The unit along the row, and the length of a pixel in it."""
    if found.pixel_size is None:
        return "px", 1.0
    dx = found.pixel_size[1]
    return ("µm", dx / 1000) if dx * found.shape[1] >= 2000 else ("nm", dx)
