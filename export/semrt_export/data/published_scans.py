"""Scans along the published paths, with their truth: as sharp and as noisy as it was recorded.

Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from semrt import scan as scan_paths
from semrt.data import SparseScan
from semrt.kernels import natural_neighbour
from semrt.simulate import detector, micrographs
from semrt.tasks.exposure import sample_values
from semrt.tasks.kriging import SMOOTHING
from semrt.tasks.published_infill import PublishedInfill, normalisation
from semrt_export.data.pool import Sample
from semrt_export.data.real_images import centre_crop, denoised, random_crop, read_grey
from semrt_export.data.sparse_scans import published_signal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["PATTERNS", "PathScanner", "PublishedHeldOut", "PublishedScanMaker", "procedural"]

PATTERNS = ("ede-spiral", "random-walk")


@dataclass(frozen=True)
class PathScanner:
    """Scans images along the one path.

    pattern: "ede-spiral" or "random-walk", which was published as jittered gridlike.
    nominal: distance of the spiral's arms [px], and the inverse of the coverage of the walks.
    blurred: a probe wider than a pixel, and noise where its exposure is partial.
    """

    pattern: str = "ede-spiral"
    nominal: float = 16.0
    blurred: bool = False

    def __call__(self, recorded: NDArray[np.float32], rng: np.random.Generator) -> SparseScan:
        """Scan an image, (ny, nx)."""
        visited = _path(self.pattern, recorded.shape, self.nominal)
        if not self.blurred:
            return SparseScan(recorded, visited)
        exposure = cv2.GaussianBlur(visited.astype(np.float32), (3, 3), 0)
        return SparseScan(published_signal(recorded, exposure, rng), exposure > 0, exposure=exposure)


@dataclass(frozen=True)
class PublishedScanMaker:
    """Makes training samples; sample i is the same in every process.

    images: real micrographs; `real_share` of the samples show a piece of one, the others are procedural, with noise.
    side [px] of a sample.  The path is always the same, so that no sample may be turned: images are, before.
    """

    scanner: PathScanner
    images: tuple[Path, ...] = ()
    seed: int = 0
    side: int = 128
    real_share: float = 0.4

    def __call__(self, index: int) -> Sample:
        """Make sample `index`."""
        rng = np.random.default_rng((self.seed, index))
        if self.images and rng.random() < self.real_share:
            path = self.images[rng.integers(len(self.images))]
            recorded = random_crop(read_grey(path), self.side, rng)
        else:
            recorded = procedural(rng, self.side)
        return _sample(self.scanner(recorded, rng), recorded)


@dataclass(frozen=True, eq=False)
class PublishedHeldOut:
    """A scan for proof.

    images: "procedural" or "real".  truth: (ny, nx), blurred as published.  sample: of the scan, for the network.
    mean, scale: of the sample's units.  classical: (ny, nx), natural neighbours then Gaussian.
    """

    images: str
    truth: NDArray[np.float32]
    sample: Sample
    mean: float
    scale: float
    classical: NDArray[np.float32]

    @classmethod
    def of(
        cls, images: str, recorded: NDArray[np.float32], scanner: PathScanner, rng: np.random.Generator
    ) -> PublishedHeldOut:
        """Scan an image, (ny, nx)."""
        scan = scanner(recorded, rng)
        classical = natural_neighbour(sample_values(scan), scan.visited, smooth=SMOOTHING, n_threads=1)
        return cls(images, denoised(recorded), _sample(scan, recorded), *normalisation(scan), classical)

    @classmethod
    def all_of(
        cls, scanner: PathScanner, paths: tuple[Path, ...], *, seed: int, side: int, draws: int
    ) -> list[PublishedHeldOut]:
        """`draws` procedural images, and the middle of every real one; the same seed gives the same scans."""
        rngs = [np.random.default_rng((seed, number)) for number in range(draws)]
        held_out = [cls.of("procedural", procedural(rng, side), scanner, rng) for rng in rngs]
        for number, path in enumerate(paths):
            rng = np.random.default_rng((seed, draws + number))
            held_out.append(cls.of("real", centre_crop(read_grey(path), side), scanner, rng))
        return held_out

    def in_units_of_the_image(self, normalised: NDArray[np.float32]) -> NDArray[np.float32]:
        """From what a network gives to intensities."""
        return normalised * np.float32(self.scale) + np.float32(self.mean)


def procedural(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """A procedural micrograph as a detector records it, (side, side); its signal lies from 0 to 1."""
    return detector.random_noise(micrographs.draw(rng, (side, side)), rng)


@lru_cache(maxsize=4)
def _path(pattern: str, shape: tuple[int, int], nominal: float) -> NDArray[np.bool_]:
    if pattern == "ede-spiral":
        return scan_paths.generate(pattern, shape, nominal=nominal).visited
    return scan_paths.generate(pattern, shape, 1 / nominal).visited


def _sample(scan: SparseScan, recorded: NDArray[np.float32]) -> Sample:
    mean, scale = normalisation(scan)
    target = ((recorded - mean) / scale).astype(np.float32)
    return Sample(PublishedInfill().prepare(scan), target[None])
