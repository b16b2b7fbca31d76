"""From a sparse field of any size to the whole of it: in one piece, or in overlapping ones where it is large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from semrt.deep_image_prior.fit import Field, Fit, fit
from semrt.deep_image_prior.members import Member
from semrt.errors import DeviceUnavailable, OutOfMemory
from semrt.kernels.blend import add_tile, tile_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.deep_image_prior.settings import Settings

__all__ = ["Fits", "chosen_device", "reconstruct", "threads"]

REASONS = ("interrupted", "seconds", "iterations", "converged", "too few samples")  # the first tells most
PIECE = 640
"""Longest side fitted in one piece [px]: what a network holds for its gradient grows with the area, 0.6 GB here."""
OVERLAP = 24
"""Of neighbouring pieces, from each side [px]."""

Watch = Callable[[int, int, float], None]
Window = tuple[slice, slice]
FieldOf = Callable[[Window], Field]


@dataclass(frozen=True, eq=False)
class Fits:
    """What came of each piece, and all pieces together.

    whole: the estimate and the error of the whole field; what it says besides is of the pieces' mean, or their sum.
    members: of each piece.
    """

    whole: Fit
    members: list[list[Member]]


def chosen_device(device: str) -> tuple[torch.device, str]:
    """The device that "auto", "cpu", "cuda" or "cuda:1" stands for here, and why.  Raises DeviceUnavailable."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return torch.device("cpu"), "cpu, as asked"
    there = torch.cuda.is_available()
    if kind == "auto":
        if there:
            return torch.device("cuda:0"), f"cuda:0, because torch sees {torch.cuda.get_device_name(0)}"
        return torch.device("cpu"), "cpu, because torch sees no CUDA device"
    index = int(number or 0)
    if not there or index >= torch.cuda.device_count():
        why = f"torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices"
        raise DeviceUnavailable(device, why, "install a torch built for CUDA and the driver, or use --device cpu")
    return torch.device("cuda", index), f"cuda:{index}, as asked ({torch.cuda.get_device_name(index)})"


@contextmanager
def threads(count: int | None) -> Iterator[int]:
    """Let torch use so many threads, as many as it likes when None, and put back what it used before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def reconstruct(
    shape: tuple[int, int],
    field_of: FieldOf,
    settings: Settings,
    members: list[list[Member]] | None,
    device: torch.device,
    seed: tuple[int, ...],
    watch: Watch,
) -> Fits:
    """Fit every piece of a field, (ny, nx).

    field_of(window) -> the piece there.  members: of each piece, to begin from, or None.
    watch(done, total, loss), in iterations of all pieces; KeyboardInterrupt ends them with a result.
    Raises OutOfMemory.
    """
    windows = list(_windows(shape))
    n = len(windows)
    share = None if settings.max_seconds is None else settings.max_seconds / n
    fits: list[Fit] = []
    for k, window in enumerate(windows):

        def watch_piece(iteration: int, loss: float, k: int = k) -> None:
            watch(k * settings.max_iterations + iteration, n * settings.max_iterations, loss)

        piece = field_of(window)
        try:
            begun = _new_members(piece, settings, device, (*seed, k)) if members is None else members[k]
            if fits and fits[-1].stopped == "interrupted":
                fits.append(Fit(*piece.classical, begun, "interrupted", 0.0, False, 0, 0))
                continue
            own = replace(settings, max_seconds=share)
            fits.append(fit(piece, own, begun, (*seed, k), watch_piece))
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(str(device), "crop the scan, or use semrt infer wiener") from error
    whole = fits[0] if n == 1 else _together(shape, windows, fits)
    return Fits(whole, [piece.members for piece in fits])


def _new_members(piece: Field, settings: Settings, device: torch.device, seed: tuple[int, ...]) -> list[Member]:
    seeds = np.random.default_rng(seed).integers(0, 2**62, settings.members)
    made = settings.network, piece.values.shape, piece.gap
    return [Member(*made, rate=settings.learning_rate, seed=int(number), device=device) for number in seeds]


def _windows(shape: tuple[int, int]) -> Iterator[Window]:
    """Pieces of one size that cover the field, evenly spread."""
    return cast("Iterator[Window]", product(*map(_spans, shape)))


def _spans(length: int) -> list[slice]:
    shared = 2 * OVERLAP
    cuts = max(0, -(-(length - PIECE) // (PIECE - shared)))
    size = -(-(length + cuts * shared) // (cuts + 1))  # no larger than needed: three pieces must not meet
    starts = [i * (length - size) // max(1, cuts) for i in range(cuts + 1)]
    return [slice(start, start + size) for start in starts]


def _weights(length: int) -> dict[int, NDArray[np.float32]]:
    """First pixel of each piece -> its weights along an axis; those of all pieces sum to one."""
    spans = _spans(length)
    shared = [0, *(a.stop - b.start for a, b in pairwise(spans)), 0]
    return {
        span.start: tile_window(span.stop - span.start, 0, before=before, after=after)
        for span, (before, after) in zip(spans, pairwise(shared), strict=True)
    }


def _together(shape: tuple[int, int], windows: list[Window], fits: list[Fit]) -> Fit:
    rows, columns = (_weights(length) for length in shape)
    planes = np.zeros((2, *shape), np.float32)
    for (y, x), piece in zip(windows, fits, strict=True):
        add_tile(np.stack([piece.estimate, piece.error]), (rows[y.start], columns[x.start]), (y.start, x.start), planes)
    reasons = {piece.stopped for piece in fits}
    judged = [piece.classical_agreement for piece in fits if not np.isnan(piece.classical_agreement)]

    def mean_curve(curves: list[list[tuple[int, float]]]) -> list[tuple[int, float]]:
        begun = filter(None, curves)
        return [(rows[0][0], float(np.mean([error for _, error in rows]))) for rows in zip(*begun, strict=False)]

    return Fit(
        planes[0],
        planes[1],
        [],
        next(reason for reason in REASONS if reason in reasons),
        weight=float(np.mean([piece.weight for piece in fits])),
        residual_kriged=any(piece.residual_kriged for piece in fits),
        iterations=max(piece.iterations for piece in fits),
        held_out=sum(piece.held_out for piece in fits),
        agreement=mean_curve([piece.agreement for piece in fits]),
        classical_agreement=float(np.mean(judged)) if judged else float("nan"),
        calibrated=all(piece.calibrated for piece in fits),
        loss=mean_curve([piece.loss for piece in fits]),
    )
