"""Where columns are: what the counts say, weighed with what the network saw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt.data.nearest import nearest_distances
from semrt.kernels import refine_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import AtomColumns, Micrograph

    Places = NDArray[np.float64]

__all__ = ["NETWORK", "PLACES", "MapPrecision", "fitted"]

PLACES = ("best", "counts", "map")
"""A fit to the counts weighed with the map, the fit alone, or the map alone."""
SIGNIFICANT, SIGNIFICANT_ALONE = 3.0, 5.0
"""Least heights over their standard deviations, of columns in a map that knows no more than the counts, and of those
that the counts alone show."""
SIGMA_IN_SCORES, MOST_SIGMAS, EVIDENCE = 0.15, 6.0, 0.65
"""What a standard deviation of height adds to a network's score, up to how many, and what both must have together above
the least score: as it separates columns from speckle best on simulated images."""
FITTED = ("y", "x", "sigma_y", "sigma_x", "intensity", "background")
MEDIAN_OF_SQUARE = 0.455  # of a normal deviate
AT_ODDS = 2.0
"""Distances of fit and map, over what both expect, from which on the fit's model cannot be right."""


@dataclass(frozen=True)
class MapPrecision:
    """How well disks of a map tell where columns are, as measured on simulated images.

    least: standard deviation where there is no noise [px of the map].
    share: of the fit's standard deviation that is added to it, in squares.
    correlation: of the errors of both, which see the same noise.
    """

    least: float
    share: float
    correlation: float


NETWORK = MapPrecision(least=0.15, share=0.75, correlation=0.6)


def fitted(
    found: AtomColumns,
    measured: Micrograph,
    *,
    scale: tuple[float, float],
    nearest: float,
    threshold: float,
    light_columns: bool,
    by_network: bool,
    weigh: bool,
    n_threads: int | None,
) -> AtomColumns:
    """Fit all columns together to the counts, and leave out those that the counts do not bear out.

    found: where the map has them.  scale: of the map, in px of it for each px of the image.
    nearest: least distance of a column that only the counts show to the others [px].
    threshold: the least score that the map's columns were chosen by.
    light_columns: keep those that only the counts show.
    by_network: the map is a network's, which tells columns from what looks like them.  weigh: so it has a say in where
        they are, too.
    """
    # Columns that nobody asked for disturb those beside them all the same.
    fit = refine_columns(measured.intensity, found.positions, find_missing=True, n_threads=n_threads)
    new = fit.source < 0
    sigma = np.stack([fit.sigma_y, fit.sigma_x], axis=1)
    inside = ((fit.positions >= -0.5) & (fit.positions <= np.array(measured.shape) - 0.5)).all(1)
    assert found.column_map is not None
    # What only the counts show has the probability that the map gives it.
    score = np.where(new, _nearest_pixel(found.column_map, fit.positions), found.score[fit.source])
    significance = np.divide(fit.intensity, fit.intensity_sigma, where=fit.intensity_sigma > 0, out=np.zeros(len(fit)))
    borne_out = significance > np.where(new, SIGNIFICANT_ALONE, SIGNIFICANT)
    if by_network:
        both = score + SIGMA_IN_SCORES * np.clip(significance, 0, MOST_SIGMAS)
        borne_out = np.where(new, borne_out, both > threshold + EVIDENCE)
    kept = inside & np.isfinite(sigma).all(1) & (fit.intensity > 0) & borne_out
    apart = np.zeros(len(fit))
    apart[kept] = nearest_distances(fit.y[kept], fit.x[kept])
    kept &= ~new | (light_columns & (apart >= nearest))

    positions = fit.positions
    if by_network and weigh and (in_both := kept & ~new).any():
        positions[in_both], sigma[in_both] = weighed(
            positions[in_both], sigma[in_both], found.positions[fit.source[in_both]], np.array(scale), NETWORK
        )
    order = np.flatnonzero(kept)[np.argsort(-score[kept], kind="stable")]
    return replace(
        found,
        y=positions[order, 0],
        x=positions[order, 1],
        sigma_y=sigma[order, 0],
        sigma_x=sigma[order, 1],
        intensity=fit.intensity[order],
        background=fit.background[order],
        score=score[order],
        provenance={
            **found.provenance,
            "refused": int(np.count_nonzero(~kept & ~new)),
            "found_in_the_residual": int(np.count_nonzero(kept & new)),
        },
    )


def weighed(fit: Places, sigma: Places, seen: Places, scale: Places, precision: MapPrecision) -> tuple[Places, Places]:
    """Combine two estimates of places as their standard deviations and correlation ask for: places and sigma, (n, 2).

    fit: (n, 2) of the fit, sigma: (n, 2) as it states them, seen: (n, 2) of the map [px].
    Where the counts are clear the map has no say at all. Where the two are further apart in the whole image than they
    can be, as over a background that looks like columns, the fit is as uncertain as that shows.
    """
    variance = (sigma * scale) ** 2
    of_map = precision.least**2 + precision.share**2 * variance
    common = precision.correlation * np.sqrt(variance * of_map)
    expected = variance + of_map - 2 * common
    apart = np.median(((fit - seen) * scale) ** 2) / MEDIAN_OF_SQUARE
    if apart > AT_ODDS**2 * np.median(expected):
        variance = variance + (apart - np.median(expected))
        expected = variance + of_map - 2 * common
    of_seen = np.clip((variance - common) / expected, 0, 1)
    of_fit = 1 - of_seen
    left = of_fit**2 * variance + of_seen**2 * of_map + 2 * of_fit * of_seen * common
    return of_fit * fit + of_seen * seen, np.sqrt(left) / scale


def _nearest_pixel(plane: NDArray[np.float32], positions: Places) -> Places:
    """(n,) values at (n, 2) positions."""
    y, x = np.clip(np.rint(positions).astype(np.intp), 0, np.array(plane.shape) - 1).T
    return np.asarray(plane[y, x], np.float64)
