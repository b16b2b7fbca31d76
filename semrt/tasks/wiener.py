"""A sparse scan completed without any network: kriging, within its samples, joined with a spectrum learnt from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt import tiling
from semrt.data import SparseScan
from semrt.kernels import add_tile, opencv_threads, thread_count
from semrt.tasks.exposure import relative_exposure, sample_values
from semrt.tasks.kriging import DECISIVE, ClassicalEstimate, Validation, classical_estimate, completed
from semrt.tasks.learnt_spectrum import learnt_estimate
from semrt.tasks.sample_bounds import sample_bounds

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
    """What bounds and a learnt spectrum make of the classical estimate of a piece of the field.

    change: (ny, nx), to add to the estimate.  factor: by which its errors are smaller.
    misfit: of the sum, at n held-out samples.  learnt: whether the spectrum convinced.
    within_samples: by how much kriging was kept within the samples around.
    """

    change: NDArray[np.float32]
    factor: float
    misfit: float
    n: int
    learnt: bool
    within_samples: float


def wiener_estimate(scan: SparseScan, *, n_threads: int | None = None) -> ClassicalEstimate:
    """Keep kriging within its samples and join it with a learnt spectrum, by as much as held-out samples ask for each.

    Kriging takes what it draws for smooth, and overshoots beside edges. Where nothing is asked for, for a specimen that
    is smooth and has no period and for few samples, it is the classical estimate.
    """
    classical = classical_estimate(scan, n_threads=n_threads)
    values, exposure = sample_values(scan), relative_exposure(scan)
    layout = tiling.plan(scan.shape, [_piece_side(side) for side in scan.shape], OVERLAP, 1)
    lanes = min(len(layout), thread_count(n_threads))
    inner = n_threads if lanes == 1 else 1

    def joined(_lane: int, at: tuple[tuple[int, ...], Window]) -> _Piece | None:
        place = tuple(slice(first, first + side) for first, side in zip(at[0], layout.tile, strict=True))
        return _joined(scan, values, exposure, classical, place, inner)

    canvas = np.zeros((2, *scan.shape), np.float32)
    judged: list[tuple[float, float, bool, int]] = []  # not the pieces: all their changes are as large as the field
    with opencv_threads(inner):
        places = zip(layout.origins(), layout.windows(), strict=True)
        for (origin, window), piece in tiling.in_lanes(joined, places, lanes):
            if piece is not None:
                maps = np.stack((piece.change, np.full_like(piece.change, 1 - piece.factor)))
                cut = [weights[:side] for weights, side in zip(window, piece.change.shape, strict=True)]
                add_tile(maps, cut, origin, canvas, n_threads=n_threads)
                judged.append((piece.misfit**2, piece.within_samples, piece.learnt, piece.n))
    if not canvas.any():
        return classical
    squares, within, learnt, counts = zip(*judged, strict=True)
    return replace(
        classical,
        estimate=classical.estimate + canvas[0],
        error=classical.error * (1 - canvas[1]),
        method="learnt spectrum" if any(learnt) else classical.method,
        misfit=float(np.sqrt(np.average(squares, weights=counts))),
        within_samples=float(np.average(within, weights=counts)),
    )


class Wiener:
    """The `wiener` model: the best that is known without training, with its error map."""

    accepts = SparseScan

    def solve(self, measured: SparseScan, *, denoise: bool = False, n_threads: int | None = None) -> Micrograph:
        """Complete a sparse scan.  denoise: estimate visited pixels as well."""
        estimate = wiener_estimate(measured, n_threads=n_threads)
        made = completed(measured, estimate, denoise=denoise)
        return replace(made, provenance={**made.provenance, "within_samples": estimate.within_samples})


def _piece_side(side: int) -> int:
    """Of as few pieces of one length as cover a side, at most PIECE: longer ones would do their work twice."""
    side = tiling.padded_length(side, 1)
    count = math.ceil((side - 2 * OVERLAP) / (PIECE - 2 * OVERLAP))
    return PIECE if count <= 1 else math.ceil((side + (count - 1) * 2 * OVERLAP) / count)


def _joined(
    scan: SparseScan,
    values: NDArray[np.float32],
    exposure: NDArray[np.float32] | None,
    classical: ClassicalEstimate,
    place: tuple[slice, ...],
    n_threads: int | None,
) -> _Piece | None:
    """What becomes of a piece of the field; None where nothing can be held out to judge it.

    values, exposure: of the whole field, (ny, nx), by `sample_values` and `relative_exposure`.
    """
    values, visited, guess = values[place], scan.visited[place], classical.estimate[place]
    exposure = None if exposure is None else exposure[place]
    if np.count_nonzero(visited) < FEWEST_SAMPLES:
        return None
    validation = classical.validation  # where the field is one piece, the same samples were held out already
    if visited.shape != scan.shape:
        validation = Validation.of(values, visited, classical.variogram, exposure, n_threads)
    if validation is None:
        return None
    if classical.method == "natural neighbour":
        validation = replace(validation, predicted=validation.smooth(values, n_threads))
    estimate, validation, within = _within_samples(values, visited, guess, validation)
    before = validation.mean_square_error()
    learnt = learnt_estimate(
        values,
        visited,
        validation.held_out,
        estimate,
        noise=classical.variogram.nugget,
        rival=before,
        # Dwell times are not told: the few pixels that a path stays at would outweigh the lattice of all others.
        exposure=None if scan.exposure is None else exposure,
        n_threads=n_threads,
    )
    n = len(validation.truth)
    if learnt is not None:
        joined, share = _mixed(validation, learnt.predicted[validation.held_out])
        if _convinces(validation, joined.predicted):
            factor = float(np.sqrt(joined.mean_square_error() / before))
            estimate = estimate + share * (learnt.estimate - estimate)
            return _Piece(estimate - guess, factor, joined.misfit() / factor, n, learnt=True, within_samples=within)
    return _Piece(estimate - guess, 1.0, validation.misfit(), n, learnt=False, within_samples=within)


def _within_samples(
    values: NDArray[np.float32], visited: NDArray[np.bool_], estimate: NDArray[np.float32], validation: Validation
) -> tuple[NDArray[np.float32], Validation, float]:
    """An estimate, (ny, nx), and its held-out samples, kept within the samples around by as much as those ask for."""
    low, high = (bound[validation.held_out] for bound in sample_bounds(values, validation.known))
    kept, share = _mixed(validation, np.clip(validation.predicted, low, high))
    if not share > 0:
        return estimate, validation, 0.0
    return estimate + share * (np.clip(estimate, *sample_bounds(values, visited)) - estimate), kept, float(share)


def _convinces(validation: Validation, other: NDArray[np.float32]) -> bool:
    """Whether another estimate of the held-out samples, (n,), is better by more than chance may make it."""
    advantage = validation.advantage(other)
    after = replace(validation, predicted=other).mean_square_error()
    return advantage > DECISIVE or (advantage > LIKELY and after < PLAIN * validation.mean_square_error())


def _mixed(validation: Validation, other: NDArray[np.float32]) -> tuple[Validation, np.float32]:
    """Another estimate of the held-out samples, (n,), mixed in by the share, 0 to 1, that makes the error least."""
    error, difference = validation.truth - validation.predicted, other - validation.predicted
    power = float(np.vdot(difference, difference))
    share = np.float32(np.clip(np.vdot(error, difference) / power, 0, 1)) if power > 0 else np.float32(0)
    return replace(validation, predicted=validation.predicted + share * difference), share
