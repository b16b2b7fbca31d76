"""A pool of precomputed training samples: one file a sample, written by other processes while training reads.

Making a sample takes longer than learning from it; kept in a folder, it serves many steps.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from zipfile import BadZipFile

import numpy as np

from semrt.errors import SemrtError, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Sample", "SamplePool", "filling"]


class Sample(NamedTuple):
    """What the network sees, (c, h, w), and what it should answer, (k, h, w)."""

    inputs: NDArray[np.floating]
    target: NDArray[np.floating]

    def turned(self, rng: np.random.Generator) -> Sample:
        """The sample flipped and transposed at random, where every channel is a map, and none knows a direction."""
        turns = rng.random(3) < 0.5
        steps = tuple(slice(None, None, -1 if turn else 1) for turn in turns[:2])
        return Sample(*(part[:, *steps].swapaxes(1, 2) if turns[2] else part[:, *steps] for part in self))


@dataclass(frozen=True)
class SamplePool:
    """A folder of samples named by their index; of those, the newest `size` are kept.

    A sample depends on its index alone, so that an interrupted pool goes on where it stopped. Stored as float16.
    """

    folder: Path
    size: int

    def indices(self) -> list[int]:
        """The indices of the samples that are there, in order."""
        return sorted(int(path.stem.removeprefix("sample-")) for path in self.folder.glob("sample-*.npz"))

    def path(self, index: int) -> Path:
        """Where sample `index` is kept."""
        return self.folder / f"sample-{index:07d}.npz"

    def write(self, index: int, sample: Sample) -> None:
        """Keep a sample, whole or not at all, and drop the one that is `size` older."""
        unfinished = self.folder / f"unfinished-{index:07d}-{os.getpid()}.npz"
        np.savez(unfinished, inputs=sample.inputs.astype(np.float16), target=sample.target.astype(np.float16))
        unfinished.replace(self.path(index))
        self.path(index - self.size).unlink(missing_ok=True)

    def read(self, index: int) -> Sample:
        """The sample `index`, float16.  Raises UnreadableFile."""
        path = self.path(index)
        try:
            with path.open("rb") as stream, np.load(stream) as arrays:
                return Sample(arrays["inputs"], arrays["target"])
        except (OSError, ValueError, KeyError, BadZipFile) as why:
            raise UnreadableFile(path, why) from why

    def draw(self, rng: np.random.Generator, count: int, among: Sequence[int]) -> list[Sample]:
        """`count` samples at random from those whose indices are given; those replaced in the meantime are passed over.

        Raises SemrtError when none of them is left.
        """
        return [sample for _, sample in self.draw_named(rng, count, among)]

    def draw_named(self, rng: np.random.Generator, count: int, among: Sequence[int]) -> list[tuple[int, Sample]]:
        """As `draw`, each sample after its index."""
        drawn: list[tuple[int, Sample]] = []
        for index in rng.choice(among, size=100 * count) if len(among) else ():
            if len(drawn) == count:
                return drawn
            if self.path(index).exists():
                drawn.append((int(index), self.read(index)))
        raise SemrtError(f"{self.folder}: no training samples; make some first with --make-pool")

    def fill(self, make: Callable[[int], Sample], count: int, *, first: int = 0, stride: int = 1) -> Iterator[int]:
        """Make the samples first, first + stride … below `count` that are not there; yield each index once written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        newest = max(self.indices(), default=-1)
        for index in range(first, count, stride):
            if not (self.path(index).exists() or index <= newest - self.size):
                self.write(index, make(index))
                yield index


def _fill_politely(pool: SamplePool, make: Callable[[int], Sample], count: int, first: int, stride: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer, which then ends its workers
    if hasattr(os, "nice"):  # not on Windows
        os.nice(10)
    for _ in pool.fill(make, count, first=first, stride=stride):
        pass


@contextmanager
def filling(
    pool: SamplePool, make: Callable[[int], Sample], *, count: int, workers: int, at_least: int = 0
) -> Iterator[Callable[[], bool]]:
    """Fill the pool in `workers` processes of low priority while the body runs; they end with it.

    make: must be picklable; called with the index.  at_least: samples to wait for before the body starts.
    Yields a function that tells whether any worker still works, and raises SemrtError when one has failed.
    """
    pool.folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")  # a fork of a process that runs torch threads may hang
    processes = [
        context.Process(target=_fill_politely, args=(pool, make, count, first, workers), daemon=True)
        for first in range(workers)
    ]

    def working() -> bool:
        for process in processes:
            if process.exitcode:  # neither running (None) nor done (0)
                raise SemrtError(
                    f"a process that makes training samples failed (exit code {process.exitcode}); see above"
                )
        return any(process.is_alive() for process in processes)

    for process in processes:
        process.start()
    try:
        while len(pool.indices()) < at_least and working():
            time.sleep(0.2)
        yield working
    finally:
        for process in processes:
            process.terminate()
            process.join()
