"""Scans of silica balls, and the Deep Image Prior kept small enough for tests."""

import numpy as np

import semrt
from semrt.data import SparseScan
from semrt.errors import Interrupted
from semrt.simulate.silica import micro_balls

QUICK = {"network": "deep-decoder", "members": 2, "max_iterations": 12, "threads": 1}


def balls(side=40, radius=8.0, seed=0):
    return micro_balls((side, side), rng=np.random.default_rng(seed), radius=radius).intensity


def scan_of(image, coverage=0.2, seed=1, noise=0.02, **known):
    rng = np.random.default_rng(seed)
    visited = rng.random(image.shape) < coverage
    visited.flat[0] = True
    measured = image + noise * rng.standard_normal(image.shape)
    return SparseScan(measured.astype(np.float32), visited, **known)


def dip(scan, **options):
    return semrt.infer("dip", scan, **{**QUICK, **options})


def details(result):
    return result.provenance["details"]


def classical(scan):
    return semrt.infer("wiener", scan, threads=1)


def raising_after(calls, error):
    """A progress call that raises an error, once it has been called so often."""
    told = []

    def progress(done, total, what):
        told.append((done, total, what))
        if len(told) >= calls:
            error()

    return progress, told


def interrupted():
    raise Interrupted
