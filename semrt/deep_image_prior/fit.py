"""Fit networks to one field until what they did not see says that it is enough."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.deep_image_prior.agreement import (
    ENOUGH,
    Patience,
    RunningVariance,
    blend_weight,
    calibrated_error,
)
from semrt.deep_image_prior.members import Member, Target
from semrt.scan.held_out import disjoint_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from semrt.deep_image_prior.settings import Settings

__all__ = ["Field", "Fit", "fit"]

CHECK_EVERY = 10
FEWEST_SAMPLES = 16
"""Of a field; fewer say nothing of what a network adds."""

Estimate = tuple["NDArray[np.float32]", "NDArray[np.float32]"]


@dataclass(frozen=True, eq=False)
class Field:
    """A sparse field in spreads of its samples, and the classical estimate of it.

    values, weight: (ny, nx) float32; weight is zero where nothing was measured, else the inverse variance of the
        sample, relative to the others'.
    classical: estimate and its standard deviation, (ny, nx), from all samples; estimated: the same from those kept.
    unexplained: kriges what a network leaves unexplained at the samples, (ny, nx), from those kept.
    gap: mean gap between samples [px].
    """

    values: NDArray[np.float32]
    weight: NDArray[np.float32]
    classical: Estimate
    estimated: Callable[[NDArray[np.bool_]], Estimate]
    unexplained: Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.float32]]
    gap: float


@dataclass(frozen=True, eq=False)
class Fit:
    """What came of it.

    estimate, error: (ny, nx) float32, in spreads of the samples.
    members: fitted; they can be begun again with the next slice.
    stopped: "converged", "iterations", "seconds", "interrupted" or "too few samples".
    weight: of the networks in the estimate, the rest is the classical one.
    residual_kriged: whether what the networks leave unexplained at the samples was kriged and added.
    iterations: of each member until the estimate that was taken.
    held_out: number of samples that the members did not see; agreement: iteration, RMS error there of the networks.
    classical_agreement: that of the classical estimate.  calibrated: whether they were enough to scale the error.
    loss: iteration, loss.
    """

    estimate: NDArray[np.float32]
    error: NDArray[np.float32]
    members: list[Member]
    stopped: str
    weight: float
    residual_kriged: bool
    iterations: int
    held_out: int
    agreement: list[tuple[int, float]] = field(default_factory=list)
    classical_agreement: float = float("nan")
    calibrated: bool = False
    loss: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Best:
    """The networks at their best so far: the estimate of each, their mean, and their spread, (ny, nx) each."""

    iteration: int
    estimates: list[NDArray[np.float32]]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]


def fit(
    scan: Field,
    settings: Settings,
    members: list[Member],
    seed: tuple[int, ...],
    watch: Callable[[int, float], None],
    *,
    warm: bool = False,
) -> Fit:
    """Fit the networks to a field.

    members: new, or warm from another field of the same shape.  seed: of the choice of held-out samples.
    watch(iteration, loss) may raise KeyboardInterrupt to end with the best so far.
    """
    end = np.inf if settings.max_seconds is None else time.monotonic() + settings.max_seconds
    rng = np.random.default_rng(seed)
    seen = scan.weight > 0
    if np.count_nonzero(seen) < FEWEST_SAMPLES:
        return Fit(*scan.classical, members, "too few samples", 0.0, False, 0, 0)
    held_out = disjoint_cells(seen, settings.held_out, settings.members, rng)
    kept_estimates = [scan.estimated(seen & ~hidden) if hidden.any() else scan.classical for hidden in held_out]
    for member, hidden, (estimate, error) in zip(members, held_out, kept_estimates, strict=True):
        weight = np.where(hidden, np.float32(0), scan.weight)
        target = Target.of(scan.values, weight, estimate, error, settings.prior if settings.blend else 0.0)
        member.begin(target)

    truth = _at(held_out, [scan.values] * len(members))
    unseen_classical = _at(held_out, [estimate for estimate, _ in kept_estimates])
    unseen_deviation = _at(held_out, [error for _, error in kept_estimates])
    patience = Patience(settings.patience // 2 if warm else settings.patience)
    variance = RunningVariance()
    best: _Best | None = None
    losses, agreement = [], []
    stopped = "iterations"
    try:
        for iteration in range(1, settings.max_iterations + 1):
            for member in members:
                member.iterate()
            late = time.monotonic() > end
            if iteration % CHECK_EVERY == 0 or iteration == settings.max_iterations or late:
                now = _look(members, iteration)
                losses.append((iteration, float(np.mean([member.loss for member in members]))))
                agreement.append((iteration, _rms(_at(held_out, now.estimates) - truth)))
                enough = len(truth) >= ENOUGH
                figure = agreement[-1][1] if enough else variance.of(now.mean)
                if patience.improved(iteration, figure) or best is None or (not enough and figure == np.inf):
                    best = now
                elif patience.exhausted(iteration):
                    stopped = "converged"
                    break
            if late:
                stopped = "seconds"
                break
            watch(iteration, losses[-1][1] if losses else float("nan"))
    except KeyboardInterrupt:
        stopped = "interrupted"
    told: dict[str, Any] = {
        "members": members,
        "stopped": stopped,
        "held_out": len(truth),
        "agreement": agreement,
        "classical_agreement": _rms(unseen_classical - truth),
        "loss": losses,
    }
    if best is None:
        return Fit(*scan.classical, weight=0.0, residual_kriged=False, iterations=0, **told)
    mean, unseen, kriged = best.mean, _at(held_out, best.estimates), False
    if settings.blend:
        explained = [
            estimate + scan.unexplained(np.where(kept, scan.values - estimate, np.float32(0)), kept)
            for estimate, kept in zip(best.estimates, (seen & ~hidden for hidden in held_out), strict=True)
        ]
        corrected = _at(held_out, explained)
        kriged = _rms(corrected - truth) <= _rms(unseen - truth)
        if kriged:
            mean, unseen = mean + scan.unexplained(np.where(seen, scan.values - mean, np.float32(0)), seen), corrected
    share = blend_weight(unseen - truth, unseen_classical - truth) if settings.blend else 1.0
    classical, deviation = scan.classical
    residual = share * unseen + (1 - share) * unseen_classical - truth
    factors = calibrated_error(residual, _at(held_out, [best.spread] * len(members)), unseen_deviation)
    a, b = (share**2, (1 - share) ** 2) if factors is None else factors
    return Fit(
        (share * mean + (1 - share) * classical).astype(np.float32),
        np.sqrt(a * best.spread**2 + b * deviation**2).astype(np.float32),
        weight=share,
        residual_kriged=kriged,
        iterations=best.iteration,
        calibrated=factors is not None,
        **told,
    )


def _look(members: list[Member], iteration: int) -> _Best:
    estimates = [member.estimate for member in members]
    mean = np.asarray(np.mean(estimates, axis=0), np.float32)
    between = np.mean([(estimate - mean) ** 2 for estimate in estimates], axis=0, dtype=np.float32)
    within = np.mean([member.variance for member in members], axis=0, dtype=np.float32)
    return _Best(iteration, estimates, mean, np.sqrt(between + within).astype(np.float32))


def _at(held_out: list[NDArray[np.bool_]], planes: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What each member's plane holds at the samples that it did not see, one after the other."""
    return np.concatenate([plane[hidden] for plane, hidden in zip(planes, held_out, strict=True)])


def _rms(error: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(error.astype(np.float64) ** 2))) if len(error) else float("nan")
