"""A broad library of layered structures and their images at many beam energies."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption, InvalidShape
from semrt.physics.backscatter import ENERGIES, GOLD_UNDER_ALUMINIUM, LayerStack
from semrt.simulate.layers.perlin import perlin_thickness
from semrt.simulate.layers.recording import Recording, expose, signal_of
from semrt.simulate.layers.strips import strips_thickness
from semrt.simulate.layers.varied import varied_thickness

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from semrt.simulate.fields import Shape

__all__ = ["KINDS", "SPLITS", "LayerSample", "draw", "split_seed"]

KINDS: dict[str, Callable[[np.random.Generator, Shape], NDArray[np.float32]]] = {
    "perlin": perlin_thickness,
    "strips": strips_thickness,
    "varied": varied_thickness,
}

# How often each kind is drawn; 1 where nothing is said.
WEIGHTS = {"perlin": 2.0}

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False, slots=True)
class LayerSample:
    """Images of two layers at many beam energies, and the truth.

    thickness: (2, ny, nx) float32 [nm], the lower layer first.
    energies: (n,) float64 [keV].
    expected: (n, ny, nx) float32, mean of intensity: blurred, drifted, with gain and offset, but no noise.
    intensity: (n, ny, nx) float32, as recorded, zero or more [fraction of the beam].
    settings: what was drawn, ready for JSON.
    """

    thickness: NDArray[np.float32]
    energies: NDArray[np.float64]
    expected: NDArray[np.float32]
    intensity: NDArray[np.float32]
    settings: Mapping[str, Any] = field(default_factory=dict)


def draw(
    rng: np.random.Generator,
    shape: Shape,
    kind: str | None = None,
    *,
    recording: Recording | None = None,
    energies: ArrayLike = ENERGIES,
    variant: str = "repo",
    layers: LayerStack = GOLD_UNDER_ALUMINIUM,
) -> LayerSample:
    """Draw layers and their images; the same generator state gives the same sample.

    kind: a name of KINDS; None to choose by weight.  recording: None for 2 % of noise and nothing else.
    energies: (n,) [keV].  variant, layers: see `backscatter`.  Raises InvalidShape, InvalidValue, InvalidOption.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise InvalidShape("shape", "(ny, nx) with at least one pixel", tuple(shape))
    if kind is not None and kind not in KINDS:
        raise InvalidOption.unknown("kind of layers", kind, KINDS)
    if kind is None:
        weights = np.array([WEIGHTS.get(name, 1.0) for name in KINDS])
        kind = str(rng.choice(list(KINDS), p=weights / weights.sum()))
    recording = Recording() if recording is None else recording
    margin = recording.margin  # what is beyond the field drifts into it
    thickness = KINDS[kind](rng, (shape[0] + 2 * margin, shape[1] + 2 * margin))
    beams = np.array(energies, np.float64)
    signal = signal_of(thickness, beams, variant=variant, layers=layers)
    exposure = expose(signal, recording, rng, margin=margin)
    if margin:
        thickness = np.ascontiguousarray(thickness[:, margin:-margin, margin:-margin])
    settings = {
        "kind": kind,
        "shape": list(shape),
        "layers": [layers.lower.name, layers.upper.name, layers.substrate.name],
        "variant": variant,
        "energies_keV": beams.tolist(),
        "recording": asdict(recording),
        "shifts_px": exposure.shifts.tolist(),
        "gains": exposure.gains.tolist(),
    }
    return LayerSample(thickness, beams, exposure.expected, exposure.intensity, settings)


def split_seed(split: str, number: int) -> np.random.Generator:
    """Give the generator of sample `number` of a split, which shares no layers with any other sample of any split.

    split: a name of SPLITS.  Raises InvalidOption.
    """
    if split not in SPLITS:
        raise InvalidOption.unknown("split", split, SPLITS)
    if number < 0:
        raise InvalidOption(f"number: expected zero or more, got {number}")
    return np.random.default_rng(np.random.SeedSequence(number, spawn_key=(SPLITS.index(split),)))
