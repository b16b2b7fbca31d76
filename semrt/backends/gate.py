"""Whether a backend computes what the network computes: fast and wrong is refused.

Graphs in half precision overflow, engines are built wrong, without a word of warning; so what a backend makes of a
model's own test tensors is compared with what the processor makes of them in single precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import DeviceUnavailable
from semrt.models import Reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.backends.base import Session
    from semrt.models import Manifest

    Measure = Callable[[NDArray[np.float32], Reference], "Lost | None"]

__all__ = ["LIMITS", "MOST_DECIBELS", "Lost", "Verdict", "admit", "compare", "decibels_lost", "judge", "limit_of"]

LIMITS = {"fp32": 1e-4, "fp16": 1e-2, "int8": 3e-2}
"""Root mean square difference from the reference, relative to that of the reference itself, up to which it passes."""
MOST_DECIBELS = 0.1
"""Change of the error against the truth [dB] up to which it passes, where the truth is known."""

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Lost:
    """What other numbers mean to a task: how much, and how much may be, in units of its own.

    amount: above zero where it became worse; its absolute value counts.
    what: in a phrase, with the figure.
    """

    amount: float
    limit: float
    what: str

    @property
    def passed(self) -> bool:
        """Whether it may be; what is no number may not."""
        return abs(self.amount) <= self.limit

    def __str__(self) -> str:
        return f"{self.what}, at most {self.limit:g}"


@dataclass(frozen=True)
class Verdict:
    """What a comparison said.

    relative_rms: of the difference; infinite where the output is not finite.  limit: what was allowed.
    lost: in the task's own measure; None where that says nothing of these tensors.
    why: in a phrase.
    """

    passed: bool
    relative_rms: float
    limit: float
    lost: Lost | None
    why: str


def decibels_lost(estimate: NDArray[np.float32], reference: Reference) -> Lost | None:
    """Change of the error against the truth, which is that of the PSNR too; None where no truth is known.

    Where the truth has fewer channels than the output, it is that of the first ones.
    """
    if (truth := reference.target) is None:
        return None
    errors = [_rms(of[:, : truth.shape[1]] - truth) for of in (estimate, reference.estimate)]
    after, before = np.maximum(errors, _TINY)
    grown = 20 * float(np.log10(after / before))
    return Lost(grown, MOST_DECIBELS, f"error against the truth {grown:+.2g} dB")


def judge(session: Session, reference: Reference, measure: Measure = decibels_lost) -> Verdict:
    """Compare what a session makes of a model's test tensors with what it should.

    measure: the task's own.  Raises what session.run raises.
    """
    estimate = session.run(np.ascontiguousarray(reference.channels))
    return compare(estimate, reference, limit_of(session.manifest, session.precision), measure)


def compare(
    estimate: NDArray[np.float32], reference: Reference, limit: float, measure: Measure = decibels_lost
) -> Verdict:
    """Compare an output with what it should be: number by number, and by what the task makes of it."""
    if not np.isfinite(estimate).all():
        return Verdict(False, float("inf"), limit, None, "NaN or infinity")
    relative = _rms(estimate - reference.estimate) / max(_rms(reference.estimate), _TINY)
    lost = measure(estimate, reference)
    why = f"relative RMS {relative:.2g}, at most {limit:g}"
    if lost is not None:
        why += f"; {lost}"
    return Verdict(relative <= limit and (lost is None or lost.passed), relative, limit, lost, why)


def admit(session: Session, folder: Path, measure: Measure = decibels_lost) -> str:
    """Say in a phrase how a session compares with the reference; a session that is the reference is not run.

    measure: the task's own.  Raises DeviceUnavailable where it fails, ModelDamaged, and what session.run raises.
    """
    if session.device == "cpu" and session.precision == "fp32":
        return ""
    reference = Reference.read(folder, session.manifest)
    if reference is None:
        return "not compared, as the model has no test tensors"
    verdict = judge(session, reference, measure)
    if not verdict.passed:
        what = f"{session.manifest.name} in {session.precision} gives other numbers than it should: {verdict.why}"
        cure = "choose --precision fp32" if session.precision != "fp32" else "choose --device cpu"
        raise DeviceUnavailable(session.device, what, cure)
    return f"compared with the reference: {verdict.why}"


def limit_of(manifest: Manifest, precision: str) -> float:
    """Of the relative RMS at a precision; more where the exporter measured more, and accepted it."""
    limit = LIMITS.get(precision, LIMITS["fp32"])
    measured = float(manifest.variants.get(precision, {}).get("relative_rms", 0.0))
    return 1.5 * measured if measured > limit else limit


def _rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
