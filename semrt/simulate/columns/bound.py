"""How well a column can be located at best: the Cramér–Rao bound.

Van Aert et al. 2005, doi:10.1016/j.ultramic.2005.03.002, with neighbours and background as unknowns too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from semrt.simulate.columns.neighbours import neighbour_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.simulate.columns.probe import Probe
    from semrt.simulate.fields import Plane

__all__ = ["position_bound"]

_MOST_NEIGHBOURS = 12
_FINEST = 1.0  # sigma in steps of the sampling; sums over pixels are then exact to 2e-3
_AT_ONCE = 6_000_000  # numbers held in a batch of derivatives


def position_bound(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    peak: NDArray[np.float64],
    count: int,
    variance: Plane,
    probe: Probe,
    spacing: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least standard deviations of y and x of the first `count` columns [px]: (count,), (count,).

    Unknown beside the position: the column's intensity; position and intensity of up to 12 columns within 1.5 spacings
    (or 4 sigma, if that is more), and a plane background in a window of that half-width. A neighbour's position is
    taken as known to a quarter of the spacing, without which a column too faint to be seen could be anywhere.

    y, x, peak: (n,) [px, counts]; columns outside the field may be among them.
    variance: (ny, nx) of the counts, above zero.  Noise is independent from pixel to pixel.
    """
    reach = max(1.5 * spacing, 4 * probe.sigma)
    table = np.concatenate([np.arange(count)[:, None], neighbour_table(y, x, count, reach, _MOST_NEIGHBOURS)], 1)
    noise: NDArray[np.float64] = np.maximum(np.asarray(variance, np.float64), 1e-12)
    ny, nx = noise.shape
    within = np.minimum(np.minimum(y, ny - 1 - y), np.minimum(x, nx - 1 - x))[:count]
    cut = within < 4 * probe.sigma
    result = np.empty((count, 2))
    # Pixels are taken together where a column is wide, but for those that the border cuts.
    for which, step in ((~cut, max(1, int(probe.sigma / _FINEST))), (cut, 1)):
        result[which] = _least_variances(y, x, peak, table[which], noise, probe, reach, spacing / 4, step)
    deviations = np.sqrt(result)
    return deviations[:, 0], deviations[:, 1]


def _least_variances(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    peak: NDArray[np.float64],
    table: NDArray[np.intp],
    variance: NDArray[np.float64],
    probe: Probe,
    reach: float,
    known_to: float,
    step: int,
) -> NDArray[np.float64]:
    """Least variances of y and x of the columns that begin the lines of the table, their neighbours after them: (n, 2).

    step: pixels are taken together in squares of so many, (0, 0) the centre of the first pixel.
    """
    weights = _binned_weights(variance, step)
    half = math.ceil(reach / step)
    padded = np.pad(weights, half)
    offsets = np.arange(-half, half + 1)
    batch = max(1, _AT_ONCE // ((3 * table.shape[1] + 3) * len(offsets) ** 2))
    result = np.empty((len(table), 2))
    for at in range(0, len(table), batch):
        group = table[at : at + batch]
        row, column = (
            np.clip(np.rint((p[group[:, 0]] - (step - 1) / 2) / step).astype(np.intp), 0, n - 1)
            for p, n in zip((y, x), weights.shape, strict=True)
        )
        window = padded[(row[:, None] + half + offsets)[:, :, None], (column[:, None] + half + offsets)[:, None, :]]
        at_y, at_x = (np.asarray(step * (i[:, None] + offsets) + 0.5 * (step - 1), np.float64) for i in (row, column))
        derivatives = _derivatives(y[group], x[group], peak[group], at_y, at_x, group >= 0, probe)
        result[at : at + batch] = _inverted(derivatives, window.reshape(len(group), -1), group >= 0, known_to)
    return result


def _derivatives(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    peak: NDArray[np.float64],
    at_y: NDArray[np.float64],
    at_x: NDArray[np.float64],
    there: NDArray[np.bool_],
    probe: Probe,
) -> NDArray[np.float32]:
    """Change of the image with y, x and intensity of each column, then with a plane: (n, 3 m + 3, pixels)."""
    n, m = y.shape
    dy = (at_y[:, None] - y[..., None]).astype(np.float32)[..., None]  # (n, m, rows, 1)
    dx = (at_x[:, None] - x[..., None]).astype(np.float32)[..., None]
    sigmas, heights = (part.astype(np.float32) for part in (probe.sigmas, probe.heights))
    # Cut at 2e-9: processors are slow with the subnormal products beyond.
    ey = np.exp(np.maximum(-0.5 * (dy / sigmas) ** 2, -20)) * heights * there[..., None, None]  # (n, m, rows, k)
    ex = np.exp(np.maximum(-0.5 * (dx / sigmas) ** 2, -20)).swapaxes(-1, -2)
    height = peak.astype(np.float32)[..., None, None]
    rows, columns = at_y.shape[1], at_x.shape[1]
    result = np.empty((n, 3 * m + 3, rows, columns), np.float32)
    result[:, 0 : 3 * m : 3] = height * ((ey * dy / sigmas**2) @ ex)
    result[:, 1 : 3 * m : 3] = height * (ey @ (ex * (dx / sigmas**2).swapaxes(-1, -2)))
    result[:, 2 : 3 * m : 3] = ey @ ex
    result[:, 3 * m] = 1
    result[:, 3 * m + 1] = dy[:, 0, :, 0][:, :, None]
    result[:, 3 * m + 2] = dx[:, 0, :, 0][:, None, :]
    return result.reshape(n, 3 * m + 3, rows * columns)


def _inverted(
    derivatives: NDArray[np.float32], weights: NDArray[np.float64], there: NDArray[np.bool_], known_to: float
) -> NDArray[np.float64]:
    """Variances of the first two unknowns when all others are estimated too: (n, 2)."""
    scale = weights.max(1, keepdims=True)  # so that single precision neither over- nor underflows
    weighted = derivatives * (weights / scale).astype(np.float32)[:, None]
    fisher = (weighted @ derivatives.swapaxes(1, 2)).astype(np.float64) * scale[..., None]
    m = there.shape[1]
    diagonal = np.einsum("nii->ni", fisher)  # a view
    for axis in (0, 1):
        diagonal[:, 3 + axis : 3 * m : 3] += there[:, 1:] / known_to**2
    diagonal[diagonal <= 0] = 1  # what is not there, or shows nowhere in the window
    unit = 1 / np.sqrt(diagonal)
    fisher *= unit[:, :, None] * unit[:, None, :]
    diagonal += 1e-9
    sides = np.zeros((*fisher.shape[:2], 2))
    sides[:, [0, 1], [0, 1]] = 1
    solved = np.linalg.solve(fisher, sides)
    return np.asarray(solved[:, [0, 1], [0, 1]] * unit[:, :2] ** 2)


def _binned_weights(variance: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Information of squares of `step` pixels: their number, fewer at the end, over the variance in the middle."""
    if step == 1:
        return 1 / variance
    ny, nx = variance.shape
    padded = np.pad(variance, ((0, -ny % step), (0, -nx % step)), mode="edge")
    middle = [offset for offset in range(step) if abs(2 * offset - step + 1) <= 1]  # one pixel, or the two beside it
    sampled = sum(padded[i::step, j::step] for i in middle for j in middle) / len(middle) ** 2
    rows, columns = (np.minimum(step, n - np.arange(0, n, step)) for n in (ny, nx))
    return np.asarray(rows[:, None] * columns / sampled)
