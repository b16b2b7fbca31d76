"""Layers small enough to follow by hand, their images, and a solver that tries every thickness there may be."""

import numpy as np

from semrt.data import EnergyStack, LayerMap
from semrt.physics.backscatter import backscatter

ENERGIES = np.arange(5.0, 36.0)
NOISE = 0.02


def thickness(shape=(24, 32)):
    """(2, ny, nx) [nm]: a strip of 10 nm gold on the left third, a pad of 100 nm aluminium on the lower half."""
    ny, nx = shape
    layers = np.zeros((2, ny, nx), np.float32)
    layers[0, :, : nx // 3] = 10
    layers[1, ny // 2 :] = 100
    return layers


def images(shape=(24, 32), seed=0, energies=ENERGIES, **known):
    """What the layers look like, with noise."""
    clean = backscatter(thickness(shape), energies)
    noise = np.random.default_rng(seed).normal(1, NOISE, clean.shape)
    return EnergyStack((clean * noise).astype(np.float32), energies, **known)


def a_map(shape=(24, 32), **known):
    """The true layers as a result."""
    sigma = np.broadcast_to(np.float32([[[0.2]], [[3.0]]]), (2, *shape))
    given = {"sigma": sigma, "residual": np.full(31, NOISE), "energies": ENERGIES}
    return LayerMap(thickness(shape), **(given | known))


class Trial:
    """Tries 0, 10 nm of gold and 0, 50, 100 nm of aluminium in each pixel, and takes what fits best."""

    accepts = EnergyStack
    gives = LayerMap

    def solve(self, measured, *, variant: str = "repo", n_threads=None):
        labels = np.array([(gold, aluminium) for gold in (0, 10) for aluminium in (0, 50, 100)], float).T
        table = backscatter(labels, measured.energies, variant=variant)  # (n, 6)
        off = measured.intensity[:, None] / table[..., None, None] - 1
        best = (off**2).sum(0).argmin(0)
        found = labels[:, best]
        residual = np.sqrt((np.take_along_axis(off, best[None, None], 1) ** 2).mean((1, 2, 3)))
        return LayerMap(
            found,
            np.where(found > 0, 1.5, 0.5),
            residual=residual,
            energies=measured.energies,
            pixel_size=measured.pixel_size,
            metadata=measured.metadata,
            notes=("tried six",) if len(measured.energies) < 31 else (),
        )
