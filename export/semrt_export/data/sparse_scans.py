"""Sparse scans with their truth: procedural or real images, seen by a noisy detector along many kinds of scan path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from semrt import scan as scan_paths
from semrt.data import SparseScan
from semrt.errors import EmptyScan
from semrt.simulate import columns, detector, micrographs
from semrt.tasks.infill import Infill, standardisation
from semrt.tasks.realistic_infill import RealisticInfill
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
    "published_signal",
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
COLUMNS_SHARE = 0.4  # of the procedural samples: atomic resolution, where all is in the lattice
EXPOSED_SHARE = 0.15
MOST_SPREADS = 1000
"""A sample goes no further from its mean: a scan that missed all there is to see teaches nothing, but rules a step."""
HELD_OUT_PATTERNS = ("archimedean", "ede-spiral", "jittered-grid", "random", "line-hop")
HELD_OUT_COVERAGES = (1 / 10, 1 / 20, 1 / 40, 1 / 100)


@dataclass(frozen=True)
class SparseScanMaker:
    """Makes training samples of the infill network; sample i is the same in every process.

    images: real micrographs; `real_share` of the samples show a piece of one, the others are procedural.
    side [px] of a sample.  coverage: smallest and largest, drawn log-uniformly.
    realistic: for `infill-adversarial`: random numbers are among the inputs, and the recorded image among the targets.
    """

    images: tuple[Path, ...] = ()
    seed: int = 0
    side: int = 256
    coverage: tuple[float, float] = (1 / 120, 1 / 4)
    real_share: float = 0.5
    realistic: bool = False

    def __call__(self, index: int) -> Sample:
        """Make sample `index`."""
        rng = np.random.default_rng((self.seed, index))
        while True:
            scan, clean, recorded = self._scan(rng)
            mean, spread = standardisation(scan)
            if np.abs(clean - mean).max() < MOST_SPREADS * spread:
                break
        return _realistic(scan, clean, recorded, seed=index) if self.realistic else _sample(scan, clean)

    def _scan(self, rng: np.random.Generator) -> tuple[SparseScan, NDArray[np.float32], NDArray[np.float32]]:
        """Draw a scan, what it shows without noise, and what was recorded of it."""
        shape = (self.side, self.side)
        if self.images and rng.random() < self.real_share:
            path = self.images[rng.integers(len(self.images))]
            recorded = random_crop(read_grey(path), self.side, rng)  # it brings the noise of its own detector
            clean = denoised(recorded)
        else:
            clean = _atomic_columns(rng, shape) if rng.random() < COLUMNS_SHARE else micrographs.draw(rng, shape)
            recorded = detector.random_noise(clean, rng)
        visited = random_visited(rng, shape, self.coverage)
        if rng.random() < EXPOSED_SHARE:
            scan = partially_exposed(recorded, clean, exposure_of(visited, rng), rng)
        else:
            scan = SparseScan(recorded, visited)
        return scan, clean, recorded


@dataclass(frozen=True, eq=False)
class HeldOutScan:
    """A sample for proof, with what it is called in tables."""

    images: str  # "procedural", "columns" or "real"
    pattern: str
    coverage: str
    sample: Sample


def held_out_scans(
    images: tuple[Path, ...], *, seed: int, side: int = 320, draws: int = 3, realistic: bool = False
) -> Iterator[HeldOutScan]:
    """Every pattern at every coverage on `draws` images of each procedural kind and on every real one, (side, side).

    seed: must differ from that of the training; the same seed gives the same scans.  realistic: see SparseScanMaker.
    """
    sources: list[tuple[str, NDArray[np.float32], NDArray[np.float32]]] = []
    for name, draw in (("procedural", micrographs.draw), ("columns", _atomic_columns)):
        for number in range(draws * len(HELD_OUT_PATTERNS)):
            rng = np.random.default_rng((seed, number))
            clean = draw(rng, (side, side))
            sources.append((name, clean, detector.random_noise(clean, rng)))
    for path in images:
        recorded = centre_crop(read_grey(path), side)
        sources.append(("real", denoised(recorded), recorded))
    for number, (name, clean, recorded) in enumerate(sources):
        patterns = HELD_OUT_PATTERNS if name == "real" else (HELD_OUT_PATTERNS[number % len(HELD_OUT_PATTERNS)],)
        for pattern in patterns:
            for coverage in HELD_OUT_COVERAGES:
                visited = scan_paths.generate(pattern, clean.shape, coverage, seed=number).visited
                scan = SparseScan(recorded, visited)
                sample = _realistic(scan, clean, recorded, seed=number) if realistic else _sample(scan, clean)
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
        drawn = _parameters(pattern, field, rng)
        seen = scan_paths.generate(pattern, field, share, seed=int(rng.integers(2**31)), **drawn).visited
        y0, x0 = (int(rng.integers(0, outer - inner + 1)) for outer, inner in zip(field, shape, strict=True))
        window = seen[y0 : y0 + shape[0], x0 : x0 + shape[1]]
        if np.count_nonzero(window) >= fewest:
            return np.ascontiguousarray(window)
    raise EmptyScan("window of the scan")


def _parameters(pattern: str, field: tuple[int, ...], rng: np.random.Generator) -> dict[str, Any]:
    """Where a path begins and how it is turned; as the pattern has it by itself in half of the draws."""
    if rng.random() < 0.5:
        return {}
    drawn = {
        "centre": tuple(float(rng.uniform(0.2, 0.8)) * length for length in field),
        "angle": float(rng.uniform(0, 360)),
        "run": int(rng.integers(4, 48)),
        "ratio": float(rng.uniform(0.5, 2.0)),
        "phase": float(rng.uniform(0, 180)),
        "jitter": float(rng.uniform(0.3, 1.0)),
    }
    return {name: value for name, value in drawn.items() if name in scan_paths.PATTERNS[pattern].parameters}


def _atomic_columns(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Columns, background and all, without noise, in any contrast."""
    drawn = columns.draw(rng, shape)
    return micrographs.augment(drawn.clean + drawn.background, rng)


def exposure_of(visited: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """What a probe wider than a pixel leaves along its path, (ny, nx): 1 at most."""
    exposure = cv2.GaussianBlur(visited.astype(np.float32), (3, 3), rng.uniform(0.5, 0.9))
    return np.minimum(exposure, 1)


def partially_exposed(
    recorded: NDArray[np.float32],
    clean: NDArray[np.float32],
    exposure: NDArray[np.float32],
    rng: np.random.Generator,
) -> SparseScan:
    """The scan of a probe wider than a pixel: neighbours of its path get part of the exposure, and more noise.

    Half of them count: the signal of an exposure e is e·I, with noise that grows as its root. The others are as
    published, intensities taken from any grey level on. Half of all have a black level of their own.
    """
    if rng.random() < 0.5:
        signal = exposure * clean + np.sqrt(exposure) * (recorded - clean)
    else:
        zero = np.float32(rng.uniform(0, 0.6))
        signal = published_signal(recorded - zero, exposure, rng) + exposure * zero
    black = np.float32(rng.choice((0.0, rng.uniform(-0.5, 1))))
    return SparseScan(signal + black, exposure > 0, exposure=exposure)


def published_signal(
    recorded: NDArray[np.float32], exposure: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """What an exposure e makes of an intensity I: e·(e·I + 2(1 - e)·u·(I blurred)), u uniform in [0, 1]; (ny, nx).

    Ede 2020, doi:10.1038/s41598-020-65261-0.
    """
    spurious = 2 * rng.random(recorded.shape, np.float32) * cv2.GaussianBlur(recorded, (5, 5), 2.5)
    return exposure * (exposure * recorded + (1 - exposure) * spurious)


def _sample(scan: SparseScan, clean: NDArray[np.float32]) -> Sample:
    mean, spread = standardisation(scan)
    target = ((clean - mean) / spread).astype(np.float32)
    return Sample(Infill().prepare(scan, n_threads=1), target[None])


def _realistic(scan: SparseScan, clean: NDArray[np.float32], recorded: NDArray[np.float32], *, seed: int) -> Sample:
    mean, spread = standardisation(scan)
    target = ((np.stack((clean, recorded)) - mean) / spread).astype(np.float32)
    return Sample(RealisticInfill().prepare(scan, seed=seed, n_threads=1), target)
