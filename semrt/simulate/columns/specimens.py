"""What lies under the probe: crystals of STRUCTURES, bent, joined, thinned and with their defects."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption
from semrt.simulate.columns.crystals import Columns, bent, dislocated, grow, modulated, shaken, turn
from semrt.simulate.columns.neighbours import apart, pushed_apart
from semrt.simulate.columns.structures import STRUCTURES
from semrt.simulate.columns.thickness import PROFILES, Outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.simulate.columns.structures import Lattice
    from semrt.simulate.fields import Shape

__all__ = ["NEAREST_ALLOWED", "Specimen", "assemble"]

NEAREST_ALLOWED = 0.7  # of the lattice's own spacing; where grains meet, nearer columns are left out
_OVERLAP = 0.5  # spacings that a grain grows beyond its border, so that no gap opens where it does not fit
_MERGED = 0.55  # spacings; columns of two grains that are nearer are one
_RELAXED = 0.92  # spacings that columns at a border move apart to, where they can
_FAINTEST = 0.004  # of the brightest column; what is fainter is not there


@dataclass(frozen=True, slots=True)
class Specimen:
    """A specimen in words; `assemble` builds it.

    structure: a name of STRUCTURES.  spacing: of nearest columns [px].  angle: of the cell [deg].
    strain: (yy, xx, xy), uniform.  bending: largest strain of slow waves.
    modulation: amplitude of opposite displacements in neighbouring cells [spacings].
    disorder: standard deviation of each column's own displacement [spacings].
    profile: of the thickness, a name of PROFILES.  roughness: relative standard deviation of the columns' thickness.
    grains: crystals that share the field, joined along lines; particles: crystals that lie apart (then grains is 1).
    tilt: angle between grains, at most [deg].  partner: structure of every other grain.
    vacancies, dopants: fractions of the columns.  dislocations: how many.
    spread: standard deviation of the logarithm of a factor to each sublattice's brightness.
    """

    structure: str
    spacing: float
    angle: float = 0.0
    strain: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bending: float = 0.0
    modulation: float = 0.0
    disorder: float = 0.0
    profile: str = "flat"
    roughness: float = 0.0
    grains: int = 1
    particles: int = 0
    tilt: float = 0.0
    partner: str | None = None
    vacancies: float = 0.0
    dopants: float = 0.0
    dislocations: int = 0
    spread: float = 0.0

    def __post_init__(self) -> None:
        for name in filter(None, (self.structure, self.partner)):
            if name not in STRUCTURES:
                raise InvalidOption.unknown("structure", name, STRUCTURES)
        if self.profile not in PROFILES:
            raise InvalidOption.unknown("profile", self.profile, PROFILES)
        if not self.spacing > 0:
            raise InvalidOption(f"spacing: expected px above zero, got {self.spacing}")
        if self.grains < 1 or (self.particles and self.grains > 1):
            raise InvalidOption(f"grains: expected one or more, and one with particles, got {self.grains}")


def assemble(
    specimen: Specimen, shape: Shape, rng: np.random.Generator, *, exponent: float, light: float, margin: float
) -> Columns:
    """Build the columns of a specimen in a field of (ny, nx) px and `margin` px round it.

    exponent: brightness grows as Z to it.  light: least brightness of a column in units of its lattice's brightest;
    detectors at smaller angles than HAADF's show light columns brighter than the exponent says.
    """
    scale = specimen.spacing / STRUCTURES[specimen.structure].nearest
    columns = _displaced(_crystals(specimen, scale, shape, rng, exponent, light, margin), specimen, scale, shape, rng)
    columns = _thinned(columns, specimen, shape, rng)
    inside = (np.abs(columns.y - (shape[0] - 1) / 2) < shape[0] / 2 + margin) & (
        np.abs(columns.x - (shape[1] - 1) / 2) < shape[1] / 2 + margin
    )
    columns = columns[inside & (columns.brightness > _FAINTEST)]
    return columns[apart(columns.y, columns.x, NEAREST_ALLOWED * scale * _nearest(specimen))]


def _crystals(
    specimen: Specimen,
    scale: float,
    shape: Shape,
    rng: np.random.Generator,
    exponent: float,
    light: float,
    margin: float,
) -> Columns:
    """Grow every grain or particle to its own borders."""
    names = [specimen.structure, specimen.partner or specimen.structure]
    values = [_brightness(STRUCTURES[name], exponent, light, specimen.spread, rng) for name in names]
    brightest = max(float(value.max()) for value in values[: min(2, specimen.grains)])
    outlines, seeds = _outlines(specimen, shape, rng), _seeds(specimen.grains, shape, rng)
    margin += specimen.bending * max(shape) + 2 * specimen.spacing  # columns move after they were grown
    parts = []
    for k in range(specimen.particles or specimen.grains):
        which = k % 2 if specimen.grains > 1 else 0
        turned = rng.uniform(-specimen.tilt, specimen.tilt) if k and specimen.partner is None else 0.0
        middle_y, middle_x = ((n - 1) / 2 + rng.uniform(-1, 1) * specimen.spacing for n in shape)
        lattice = STRUCTURES[names[which]]
        angle, origin = specimen.angle + turned, (middle_y, middle_x)
        y, x, site = grow(lattice, shape, scale, angle, specimen.strain, origin=origin, margin=margin)
        species = np.array([entry.species for entry in lattice.sites])[site]
        part = Columns(y, x, values[which][site] / brightest, species)
        if outlines:
            thickness = outlines[k].thickness(y, x)
            part = replace(part, brightness=part.brightness * thickness)[thickness > 0]
        elif len(seeds) > 1:
            part = part[_beyond(y, x, seeds, k) < _OVERLAP * specimen.spacing]
        parts.append(part)
    columns = Columns.joined(parts)
    if len(parts) > 1:
        spacing = scale * _nearest(specimen)
        columns = columns[apart(columns.y, columns.x, _MERGED * spacing)]
        y, x = pushed_apart(columns.y, columns.x, _RELAXED * spacing)
        columns = replace(columns, y=y, x=x)
    return columns


def _nearest(specimen: Specimen) -> float:
    """Least distance of columns in any of its crystals [Å]."""
    names = [specimen.structure, *filter(None, [specimen.partner if specimen.grains > 1 else None])]
    return min(STRUCTURES[name].nearest for name in names)


def _beyond(y: NDArray[np.float64], x: NDArray[np.float64], seeds: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """How far points lie beyond the border of grain k [px], (n,); negative within it."""
    square = (y[:, None] - seeds[:, 0]) ** 2 + (x[:, None] - seeds[:, 1]) ** 2
    others = np.arange(len(seeds)) != k
    apart_by = np.linalg.norm(seeds[others] - seeds[k], axis=1)
    return np.asarray(((square[:, [k]] - square[:, others]) / (2 * apart_by)).max(1))


def _brightness(
    lattice: Lattice, exponent: float, light: float, spread: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Brightness of each site at full thickness, (n,), in units common to all lattices of one thickness."""
    values = np.array([site.scattering(exponent) for site in lattice.sites], np.float64)
    if spread > 0:
        values = values * np.exp(spread * rng.standard_normal(len(values)))
    return np.asarray(np.maximum(values, light * values.max()))


def _outlines(specimen: Specimen, shape: Shape, rng: np.random.Generator) -> list[Outline]:
    outlines = []
    for _ in range(specimen.particles):
        centre = (rng.uniform(0.1, 0.9) * shape[0], rng.uniform(0.1, 0.9) * shape[1])
        radius = max(rng.uniform(0.15, 0.6) * min(shape) / math.sqrt(specimen.particles), 3 * specimen.spacing)
        outlines.append(Outline(rng, centre, radius))
    return outlines


def _seeds(count: int, shape: Shape, rng: np.random.Generator) -> NDArray[np.float64]:
    """(count, 2): each point of the field belongs to the nearest one; two are joined at a line through its middle."""
    if count != 2:
        return rng.uniform(0, 1, (count, 2)) * shape
    angle = rng.uniform(0, 2 * math.pi)
    middle = rng.uniform(0.3, 0.7, 2) * shape
    half = np.array([math.cos(angle), math.sin(angle)]) * max(shape)
    return np.stack([middle - half, middle + half])


def _displaced(columns: Columns, specimen: Specimen, scale: float, shape: Shape, rng: np.random.Generator) -> Columns:
    cell = scale * STRUCTURES[specimen.structure].cell @ turn(specimen.angle)
    if specimen.modulation > 0:  # first of all, while columns still lie on the lattice
        columns = modulated(columns, rng, cell, specimen.modulation * specimen.spacing)
    for _ in range(specimen.dislocations):
        columns = dislocated(columns, rng, cell, shape)
    if specimen.bending > 0:
        columns = bent(columns, rng, specimen.bending, 0.7 * max(shape))
    if specimen.disorder > 0:
        columns = shaken(columns, rng, specimen.disorder * specimen.spacing)
    return columns


def _thinned(columns: Columns, specimen: Specimen, shape: Shape, rng: np.random.Generator) -> Columns:
    """Give columns their thickness, and their point defects."""
    brightness = columns.brightness * PROFILES[specimen.profile](rng, columns.y, columns.x, shape, specimen.spacing)
    if specimen.roughness > 0:
        brightness = brightness * np.clip(1 + specimen.roughness * rng.standard_normal(len(columns)), 0.1, 2)
    species = columns.species
    if specimen.dopants > 0:
        doped = rng.random(len(columns)) < specimen.dopants
        # A foreign column is far from its host's brightness, or nobody would see that it is foreign.
        factor = np.where(rng.random(len(columns)) < 0.5, rng.uniform(0.3, 0.7), rng.uniform(1.4, 2.5))
        brightness = np.where(doped, brightness * factor, brightness)
        species = np.where(doped, "dopant", species)
    columns = replace(columns, brightness=brightness, species=species)
    if specimen.vacancies > 0:
        columns = columns[rng.random(len(columns)) >= specimen.vacancies]
    return columns
