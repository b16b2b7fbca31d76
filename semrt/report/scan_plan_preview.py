"""One picture of a plan: the expected error of every pattern and coverage, and what the best of them would see."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from semrt.report import display
from semrt.report.canvas import FAINT, INK, QUIET, RAISED, TEAL, blank, box, disc, text, text_width
from semrt.report.preview import field_text, largest_error
from semrt.report.sheet import Caption, Card, Panel, draw_scale_bar, lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from semrt.data import Micrograph
    from semrt.report.scan_plan import Forecast, Trial

__all__ = ["coverage_label", "plan_preview"]

PICTURE_AT_MOST = (330, 330)
CELL = 330
GUTTER = 24  # of the sheet, which the plot spans
LINE = 34
LEFT, RIGHT, TOP, FOOT = 168, 40, 58, 40
DOT = 7

SAME_DOSE = "all take the same electrons: the fewer pixels a scan visits, the longer it sees each"

RGB = tuple[int, int, int]


def plan_preview(truth: Micrograph, best: Trial, forecasts: Sequence[Forecast], caption: Caption) -> NDArray[np.uint8]:
    """Draw the errors of all plans, and of the best one what it sees, what is inferred and where it errs.

    forecasts: all of them, in any order.  Returns RGB (ny, nx, 3) uint8.
    """
    size = display.fit(truth.shape, PICTURE_AT_MOST)
    limits = display.contrast(truth.intensity)
    difference = np.abs(best.image.intensity - truth.intensity)
    top = largest_error(limits, difference)
    name = f"{best.forecast.pattern}, {coverage_label(best.forecast.asked)}"
    shown = display.grey(display.resized(truth.intensity, size), limits)
    draw_scale_bar(shown, truth)
    inferred = display.grey(display.resized(best.image.intensity, size), limits)
    error = display.heat(display.resized(difference, size), (0.0, top))
    electrons = f"{best.forecast.electrons_per_sample:.3g} electrons a sample"
    pictures: list[Panel | Card] = [
        Panel("Taken as the truth", shown, field_text(truth)),
        Panel(f"Best: {name}", display.sampled_points(best.scan, limits, size), electrons),
        Panel(f"Inferred by {best.forecast.ran}", inferred, f"PSNR {best.forecast.psnr:.1f} dB"),
        Panel("Its error", error, colour_bar=(0.0, top)),
    ]
    width = len(pictures) * CELL + (len(pictures) - 1) * GUTTER
    plot = Panel("Expected error, % of the range", dot_plot(forecasts, width), SAME_DOSE, span=len(pictures))
    return lay_out([[plot], pictures], caption)


def dot_plot(forecasts: Sequence[Forecast], width: int) -> NDArray[np.uint8]:
    """A line for each pattern, the best first, and on it a dot for each coverage; RGB (ny, width, 3)."""
    lines: dict[str, list[Forecast]] = {}
    for one in sorted(forecasts, key=lambda one: one.rmse):
        lines.setdefault(one.pattern, []).append(one)
    asked = sorted({one.asked for one in forecasts}, reverse=True)
    colours = dict(zip(asked, _colours(len(asked)), strict=True))
    errors = [100 * one.rmse for one in forecasts]
    low, high = 0.92 * min(errors), 1.08 * max(errors)
    picture = blank(TOP + LINE * len(lines) + FOOT, width)
    box(picture, (0, 0), (picture.shape[0], width), RAISED, radius=8)

    def column(error: float) -> int:
        part = (math.log(error) - math.log(low)) / (math.log(high) - math.log(low))
        return LEFT + round(part * (width - LEFT - RIGHT))

    _draw_key(picture, colours)
    for tick in _ticks(low, high):
        box(picture, (TOP - 12, column(tick)), (LINE * len(lines) + 12, 1), FAINT)
        text(picture, f"{tick:g} %", (picture.shape[0] - 16, column(tick)), 13, QUIET, align="centre")
    for row, (pattern, ones) in enumerate(lines.items()):
        y = TOP + LINE * row + LINE // 2
        wins = row == 0
        text(picture, pattern, (y + 5, LEFT - 22), 15, TEAL if wins else INK, bold=wins, align="right")
        first, last = column(100 * ones[0].rmse), column(100 * ones[-1].rmse)
        box(picture, (y, first), (1, max(1, last - first)), FAINT)
        for one in reversed(ones):  # the better above the worse where they meet
            x = column(100 * one.rmse)
            if wins and one is ones[0]:
                disc(picture, (y, x), DOT + 4, TEAL)
                disc(picture, (y, x), DOT + 2, RAISED)
            disc(picture, (y, x), DOT, colours[one.asked])
    return picture


def coverage_label(share: float) -> str:
    """1/20 where it is one, else 7.5 %."""
    if share == 1:
        return "all"
    parts = 1 / share
    return f"1/{parts:.0f}" if abs(parts - round(parts)) < 0.005 * parts else f"{100 * share:.3g} %"


def _draw_key(picture: NDArray[np.uint8], colours: dict[float, RGB]) -> None:
    x = LEFT
    text(picture, "coverage", (32, LEFT - 22), 13, QUIET, align="right")
    for share, colour in colours.items():
        label = coverage_label(share)
        disc(picture, (28, x), DOT, colour)
        text(picture, label, (33, x + 14), 14)
        x += 14 + text_width(label, 14) + 26


def _colours(n: int) -> list[RGB]:
    """From pale, the most that is visited, to deep."""
    ramp = np.linspace(0.92, 0.42, n, dtype=np.float32)[None]
    return [(int(r), int(g), int(b)) for r, g, b in display.heat(ramp, (0.0, 1.0))[0]]


def _ticks(low: float, high: float) -> list[float]:
    """Round figures between two, from three to ten of them."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8), (1, 2, 3, 5), (1, 2, 5), (1,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if 3 <= len(ticks) <= 10:
            return ticks
    # Within less than a factor of two: equal steps, the largest of which three fit in.
    for decade in range(decades.stop, decades.start - 4, -1):
        for first in (5, 2, 1):
            step = first * 10.0**decade
            ticks = [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
            if len(ticks) >= 3:
                return ticks
    return [low, high]
