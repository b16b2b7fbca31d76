"""Procedural micrographs: clean images in [0, 1] that span what electron microscopes see.

A network trained on them must serve real micrographs of any kind, so kinds are mixed, masked by one another, magnified,
blurred by a probe and put through the contrasts of a detector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption, InvalidShape
from semrt.simulate.fields import (
    Plane,
    Shape,
    blur,
    choice,
    coordinates,
    log_uniform,
    resample,
    smooth,
    smoothstep,
    stretched,
    texture,
)
from semrt.simulate.kinds import biology, crystals, devices, particles, surfaces

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "augment", "draw"]

KINDS: dict[str, Callable[[np.random.Generator, Shape], Plane]] = {
    "aggregates": particles.aggregates,
    "contours": crystals.contours,
    "cracks": surfaces.cracks,
    "crystallites": particles.crystallites,
    "dead-leaves": particles.dead_leaves,
    "device": devices.device,
    "fibres": surfaces.fibres,
    "flakes": crystals.flakes,
    "flat": crystals.flat,
    "grains": surfaces.grains,
    "labyrinth": surfaces.labyrinth,
    "lattice": crystals.lattice,
    "layers": crystals.layers,
    "lettering": devices.lettering,
    "nanoparticles": particles.nanoparticles,
    "nerve": biology.nerve,
    "organelles": biology.organelles,
    "outlines": crystals.outlines,
    "pores": surfaces.pores,
    "random-field": surfaces.random_field,
    "relief": surfaces.relief,
    "rods": particles.rods,
    "spheres": particles.spheres,
    "tissue": biology.tissue,
}

# How often each kind is drawn; 1 where nothing is said.
WEIGHTS = {
    "dead-leaves": 2.0,
    "flat": 0.6,
    "lattice": 1.5,
    "lettering": 0.4,
    "outlines": 3.0,
    "random-field": 0.6,
    "relief": 0.8,
    "spheres": 1.5,
    "tissue": 0.8,
}


def draw(rng: np.random.Generator, shape: Shape, kind: str | None = None) -> Plane:
    """Draw a clean micrograph in [0, 1], (ny, nx) float32; the same generator state gives the same image.

    kind: a name of KINDS; None to choose by weight, and then to mix kinds at times.
    Raises InvalidOption for an unknown kind, InvalidShape.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise InvalidShape("shape", "(ny, nx) with at least one pixel", tuple(shape))
    if kind is not None and kind not in KINDS:
        raise InvalidOption.unknown("kind of micrograph", kind, KINDS)
    finer = log_uniform(rng, 1, 4) if rng.random() < 0.35 else 1.0  # pixels smaller than the scene's own detail
    image = _scene(rng, _reduced(shape, finer), kind)
    if rng.random() < 0.3:  # only a part of the scene is in the field of view
        image = _part(rng, image, log_uniform(rng, 1, 5))
    if image.shape != shape:
        image = resample(blur(image, 0.7), shape)  # the pixels of the smaller image must not show
    image = blur(image, _probe(rng))
    return _contrast(rng, image)


def augment(image: Plane, rng: np.random.Generator) -> Plane:
    """Flip a micrograph, turn it by quarters, magnify it up to twofold and show it in another contrast; shape kept.

    image: (ny, nx), any range; the result lies in [0, 1] of the image's own range before its contrast is changed.
    Where the shape is not square, quarter turns are left out.
    """
    result = stretched(np.asarray(image, np.float32))
    shape = (result.shape[0], result.shape[1])
    if rng.random() < 0.5:
        result = result[::-1]
    if rng.random() < 0.5:
        result = result[:, ::-1]
    if shape[0] == shape[1] and rng.random() < 0.5:
        result = result.T
    if rng.random() < 0.4:
        result = resample(_part(rng, result, log_uniform(rng, 1, 2)), shape)
    return _contrast(rng, np.ascontiguousarray(result))


def _reduced(shape: Shape, factor: float) -> Shape:
    return max(1, round(shape[0] / factor)), max(1, round(shape[1] / factor))


def _part(rng: np.random.Generator, image: Plane, factor: float) -> Plane:
    """Cut out a random part of the image, smaller than it by the factor."""
    ny, nx = _reduced((image.shape[0], image.shape[1]), factor)
    y0, x0 = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(image.shape, (ny, nx), strict=True))
    return image[y0 : y0 + ny, x0 : x0 + nx]


def _scene(rng: np.random.Generator, shape: Shape, kind: str | None) -> Plane:
    """One kind, or several mixed: side by side, one through the other's bright parts, or summed."""
    if kind is not None:
        return KINDS[kind](rng, shape)
    image = _any_kind(rng, shape)
    mixture = rng.random()
    if mixture < 0.1:  # two materials meet
        border = smooth(rng, shape, rng.uniform(0.2, 1.5) * max(shape) + 4) - rng.uniform(-0.7, 0.7)
        part = smoothstep(border, log_uniform(rng, 0.01, 0.5))
        image = image + part * (rng.uniform(0.4, 1) * _any_kind(rng, shape) + rng.uniform(0, 0.3) - image)
    elif mixture < 0.2:  # texture where the first is bright
        part = smoothstep(image - rng.uniform(0.3, 0.7), rng.uniform(0.05, 0.4))
        image = image + rng.uniform(0.15, 0.6) * part * (_any_kind(rng, shape) - 0.5)
    elif mixture < 0.3:  # seen through one another, in projection
        image = image + rng.uniform(0.1, 0.8) * _any_kind(rng, shape)
    return image


def _any_kind(rng: np.random.Generator, shape: Shape) -> Plane:
    names = list(KINDS)
    weights = np.array([WEIGHTS.get(name, 1.0) for name in names])
    return KINDS[names[int(rng.choice(len(names), p=weights / weights.sum()))]](rng, shape)


def _probe(rng: np.random.Generator) -> tuple[float, float]:
    """Sigma along y and x [px]: sharp to defocused, at times astigmatic."""
    sigma = log_uniform(rng, 0.4, 2.5)
    astigmatism = rng.uniform(0.5, 2) if rng.random() < 0.15 else 1.0
    return sigma * astigmatism**0.5, sigma / astigmatism**0.5


def _contrast(rng: np.random.Generator, image: Plane) -> Plane:
    """Detector, amplifier and specimen between the scene and the recorded range."""
    image = stretched(image)
    shape = (image.shape[0], image.shape[1])
    if rng.random() < 0.2:
        image = 1 - image
    if rng.random() < 0.5:
        image = image ** log_uniform(rng, 0.4, 2.5)
    if rng.random() < 0.2:
        image = 1 / (1 + np.exp(-(image - rng.uniform(0.3, 0.7)) * rng.uniform(3, 12)))
    if rng.random() < 0.15:  # tones spread evenly, as operators and software like them
        ranks = np.empty(image.size, np.float32)
        ranks[np.argsort(image, axis=None)] = np.linspace(0, 1, image.size, dtype=np.float32)
        image = image + rng.uniform(0.2, 0.9) * (blur(ranks.reshape(shape), 0.5) - image)
    if rng.random() < 0.4:  # charging, contamination, a bent specimen: a background that drifts
        image = image + log_uniform(rng, 0.02, 0.4) * smooth(rng, shape, rng.uniform(0.4, 2) * max(shape) + 4)
    if rng.random() < 0.2:  # vignetting, or a detector to one side
        y, x = coordinates(rng, shape)
        image = image * (1 - rng.uniform(0, 0.5) * (y * y + x * x) / (max(shape) ** 2))
    if rng.random() < 0.08:  # curtains of ion milling, streaks of charging
        streaks = smooth(rng, (1, shape[1]), log_uniform(rng, 2, 60))
        image = image + rng.uniform(0.02, 0.2) * (streaks if rng.random() < 0.6 or shape[0] != shape[1] else streaks.T)
    if rng.random() < 0.15:
        image = image + texture(rng, shape, 0.1)
    image = stretched(image, choice(rng, 0.0, 0.0, 0.001, 0.01))
    if rng.random() < 0.35:  # few recordings use the whole range
        width = log_uniform(rng, 0.05, 1.0)
        image = image * width + rng.uniform(0, 1 - width)
    return np.clip(image, 0, 1).astype(np.float32)
