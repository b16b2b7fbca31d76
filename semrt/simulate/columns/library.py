"""Images drawn at random from all that ADF-STEM shows: the library that networks are trained on.

Lin et al. 2021, doi:10.1038/s41598-021-84499-w, trained on 10,000 images of random structure, field of view, imaging
condition, thickness, background and noise. Networks fail on what they never saw (Wei et al. 2022, arXiv:2207.10173):
ranges are wide here, and edges, interfaces and starved images are common.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption
from semrt.simulate.columns.imaging import Imaging, record
from semrt.simulate.columns.specimens import Specimen
from semrt.simulate.columns.structures import STRUCTURES
from semrt.simulate.fields import choice, log_uniform

if TYPE_CHECKING:
    from semrt.simulate.columns.column_image import ColumnImage
    from semrt.simulate.fields import Shape

__all__ = ["PROBE_SIGMA", "SPACING", "draw", "draw_imaging", "draw_specimen"]

SPACING = (6.0, 60.0)  # [px]
PROBE_SIGMA = (1.2, 10.0)  # [px]

_WIDTH = (0.1, 0.34)  # sigma of the probe [spacings]; at 0.34, equal columns are just told apart
_WIDTH_OF_UNEQUAL = 0.27  # at most, where a column may be much fainter than its neighbour
_LIGHT = (0.2, 0.35)  # brightness of the lightest columns where the detector shows them at all
_FEWEST = 30  # columns that fill the field, about
_PARTNERS = {
    "perovskite-100": "perovskite-100-LaAlO3",
    "fcc-110": "fcc-110-Al",
    "diamond-110-Si": "diamond-110-Ge",
    "diamond-110-Ge": "zinc-blende-110-GaAs",
    "graphene": "hBN",
    "MoS2": "WSe2",
    "square": "fcc-100",
    "bcc-100": "square",
}


def draw(
    rng: np.random.Generator, shape: Shape = (512, 512), *, structure: str | None = None, bound: bool = False
) -> ColumnImage:
    """Draw an image of atomic columns and its truth; the same generator state gives the same image.

    shape: (ny, nx).  structure: a name of STRUCTURES; None to draw one.
    bound: compute the Cramér–Rao bounds of all positions too.
    Raises InvalidOption, InvalidShape.
    """
    specimen = draw_specimen(rng, shape, structure)
    return record(specimen, draw_imaging(rng, specimen), shape, rng, bound=bound)


def draw_specimen(rng: np.random.Generator, shape: Shape, structure: str | None = None) -> Specimen:
    """Draw what lies under the probe: any structure, turned, strained, joined, thinned, with defects."""
    if structure is not None and structure not in STRUCTURES:
        raise InvalidOption.unknown("structure", structure, STRUCTURES)
    name = structure or list(STRUCTURES)[int(rng.integers(len(STRUCTURES)))]
    lattice = STRUCTURES[name]
    # Columns must be enough to tell a lattice, at least where the image is not tiny.
    largest = lattice.nearest * math.sqrt(lattice.density * shape[0] * shape[1] / _FEWEST)
    strain = rng.normal(0, choice(rng, 0.0, 0.01, 0.03), 3)
    kind = rng.random()
    joined = kind < 0.25
    particles = int(rng.integers(1, 6)) if 0.25 <= kind < 0.35 else 0
    partner = _PARTNERS.get(name) if joined and rng.random() < 0.4 else None
    thin = lattice.layer is not None
    return Specimen(
        structure=name,
        spacing=log_uniform(rng, SPACING[0], float(np.clip(largest, SPACING[0], SPACING[1]))),
        angle=rng.uniform(0, 360),
        strain=(float(strain[0]), float(strain[1]), float(strain[2])),
        bending=log_uniform(rng, 0.002, 0.03) if rng.random() < 0.4 else 0.0,
        modulation=log_uniform(rng, 0.01, 0.1) if rng.random() < 0.1 else 0.0,
        disorder=log_uniform(rng, 0.005, 0.04) if rng.random() < 0.6 else 0.0,
        profile=_profile(rng, thin),
        roughness=0.0 if rng.random() < 0.3 else log_uniform(rng, 0.01, 0.25),
        grains=int(choice(rng, 2, 2, 2, 3, 5)) if joined else 1,
        particles=particles,
        tilt=choice(rng, 5, 15, 45),
        partner=partner,
        vacancies=log_uniform(rng, 0.002, 0.05) if rng.random() < (0.6 if thin else 0.15) else 0.0,
        dopants=log_uniform(rng, 0.002, 0.08) if rng.random() < (0.6 if thin else 0.15) else 0.0,
        dislocations=int(rng.integers(1, 4)) if rng.random() < 0.1 else 0,
        spread=0.0 if rng.random() < 0.6 else rng.uniform(0.1, 0.6),
    )


def draw_imaging(rng: np.random.Generator, specimen: Specimen) -> Imaging:
    """Draw how it is recorded: probe, background, scan and detector, from starved to clean."""
    sigma = specimen.spacing * rng.uniform(_WIDTH[0], _widest(specimen))
    rough = rng.random() < 0.5  # a scan that jitters
    drifts = rng.random() < 0.4
    dose = log_uniform(rng, 4, 3000)
    read = rng.random() < 0.6
    gain = 1.0 if rng.random() < 0.4 else log_uniform(rng, 0.1, 100)
    largest_shift = 0.12 * specimen.spacing  # [px]
    background = ("constant", "plane", "slow", "carbon")[int(rng.integers(4))]
    level = 0.0 if rng.random() < 0.15 else log_uniform(rng, 0.02, 1.5)
    return Imaging(
        probe_sigma=float(np.clip(sigma, *PROBE_SIGMA)),
        tail=0.0 if rng.random() < 0.4 else rng.uniform(0.05, 0.6),
        tail_width=rng.uniform(0.5, 1.8),
        dose=dose,
        exponent=rng.uniform(1.4, 2.0),
        light=rng.uniform(*_LIGHT) if rng.random() < 0.7 else 0.0,
        background=background,
        level=level,
        variation=rng.uniform(0.05, 0.5) * min(max(level, 0.05), 0.5),
        carbon=log_uniform(rng, 0.01, 0.08) if rng.random() < 0.4 else 0.0,
        jitter=_jitter(rng, largest_shift) if rough else (0.0, 0.0),
        hum=min(log_uniform(rng, 0.05, 1.0), largest_shift) if rough and rng.random() < 0.3 else 0.0,
        drift=(rng.normal(0, specimen.spacing), rng.normal(0, specimen.spacing)) if drifts else (0.0, 0.0),
        swing=log_uniform(rng, 0.1, 0.3) * specimen.spacing if drifts and rng.random() < 0.5 else 0.0,
        shear=rng.normal(0, 0.02) if drifts else 0.0,
        flicker=log_uniform(rng, 0.003, 0.04) if rng.random() < 0.25 else 0.0,
        gain=gain,
        offset=gain * rng.uniform(0, 50) if rng.random() < 0.3 else 0.0,
        read_noise=gain * log_uniform(rng, 0.1, 3) if read else 0.0,
        smoothing=_smoothing(rng),
    )


def _jitter(rng: np.random.Generator, largest: float) -> tuple[float, float]:
    along = min(log_uniform(rng, 0.05, 2.0), largest)
    return along * choice(rng, 0.0, 0.3, 0.7), along


def _smoothing(rng: np.random.Generator) -> tuple[float, float]:
    kind = rng.random()
    if kind < 0.15:  # a filtered or magnified image
        sigma = rng.uniform(0.3, 1.2)
        return sigma, sigma
    if kind < 0.3:  # a detector slower than the scan: noise is streaks
        return 0.0, rng.uniform(0.3, 2.0)
    return 0.0, 0.0


def _profile(rng: np.random.Generator, thin: bool) -> str:
    names = ("flat", "edge", "steps", "waved") if thin else ("flat", "ramp", "edge", "steps", "waved")
    weights = np.array([3.0, 2.0, 0.7, 0.5]) if thin else np.array([2.5, 2.0, 2.5, 0.8, 1.0])
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _widest(specimen: Specimen) -> float:
    """Width of the probe at most [spacings]: faint columns beside bright ones drown sooner."""
    sites = STRUCTURES[specimen.structure].sites
    values = [site.scattering(1.7) for site in sites]
    unequal = min(values) < 0.5 * max(values) or specimen.spread > 0.2
    return _WIDTH_OF_UNEQUAL if unequal else _WIDTH[1]
