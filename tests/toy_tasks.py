"""A network task and two solvers whose results can be told by arithmetic, for tests of the engine around them."""

import dataclasses
from typing import ClassVar

import numpy as np

from semrt.data import Micrograph
from semrt.tasks import TASKS
from tiny_models import write_model


class Deviation:
    """A network task: the network sees how far each pixel is from the mean."""

    accepts = Micrograph
    input_channels = ("intensity",)
    fallbacks: ClassVar = {"dip": "median", "classical": "flat"}

    def prepare(self, measured, *, offset=0.0, n_threads=None):
        return (measured.intensity - measured.intensity.mean() - np.float32(offset))[np.newaxis]

    def finish(self, predicted, prepared, measured, *, gain=1.0):
        return dataclasses.replace(measured, intensity=predicted[0] * np.float32(gain) + measured.intensity.mean())

    def outside_domain(self, measured, domain):
        mean = float(measured.intensity.mean())
        return f"mean {mean:g} above the trained {domain['mean']:g}" if mean > domain["mean"] else None


class Flat:
    """A solver: every pixel is the mean."""

    accepts = Micrograph

    def solve(self, measured, *, gain=1.0, n_threads=None):
        flat = np.full_like(measured.intensity, gain * measured.intensity.mean())
        return dataclasses.replace(measured, intensity=flat, provenance={"mean": measured.intensity.mean()})


class Median:
    """A solver that needs a package: every pixel is the median of its column."""

    accepts = Micrograph
    devices = ("cpu", "cuda")
    requires = "statistics"

    def solve(self, measured, *, gain=1.0, device="auto", checkpoint=None, progress=None):
        for done in range(3):
            if progress is not None:
                progress(done + 1, 3, "pass")
        middle = np.median(measured.intensity, axis=0) * np.float32(gain)
        made = {"device": {"used": "cpu", "why": f"cpu, of {device}"}, "checkpoint": checkpoint}
        return dataclasses.replace(measured, intensity=np.broadcast_to(middle, measured.shape).copy(), provenance=made)


def register(monkeypatch):
    """Put the three into the registry, as any other."""
    monkeypatch.setitem(TASKS, "median", f"{__name__}:Median")
    monkeypatch.setitem(TASKS, "deviation", f"{__name__}:Deviation")
    monkeypatch.setitem(TASKS, "flat", f"{__name__}:Flat")


def box_model(folder, **changes):
    """A network that averages 3 × 3 pixels, trained on means up to 1."""
    return write_model(folder, **{"task": "deviation", "domain": {"mean": 1.0}} | changes)


def micrograph(ny=70, nx=53, seed=0, mean=0.5):
    intensity = np.random.default_rng(seed).normal(mean, 0.1, (ny, nx)).astype(np.float32)
    return Micrograph(intensity, pixel_size=(0.2, 0.3), metadata={"detector": "HAADF"})
