"""Thickness of layers where pixels show their neighbours too: through a wide probe, in images that drifted apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt import _core
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels._threads import thread_count
from semrt.kernels.layers import LayerSmoothness

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from semrt.kernels.layers import LayerTable

    Signals = Callable[[NDArray[np.float64]], NDArray[np.float64]]

__all__ = ["SharpLayers", "probe_taps", "sharpen_layers"]

_REACH = 3.5  # of a Gaussian, in its sigma; what lies beyond is 0.0005 of it
_LEAST_SHARE = 5e-4  # of a pixel, in all images; the noise is 40 times that


@dataclass(frozen=True, eq=False, slots=True)
class SharpLayers:
    """Layers that explain an image through its probe.

    thickness: (2, ny, nx) float32 [nm], lower and upper.
    expected: (n, ny, nx) float32, what is seen of them at each energy.
    doubt: (2, ny, nx) float32 [nm], how far off lies what would cost little more, in pixels and whole regions; NaN
        where it was not asked for.
    alike: (ny, nx) float32, pixels of the region of equal thicknesses; NaN likewise.
    cost: half of chi² and what neighbours that differ cost.
    """

    thickness: NDArray[np.float32]
    expected: NDArray[np.float32]
    doubt: NDArray[np.float32]
    alike: NDArray[np.float32]
    cost: float


def probe_taps(shifts: ArrayLike, sigma: float) -> NDArray[np.float32]:
    """Shares of the pixels about one that an image shows there, (n, 2, k): along y and x.

    shifts: (n, 2), by how much each image is moved along y and x [px], linearly between pixels.
    sigma: of the Gaussian probe [px].  Share i is that of the pixel i - k // 2 before.
    Raises InvalidShape, InvalidValue.
    """
    moved = np.asarray(shifts, np.float64)
    if moved.ndim != 2 or moved.shape[1] != 2 or not len(moved):
        raise InvalidShape("shifts", "(n, 2)", moved.shape)
    if not (np.isfinite(moved).all() and 0 <= sigma < np.inf):
        raise InvalidValue("shifts, sigma", "finite values, sigma of zero or more", "others")
    whole = np.floor(moved)
    part = (moved - whole)[..., None]
    reach = int(np.ceil(_REACH * sigma)) + int(max(-whole.min(), whole.max() + 1, 0))
    at = np.arange(-reach, reach + 1)

    def gaussian(centre: NDArray[np.float64]) -> NDArray[np.float64]:
        away = at - centre[..., None]
        shares = np.exp(-0.5 * (away / sigma) ** 2) if sigma > 0 else (away == 0).astype(np.float64)
        return np.asarray(shares / shares.sum(-1, keepdims=True))

    shares = (1 - part) * gaussian(whole) + part * gaussian(whole + 1)
    most = shares.max((0, 1))
    while len(most) > 1 and max(most[0], most[-1]) < _LEAST_SHARE:
        shares, most = shares[..., 1:-1], most[1:-1]
    return np.asarray(shares / shares.sum(-1, keepdims=True), np.float32)


def sharpen_layers(
    intensity: ArrayLike,
    table: LayerTable,
    thickness: ArrayLike,
    taps: ArrayLike,
    *,
    signals: Signals,
    deviation: ArrayLike,
    smoothness: LayerSmoothness | None = None,
    rounds: int = 4,
    doubt: bool = True,
    n_threads: int | None = None,
) -> SharpLayers:
    """Move edges of layers, and what whole regions are, to where they explain best what is seen of them.

    intensity: (n, ny, nx).  table: the thicknesses that regions try.
    thickness: (2, ny, nx) [nm], where to start, such as what `smooth_layers` found; may lie between those of the table.
    taps: (n, 2, k), k odd: what each image shows of the pixels about one; see `probe_taps`.
    signals: of thicknesses (2, m), (n, m).  deviation: (n, ny, nx), standard, of the noise.
    rounds: at most; 0 leaves the layers, and tells what is seen and how much they may be doubted.
    The same for any number of threads.  Raises InvalidShape, InvalidValue, InvalidOption.
    Besag 1986, doi:10.1111/j.2517-6161.1986.tb01412.x.
    """
    settings = LayerSmoothness() if smoothness is None else smoothness
    if rounds < 0:
        raise InvalidOption(f"rounds: expected zero or more, got {rounds}")
    n = len(table.signals)
    stack, noise = (np.ascontiguousarray(array, np.float32) for array in (intensity, deviation))
    if stack.ndim != 3 or not stack.size or len(stack) != n:
        raise InvalidShape("intensity", f"({n}, ny, nx) with at least one pixel", stack.shape)
    if noise.shape != stack.shape:
        raise InvalidShape("deviation", str(stack.shape), noise.shape)
    if not (np.isfinite(stack).all() and np.isfinite(noise).all() and (noise > 0).all()):
        raise InvalidValue("intensity, deviation", "finite values, deviations above zero", "others")
    start = np.asarray(thickness, np.float32)
    if start.shape != (2, *stack.shape[1:]):
        raise InvalidShape("thickness", f"(2, {stack.shape[1]}, {stack.shape[2]})", start.shape)
    shares = np.ascontiguousarray(taps, np.float32)
    if shares.ndim != 3 or shares.shape[:2] != (n, 2) or shares.shape[2] % 2 == 0:
        raise InvalidShape("taps", f"({n}, 2, k) with k odd", shares.shape)
    entry, labels, seen = _palette(table, start, signals)
    found, expected, doubts, alike, cost = _core.sharpen_layers(
        entry,
        seen,
        labels,
        table.lower.size * table.upper.size,
        stack,
        noise,
        shares,
        settings.weight,
        settings.limit,
        rounds,
        doubt,
        thread_count(n_threads),
    )
    sharp = np.ascontiguousarray(labels[found].transpose(2, 0, 1))
    if not doubt:
        doubts, alike = np.full_like(sharp, np.nan), np.full_like(sharp[0], np.nan)
    return SharpLayers(sharp, expected, doubts, alike, cost)


def _palette(
    table: LayerTable, thickness: NDArray[np.float32], signals: Signals
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Every pixel's entry (ny, nx), thicknesses (m, 2) and signals (m, n) of the entries: those of the table first."""
    lower, upper = (labels.astype(np.float32) for labels in (table.lower, table.upper))
    pairs, which = np.unique(thickness.reshape(2, -1).T, axis=0, return_inverse=True)
    rows = np.searchsorted(lower, pairs[:, 0]).clip(max=lower.size - 1)
    columns = np.searchsorted(upper, pairs[:, 1]).clip(max=upper.size - 1)
    on_grid = (lower[rows] == pairs[:, 0]) & (upper[columns] == pairs[:, 1])
    entries = rows * upper.size + columns
    between = pairs[~on_grid]
    entries[~on_grid] = lower.size * upper.size + np.arange(len(between))
    grid = np.stack(np.meshgrid(lower, upper, indexing="ij")).reshape(2, -1).T
    every = [table.signals.reshape(len(table.signals), -1).T]
    if len(between):
        every.append(signals(between.T.astype(np.float64)).T)
    entry = entries.astype(np.int32)[which.ravel()].reshape(thickness.shape[1:])
    labels, seen = (np.ascontiguousarray(np.concatenate(parts), np.float32) for parts in ([grid, between], every))
    return entry, labels, seen
