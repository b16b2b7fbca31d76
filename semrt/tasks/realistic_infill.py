"""A sparse scan completed with noise and texture as the rest of it has them, as adversarial training taught."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption
from semrt.tasks.infill import INPUT_CHANNELS as KNOWN_CHANNELS
from semrt.tasks.infill import Infill

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import SparseScan

__all__ = ["INPUT_CHANNELS", "RealisticInfill"]

INPUT_CHANNELS = (
    *KNOWN_CHANNELS,
    "random",  # standard normal numbers, of which noise and texture are made
)


class RealisticInfill(Infill):
    """The `infill-adversarial` model: one of the images that may have been, rather than their mean."""

    input_channels = INPUT_CHANNELS

    def prepare(
        self,
        measured: SparseScan,
        *,
        seed: int = 0,
        n_threads: int | None = None,
        told: dict[str, Any] | None = None,
    ) -> NDArray[np.float32]:
        """The network's input, (c, ny, nx) in the order of INPUT_CHANNELS.

        seed: of the random numbers; another one gives other noise.  told: see Infill.
        Raises InvalidOption for a seed below zero.
        """
        if seed < 0:
            raise InvalidOption(f"seed: expected zero or above, got {seed}")
        known = super().prepare(measured, n_threads=n_threads, told=told)
        random = np.random.default_rng(seed).standard_normal((1, *measured.shape), dtype=np.float32)
        return np.concatenate((known, random))
