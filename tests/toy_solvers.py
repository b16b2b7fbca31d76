"""Solvers small enough to follow by hand, with all that a slow one does: iterate, report, stop early, resume."""

import threading
import time

import numpy as np

from semrt.data import Micrograph, SparseScan
from semrt.errors import Interrupted

SAVED_EVERY = 5


class Heat:
    """Lets the heat of the samples flow into the gaps: an unvisited pixel becomes the mean of its neighbours.

    The loss is the largest change of a pixel.
    """

    accepts = (SparseScan, Micrograph)
    devices = ("cpu", "cuda")
    begun = threading.Event()  # set as soon as any has begun

    def solve(
        self,
        measured,
        *,
        iterations: int = 20,
        denoise: bool = False,
        pause: float = 0.0,
        n_threads=None,
        device="auto",
        progress=None,
        checkpoint=None,
    ):
        visited = getattr(measured, "visited", np.zeros(measured.shape, bool))
        estimate, done = np.where(visited, measured.intensity, measured.intensity[visited].mean()), 0
        saved = checkpoint and checkpoint / "heat.npz"
        if saved and saved.exists():
            with np.load(saved) as held:
                estimate, done = held["estimate"], int(held["done"])
        resumed, stopped = done, None
        self.begun.set()
        try:
            while done < iterations:
                time.sleep(pause)
                around = np.pad(estimate, 1, mode="edge")
                mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
                before, estimate = estimate, np.where(visited, measured.intensity, mean)
                done += 1
                if saved and done % SAVED_EVERY == 0:
                    checkpoint.mkdir(parents=True, exist_ok=True)
                    unfinished = checkpoint / "unfinished.npz"
                    np.savez(unfinished, estimate=estimate, done=done)
                    unfinished.replace(saved)  # whole, or not there: Ctrl-C may come at any time
                if progress is not None:
                    progress(done, iterations, f"iteration, loss {np.abs(estimate - before).max():.3g}")
        except (Interrupted, KeyboardInterrupt):
            stopped = "interrupted"
        made = {"iterations": done, "resumed": resumed, "device": {"used": "cpu", "why": f"cpu, of {device}"}}
        if stopped:
            made["stopped"] = stopped
        return Micrograph(estimate, measured.pixel_size, metadata=measured.metadata, provenance=made)


class Deaf(Heat):
    """Never says how far it is, so that nothing can end it before its time; its checkpoint shows that it has begun."""

    def solve(self, measured, *, seconds: float = 30.0, checkpoint=None):
        checkpoint.mkdir(parents=True)
        time.sleep(seconds)
        return super().solve(measured)
