"""A dark sheet with a banner and rows of panels: the layout that all previews share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.report import display
from semrt.report.canvas import AMBER, FAINT, INK, QUIET, RAISED, TEAL, blank, box, disc, shortened, text, text_width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from semrt.data import Micrograph

__all__ = ["Caption", "Card", "Panel", "Score", "draw_scale_bar", "lay_out"]

MARGIN = 36
GUTTER = 24
TITLE = 34
FOOT = 62
BANNER = 132
WARNING = 44
CELL_AT_LEAST = 330
CARD_AT_LEAST = 400
COLOUR_BAR_AT_LEAST = 120


@dataclass(frozen=True, slots=True)
class Caption:
    """What the banner says.

    source: name of the scan.  model: name and version.
    coverage: share of the pixels that were measured; None where all were, and nothing is to be said of it.
    device: the one that really ran.  seconds: from scan to result.
    warning: a fallback or an input unlike the training data; empty when all is well.
    told: what was found, said where there is no coverage to tell.
    """

    source: str
    model: str
    coverage: float | None
    device: str = ""
    seconds: float | None = None
    warning: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture (ny, nx, 3) RGB under its title; below it a note, or a colour bar over (low, high).

    colours: of the bar, those of display.heat when None.  unit: of its figures.
    span: columns of the sheet that the panel takes, which may then be narrower than the picture.
    """

    title: str
    picture: NDArray[np.uint8]
    note: str = ""
    colour_bar: tuple[float, float] | None = None
    colours: Callable[[NDArray[np.float32], tuple[float, float]], NDArray[np.uint8]] | None = None
    unit: str = ""
    span: int = 1


@dataclass(frozen=True, slots=True)
class Score:
    """How near a method came to the truth: PSNR [dB] and SSIM."""

    method: str
    psnr: float
    ssim: float


@dataclass(frozen=True, slots=True)
class Card:
    """A table of scores, the best PSNR marked, and lines of facts as (name, value)."""

    scores: Sequence[Score]
    facts: Sequence[tuple[str, str]] = ()

    @property
    def height(self) -> int:
        """Height that the card takes [px]."""
        return 92 + 34 * len(self.scores) + (30 + 30 * len(self.facts) if self.facts else 0)


def lay_out(rows: Sequence[Sequence[Panel | Card]], caption: Caption) -> NDArray[np.uint8]:
    """Draw the banner, and the rows of panels below it; RGB (ny, nx, 3) uint8."""
    widths = [
        -(-(panel.picture.shape[1] - (panel.span - 1) * GUTTER) // panel.span)
        for row in rows
        for panel in row
        if isinstance(panel, Panel)
    ]
    has_card = any(isinstance(panel, Card) for row in rows for panel in row)
    cell = max(CARD_AT_LEAST if has_card else CELL_AT_LEAST, *widths)
    columns = max(1 if cell > CARD_AT_LEAST else 2, *(sum(map(_span, row)) for row in rows))
    heights = [max(_height(panel) for panel in row) + TITLE + FOOT for row in rows]
    top = MARGIN + BANNER + (WARNING if caption.warning else 0)
    sheet = blank(top + sum(heights) + MARGIN - FOOT // 2, 2 * MARGIN + columns * cell + (columns - 1) * GUTTER)
    _draw_banner(sheet, caption)
    for row, y in zip(rows, top + np.cumsum([0, *heights]), strict=False):
        for column, panel in zip(np.cumsum([0, *map(_span, row)]).tolist(), row, strict=False):
            corner = int(y), MARGIN + column * (cell + GUTTER)
            if isinstance(panel, Card):
                _draw_card(sheet, panel, (corner[0] + TITLE, corner[1]), cell)
            else:
                _draw_panel(sheet, panel, corner)
    return sheet


def draw_scale_bar(picture: NDArray[np.uint8], micrograph: Micrograph) -> None:
    """Draw a bar of a round length on a picture of the whole field; nothing where the pixel size is unknown."""
    if micrograph.pixel_size is None:
        return
    ny, nx, _ = picture.shape
    field_of_view = micrograph.pixel_size[1] * micrograph.shape[1]
    length, label = display.scale_bar(field_of_view)
    bar = max(1, round(nx * length / field_of_view))
    width = max(bar, text_width(label, 16, bold=True)) + 20
    if width + 24 > nx or ny < 70:
        return  # no room: the pixel size stands in the note below
    y, x = ny - 58, 12
    box(picture, (y, x), (46, width), (0, 0, 0), opacity=0.6, radius=6)
    text(picture, label, (y + 22, x + width // 2), 16, bold=True, align="centre")
    box(picture, (y + 31, x + (width - bar) // 2), (5, bar), INK)


def _span(panel: Panel | Card) -> int:
    return panel.span if isinstance(panel, Panel) else 1


def _height(panel: Panel | Card) -> int:
    return panel.height if isinstance(panel, Card) else panel.picture.shape[0]


def _draw_panel(sheet: NDArray[np.uint8], panel: Panel, corner: tuple[int, int]) -> None:
    y, x = corner
    ny, nx, _ = panel.picture.shape
    text(sheet, panel.title, (y + TITLE - 12, x), 18, bold=True)
    sheet[y + TITLE : y + TITLE + ny, x : x + nx] = panel.picture
    below = y + TITLE + ny
    if panel.colour_bar is None:
        text(sheet, panel.note, (below + 23, x), 14, QUIET)
        return
    width = max(nx, COLOUR_BAR_AT_LEAST + (60 if panel.unit else 0))
    ramp = np.tile(np.linspace(0, 1, width, dtype=np.float32), (6, 1))
    sheet[below + 8 : below + 14, x : x + width] = (panel.colours or display.heat)(ramp, (0.0, 1.0))
    low, high = panel.colour_bar
    text(sheet, f"{low:g}", (below + 31, x), 14, QUIET)
    text(sheet, _figure((low + high) / 2), (below + 31, x + width // 2), 14, QUIET, align="centre")
    text(sheet, f"{_figure(high)} {panel.unit}".rstrip(), (below + 31, x + width), 14, QUIET, align="right")


def _draw_banner(sheet: NDArray[np.uint8], caption: Caption) -> None:
    right = sheet.shape[1] - MARGIN
    length = right - MARGIN
    text(sheet, caption.model, (MARGIN + 22, MARGIN), 28, bold=True)
    text(sheet, shortened(caption.source, 16, length * 6 // 10), (MARGIN + 50, MARGIN), 16, QUIET)
    if caption.seconds is not None:
        text(sheet, _duration(caption.seconds), (MARGIN + 22, right), 28, bold=True, align="right")
    if caption.device:
        text(
            sheet,
            shortened(f"on {caption.device}", 16, length * 3 // 10),
            (MARGIN + 50, right),
            16,
            QUIET,
            align="right",
        )

    y = MARGIN + 72
    box(sheet, (y, MARGIN), (8, length), FAINT, radius=4)
    if caption.coverage is None:
        text(sheet, shortened(caption.told, 15, length), (y + 30, MARGIN), 15)
    else:
        box(sheet, (y, MARGIN), (8, min(length, max(8, round(length * caption.coverage)))), TEAL, radius=4)
        measured = f"{_percent(caption.coverage)} measured, 1 pixel in {1 / caption.coverage:.3g}"
        x = _draw_key(sheet, (y + 30, MARGIN), TEAL, measured)
        _draw_key(sheet, (y + 30, x + 28), FAINT, f"{_percent(1 - caption.coverage)} inferred")
    if caption.warning:
        y = MARGIN + BANNER - 8
        box(sheet, (y, MARGIN), (32, length), AMBER, opacity=0.16, radius=6)
        box(sheet, (y, MARGIN), (32, 4), AMBER)
        text(sheet, shortened(caption.warning, 15, length - 36), (y + 21, MARGIN + 18), 15, AMBER)


def _draw_key(sheet: NDArray[np.uint8], baseline: tuple[int, int], colour: tuple[int, int, int], words: str) -> int:
    y, x = baseline
    disc(sheet, (y - 5, x + 5), 5, colour)
    text(sheet, words, (y, x + 18), 15)
    return x + 18 + text_width(words, 15)


def _draw_card(sheet: NDArray[np.uint8], card: Card, corner: tuple[int, int], width: int) -> None:
    y, x = corner
    box(sheet, corner, (card.height, width), RAISED, radius=8)
    left, right, middle = x + 24, x + width - 24, x + width - 112
    text(sheet, "Against the truth", (y + 38, left), 18, bold=True)
    text(sheet, "PSNR, dB", (y + 38, middle), 14, QUIET, align="right")
    text(sheet, "SSIM", (y + 38, right), 14, QUIET, align="right")
    best = max((score.psnr for score in card.scores), default=0.0)
    line = y + 44
    for score in card.scores:
        line += 34
        wins = score.psnr == best
        colour = TEAL if wins else INK
        text(sheet, shortened(score.method, 16, middle - left - 80, bold=wins), (line, left), 16, colour, bold=wins)
        text(sheet, f"{score.psnr:.2f}", (line, middle), 16, colour, bold=wins, align="right")
        text(sheet, f"{score.ssim:.3f}", (line, right), 16, colour, bold=wins, align="right")
    if card.facts:
        box(sheet, (line + 26, left), (1, right - left), FAINT)
        line += 30
    for name, value in card.facts:
        line += 30
        text(sheet, name, (line, left), 15, QUIET)
        room = right - left - text_width(name, 15) - 16
        text(sheet, shortened(value, 15, room), (line, right), 15, align="right")


def _figure(value: float) -> str:
    """Two digits, or more where a number before its point has more."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.2g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"
