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
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.backends.base import Session

__all__ = ["LIMITS", "MOST_LOST", "Verdict", "admit", "judge"]

LIMITS = {"fp32": 1e-4, "fp16": 1e-2, "int8": 3e-2}
"""Root mean square difference from the reference, relative to that of the reference itself, up to which it passes."""
MOST_LOST = 0.1
"""Change of the error against the truth [dB] up to which it passes, where the truth is known."""

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Verdict:
    """What a comparison said.

    relative_rms: of the difference; infinite where the output is not finite.  limit: what was allowed.
    lost: change of the error against the truth [dB], above zero where it grew; None where no truth is known.
    why: in a phrase.
    """

    passed: bool
    relative_rms: float
    limit: float
    lost: float | None
    why: str


def judge(session: Session, reference: Reference) -> Verdict:
    """Compare what a session makes of a model's test tensors with what it should.  Raises what session.run raises."""
    estimate = session.run(np.ascontiguousarray(reference.channels))
    limit = _limit(session)
    if not np.isfinite(estimate).all():
        return Verdict(False, float("inf"), limit, None, "NaN or infinity")
    relative = _rms(estimate - reference.estimate) / max(_rms(reference.estimate), _TINY)
    lost = None
    if reference.target is not None:
        errors = [_rms(of - reference.target) for of in (estimate, reference.estimate)]
        after, before = np.maximum(errors, _TINY)
        lost = 20 * float(np.log10(after / before))
    passed = relative <= limit and (lost is None or abs(lost) <= MOST_LOST)
    why = f"relative RMS {relative:.2g}, at most {limit:g}"
    if lost is not None:
        why += f"; error against the truth {lost:+.2g} dB, at most {MOST_LOST:g}"
    return Verdict(bool(passed), relative, limit, lost, why)


def admit(session: Session, folder: Path) -> str:
    """Say in a phrase how a session compares with the reference; a session that is the reference is not run.

    Raises DeviceUnavailable where it fails, ModelDamaged, and what session.run raises.
    """
    if session.device == "cpu" and session.precision == "fp32":
        return ""
    reference = Reference.read(folder, session.manifest)
    if reference is None:
        return "not compared, as the model has no test tensors"
    verdict = judge(session, reference)
    if not verdict.passed:
        what = f"{session.manifest.name} in {session.precision} gives other numbers than it should: {verdict.why}"
        cure = "choose --precision fp32" if session.precision != "fp32" else "choose --device cpu"
        raise DeviceUnavailable(session.device, what, cure)
    return f"compared with the reference: {verdict.why}"


def _limit(session: Session) -> float:
    """That of the precision; more where the exporter measured and accepted more."""
    variant = session.manifest.variants.get(session.precision, {})
    return max(LIMITS.get(session.precision, LIMITS["fp32"]), 1.5 * float(variant.get("relative_rms", 0.0)))


def _rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
