"""The fixed test set: named images that span what a column finder must master, each a structure with one difficulty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.simulate.columns.imaging import Imaging, record
from semrt.simulate.columns.specimens import Specimen

if TYPE_CHECKING:
    from semrt.simulate.columns.column_image import ColumnImage
    from semrt.simulate.fields import Shape

__all__ = ["DOSES", "Case", "cases"]

DOSES = {"starved": 12.0, "fair": 60.0, "clean": 800.0}  # electrons at the brightest column's peak


@dataclass(frozen=True, slots=True)
class Case:
    """An image of the test set in words; `image` makes it, the same each time."""

    name: str
    shape: Shape
    specimen: Specimen
    imaging: Imaging
    seed: tuple[int, int]

    def image(self, *, bound: bool = True) -> ColumnImage:
        """Record the image; bound: with the Cramér–Rao bounds."""
        return record(self.specimen, self.imaging, self.shape, np.random.default_rng(self.seed), bound=bound)


_STRAIN = (0.02, -0.015, 0.01)


def _imaging(
    sigma: float,
    dose: str,
    *,
    tail: float = 0.0,
    light: float = 0.0,
    jitter: tuple[float, float] = (0.0, 0.0),
    hum: float = 0.0,
    carbon: float | None = None,
) -> Imaging:
    """Fill in what cases share: a count an electron, read noise, a sloping background of about a tenth of the peak.

    carbon: strength of the speckle of a carbon film, which is then the background.
    """
    film = carbon is not None
    return Imaging(
        probe_sigma=sigma,
        dose=DOSES[dose],
        tail=tail,
        light=light,
        jitter=jitter,
        hum=hum,
        background="carbon" if film else "plane",
        level=0.35 if film else 0.12,
        variation=0.12 if film else 0.03,
        carbon=carbon or 0.0,
        read_noise=1.5,
    )


def cases(seed: int = 0) -> dict[str, Case]:
    """Name -> case, the same for each seed but for the noise and whatever else is drawn at random."""
    s, m, l, xl = (256, 256), (512, 512), (1024, 1024), (2048, 2048)  # noqa: E741
    table: dict[str, tuple[Shape, Specimen, Imaging]] = {
        # Perfect and turned lattices, from few columns to many.
        "square-clean": (s, Specimen("square", 14, angle=7), _imaging(2.5, "clean")),
        "square-starved": (s, Specimen("square", 14, angle=31), _imaging(2.5, "starved")),
        "square-narrow": (s, Specimen("square", 9, angle=12), _imaging(1.5, "fair")),
        "square-strained": (m, Specimen("square", 16, angle=20, strain=_STRAIN), _imaging(3.5, "fair", tail=0.3)),
        "square-many": (xl, Specimen("square", 13, angle=3), _imaging(2.2, "fair", tail=0.2)),
        "hexagonal-clean": (s, Specimen("hexagonal", 18, angle=11), _imaging(4.0, "clean", tail=0.4)),
        "hexagonal-starved": (m, Specimen("hexagonal", 16, angle=40), _imaging(3.0, "starved")),
        "hexagonal-bent": (m, Specimen("fcc-111", 15, angle=5, bending=0.02), _imaging(3.2, "fair")),
        "hexagonal-wide": (l, Specimen("hexagonal", 22, angle=17, roughness=0.1), _imaging(5.0, "fair", tail=0.5)),
        "bcc-jittered": (m, Specimen("bcc-100", 17, angle=2), _imaging(3.0, "fair", jitter=(0.3, 0.8), hum=0.4)),
        # Columns of unequal brightness, near one another.
        "dumbbells-clean": (s, Specimen("diamond-110-Si", 9, angle=4), _imaging(2.4, "clean")),
        "dumbbells-starved": (m, Specimen("diamond-110-Ge", 10, angle=28), _imaging(2.4, "starved")),
        "dumbbells-strained": (
            m,
            Specimen("zinc-blende-110-GaAs", 10, angle=50, strain=_STRAIN),
            _imaging(2.6, "fair"),
        ),
        "fcc-110-clean": (s, Specimen("fcc-110", 15, angle=15), _imaging(3.4, "clean", tail=0.3)),
        "fcc-110-ramp": (m, Specimen("fcc-110", 14, angle=62, profile="ramp"), _imaging(2.8, "fair")),
        "perovskite-clean": (s, Specimen("perovskite-100", 13, angle=9), _imaging(2.6, "clean", light=0.35)),
        "perovskite-fair": (m, Specimen("perovskite-100", 14, angle=35), _imaging(2.8, "fair", light=0.25)),
        "perovskite-faint": (s, Specimen("perovskite-100", 16, angle=21), _imaging(3.0, "clean", light=0.2, tail=0.2)),
        "perovskite-110-carbon": (
            m,
            Specimen("perovskite-110", 14, angle=14),
            _imaging(2.5, "clean", light=0.3, carbon=0.0),
        ),
        # Thickness, edges, grains, defects.
        "edge-fading": (m, Specimen("fcc-100", 15, angle=33, profile="edge"), _imaging(2.8, "fair")),
        "edge-carbon": (m, Specimen("fcc-110", 13, angle=8, profile="edge"), _imaging(2.6, "fair", carbon=0.03)),
        "particle-carbon": (
            m,
            Specimen("fcc-110", 12, angle=77, particles=2, tilt=40),
            _imaging(2.4, "fair", carbon=0.03),
        ),
        "grain-boundary": (
            m,
            Specimen("fcc-110", 15, angle=10, grains=2, tilt=40),
            _imaging(3.2, "fair", jitter=(0.0, 0.6)),
        ),
        "interface": (
            m,
            Specimen("perovskite-100", 13, angle=3, grains=2, partner="perovskite-100-LaAlO3"),
            _imaging(2.4, "clean", light=0.25),
        ),
        "steps-starved": (l, Specimen("bcc-110", 12, angle=19, profile="steps"), _imaging(2.0, "starved")),
        "monolayer-defects": (
            s,
            Specimen("MoS2", 15, angle=25, vacancies=0.03, dopants=0.04),
            _imaging(2.6, "fair", light=0.2),
        ),
        "graphene-starved": (
            s,
            Specimen("graphene", 16, angle=13, vacancies=0.02),
            _imaging(3.4, "starved", carbon=0.0),
        ),
        "carbon-large": (l, Specimen("square", 14, angle=6, roughness=0.1), _imaging(2.8, "fair", carbon=0.03)),
        "wurtzite-large": (
            l,
            Specimen("wurtzite-11-20", 13, angle=1, bending=0.01),
            _imaging(2.5, "clean", light=0.35),
        ),
    }
    return {
        name: Case(name, shape, specimen, imaging, (seed, number))
        for number, (name, (shape, specimen, imaging)) in enumerate(table.items())
    }
