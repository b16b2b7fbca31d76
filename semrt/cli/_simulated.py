"""Measurements of which the truth is known: what a model takes, simulated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt import io, scan
from semrt.data import EnergyStack, Micrograph, SparseScan, TiltSeries
from semrt.errors import InvalidOption, InvalidValue
from semrt.simulate import detector, micrographs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["KIND", "SimulatedScan", "simulated_input", "simulated_scan"]

KIND = "crystallites"
PIXEL_SIZE = 0.5  # [nm]


@dataclass(frozen=True)
class SimulatedScan:
    """What is there, where the probe went, and what the detector saw."""

    truth: Micrograph
    path: scan.ScanPath
    measured: SparseScan


def simulated_input(
    accepts: Iterable[type],
    model: str,
    *,
    shape: tuple[int, int],
    seed: int,
    pattern: str | None = None,
    coverage: float | None = None,
) -> SparseScan | Micrograph | EnergyStack | TiltSeries:
    """What a model of that name takes, of a shape; a seed gives the same again.

    pattern, coverage: of a sparse scan; None for a spiral over a twentieth of the pixels.
    Raises InvalidOption for a pattern or coverage of what is no scan, and for what nobody can simulate.
    """
    kinds = set(accepts)
    if SparseScan in kinds:
        return simulated_scan(pattern or "clv", 0.05 if coverage is None else coverage, seed, shape=shape).measured
    if pattern is not None or coverage is not None:
        raise InvalidOption(f"--pattern, --coverage: {model} takes no sparse scans; leave them out")
    rng = np.random.default_rng(seed)
    if Micrograph in kinds:  # the one model that takes whole images looks for columns
        from semrt.simulate.columns import Imaging, Specimen, record

        imaging = Imaging(probe_sigma=2.8, dose=60.0, level=0.12, read_noise=1.5)
        image = record(Specimen("square", 14, angle=7), imaging, shape, rng, bound=False)
        return Micrograph(image.counts, image.pixel_size)
    if EnergyStack in kinds:
        from semrt.simulate.layers import Recording, draw

        sample = draw(rng, shape, "perlin", recording=Recording())
        return EnergyStack(sample.intensity, sample.energies)
    if TiltSeries in kinds:
        from semrt.simulate.tomograms import draw as draw_tilted

        angles = np.arange(-60.0, 61, 2)
        tilted = draw_tilted(rng, (shape[0], 1, shape[1]), "shells", angles=angles, margin=0)
        return TiltSeries(tilted.series, angles)
    raise InvalidOption(f"{model}: there is nothing to simulate that it takes")


def simulated_scan(
    pattern: str,
    coverage: float,
    seed: int,
    *,
    shape: tuple[int, int] = (512, 512),
    kind: str | None = None,
    image: Path | None = None,
    noise: float = 0.0,
) -> SimulatedScan:
    """Scan an image, or a simulated micrograph of a shape and kind; a seed gives the same scan again.

    noise: of the detector, standard deviation as a fraction of the truth's range.  Raises what reading and scanning do.
    """
    rng = np.random.default_rng(seed)
    if image is None:
        truth = Micrograph(micrographs.draw(rng, shape, kind or KIND), pixel_size=(PIXEL_SIZE, PIXEL_SIZE))
    else:
        held = io.read(image)
        if not isinstance(held, Micrograph):
            raise InvalidValue(f"{image}", "an image in which every pixel was visited", "another kind of data")
        truth = held
    seen = detector.expose(truth.intensity, rng, read_noise=noise * float(np.ptp(truth.intensity)))
    path = scan.generate(pattern, truth.shape, coverage, seed=seed)
    return SimulatedScan(truth, path, path.sample(replace(truth, intensity=seen)))
