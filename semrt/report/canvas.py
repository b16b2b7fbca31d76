"""Text, boxes and bars on an RGB picture (ny, nx, 3) uint8, drawn with OpenCV alone."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "AMBER",
    "FAINT",
    "GROUND",
    "INK",
    "QUIET",
    "RAISED",
    "TEAL",
    "blank",
    "box",
    "disc",
    "shortened",
    "text",
    "text_width",
]

RGB = tuple[int, int, int]

GROUND: RGB = (17, 19, 23)
RAISED: RGB = (27, 30, 36)
FAINT: RGB = (58, 63, 72)
QUIET: RGB = (147, 154, 166)
INK: RGB = (236, 238, 242)
TEAL: RGB = (74, 201, 182)
AMBER: RGB = (240, 178, 77)

BOLD = 600
OVERSAMPLING = 4


def blank(ny: int, nx: int, colour: RGB = GROUND) -> NDArray[np.uint8]:
    """Return a picture of one colour, (ny, nx, 3)."""
    picture: NDArray[np.uint8] = np.empty((ny, nx, 3), np.uint8)
    picture[:] = colour
    return picture


def box(
    picture: NDArray[np.uint8],
    corner: tuple[int, int],
    size: tuple[int, int],
    colour: RGB,
    *,
    opacity: float = 1.0,
    radius: int = 0,
) -> None:
    """Lay a box with rounded corners over the picture; corner (y, x) and size (ny, nx) in px."""
    y, x = corner
    ny, nx = size
    within = _rounded(ny, nx, min(radius, ny // 2, nx // 2)) * np.float32(opacity)
    _blend(picture[y : y + ny, x : x + nx], within, colour)


def disc(picture: NDArray[np.uint8], centre: tuple[int, int], radius: int, colour: RGB) -> None:
    """Draw a filled disc; centre (y, x) in px."""
    y, x = centre
    box(picture, (y - radius, x - radius), (2 * radius + 1, 2 * radius + 1), colour, radius=radius)


def text(
    picture: NDArray[np.uint8],
    words: str,
    baseline: tuple[int, int],
    size: int,
    colour: RGB = INK,
    *,
    bold: bool = False,
    align: Literal["left", "centre", "right"] = "left",
) -> None:
    """Write words with their baseline at (y, x) [px]; size is the height of the type [px]."""
    import cv2

    y, x = baseline
    if align != "left":
        width = text_width(words, size, bold=bold)
        x -= width if align == "right" else width // 2
    weight = BOLD if bold else 400
    if (face := _font()) is not None:
        cv2.putText(picture, words, (x, y), colour, face, size, weight)
        return
    ink = _stroked(words, size, weight)
    top, left = y - size, x
    ny, nx = max(0, min(ink.shape[0], picture.shape[0] - top)), max(0, min(ink.shape[1], picture.shape[1] - left))
    _blend(picture[top : top + ny, left : left + nx], ink[:ny, :nx], colour)


def text_width(words: str, size: int, *, bold: bool = False) -> int:
    """Width that `text` takes [px]."""
    import cv2

    weight = BOLD if bold else 400
    if (face := _font()) is not None:
        return int(cv2.getTextSize((0, 0), words, (0, 0), face, size, weight)[2])
    return int(_stroked(words, size, weight).shape[1])


def shortened(words: str, size: int, room: int, *, bold: bool = False) -> str:
    """Cut words to a width [px], with an ellipsis where something went."""
    if text_width(words, size, bold=bold) <= room:
        return words
    kept = len(words)
    while kept and text_width(words[:kept].rstrip() + "…", size, bold=bold) > room:
        kept -= 1
    return words[:kept].rstrip() + "…"


@cache
def _font() -> Any | None:
    """Return the variable-weight font that OpenCV 5 carries, or None under OpenCV 4, which only has stroked letters."""
    import cv2

    return cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None


def _stroked(words: str, size: int, weight: int) -> NDArray[np.float32]:
    """Draw stroked letters large and average them down: opacity in [0, 1], the baseline `size` rows from the top."""
    import cv2

    face = cv2.FONT_HERSHEY_DUPLEX
    words = _ascii(words)
    scale = cv2.getFontScaleFromHeight(face, max(1, round(size * OVERSAMPLING * 0.68)), 1)
    thickness = 5 if weight >= BOLD else 3
    (width, _), below = cv2.getTextSize(words, face, scale, thickness)
    ny = size + -(-(below + thickness) // OVERSAMPLING)
    nx = -(-(width + 2 * thickness) // OVERSAMPLING)
    large: NDArray[np.uint8] = np.zeros((ny * OVERSAMPLING, nx * OVERSAMPLING), np.uint8)
    cv2.putText(large, words, (thickness, size * OVERSAMPLING), face, scale, 255, thickness, cv2.LINE_AA)
    return np.asarray(cv2.resize(large, (nx, ny), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def _ascii(words: str) -> str:
    """Spell what the stroked font lacks: µm as um, × as x, σ as sigma."""
    spelled = words.translate(
        {ord("µ"): "u", ord("μ"): "u", ord("Å"): "A", ord("σ"): "sigma", ord("×"): "x", ord("±"): "+/-"}
        | {ord("·"): "-", ord("—"): "-", ord("–"): "-", ord("…"): "...", ord("−"): "-", ord("≤"): "<=", ord("≥"): ">="}
    )
    return unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()


def _rounded(ny: int, nx: int, radius: int) -> NDArray[np.float32]:
    """Opacity of a box whose corners are quarter discs, by its signed distance."""
    if radius == 0:
        return np.ones((ny, nx), np.float32)
    inset_y = np.abs(np.arange(ny) - (ny - 1) / 2) - (ny / 2 - radius)
    inset_x = np.abs(np.arange(nx) - (nx - 1) / 2) - (nx / 2 - radius)
    distance = np.hypot(np.maximum(inset_y, 0)[:, None], np.maximum(inset_x, 0)[None, :]) - radius
    return np.asarray(np.clip(0.5 - distance, 0, 1), np.float32)


def _blend(under: NDArray[np.uint8], opacity: NDArray[np.float32], colour: RGB) -> None:
    mixed = under + opacity[..., None] * (np.asarray(colour, np.float32) - under)
    under[:] = np.rint(mixed).astype(np.uint8)
