"""Backscattered signal of two thin layers on a substrate, as a fraction of the beam, against beam energy.

Each pixel sees its own column alone. A layer of mass thickness m = d ρ^0.91 (d in nm, ρ in g/cm³) has ψ = m / (R - m)
for a beam of range R = 74 E^1.55 (E in keV). It scatters the share ξ = 1 - exp(-A ψ) of the beam, where
A = exp(0.022 (Z + 2)) / 0.49, and leaves the rest the energy E exp(-ψ^0.45). Where R <= m the beam is stopped: ξ = 1.
Formulas, densities and signals are those of the report "Microtomography: material 3-d structure recovery having
electron-microscopy scans" (github.com/p0l0satik/DL-Microtomography).

To add a material, write its entry in MATERIALS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption, InvalidShape, InvalidValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = [
    "ENERGIES",
    "GOLD_UNDER_ALUMINIUM",
    "MATERIALS",
    "VARIANTS",
    "LayerStack",
    "Material",
    "backscatter",
    "backscatter_slopes",
]

# repo: as published; the signal is the substrate's and the lower layer's, and where there is no lower layer, the upper
#     one moves into its place, with the lower one's signal, so that 150 nm of aluminium may outshine gold.
# phys: three media, each with its own signal.
VARIANTS = ("repo", "phys")

ENERGIES: Array = np.arange(5.0, 36.0)  # [keV]
ENERGIES.flags.writeable = False

_RANGE, _RANGE_POWER = 74.0, 1.55  # mass range of the beam: 74 E^1.55
_LOSS_POWER = 0.45
_OPEN = 1e-6  # with less of its range left than this share, the beam is stopped: exp(-A ψ) is 0 there in float64
_THINNEST = 0.01  # [nm]


@dataclass(frozen=True, slots=True)
class Material:
    """What a layer is made of.

    density [g/cm³].  atomic_number.  signal: share of the beam that comes back from a thick piece.
    """

    name: str
    density: float
    atomic_number: int
    signal: float

    @property
    def mass_per_nm(self) -> float:
        """Mass thickness of a layer of 1 nm, in the units of the range 74 E^1.55."""
        return float(self.density**0.91)

    @property
    def scattering(self) -> float:
        """A, how fast the scattered share grows with ψ."""
        return float(np.exp(0.022 * (self.atomic_number + 2)) / 0.49)


MATERIALS: dict[str, Material] = {
    "gold": Material("gold", 19.3, 79, 0.90),
    "aluminium": Material("aluminium", 2.7, 13, 0.47),
    "silicon": Material("silicon", 2.33, 14, 0.49),
}


@dataclass(frozen=True, slots=True)
class LayerStack:
    """Two layers on a substrate; the beam comes from above the upper one."""

    lower: Material
    upper: Material
    substrate: Material


GOLD_UNDER_ALUMINIUM = LayerStack(MATERIALS["gold"], MATERIALS["aluminium"], MATERIALS["silicon"])


def backscatter(
    thickness: ArrayLike,
    energies: ArrayLike = ENERGIES,
    *,
    variant: str = "repo",
    layers: LayerStack = GOLD_UNDER_ALUMINIUM,
) -> Array:
    """Signal that comes back from layers of known thickness, (n, ...) float64, as a fraction of the beam.

    thickness: (2, ...) [nm], lower and upper.  energies: (n,) [keV].  variant: a name of VARIANTS.
    Raises InvalidShape, InvalidValue, InvalidOption.
    """
    mass, ranges, moves = _checked(thickness, energies, variant, layers)
    signal = np.empty((len(ranges), mass[0].size))
    substrate = layers.substrate.signal
    for whole, reach in zip(signal, ranges, strict=True):
        upper, through_upper = _crossed(mass[1], reach, layers.upper)
        _, through_lower = _crossed(mass[0], _range_left(reach, upper), layers.lower)
        scattered = (1 - through_lower) * through_upper
        if moves is not None:
            np.subtract(1, through_upper, out=scattered, where=moves)
        whole[...] = substrate + (layers.lower.signal - substrate) * scattered
        if moves is None:
            whole += (layers.upper.signal - substrate) * (1 - through_upper)
    return signal.reshape(-1, *np.shape(thickness)[1:])


def backscatter_slopes(
    thickness: ArrayLike,
    energies: ArrayLike = ENERGIES,
    *,
    variant: str = "repo",
    layers: LayerStack = GOLD_UNDER_ALUMINIUM,
) -> tuple[Array, Array]:
    """Signal (n, ...) and its derivative with respect to either thickness, (n, 2, ...) [1/nm], finite everywhere.

    Where the beam is stopped, the slope is 0. As the upper layer vanishes, it grows without bound, as d^-0.55; it is
    taken at 0.01 nm there. Where "repo" has no lower layer, the slope is that of the upper one in its place, and 0 with
    respect to the lower one, as the signal jumps when that appears.
    Arguments and errors are those of `backscatter`.
    """
    signal = backscatter(thickness, energies, variant=variant, layers=layers)
    given = np.asarray(thickness, np.float64)
    mass, ranges, moves = _checked([given[0], np.maximum(given[1], _THINNEST)], energies, variant, layers)
    lower, upper, substrate = layers.lower, layers.upper, layers.substrate.signal
    slopes = np.empty((len(ranges), 2, mass[0].size))
    for slope, reach in zip(slopes, ranges, strict=True):
        loss, through_upper = _crossed(mass[1], reach, upper)
        left = _range_left(reach, loss)
        _, through_lower = _crossed(mass[0], left, lower)
        # d(loss)/dm = range / (range - m)², d(loss)/d(range) = -m / (range - m)²; 0 where nothing passes
        by_mass = _inverse_square(mass[1], reach) * reach
        through_upper_slope = -upper.scattering * through_upper * by_mass * upper.mass_per_nm
        steep = np.where(np.isfinite(loss), loss, 1.0) ** (_LOSS_POWER - 1)
        left_slope = -_RANGE_POWER * _LOSS_POWER * left * steep * by_mass * upper.mass_per_nm
        opening = lower.scattering * through_lower * through_upper * _inverse_square(mass[0], left)
        slope[0] = opening * left * lower.mass_per_nm
        slope[1] = (1 - through_lower) * through_upper_slope - opening * mass[0] * left_slope
        if moves is not None:
            slope[0, moves] = 0
            slope[1, moves] = -through_upper_slope[moves]
        slope *= lower.signal - substrate
        if moves is None:
            slope[1] -= (upper.signal - substrate) * through_upper_slope
    return signal, slopes.reshape(-1, *given.shape)


def _checked(
    thickness: ArrayLike, energies: ArrayLike, variant: str, layers: LayerStack
) -> tuple[tuple[Array, Array], Array, NDArray[np.bool_] | None]:
    """Mass thickness of lower and upper, (size,) each; ranges (n,); where the upper moves down, None for "phys"."""
    if variant not in VARIANTS:
        raise InvalidOption.unknown("variant", variant, VARIANTS)
    depth = np.asarray(thickness, np.float64)
    beams = np.asarray(energies, np.float64)
    if depth.ndim < 1 or len(depth) != 2:
        raise InvalidShape("thickness", "(2, ...), lower and upper", depth.shape)
    if beams.ndim != 1 or not len(beams):
        raise InvalidShape("energies", "(n,) with at least one", beams.shape)
    if not (np.isfinite(depth).all() and (depth >= 0).all()):
        raise InvalidValue("thickness", "finite values, zero or more [nm]", "others")
    if not (np.isfinite(beams).all() and (beams > 0).all()):
        raise InvalidValue("energies", "finite values above zero [keV]", "others")
    lower, upper = depth.reshape(2, -1)
    mass = lower * layers.lower.mass_per_nm, upper * layers.upper.mass_per_nm
    ranges: Array = _RANGE * beams**_RANGE_POWER
    return mass, ranges, lower == 0 if variant == "repo" else None


def _crossed(mass: Array, reach: Any, material: Material) -> tuple[Array, Array]:
    """ψ of a layer for a beam of this range, infinite where it is stopped; and the share that passes unscattered."""
    room = reach - mass
    loss = np.full(room.shape, np.inf)
    np.divide(mass, room, out=loss, where=room > _OPEN * reach)
    return loss, np.exp(-material.scattering * loss)


def _range_left(reach: float, loss: Array) -> Array:
    """Range of the beam below a layer: 74 E^1.55 with E lowered by the factor exp(-ψ^0.45)."""
    left: Array = reach * np.exp(-_RANGE_POWER * loss**_LOSS_POWER)
    return left


def _inverse_square(mass: Array, reach: Any) -> Array:
    """(range - m)^-2, 0 where the beam is stopped."""
    room = reach - mass
    passes = room > _OPEN * reach
    inverse = np.zeros(room.shape)
    np.divide(1.0, room, out=inverse, where=passes)
    return inverse * inverse
