"""What a network is timed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np

from semrt import models
from semrt.models import Manifest, Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["tiles_of"]


def tiles_of(name: str, n: int, side: int) -> NDArray[np.float32]:
    """The model's test tensors, mirrored to n tiles of side², (n, c, side, side)."""
    reference = Reference.read(models.find(name), Manifest.read(models.find(name)))
    if reference is None:
        raise click.ClickException(f"{name} has no test tensors; export it again")
    repeated = reference.channels[np.arange(n) % len(reference.channels)]
    missing = [max(0, side - there) for there in repeated.shape[-2:]]
    padded = np.pad(repeated, ((0, 0), (0, 0), *((0, more) for more in missing)), mode="symmetric")
    return np.ascontiguousarray(padded[..., :side, :side])
