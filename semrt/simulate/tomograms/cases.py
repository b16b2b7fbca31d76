"""The fixed test set: named phantoms and tilt series that span what a restorer of tomograms must master."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.simulate.tomograms.grid import Grid, Shape
from semrt.simulate.tomograms.library import KINDS, SPLITS, TomogramSample, phantom, recorded
from semrt.simulate.tomograms.recording import Recording

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CONDITIONS", "Case", "Condition", "cases"]

STEP = 2.0  # [deg]


@dataclass(frozen=True, slots=True)
class Condition:
    """How a case is recorded: the first and last tilt [deg], and the rest."""

    first: float
    last: float
    recording: Recording

    @property
    def angles(self) -> NDArray[np.float64]:
        """Tilts [deg], every two."""
        return np.arange(self.first, self.last + STEP / 2, STEP)


CONDITIONS = {
    "60-lo": Condition(-60, 60, Recording(100)),
    "70-hi": Condition(-70, 70, Recording(1000)),
    "lopsided": Condition(-50, 68, Recording(300)),
    "misaligned": Condition(-60, 60, Recording(300, misalignment=0.5, drift=0.5, tilt_error=0.1)),
}

_SLICE, _VOLUME = (256, 1, 256), (128, 32, 128)
_SUPERSAMPLING = 2


@dataclass(frozen=True, slots=True)
class Case:
    """A tilt series of the test set in words; `sample` makes it, the same each time."""

    name: str
    kind: str
    shape: Shape
    condition: Condition
    seed: int

    def sample(self) -> TomogramSample:
        """Draw the phantom, which all cases of its kind and shape share, and record it."""
        grid = Grid(self.shape, _SUPERSAMPLING)
        density, drawn = phantom(self._generator(self.shape[1]), grid, self.kind)
        rng = self._generator(self.shape[1], 1 + list(CONDITIONS.values()).index(self.condition))
        told = {"kind": self.kind, "phantom": drawn}
        return recorded(rng, grid, density, told, self.condition.angles, self.condition.recording)

    def _generator(self, *which: int) -> np.random.Generator:
        # Beyond the splits, so that nothing that is trained on is judged by.
        key = (len(SPLITS), list(KINDS).index(self.kind), *which)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def cases(seed: int = 0) -> dict[str, Case]:
    """Name -> case; every seed gives another set, with other phantoms and other noise.

    Every kind is there as one slice of 256 × 256 px over ±60° at 100 counts and over ±70° at 1000; some
    also with lopsided tilts or badly aligned, and some as volumes of 32 slices.
    """
    table: dict[str, tuple[str, Shape, str]] = {}
    for kind in KINDS:
        table |= {f"{kind}-{condition}": (kind, _SLICE, condition) for condition in ("60-lo", "70-hi")}
    for kind in ("particles", "shells", "porous"):
        table |= {f"{kind}-{condition}": (kind, _SLICE, condition) for condition in ("lopsided", "misaligned")}
        table[f"{kind}-volume"] = (kind, _VOLUME, "60-lo")
    return {
        name: Case(name, kind, shape, CONDITIONS[condition], seed) for name, (kind, shape, condition) in table.items()
    }
