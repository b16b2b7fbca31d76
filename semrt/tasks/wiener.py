"""A sparse scan completed without any network, lattices and all: kriging, joined with a spectrum learnt from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt import tiling
from semrt.data import SparseScan
from semrt.kernels import add_tile, opencv_threads, thread_count
from semrt.tasks.exposure import sample_values
from semrt.tasks.kriging import DECISIVE, ClassicalEstimate, Validation, classical_estimate, completed
from semrt.tasks.learnt_spectrum import learnt_estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import Micrograph

    Window = tuple[NDArray[np.float32], ...]

__all__ = ["Wiener", "wiener_estimate"]

PIECE, OVERLAP = 640, 48
"""Larger fields are taken piece by piece [px]: grains differ, and a spectrum of all of them would tell of none.

No piece is larger than kriging.VALIDATION_SIDE, so that the held-out samples of a field of one piece are all of it."""
FEWEST_SAMPLES = 64
"""Fewer tell of no spectrum."""
LIKELY, PLAIN = 1.0, 0.8
"""The cells of a sparse scan are too few for DECISIVE standard errors: LIKELY ones do where errors fall to PLAIN times
the mean square that they had. Measured on simulated lattices and micrographs: no scan lost by it."""


@dataclass(frozen=True, eq=False)
class _Piece:
    """What a learnt spectrum adds to the classical estimate of a piece of the field.

    change: (ny, nx), to add to the estimate.  factor: by which its errors are smaller.
    misfit: of the sum, at n held-out samples.
    """

    change: NDArray[np.float32]
    factor: float
    misfit: float
    n: int


def wiener_estimate(scan: SparseScan, *, n_threads: int | None = None) -> ClassicalEstimate:
    """Join the classical estimate with that of a learnt spectrum, by as much as held-out samples ask for it.

    Where they do not, for a specimen without any period and for few samples, it is the classical estimate.
    """
    classical = classical_estimate(scan, n_threads=n_threads)
    values = sample_values(scan)
    layout = tiling.plan(scan.shape, [_piece_side(side) for side in scan.shape], OVERLAP, 1)
    lanes = min(len(layout), thread_count(n_threads))
    inner = n_threads if lanes == 1 else 1

    def joined(_lane: int, at: tuple[tuple[int, ...], Window]) -> _Piece | None:
        place = tuple(slice(first, first + side) for first, side in zip(at[0], layout.tile, strict=True))
        return _joined(scan, values, classical, place, inner)

    canvas = np.zeros((2, *scan.shape), np.float32)
    judged: list[tuple[float, int]] = []
    with opencv_threads(inner):
        places = zip(layout.origins(), layout.windows(), strict=True)
        for (origin, window), piece in tiling.in_lanes(joined, places, lanes):
            if piece is not None:
                maps = np.stack((piece.change, np.full_like(piece.change, 1 - piece.factor)))
                cut = [weights[:side] for weights, side in zip(window, piece.change.shape, strict=True)]
                add_tile(maps, cut, origin, canvas, n_threads=n_threads)
                judged.append((piece.misfit**2, piece.n))
    if not canvas.any():
        return classical
    squares, counts = zip(*judged, strict=True)
    return replace(
        classical,
        estimate=classical.estimate + canvas[0],
        error=classical.error * (1 - canvas[1]),
        method="learnt spectrum",
        misfit=float(np.sqrt(np.average(squares, weights=counts))),
    )


class Wiener:
    """The `wiener` model: the best that is known without training, with its error map."""

    accepts = SparseScan

    def solve(self, measured: SparseScan, *, denoise: bool = False, n_threads: int | None = None) -> Micrograph:
        """Complete a sparse scan.  denoise: estimate visited pixels as well."""
        return completed(measured, wiener_estimate(measured, n_threads=n_threads), denoise=denoise)


def _piece_side(side: int) -> int:
    """Of as few pieces of one length as cover a side, at most PIECE: longer ones would do their work twice."""
    side = tiling.padded_length(side, 1)
    count = math.ceil((side - 2 * OVERLAP) / (PIECE - 2 * OVERLAP))
    return PIECE if count <= 1 else math.ceil((side + (count - 1) * 2 * OVERLAP) / count)


def _joined(
    scan: SparseScan,
    values: NDArray[np.float32],
    classical: ClassicalEstimate,
    place: tuple[slice, ...],
    n_threads: int | None,
) -> _Piece | None:
    """What a learnt spectrum adds to a piece of the field; None where nothing can be held out to judge it."""
    values, visited, guess = values[place], scan.visited[place], classical.estimate[place]
    exposure = None if scan.exposure is None else scan.exposure[place]
    if np.count_nonzero(visited) < FEWEST_SAMPLES:
        return None
    validation = classical.validation  # where the field is one piece, the same samples were held out already
    if visited.shape != scan.shape:
        validation = Validation.of(values, visited, classical.variogram, exposure, n_threads)
    if validation is None:
        return None
    if classical.method == "natural neighbour":
        validation = replace(validation, predicted=validation.smooth(values, n_threads))
    before = validation.mean_square_error()
    unchanged = _Piece(np.zeros_like(guess), 1.0, validation.misfit(), len(validation.truth))
    learnt = learnt_estimate(
        values,
        visited,
        validation.held_out,
        guess,
        noise=classical.variogram.nugget,
        rival=before,
        exposure=exposure,
        n_threads=n_threads,
    )
    if learnt is None:
        return unchanged
    predicted = learnt.predicted[validation.held_out]
    share = _best_share(validation, predicted)
    mixed = validation.predicted + share * (predicted - validation.predicted)
    if not _convinces(validation, mixed):
        return unchanged
    joined = replace(validation, predicted=mixed)
    factor = float(np.sqrt(joined.mean_square_error() / before))
    return _Piece(share * (learnt.estimate - guess), factor, joined.misfit() / factor, unchanged.n)


def _convinces(validation: Validation, other: NDArray[np.float32]) -> bool:
    """Whether another estimate of the held-out samples, (n,), is better by more than chance may make it."""
    advantage = validation.advantage(other)
    after = replace(validation, predicted=other).mean_square_error()
    return advantage > DECISIVE or (advantage > LIKELY and after < PLAIN * validation.mean_square_error())


def _best_share(validation: Validation, other: NDArray[np.float32]) -> np.float32:
    """How much of another estimate makes the mixture with the first one best, between 0 and 1, by least squares."""
    error, difference = validation.truth - validation.predicted, other - validation.predicted
    power = float(np.vdot(difference, difference))
    return np.float32(np.clip(np.vdot(error, difference) / power, 0, 1)) if power > 0 else np.float32(0)
