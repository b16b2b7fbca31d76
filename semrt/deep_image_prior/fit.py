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


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """What each member does not see, one mask for each, and what was measured and classically estimated there.

    estimates: the classical estimate and its error for each member, (ny, nx), from the samples that it sees.
    truth, classical, deviation: (n,) at the held-out samples of all members, one after the other.
    """

    masks: list[NDArray[np.bool_]]
    estimates: list[Estimate]
    truth: NDArray[np.float32]
    classical: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def of(cls, scan: Field, seen: NDArray[np.bool_], settings: Settings, rng: np.random.Generator) -> _HeldOut:
        masks = disjoint_cells(seen, settings.held_out, settings.members, rng)
        made = [scan.estimated(seen & ~hidden) if hidden.any() else scan.classical for hidden in masks]
        planes = [scan.values] * len(masks), [estimate for estimate, _ in made], [error for _, error in made]
        return cls(masks, made, *(_at(masks, of_each) for of_each in planes))

    def at(self, planes: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """What each member's plane holds at the samples that it did not see."""
        return _at(self.masks, planes)


def fit(
    scan: Field,
    settings: Settings,
    members: list[Member],
    seed: tuple[int, ...],
    watch: Callable[[int, float], None],
) -> Fit:
    """Fit the networks to a field.

    members: new, or from another field of the same shape, whose weights they go on from.
    seed: of the choice of held-out samples.
    watch(iteration, loss) may raise KeyboardInterrupt to end with the best so far.
    """
    end = np.inf if settings.max_seconds is None else time.monotonic() + settings.max_seconds
    rng = np.random.default_rng(seed)
    seen = scan.weight > 0
    if np.count_nonzero(seen) < FEWEST_SAMPLES:
        return Fit(*scan.classical, members, "too few samples", 0.0, False, 0, 0)
    held_out = _HeldOut.of(scan, seen, settings, rng)
    for member, hidden, (estimate, error) in zip(members, held_out.masks, held_out.estimates, strict=True):
        weight = np.where(hidden, np.float32(0), scan.weight)
        member.begin(Target.of(scan.values, weight, estimate, error, settings.prior if settings.blend else 0.0))

    patience = Patience(settings.patience)
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
                agreement.append((iteration, _rms(held_out.at(now.estimates) - held_out.truth)))
                enough = len(held_out.truth) >= ENOUGH
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
        "held_out": len(held_out.truth),
        "agreement": agreement,
        "classical_agreement": _rms(held_out.classical - held_out.truth),
        "loss": losses,
    }
    if best is None:
        return Fit(*scan.classical, weight=0.0, residual_kriged=False, iterations=0, **told)
    return Fit(**_judged(scan, seen, best, held_out, blend=settings.blend), iterations=best.iteration, **told)


def _judged(scan: Field, seen: NDArray[np.bool_], best: _Best, held_out: _HeldOut, *, blend: bool) -> dict[str, Any]:
    """Mix the networks with the classical estimate, and scale their error, as held-out samples ask for."""
    mean, unseen, truth, kriged = best.mean, held_out.at(best.estimates), held_out.truth, False
    if blend:
        explained = [
            estimate + scan.unexplained(np.where(seen & ~hidden, scan.values - estimate, np.float32(0)), seen & ~hidden)
            for estimate, hidden in zip(best.estimates, held_out.masks, strict=True)
        ]
        corrected = held_out.at(explained)
        kriged = _rms(corrected - truth) <= _rms(unseen - truth)
        if kriged:
            mean, unseen = mean + scan.unexplained(np.where(seen, scan.values - mean, np.float32(0)), seen), corrected
    share = blend_weight(unseen - truth, held_out.classical - truth) if blend else 1.0
    classical, deviation = scan.classical
    residual = share * unseen + (1 - share) * held_out.classical - truth
    factors = calibrated_error(residual, held_out.at([best.spread] * len(best.estimates)), held_out.deviation)
    a, b = (share**2, (1 - share) ** 2) if factors is None else factors
    return {
        "estimate": (share * mean + (1 - share) * classical).astype(np.float32),
        "error": np.sqrt(a * best.spread**2 + b * deviation**2).astype(np.float32),
        "weight": share,
        "residual_kriged": kriged,
        "calibrated": factors is not None,
    }


def _look(members: list[Member], iteration: int) -> _Best:
    estimates = [member.estimate for member in members]
    mean = np.asarray(np.mean(estimates, axis=0), np.float32)
    between = np.mean([(estimate - mean) ** 2 for estimate in estimates], axis=0, dtype=np.float32)
    within = np.mean([member.variance for member in members], axis=0, dtype=np.float32)
    return _Best(iteration, estimates, mean, np.sqrt(between + within).astype(np.float32))


def _rms(error: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(error.astype(np.float64) ** 2))) if len(error) else float("nan")


def _at(masks: list[NDArray[np.bool_]], planes: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([plane[hidden] for plane, hidden in zip(planes, masks, strict=True)])
