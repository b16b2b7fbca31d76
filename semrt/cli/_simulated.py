"""A micrograph of which the truth is known, and a sparse scan of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt import io, scan
from semrt.data import Micrograph
from semrt.errors import InvalidValue
from semrt.simulate import detector, micrographs

if TYPE_CHECKING:
    from pathlib import Path

    from semrt.data import SparseScan

__all__ = ["KIND", "SimulatedScan", "simulated_scan"]

KIND = "crystallites"
PIXEL_SIZE = 0.5  # [nm]


@dataclass(frozen=True)
class SimulatedScan:
    """What is there, where the probe went, and what the detector saw."""

    truth: Micrograph
    path: scan.ScanPath
    measured: SparseScan


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
