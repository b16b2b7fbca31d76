"""A broad library of phantoms of materials tomograms and their tilt series."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption
from semrt.simulate.layers.library import SPLITS, split_seed
from semrt.simulate.tomograms.atoms import atoms
from semrt.simulate.tomograms.films import films
from semrt.simulate.tomograms.grid import Grid, Shape
from semrt.simulate.tomograms.particles import particles, polyhedra, rods
from semrt.simulate.tomograms.porous import porous
from semrt.simulate.tomograms.recording import Recording, draw_angles, draw_recording, record
from semrt.simulate.tomograms.shells import core_shell, shells
from semrt.simulate.tomograms.varied import varied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from semrt.simulate.tomograms.grid import Space

__all__ = ["KINDS", "SPLITS", "TomogramSample", "draw", "phantom", "recorded", "split_seed"]

KINDS: dict[str, Callable[[np.random.Generator, Grid], tuple[Space, dict[str, Any]]]] = {
    "particles": particles,
    "shells": shells,
    "core-shell": core_shell,
    "porous": porous,
    "rods": rods,
    "polyhedra": polyhedra,
    "atoms": atoms,
    "films": films,
    "varied": varied,
}

# How often each kind is drawn; 1 where nothing is said.
WEIGHTS = {"varied": 3.0, "porous": 1.5, "atoms": 1.5}

_TRIES, _FAINTEST = 6, 0.1

# Kinds that may go on beyond the field of view.
_ENDLESS = frozenset({"particles", "porous", "rods", "polyhedra", "films", "varied"})


@dataclass(frozen=True, eq=False, slots=True)
class TomogramSample:
    """A tilt series, and the truth.

    truth: (nz, ny, nx) float32, density from 0 to 1; the tilt axis is y, the beam at 0° runs along z.
    angles: (n,) float64 [deg], what the stage says.
    expected: (n, ny, nx) float32, mean of the series but for the beam current; shifted as it is [density × px].
    series: (n, ny, nx) float32, as recorded, over (tilt, y, s) [density × px].
    settings: what was drawn, ready for JSON.
    """

    truth: NDArray[np.float32]
    angles: NDArray[np.float64]
    expected: NDArray[np.float32]
    series: NDArray[np.float32]
    settings: Mapping[str, Any] = field(default_factory=dict)


def phantom(rng: np.random.Generator, grid: Grid, kind: str) -> tuple[Space, dict[str, Any]]:
    """Draw a density (mz, ny, mx) float32 from 0 to 1 on a grid, and say what was drawn; kind: a name of KINDS.

    Only the slices asked for are computed, of objects that go on along y.  Raises InvalidOption.
    """
    if kind not in KINDS:
        raise InvalidOption.unknown("kind of tomogram", kind, KINDS)
    density, drawn = KINDS[kind](rng, grid)
    for _ in range(_TRIES):
        if float(density.max()) > _FAINTEST:
            break
        density, drawn = KINDS[kind](rng, grid)  # a slice between the objects says nothing
    return density, drawn


def draw(
    rng: np.random.Generator,
    shape: Shape = (128, 3, 128),
    kind: str | None = None,
    *,
    angles: ArrayLike | None = None,
    recording: Recording | None = None,
    supersampling: int = 2,
    margin: int | None = None,
    n_threads: int | None = None,
) -> TomogramSample:
    """Draw a phantom and its tilt series; the same generator state gives the same sample.

    shape: (nz, ny, nx); a few slices along y are as good as many to learn from.
    kind: a name of KINDS; None to choose by weight.  angles: (n,) [deg]; recording: None to draw them.
    supersampling: samples to a px along z and x, of which the truth is the mean.
    margin: how far films and supports go on beyond the field [px], as far as they do; None to draw it.
    n_threads: for the projections; None for all cores.
    Raises InvalidShape, InvalidOption.
    """
    Grid(shape, supersampling)  # refuses what cannot be drawn before anything is
    if kind is not None and kind not in KINDS:
        raise InvalidOption.unknown("kind of tomogram", kind, KINDS)
    if kind is None:
        weights = np.array([WEIGHTS.get(name, 1.0) for name in KINDS])
        kind = str(rng.choice(list(KINDS), p=weights / weights.sum()))
    if margin is None:
        margin = round(shape[2] * rng.uniform(0.1, 0.5)) if kind in _ENDLESS and rng.random() < 0.3 else 0
    tilts = draw_angles(rng) if angles is None else np.array(angles, np.float64)
    recording = draw_recording(rng) if recording is None else recording
    grid = Grid(shape, supersampling, margin)
    density, drawn = phantom(rng, grid, kind)
    return recorded(rng, grid, density, {"kind": kind, "phantom": drawn}, tilts, recording, n_threads)


def recorded(
    rng: np.random.Generator,
    grid: Grid,
    density: Space,
    drawn: Mapping[str, Any],
    angles: NDArray[np.float64],
    recording: Recording,
    n_threads: int | None = None,
) -> TomogramSample:
    """Record the tilt series of a phantom; drawn: what there is to say of it."""
    exposure = record(
        density,
        angles,
        rng,
        recording,
        supersampling=grid.supersampling,
        width=grid.shape[2],
        n_threads=n_threads,
    )
    settings = {
        **drawn,
        "shape": list(grid.shape),
        "supersampling": grid.supersampling,
        "margin_px": grid.margin,
        "angles_deg": angles.tolist(),
        "recording": asdict(recording),
        "tilts_deg": exposure.tilts.tolist(),
        "shifts_px": exposure.shifts.tolist(),
        "gains": exposure.gains.tolist(),
        "dose": exposure.dose,
    }
    return TomogramSample(grid.pooled(density), angles, exposure.expected, exposure.series, settings)
