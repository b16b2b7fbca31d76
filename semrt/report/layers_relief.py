"""Layers as they would lie on a table: their surface seen from above and aside, heights exaggerated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.report.canvas import RAISED, blank

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LOWER", "SUBSTRATE", "UPPER", "relief"]

RGB = tuple[int, int, int]

LOWER: RGB = (236, 180, 58)  # gold
UPPER: RGB = (150, 184, 219)  # aluminium
SUBSTRATE: RGB = (84, 92, 108)

TURN = math.radians(32)  # of the field about the vertical
TILT = 0.52  # share of its depth that is left when seen from this height
OVERSAMPLING = 2
RELIEF, SLAB, MARGIN = 0.24, 0.045, 0.05  # shares of the picture: highest layer, substrate, space around
STEEPEST = 0.4  # height of the highest layer, of the shorter side of the field
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
    highest = float(thickness.sum(0).max())
    px_per_nm = min(RELIEF * ny, STEEPEST * view.shorter_side) / highest if highest > 0 else 1.0
    lower, upper = (px_per_nm * plane for plane in _seen(thickness, view))
    slab = max(2, round(SLAB * ny))
    edges = [
        np.where(view.within, np.rint(level).astype(np.int32), 0) for level in (slab + lower, slab + lower + upper)
    ]
    picture = blank(ny, nx, RAISED)
    _paint(picture, view.top, slab, edges, (lower > 0, upper > 0), _light(lower + upper))
    return _shrunk(picture, size), px_per_nm / OVERSAMPLING


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
    return np.asarray(np.clip(falls / LIGHT[2], 0.45, 1.25), np.float32)


def _light_on_walls(top: NDArray[np.int32]) -> NDArray[np.float32]:
    """How much light falls on the side of each column: much where it faces left, little where it faces right."""
    import cv2

    soft = np.asarray(cv2.GaussianBlur(top.astype(np.float32), (0, 0), 2.5), np.float32)
    towards, right = np.gradient(soft)
    facing_right = -right / np.maximum(np.hypot(right, TILT * towards), np.float32(1e-3))
    return np.asarray(0.62 - 0.22 * facing_right, np.float32)


def _paint(
    picture: NDArray[np.uint8],
    row_of_first: int,
    slab: int,
    edges: list[NDArray[np.int32]],
    there: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    light: NDArray[np.float32],
) -> None:
    """Paint each cell's column, as far as the one before it leaves it to be seen; nearer ones come later, and hide.

    edges: (rows, nx) tops of the lower and of the upper layer above the foot of the substrate [px].
    there: where either layer is.
    """
    through_lower, top = edges
    nearer = np.zeros_like(top)
    nearer[:-1] = top[1:]
    visible = np.maximum(top - np.maximum(nearer - 1, 0), 0)
    row, column = np.nonzero(visible)
    count = visible[row, column]
    of = np.repeat(np.arange(len(row)), count)
    down = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)  # from the top of the column
    row, column = row[of], column[of]
    level = top[row, column] - 1 - down
    is_top = down == 0
    shade = np.where(is_top, light[row, column], _light_on_walls(top)[row, column])
    # The top has its layer's colour however thin the layer is.
    upper = np.where(is_top, there[1][row, column], level >= through_lower[row, column])
    lower = np.where(is_top, there[0][row, column], level >= slab)
    palette = np.array([SUBSTRATE, LOWER, UPPER], np.float32)
    colour = palette[np.where(upper, 2, np.where(lower, 1, 0))] * shade[:, None]
    y = row_of_first + row - level
    inside = (y >= 0) & (y < len(picture))
    picture[y[inside], column[inside]] = np.rint(np.clip(colour[inside], 0, 255)).astype(np.uint8)


def _shrunk(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
