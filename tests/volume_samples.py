"""Stacks as the tests write and read them."""

import numpy as np

from semrt.data import SparseVolume, Volume

STACKS = [".tif", ".ome.tif", ".mrc", ".npy", ".npz"]  # formats that hold them
SHAPE = (5, 24, 17)
THICKNESS = 7.5  # [nm]


def counts(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


def whole(shape=SHAPE, seed=0, **known):
    return Volume(counts(shape, seed), **known)


def a_mask(shape=SHAPE, seed=1):
    """Where the probe went, in every slice at least at its first pixel."""
    visited = np.random.default_rng(seed).random(shape) < 0.2
    visited[..., 0, 0] = True
    return visited


def sparse(shape=SHAPE, **known):
    return SparseVolume(counts(shape) - 100, a_mask(shape), **known)
