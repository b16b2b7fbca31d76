"""Crystals as seen along a zone axis: lattices of atomic columns. To add one, write its entry in STRUCTURES.

Lengths in Å, vectors as (y, x). Lattice constants: Wyckoff, Crystal Structures (1963); 2-D crystals: Rasmussen &
Thygesen 2015, doi:10.1021/acs.jpcc.5b02950.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["ATOMIC_NUMBER", "STRUCTURES", "Lattice", "Site"]

ATOMIC_NUMBER = {
    "B": 5, "C": 6, "N": 7, "O": 8, "Na": 11, "Al": 13, "Si": 14, "S": 16, "Cl": 17, "Ti": 22, "Fe": 26, "Cu": 29,
    "Zn": 30, "Ga": 31, "Ge": 32, "As": 33, "Se": 34, "Sr": 38, "Mo": 42, "La": 57, "W": 74, "Pt": 78, "Au": 79,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Site:
    """A column of the unit cell.

    y, x: fractions of the cell vectors a and b.
    atoms: element -> atoms of it in the column per Å of thickness.
    """

    y: float
    x: float
    atoms: Mapping[str, float]

    @property
    def species(self) -> str:
        """The elements, as in Ti+O."""
        return "+".join(self.atoms)

    def scattering(self, exponent: float) -> float:
        """Brightness per Å of thickness: the sum of Z**exponent over its atoms."""
        return sum(float(density * ATOMIC_NUMBER[element] ** exponent) for element, density in self.atoms.items())


@dataclass(frozen=True, slots=True)
class Lattice:
    """A crystal in projection.

    a, b: vectors of the unit cell, (y, x) [Å].
    layer: thickness of a 2-D crystal's single layer [Å]; None for a crystal of any thickness.
    """

    a: tuple[float, float]
    b: tuple[float, float]
    sites: tuple[Site, ...]
    layer: float | None = None

    @property
    def nearest(self) -> float:
        """Least distance between two columns [Å]."""
        steps = np.arange(-2, 3)
        shifts = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 1, 1, 2) @ self.cell
        basis = self.basis @ self.cell
        distance = np.linalg.norm(basis[:, None] - basis[None] + shifts, axis=-1)
        return float(distance[distance > 1e-6].min())

    @property
    def density(self) -> float:
        """Columns in an Å²."""
        return len(self.sites) / abs(float(np.linalg.det(self.cell)))

    @property
    def cell(self) -> NDArray[np.float64]:
        """(2, 2), the cell vectors in rows [Å]."""
        return np.array([self.a, self.b])

    @property
    def basis(self) -> NDArray[np.float64]:
        """(n, 2), fractions of the cell vectors."""
        return np.array([(site.y, site.x) for site in self.sites])


def _site(y: float, x: float, period: float, **atoms: float) -> Site:
    """Build a column that holds these atoms in each period along the beam [Å]."""
    return Site(y, x, {element: count / period for element, count in atoms.items()})


def _rectangle(height: float, width: float, *sites: Site) -> Lattice:
    return Lattice((height, 0.0), (0.0, width), sites)


def _hexagon(side: float, *sites: Site, layer: float | None = None) -> Lattice:
    """Build a cell whose vectors, `side` long, lie 120° apart."""
    return Lattice((side * math.sqrt(0.75), -side / 2), (0.0, side), sites, layer)


def _honeycomb(side: float, layer: float, first: Mapping[str, float], second: Mapping[str, float]) -> Lattice:
    """Build a 2-D crystal with two columns in its cell."""
    return _hexagon(side, _site(1 / 3, 2 / 3, layer, **first), _site(2 / 3, 1 / 3, layer, **second), layer=layer)


def _fcc_110(a: float, element: str) -> Lattice:
    period = a / math.sqrt(2)
    return _rectangle(a, period, _site(0, 0, period, **{element: 1}), _site(0.5, 0.5, period, **{element: 1}))


def _dumbbells(a: float, first: str, second: str) -> Lattice:
    """Build diamond or zinc blende along [110]: pairs of columns a quarter of the cell apart."""
    period = a / math.sqrt(2)
    sites = [
        _site(y + shift, x, period, **{element: 1})
        for y, x in ((0.0, 0.0), (0.5, 0.5))
        for shift, element in ((0.0, first), (0.25, second))
    ]
    return _rectangle(a, period, *sites)


def _perovskite_100(a: float, heavy: str, mixed: str) -> Lattice:
    light = [_site(y, x, a, O=1) for y, x in ((0.5, 0.0), (0.0, 0.5))]
    return _rectangle(a, a, _site(0, 0, a, **{heavy: 1}), _site(0.5, 0.5, a, **{mixed: 1}, O=1), *light)


def _perovskite_110(a: float, heavy: str, mixed: str) -> Lattice:
    period = a * math.sqrt(2)
    width = a / math.sqrt(2)
    return _rectangle(
        a,
        width,
        _site(0, 0, period, **{heavy: 1}, O=1),
        _site(0.5, 0, period, **{mixed: 1}),
        _site(0.5, 0.5, period, O=2),
    )


def _wurtzite_11_20(a: float, c: float, u: float, metal: str, other: str) -> Lattice:
    """Build wurtzite along [11-20]: the c axis along y, [1-100] along x; u: height of the bond in units of c."""
    width = a * math.sqrt(3)
    corners = [(0.0, 1 / 3), (0.0, 5 / 6), (0.5, 1 / 6), (0.5, 2 / 3)]
    sites = [
        _site((y + shift) % 1, x, a, **{element: 1})
        for y, x in corners
        for shift, element in ((0.0, metal), (u, other))
    ]
    return _rectangle(c, width, *sites)


def _hcp_11_20(a: float, c: float, element: str) -> Lattice:
    width = a * math.sqrt(3)
    corners = [(0.0, 1 / 3), (0.0, 5 / 6), (0.5, 1 / 6), (0.5, 2 / 3)]
    return _rectangle(c, width, *(_site(y, x, a, **{element: 1}) for y, x in corners))


GOLD, PLATINUM, COPPER, ALUMINIUM = 4.078, 3.924, 3.615, 4.050
IRON, TUNGSTEN = 2.866, 3.165
TITANATE, ALUMINATE = 3.905, 3.790  # SrTiO3, pseudo-cubic LaAlO3
SALT = 5.640  # NaCl

STRUCTURES: dict[str, Lattice] = {
    "square": _rectangle(2.5, 2.5, _site(0, 0, 2.5, Mo=1)),
    "hexagonal": _hexagon(2.6, _site(0, 0, 2.6, Mo=1)),
    "rock-salt-100": _rectangle(SALT / 2, SALT / 2, _site(0, 0, SALT, Na=1, Cl=1)),
    "rock-salt-110": _rectangle(
        SALT,
        SALT / math.sqrt(2),
        *(
            _site(y, x, SALT / math.sqrt(2), **{element: 1})
            for y, x, element in ((0, 0, "Na"), (0.5, 0.5, "Na"), (0.5, 0, "Cl"), (0, 0.5, "Cl"))
        ),
    ),
    "fcc-100": _rectangle(GOLD / 2, GOLD / 2, _site(0, 0, GOLD, Au=1)),
    "fcc-110": _fcc_110(GOLD, "Au"),
    "fcc-110-Al": _fcc_110(ALUMINIUM, "Al"),
    "fcc-111": _hexagon(PLATINUM / math.sqrt(6), _site(0, 0, PLATINUM * math.sqrt(3), Pt=1)),
    "bcc-100": _rectangle(IRON, IRON, _site(0, 0, IRON, Fe=1), _site(0.5, 0.5, IRON, Fe=1)),
    "bcc-110": _rectangle(IRON / 2, IRON / math.sqrt(2), _site(0, 0, IRON * math.sqrt(2), Fe=1)),
    "bcc-111": _hexagon(TUNGSTEN * math.sqrt(2 / 3), _site(0, 0, TUNGSTEN * math.sqrt(0.75), W=1)),
    "hcp-11-20": _hcp_11_20(2.950, 4.683, "Ti"),
    "diamond-110-Si": _dumbbells(5.431, "Si", "Si"),
    "diamond-110-Ge": _dumbbells(5.658, "Ge", "Ge"),
    "zinc-blende-110-GaAs": _dumbbells(5.653, "Ga", "As"),
    "perovskite-100": _perovskite_100(TITANATE, "Sr", "Ti"),
    "perovskite-100-LaAlO3": _perovskite_100(ALUMINATE, "La", "Al"),
    "perovskite-110": _perovskite_110(TITANATE, "Sr", "Ti"),
    "wurtzite-0001": _hexagon(3.189, _site(1 / 3, 2 / 3, 5.185, Ga=1, N=1), _site(2 / 3, 1 / 3, 5.185, Ga=1, N=1)),
    "wurtzite-11-20": _wurtzite_11_20(3.189, 5.185, 0.377, "Ga", "N"),
    "wurtzite-11-20-ZnO": _wurtzite_11_20(3.250, 5.207, 0.382, "Zn", "O"),
    "graphene": _honeycomb(2.461, 3.35, {"C": 1}, {"C": 1}),
    "hBN": _honeycomb(2.504, 3.33, {"B": 1}, {"N": 1}),
    "MoS2": _honeycomb(3.160, 6.15, {"Mo": 1}, {"S": 2}),
    "WSe2": _honeycomb(3.282, 6.49, {"W": 1}, {"Se": 2}),
}
