"""Images as the tests of formats write and read them, and what is known of them."""

import numpy as np

from semrt import io
from semrt.data import Micrograph, SparseScan

IMAGE_FORMATS = sorted(set(io.FORMATS) - {".csv"})
WITH_GAPS = sorted(set(IMAGE_FORMATS) - {".png"})
ANISOTROPIC = (0.031, 0.02)  # (dy, dx) [nm]
METADATA = {"detector": "HAADF", "high_tension": 200.0, "stage µ": [1, 2, 3], "note": None}
PROVENANCE = {"model": {"name": "infill", "sha256": "0" * 64}, "tile": [256, 256]}


def micrograph(shape=(24, 17), seed=0, **known):
    return Micrograph(np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32), **known)


def sparse(shape=(24, 17), seed=0, **known):
    rng = np.random.default_rng(seed)
    return SparseScan(rng.normal(0, 1, shape).astype(np.float32), rng.random(shape) < 0.2, **known)
