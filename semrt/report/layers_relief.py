"""Layers as they would lie on a table: their surface seen from above and aside, heights exaggerated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.report.canvas import RAISED

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LOWER", "SUBSTRATE", "UPPER", "relief", "top_of"]

RGB = tuple[int, int, int]

LOWER: RGB = (236, 180, 58)  # gold
UPPER: RGB = (150, 184, 219)  # aluminium
SUBSTRATE: RGB = (84, 92, 108)

TURN = math.radians(32)  # of the field about the vertical
TILT = 0.52  # share of its depth that is left when seen from this height
OVERSAMPLING = 2
RELIEF, SLAB, MARGIN = 0.24, 0.045, 0.05  # shares of the picture: highest layer, substrate, space around
STEEPEST = 0.4  # height of the highest layer, of the shorter side of the field
SHADES, BRIGHTEST = 128, 1.25
LIGHT = np.array([-0.55, -0.35, 0.76])  # from where, as (right, towards us, up)


@dataclass(frozen=True, eq=False, slots=True)
class _View:
    """The field as rows of cells from far to near, as wide as the picture.

    at_y, at_x: (rows, nx) float32, the place in the field that each cell shows [px].  within: whether there is one.
    top: row of the picture at which a cell of the first row stands.  shorter_side: of the field, in the picture [px].
    """

    at_y: NDArray[np.float32]
    at_x: NDArray[np.float32]
    within: NDArray[np.bool_]
    top: int
    shorter_side: float


def relief(thickness: NDArray[np.float32], size: tuple[int, int]) -> tuple[NDArray[np.uint8], float]:
    """Draw two layers on their substrate; the picture, RGB (ny, nx, 3) of this size, and its height of a nm [px].

    thickness: (2, ny, nx) [nm], lower and upper.  The columns of the field are painted from far to near, each hiding
    what lies behind it, twice as large as they are shown.
    """
    ny, nx = (OVERSAMPLING * length for length in size)
    view = _view((thickness.shape[1], thickness.shape[2]), (ny, nx))
    highest = top_of(thickness.sum(0))
    px_per_nm = min(RELIEF * ny, STEEPEST * view.shorter_side) / highest if highest > 0 else 1.0
    lower, upper = (np.minimum(px_per_nm * plane, ny) for plane in _seen(thickness, view))  # beyond is out of sight
    slab = max(2, round(SLAB * ny))
    edges = [
        np.where(view.within, np.rint(level).astype(np.int32), 0) for level in (slab + lower, slab + lower + upper)
    ]
    # The top has its layer's colour however thin the layer is.
    on_top = np.where(upper > 0, 2, lower > 0) * SHADES + _shade(_light(lower + upper))
    codes = _painted((ny, nx), view.top, slab, edges, on_top)
    return _shrunk(_colours()[codes], size), px_per_nm / OVERSAMPLING


def top_of(thickness: NDArray[np.float32]) -> float:
    """The thickness at which a scale ends: the largest [nm], unless a pixel in a thousand goes beyond all others."""
    return float(np.percentile(thickness, 99.9)) or float(thickness.max())


def _view(field: tuple[int, int], picture: tuple[int, int]) -> _View:
    (ny, nx), (height, width) = field, picture
    cos, sin = math.cos(TURN), math.sin(TURN)
    room_y, room_x = height * (1 - 2 * MARGIN - RELIEF - SLAB), width * (1 - 2 * MARGIN)
    scale = min(room_x / (nx * cos + ny * sin), room_y / (TILT * (nx * sin + ny * cos)))
    rows = max(1, math.ceil(scale * TILT * (nx * sin + ny * cos)))
    right = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / scale
    near = (np.arange(rows, dtype=np.float32) - (rows - 1) / 2)[:, None] / (scale * TILT)
    at_x = cos * right + sin * near + nx / 2 - 0.5
    at_y = cos * near - sin * right + ny / 2 - 0.5
    within = (at_x >= -0.5) & (at_x < nx - 0.5) & (at_y >= -0.5) & (at_y < ny - 0.5)
    top = round((height - rows + (RELIEF + SLAB) * height) / 2)
    return _View(at_y.astype(np.float32), at_x.astype(np.float32), within, top, scale * min(ny, nx))


def _seen(thickness: NDArray[np.float32], view: _View) -> list[NDArray[np.float32]]:
    """Either thickness where the cells are: of the nearest pixel, or of as many as fall into a cell."""
    import cv2

    apart = float(np.hypot(view.at_x[0, 1] - view.at_x[0, 0], view.at_y[0, 1] - view.at_y[0, 0]))  # field px a cell
    planes = []
    for plane in thickness:
        mean = cv2.blur(plane, (round(apart), round(apart))) if apart >= 2 else plane
        seen = cv2.remap(mean, view.at_x, view.at_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        planes.append(np.asarray(seen, np.float32))
    return planes


def _light(height: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much light falls on the surface, 1 on a level one; slopes are those of the picture, a little softened."""
    import cv2

    soft = np.asarray(cv2.GaussianBlur(height, (0, 0), 2.5), np.float32)
    towards, right = np.gradient(soft)
    length = np.sqrt(1 + right**2 + (TILT * towards) ** 2)
    falls = (LIGHT[2] - LIGHT[0] * right - LIGHT[1] * TILT * towards) / length
    return np.asarray(np.clip(falls / LIGHT[2], 0.45, BRIGHTEST), np.float32)


def _light_on_walls(top: NDArray[np.int32]) -> NDArray[np.float32]:
    """How much light falls on the side of each column: much where it faces left, little where it faces right."""
    import cv2

    soft = np.asarray(cv2.GaussianBlur(top.astype(np.float32), (0, 0), 2.5), np.float32)
    towards, right = np.gradient(soft)
    facing_right = -right / np.maximum(np.hypot(right, TILT * towards), np.float32(1e-3))
    return np.asarray(0.62 - 0.22 * facing_right, np.float32)


def _shade(light: NDArray[np.float32]) -> NDArray[np.int32]:
    """Light in steps, as the table of colours counts them."""
    return np.asarray(np.rint(light * ((SHADES - 1) / BRIGHTEST)), np.int32)


def _colours() -> NDArray[np.uint8]:
    """Colour of every material in every light, by material * SHADES + shade; the last is the background."""
    light = np.linspace(0, BRIGHTEST, SHADES)[:, None]
    shaded = [np.clip(light * np.array(colour), 0, 255) for colour in (SUBSTRATE, LOWER, UPPER)]
    return np.asarray(np.rint(np.concatenate([*shaded, [RAISED]])), np.uint8)


def _painted(
    size: tuple[int, int], row_of_first: int, slab: int, edges: list[NDArray[np.int32]], on_top: NDArray[Any]
) -> NDArray[np.int32]:
    """Paint each cell's column, as far as the one before it leaves it to be seen; nearer ones come later, and hide.

    edges: (rows, nx) tops of the lower and of the upper layer above the foot of the substrate [px].
    on_top: (rows, nx) what a column looks like from above.  Both it and the result are in the codes of _colours.
    """
    through_lower, top = (edge.ravel() for edge in edges)
    ny, nx = size
    nearer = np.zeros_like(top)
    nearer[:-nx] = top[nx:]
    visible = np.maximum(top - np.maximum(nearer - 1, 0), 0)
    cell = np.flatnonzero(visible)
    count = visible[cell]
    first = np.cumsum(count) - count
    of = np.repeat(cell, count)
    level = top[of] - 1 - (np.arange(len(of)) - np.repeat(first, count))  # from the top of the column down
    code = (level >= slab).astype(np.int32) + (level >= through_lower[of])
    code *= SHADES
    code += _shade(_light_on_walls(edges[1])).ravel()[of]
    code[first] = on_top.ravel()[cell]
    at = of + nx * (row_of_first - level)
    codes = np.full(ny * nx, 3 * SHADES, np.int32)
    inside = (at >= 0) & (at < len(codes))
    codes[at[inside]] = code[inside]
    return codes.reshape(ny, nx)


def _shrunk(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
