"""Named scan patterns; to add one, write its function in semrt.kernels.scan_path and its entry in PATTERNS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption
from semrt.kernels import scan_path as paths
from semrt.scan.scan_path import ScanPath, inside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["PATTERNS", "Pattern", "generate"]


@dataclass(frozen=True)
class Pattern:
    """A way to scan a field.

    generate: (shape, coverage, **parameters) -> positions (n, 2); takes a seed too where `random`.
    parameters: name -> (default, what it means).
    source: the paper or program it follows.
    exact: the number of pixels visited is the rounded coverage; otherwise as near to it as the pattern allows.
    """

    name: str
    summary: str
    generate: Callable[..., NDArray[np.float64]]
    parameters: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    source: str = ""
    random: bool = False
    exact: bool = True


def _ede_spiral(shape: tuple[int, int], coverage: float | None, *, nominal: float | None = None) -> NDArray[np.float64]:
    if nominal is not None and coverage is not None:
        raise InvalidOption("nominal: says the coverage already; leave out one of the two")
    if nominal is None:
        nominal = 16.0 if coverage is None else paths.ede_nominal(shape, coverage)
    return paths.ede_spiral(shape, nominal)


_SANG = "Sang et al. 2016, doi:10.1186/s40679-016-0020-3"
_EDE = "Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0"
_SPIRAL = {
    "centre": (None, "(y, x) [px]; without it, the centre of the field"),
    "angle": (0.0, "of the start, from +x towards +y [deg]"),
    "keep_outside": (False, "keep the samples outside the field, blanked: no jumps across its corners"),
}

PATTERNS: dict[str, Pattern] = {
    pattern.name: pattern
    for pattern in (
        Pattern("raster", "whole rows, each from left to right", paths.raster, exact=False),
        Pattern("snake", "whole rows, every other one backwards", paths.snake, exact=False),
        Pattern(
            "archimedean", "spiral at constant angular velocity, arms equally spaced", paths.archimedean, _SPIRAL, _SANG
        ),
        Pattern(
            "fermat",
            "spiral at constant angular velocity, equal areas in equal times",
            paths.fermat,
            _SPIRAL | {"angle_step": (paths.GOLDEN_ANGLE, "from sample to sample [deg]")},
            _SANG,
        ),
        Pattern("clv", "spiral at constant linear velocity, arms equally spaced", paths.clv, _SPIRAL, _SANG),
        Pattern(
            "ede-spiral",
            "the published spiral, pixel by pixel",
            _ede_spiral,
            {"nominal": (None, "distance of its arms [px]; 16 without coverage")},
            _EDE,
            exact=False,
        ),
        Pattern(
            "jittered-grid",
            "one pixel out of each of equal cells",
            paths.jittered_grid,
            {"jitter": (1.0, "the part of its cell that a sample may fall in")},
            random=True,
        ),
        Pattern("random", "pixels in random order", paths.random_pixels, random=True),
        Pattern(
            "line-hop",
            "bands crossed back and forth, hopping between rows",
            paths.line_hop,
            {"run": (16, "samples between hops")},
            "Kovarik et al. 2016, doi:10.1063/1.4965720",
            random=True,
        ),
        Pattern(
            "random-walk",
            "random walks along rows and columns",
            paths.random_walk,
            {"amplitude": (None, "how far a walk strays from the middle of its band [px]; without it, all the band")},
            _EDE,
            random=True,
        ),
        Pattern(
            "lissajous",
            "sinusoids on both axes that never close",
            paths.lissajous,
            {
                "ratio": (paths.GOLDEN_RATIO, "of the frequencies, y over x"),
                "phase": (90.0, "of the y axis [deg]"),
            },
        ),
        Pattern("hilbert", "the Hilbert curve of any rectangle: no long step", paths.hilbert),
        Pattern(
            "interleaved",
            "every so-maniest pixel, pass after pass",
            paths.interleaved,
            {"skip": (None, "distance of the pixels of a pass [px]; without it, as the coverage asks")},
            "Velazco et al. 2021, arXiv:2105.01617",
        ),
    )
}


def generate(
    pattern: str,
    shape: tuple[int, int],
    coverage: float | None = None,
    *,
    seed: int = 0,
    dwell_time: float = 1.0,
    **parameters: Any,
) -> ScanPath:
    """Draw the path of a named pattern over a field.

    pattern: a key of PATTERNS.  shape: (ny, nx).
    coverage: fraction of the pixels to visit; all of them without one, but for ede-spiral, whose `nominal` says it.
    seed: for patterns that draw at random; the others are the same for every seed.
    dwell_time: at each position [µs].  parameters: as the pattern's entry lists them.
    Raises InvalidOption, InvalidShape.
    """
    if pattern not in PATTERNS:
        raise InvalidOption.unknown("pattern", pattern, PATTERNS)
    chosen = PATTERNS[pattern]
    for name in parameters:
        if name not in chosen.parameters:
            raise InvalidOption.unknown(f"parameter of {pattern}", name, chosen.parameters)
    if coverage is None and pattern != "ede-spiral":
        coverage = 1.0
    used = {name: parameters.get(name, default) for name, (default, _) in chosen.parameters.items()}
    drawn = {"seed": seed} if chosen.random else {}
    positions = chosen.generate(shape, coverage, **used, **drawn)
    return ScanPath(
        positions=positions,
        shape=shape,
        dwell_time=np.full(len(positions), float(dwell_time)),
        blank=~inside(positions, shape),
        pattern=pattern,
        seed=seed,
        parameters={"coverage": coverage, **used},
    )
