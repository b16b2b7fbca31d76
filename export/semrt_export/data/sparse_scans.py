"""Sparse scans with their truth: procedural or real images, seen by a noisy detector along many kinds of scan path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from semrt import scan as scan_paths
from semrt.data import SparseScan
from semrt.errors import EmptyScan
from semrt.simulate import detector, micrographs
from semrt.tasks.infill import Infill, standardisation
from semrt_export.data.pool import Sample
from semrt_export.data.real_images import centre_crop, denoised, random_crop, read_grey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "PATTERNS",
    "HeldOutScan",
    "SparseScanMaker",
    "held_out_scans",
    "partially_exposed",
    "random_visited",
]

PATTERNS = {  # how often each is drawn; spirals are what fast scan coils do best
    "archimedean": 3,
    "ede-spiral": 3,
    "fermat": 1,
    "clv": 1,
    "jittered-grid": 2.5,
    "random": 2.5,
    "line-hop": 2,
    "random-walk": 1.5,
    "interleaved": 1,
    "lissajous": 0.5,
    "hilbert": 0.5,
}
HELD_OUT_PATTERNS = ("archimedean", "ede-spiral", "jittered-grid", "random", "line-hop")
HELD_OUT_COVERAGES = (1 / 10, 1 / 20, 1 / 40, 1 / 100)


@dataclass(frozen=True)
class SparseScanMaker:
    """Makes training samples of the infill network; sample i is the same in every process.

    images: real micrographs; `real_share` of the samples show a piece of one, the others are procedural.
    side [px] of a sample.  coverage: smallest and largest, drawn log-uniformly.
    """

    images: tuple[Path, ...] = ()
    seed: int = 0
    side: int = 256
    coverage: tuple[float, float] = (1 / 120, 1 / 4)
    real_share: float = 0.5

    def __call__(self, index: int) -> Sample:
        """Make sample `index`."""
        rng = np.random.default_rng((self.seed, index))
        shape = (self.side, self.side)
        if self.images and rng.random() < self.real_share:
            path = self.images[rng.integers(len(self.images))]
            recorded = random_crop(read_grey(path), self.side, rng)  # it brings the noise of its own detector
            clean = denoised(recorded)
        else:
            clean = micrographs.draw(rng, shape)
            recorded = detector.random_noise(clean, rng)
        visited = random_visited(rng, shape, self.coverage)
        if rng.random() < 0.08:
            sigma = rng.uniform(0.5, 0.9)
            exposure = cv2.GaussianBlur(visited.astype(np.float32), (3, 3), sigma)
            return _sample(partially_exposed(recorded, exposure, rng), clean)
        return _sample(SparseScan(recorded, visited), clean)


@dataclass(frozen=True, eq=False)
class HeldOutScan:
    """A sample for proof, with what it is called in tables."""

    images: str  # "procedural" or "real"
    pattern: str
    coverage: str
    sample: Sample


def held_out_scans(images: tuple[Path, ...], *, seed: int, side: int = 320, draws: int = 3) -> Iterator[HeldOutScan]:
    """Every pattern at every coverage on `draws` procedural images and on every real one, (side, side) each.

    seed: must differ from that of the training; the same seed gives the same scans.
    """
    sources: list[tuple[str, NDArray[np.float32], NDArray[np.float32]]] = []
    for number in range(draws * len(HELD_OUT_PATTERNS)):
        rng = np.random.default_rng((seed, number))
        clean = micrographs.draw(rng, (side, side))
        sources.append(("procedural", clean, detector.random_noise(clean, rng)))
    for path in images:
        recorded = centre_crop(read_grey(path), side)
        sources.append(("real", denoised(recorded), recorded))
    for number, (name, clean, recorded) in enumerate(sources):
        patterns = HELD_OUT_PATTERNS if name == "real" else (HELD_OUT_PATTERNS[number % len(HELD_OUT_PATTERNS)],)
        for pattern in patterns:
            for coverage in HELD_OUT_COVERAGES:
                visited = scan_paths.generate(pattern, clean.shape, coverage, seed=number).visited
                sample = _sample(SparseScan(recorded, visited), clean)
                yield HeldOutScan(name, pattern, f"1/{1 / coverage:.0f}", sample)


def random_visited(
    rng: np.random.Generator, shape: tuple[int, int], coverage: tuple[float, float], *, fewest: int = 48
) -> NDArray[np.bool_]:
    """The pixels visited along a random path, (ny, nx), at least `fewest`.

    Often a window of a larger field: there the arms of a spiral are nearly parallel, and its centre is out of sight.
    Raises EmptyScan when a hundred windows held too few pixels.
    """
    names = list(PATTERNS)
    weights = np.array([PATTERNS[name] for name in names], float)
    for _ in range(100):
        pattern = str(rng.choice(names, p=weights / weights.sum()))
        share = float(np.exp(rng.uniform(*np.log(coverage))))
        enlarged = int(rng.choice((1, 2, 3), p=(0.45, 0.35, 0.2)))
        field = tuple(enlarged * length for length in shape)
        seen = scan_paths.generate(pattern, field, share, seed=int(rng.integers(2**31))).visited
        y0, x0 = (int(rng.integers(0, outer - inner + 1)) for outer, inner in zip(field, shape, strict=True))
        window = seen[y0 : y0 + shape[0], x0 : x0 + shape[1]]
        if np.count_nonzero(window) >= fewest:
            return np.ascontiguousarray(window)
    raise EmptyScan("window of the scan")


def partially_exposed(
    recorded: NDArray[np.float32], exposure: NDArray[np.float32], rng: np.random.Generator
) -> SparseScan:
    """The scan of a probe wider than a pixel: neighbours of the path get part of the exposure, and more noise.

    The signal of an exposure e is e·(e·I + 2(1 - e)·u·(I blurred)), u uniform in [0, 1].
    Ede 2020, doi:10.1038/s41598-020-65261-0.
    """
    around = cv2.GaussianBlur(recorded, (5, 5), 2.5)
    spurious = 2 * rng.random(recorded.shape, np.float32) * around
    signal = exposure * (exposure * recorded + (1 - exposure) * spurious)
    return SparseScan(signal, exposure > 0, exposure=exposure)


def _sample(scan: SparseScan, clean: NDArray[np.float32]) -> Sample:
    mean, spread = standardisation(scan)
    target = ((clean - mean) / spread).astype(np.float32)
    return Sample(Infill().prepare(scan, n_threads=1), target[None])
