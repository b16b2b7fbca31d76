"""Scan paths: where the probe goes, (n, 2) float64 as (y, x) [px], in the order of the scan.

Every function takes the shape (ny, nx) of the field and the coverage, the fraction of its pixels to visit. Whole
numbers of pixels come out exactly as asked, but for whole rows and the published spiral. The same arguments give the
same path on every platform. All raise InvalidShape, and InvalidOption for what cannot be drawn.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from semrt import _core
from semrt.errors import InvalidOption, InvalidShape

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Positions = NDArray[np.float64]
    Shape = tuple[int, int]
    T = TypeVar("T")

__all__ = [
    "GOLDEN_ANGLE",
    "GOLDEN_RATIO",
    "archimedean",
    "clv",
    "ede_nominal",
    "ede_spiral",
    "fermat",
    "hilbert",
    "interleaved",
    "jittered_grid",
    "line_hop",
    "lissajous",
    "random_pixels",
    "random_walk",
    "raster",
    "snake",
]

GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
GOLDEN_ANGLE = 360 * (1 - GOLDEN_RATIO)  # [deg]


def raster(shape: Shape, coverage: float) -> Positions:
    """Whole rows, evenly spaced, each from left to right."""
    return _drawn(_core.raster, shape, coverage, False)


def snake(shape: Shape, coverage: float) -> Positions:
    """Whole rows, evenly spaced, every other one backwards."""
    return _drawn(_core.raster, shape, coverage, True)


def interleaved(shape: Shape, coverage: float, *, skip: int | None = None) -> Positions:
    """Every skip-th pixel of every skip-th row, then the lattice shifted to where it leaves most room, and so on.

    skip: [px]; without one, the smallest of at least 2 whose first pass fits the coverage.
    Velazco et al. 2021, arXiv:2105.01617.
    """
    if skip is not None and skip < 1:
        raise InvalidOption(f"skip: expected a distance of 1 px or more, got {skip}")
    return _drawn(_core.interleaved, shape, coverage, 0 if skip is None else skip)


def line_hop(shape: Shape, coverage: float, *, run: int = 16, seed: int = 0) -> Positions:
    """Bands of equal height crossed back and forth, with a hop to another row of the band every `run` samples.

    Kovarik et al. 2016, doi:10.1063/1.4965720.
    """
    if run < 1:
        raise InvalidOption(f"run: expected 1 sample or more between hops, got {run}")
    return _drawn(_core.line_hop, shape, coverage, run, _seed(seed))


def random_walk(shape: Shape, coverage: float, *, amplitude: float | None = None, seed: int = 0) -> Positions:
    """Random walks along the rows, then along the columns, each inside its band.

    amplitude: how far a walk strays from the middle of its band [px]; without one, to the band's borders.
    After the "jittered gridlike" path of Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0.
    """
    if amplitude is not None and not amplitude >= 0:
        raise InvalidOption(f"amplitude: expected 0 px or more, got {amplitude}")
    return _drawn(_core.random_walk, shape, coverage, -1.0 if amplitude is None else float(amplitude), _seed(seed))


def archimedean(
    shape: Shape,
    coverage: float,
    *,
    centre: tuple[float, float] | None = None,
    angle: float = 0.0,
    keep_outside: bool = False,
) -> Positions:
    """Archimedean spiral at constant angular velocity: equally spaced arms, slow in the centre.

    centre: (y, x) [px], that of the field without one.  angle: [deg] of the start, from +x towards +y.
    keep_outside: keep the samples outside the field, so that the path does not jump across its corners.
    Sang et al. 2016, doi:10.1186/s40679-016-0020-3.
    """
    return _spiral("archimedean", shape, coverage, centre, angle, keep_outside)


def clv(
    shape: Shape,
    coverage: float,
    *,
    centre: tuple[float, float] | None = None,
    angle: float = 0.0,
    keep_outside: bool = False,
) -> Positions:
    """Archimedean spiral at constant linear velocity: equally spaced arms, samples a pixel apart.

    centre, angle, keep_outside: as for archimedean.
    Sang et al. 2016, doi:10.1186/s40679-016-0020-3.
    """
    return _spiral("clv", shape, coverage, centre, angle, keep_outside)


def fermat(
    shape: Shape,
    coverage: float,
    *,
    centre: tuple[float, float] | None = None,
    angle: float = 0.0,
    keep_outside: bool = False,
    angle_step: float = GOLDEN_ANGLE,
) -> Positions:
    """Fermat spiral at constant angular velocity: equal areas in equal times, so samples of equal density everywhere.

    centre, angle, keep_outside: as for archimedean.
    angle_step: [deg] from sample to sample; the golden angle spreads them as a sunflower its seeds, a small step draws
        smooth arms for slow coils.
    Sang et al. 2016, doi:10.1186/s40679-016-0020-3; Vogel 1979, doi:10.1016/0025-5564(79)90080-4.
    """
    if not (math.isfinite(angle_step) and angle_step != 0):
        raise InvalidOption(f"angle_step: expected an angle other than 0 [deg], got {angle_step}")
    return _spiral("fermat", shape, coverage, centre, angle, keep_outside, angle_step)


def lissajous(shape: Shape, coverage: float, *, ratio: float = GOLDEN_RATIO, phase: float = 90.0) -> Positions:
    """Sinusoids on both axes, of frequencies that never close the curve; the probe is fastest in the centre.

    ratio: of the frequencies, y over x, best irrational.  phase: [deg] of the y axis.
    """
    if not (math.isfinite(ratio) and ratio > 0):
        raise InvalidOption(f"ratio: expected a positive ratio of frequencies, got {ratio}")
    return _drawn(_core.lissajous, shape, coverage, float(ratio), _radians("phase", phase))


def hilbert(shape: Shape, coverage: float) -> Positions:
    """The Hilbert curve of any rectangle, on a lattice as coarse as the coverage asks: no long step anywhere."""
    return _drawn(_core.hilbert, shape, coverage)


def jittered_grid(shape: Shape, coverage: float, *, jitter: float = 1.0, seed: int = 0) -> Positions:
    """One pixel out of each of equal cells, back and forth.

    jitter: the part of its cell that a sample may fall in, from 0 (a regular grid) to 1.
    """
    if not 0 <= jitter <= 1:
        raise InvalidOption(f"jitter: expected 0 to 1, got {jitter}")
    return _drawn(_core.jittered_grid, shape, coverage, float(jitter), _seed(seed))


def random_pixels(shape: Shape, coverage: float, *, seed: int = 0) -> Positions:
    """Pixels in random order, none twice."""
    return _drawn(_core.random_pixels, shape, coverage, _seed(seed))


def ede_spiral(shape: Shape, nominal: float) -> Positions:
    """The spiral of Ede & Beanland 2020, pixel by pixel: its arms are `nominal` px apart, less at the line's joints.

    On 512 × 512 pixels nominal 16, 25, 36, 49, 64, 81 and 100 give the published coverages of 1/17.9 to 1/87.0.
    doi:10.1038/s41598-020-65261-0
    """
    if not (math.isfinite(nominal) and nominal > 0):
        raise InvalidOption(f"nominal: expected a distance above 0 [px], got {nominal}")
    return _core.ede_spiral(_field(shape), float(nominal))


def ede_nominal(shape: Shape, coverage: float) -> float:
    """The nominal distance [px] whose ede_spiral covers nearest to `coverage`."""
    return float(_drawn(_core.ede_nominal, shape, coverage))


def _spiral(
    kind: str,
    shape: Shape,
    coverage: float,
    centre: tuple[float, float] | None,
    angle: float,
    keep_outside: bool,
    angle_step: float = 0.0,
) -> Positions:
    ny, nx = _field(shape)
    y, x = ((ny - 1) / 2, (nx - 1) / 2) if centre is None else (float(centre[0]), float(centre[1]))
    if not (-0.5 <= y <= ny - 0.5 and -0.5 <= x <= nx - 0.5):
        raise InvalidOption(f"centre: expected (y, x) in the field of {ny} × {nx} px, got ({y:g}, {x:g})")
    turns = _radians("angle", angle), _radians("angle_step", angle_step)
    return _drawn(_core.spiral, shape, coverage, kind, (y, x), *turns, keep_outside)


def _drawn(draw: Callable[..., T], shape: Shape, coverage: float, *arguments: object) -> T:
    field = _field(shape)
    if not 0 < coverage <= 1:
        raise InvalidOption(f"coverage: expected a fraction above 0, up to 1, got {coverage}")
    try:
        return draw(field, float(coverage), *arguments)
    except ValueError as why:
        raise InvalidOption(f"{why}; got coverage {coverage:g} of {field[0]} × {field[1]} px") from why


def _field(shape: Shape) -> Shape:
    if len(shape) != 2 or min(shape) < 1:
        raise InvalidShape("shape", "(ny, nx) with at least one pixel", tuple(shape))
    if shape[0] * shape[1] >= 2**31:
        raise InvalidShape("shape", "fewer than 2^31 pixels", tuple(shape))
    return int(shape[0]), int(shape[1])


def _seed(seed: int) -> int:
    if not 0 <= seed < 2**64:
        raise InvalidOption(f"seed: expected a whole number from 0 to 2^64 - 1, got {seed}")
    return int(seed)


def _radians(name: str, angle: float) -> float:
    if not math.isfinite(angle):
        raise InvalidOption(f"{name}: expected a finite angle [deg], got {angle}")
    return math.radians(angle)
