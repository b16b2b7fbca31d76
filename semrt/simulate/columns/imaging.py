"""From columns to counts: probe, background, scan and detector."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption, InvalidShape
from semrt.simulate.columns.background import BACKGROUNDS, amorphous
from semrt.simulate.columns.bound import position_bound
from semrt.simulate.columns.column_image import ColumnImage, signal_to_noise
from semrt.simulate.columns.probe import Canvas, Probe
from semrt.simulate.columns.specimens import assemble
from semrt.simulate.columns.structures import STRUCTURES
from semrt.simulate.fields import blur

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.simulate.columns.crystals import Columns
    from semrt.simulate.columns.specimens import Specimen
    from semrt.simulate.fields import Plane, Shape

__all__ = ["Imaging", "record"]


@dataclass(frozen=True, slots=True)
class Imaging:
    """How a specimen is recorded.

    probe_sigma, tail, tail_width: see Probe.
    dose: electrons that the detector counts at the peak of the brightest column, without background.
    exponent: brightness grows as Z to it.  light: see `assemble`.
    background: a name of BACKGROUNDS; level: its mean, variation: its standard deviation [brightest column's peak].
    carbon: standard deviation of the light of an amorphous support [brightest column's peak].
    jitter: standard deviations of a row's shift (y, x) [px]; hum: amplitude of a periodic one along x [px].
    drift: movement during the frame (y, x) [px]; swing: slow wandering about it [px]; shear: of the scan's axes.
    flicker: relative standard deviation of a row's brightness.
    gain, offset, read_noise: counts an electron, counts at no beam, standard deviation [counts].
    smoothing: sigmas (y, x) of what blurs the recorded image, noise and all [px]: a slow detector, a filter.
    """

    probe_sigma: float
    tail: float = 0.0
    tail_width: float = 1.2
    dose: float = 300.0
    exponent: float = 1.7
    light: float = 0.0
    background: str = "constant"
    level: float = 0.1
    variation: float = 0.0
    carbon: float = 0.0
    jitter: tuple[float, float] = (0.0, 0.0)
    hum: float = 0.0
    drift: tuple[float, float] = (0.0, 0.0)
    swing: float = 0.0
    shear: float = 0.0
    flicker: float = 0.0
    gain: float = 1.0
    offset: float = 0.0
    read_noise: float = 0.0
    smoothing: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.background not in BACKGROUNDS:
            raise InvalidOption.unknown("background", self.background, BACKGROUNDS)
        if not (self.dose > 0 and self.gain > 0):
            raise InvalidOption(f"dose and gain: expected above zero, got {self.dose} and {self.gain}")
        for name in ("level", "variation", "carbon", "jitter", "flicker", "read_noise", "smoothing"):
            if np.min(getattr(self, name)) < 0:
                raise InvalidOption(f"{name}: expected zero or more, got {getattr(self, name)}")

    @property
    def probe(self) -> Probe:
        """What the image of one column looks like."""
        return Probe(self.probe_sigma, self.tail, self.tail_width)


def record(
    specimen: Specimen, imaging: Imaging, shape: Shape, rng: np.random.Generator, *, bound: bool = True
) -> ColumnImage:
    """Record a specimen: an image of (ny, nx) counts, and the truth about every column in it.

    bound: compute the Cramér–Rao bounds too, which takes longer than the image.  Raises InvalidShape, InvalidOption.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise InvalidShape("shape", "(ny, nx) with at least one pixel", tuple(shape))
    canvas = Canvas(shape, imaging.probe)
    stray = canvas.margin + _movement(imaging, shape)
    columns = assemble(specimen, shape, rng, exponent=imaging.exponent, light=imaging.light, margin=stray)
    y, x = _scanned(columns, imaging, shape, rng)
    unit = imaging.gain * imaging.dose  # counts of the brightest column's peak
    peak = unit * columns.brightness
    shifts = _row_shifts(imaging, shape[0], rng)

    transform = canvas.columns(y, x, peak)
    clean = canvas.field(transform)
    seen = clean if shifts is None else canvas.field(transform, shifts)
    background = imaging.level + imaging.variation * BACKGROUNDS[imaging.background](rng, shape, specimen.spacing)
    if imaging.carbon > 0:
        scale = specimen.spacing / STRUCTURES[specimen.structure].nearest
        background = background + imaging.carbon * amorphous(rng, canvas, scale, shifts)
    background = np.maximum(background, 0) * np.float32(unit) + np.float32(imaging.offset)
    expected = np.maximum(seen, 0) + background
    if imaging.flicker > 0:
        rows = 1 + imaging.flicker * rng.standard_normal((shape[0], 1), dtype=np.float32)
        expected = imaging.offset + (expected - imaging.offset) * np.clip(rows, 0.2, None)
    counts = _detected(expected, imaging, rng)

    inside = (y >= -0.5) & (y < shape[0] - 0.5) & (x >= -0.5) & (x < shape[1] - 0.5)
    order = np.concatenate([np.flatnonzero(inside), np.flatnonzero(~inside)])
    y, x, peak, n = y[order], x[order], peak[order], int(inside.sum())
    variance = imaging.gain * (np.maximum(clean, 0) + background - np.float32(imaging.offset)) + np.float32(
        imaging.read_noise**2
    )
    bounds = position_bound(y, x, peak, n, variance, imaging.probe, specimen.spacing) if bound else None
    return ColumnImage(
        counts=counts,
        clean=clean,
        background=background,
        expected=expected,
        y=y[:n],
        x=x[:n],
        intensity=peak[:n],
        species=columns.species[order[:n]],
        snr=signal_to_noise(y[:n], x[:n], peak[:n], variance, imaging.probe),
        crlb_y=None if bounds is None else bounds[0],
        crlb_x=None if bounds is None else bounds[1],
        spacing=specimen.spacing,
        probe=imaging.probe,
        pixel_size=(0.1 * STRUCTURES[specimen.structure].nearest / specimen.spacing,) * 2,
        gain=imaging.gain,
        offset=imaging.offset,
        read_noise=imaging.read_noise,
        settings={"specimen": asdict(specimen), "imaging": asdict(imaging)},
    )


def _movement(imaging: Imaging, shape: Shape) -> float:
    """How far scan distortions may move a column [px]."""
    return max(map(abs, imaging.drift)) / 2 + 2 * imaging.swing + abs(imaging.shear) * shape[0] / 2 + 1


def _scanned(
    columns: Columns, imaging: Imaging, shape: Shape, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where columns appear in the image when the specimen drifts and the scan's axes are not square."""
    time = (columns.y + 0.5) / shape[0] - 0.5  # of the frame, from its middle
    y = columns.y + imaging.drift[0] * time
    x = columns.x + imaging.drift[1] * time + imaging.shear * (columns.y - (shape[0] - 1) / 2)
    if imaging.swing > 0:
        for frequency in rng.uniform(0.5, 3, 3):
            phase = rng.uniform(0, 2 * math.pi, 2)
            wave = imaging.swing * np.sin(2 * math.pi * frequency * time[:, None] + phase) / math.sqrt(3)
            y, x = y + 0.3 * wave[:, 0], x + wave[:, 1]
    return y, x


def _row_shifts(imaging: Imaging, ny: int, rng: np.random.Generator) -> Plane | None:
    """Shift of each row, (2, ny) as (y, x) [px]: in part one that neighbouring rows share, and mains hum along x."""
    if not (max(imaging.jitter) > 0 or imaging.hum > 0):
        return None
    share = rng.uniform(0, 0.7)
    own = rng.standard_normal((2, ny))
    steps = rng.standard_normal((2, ny + 2))
    shared = (steps[:, :-2] + steps[:, 1:-1] + steps[:, 2:]) / math.sqrt(3)
    shifts = np.array(imaging.jitter)[:, None] * (math.sqrt(1 - share) * own + math.sqrt(share) * shared)
    shifts[1] += imaging.hum * np.sin(2 * math.pi * (rng.uniform(0.02, 0.5) * np.arange(ny) + rng.random()))
    return np.asarray(shifts, np.float32)


def _detected(expected: Plane, imaging: Imaging, rng: np.random.Generator) -> Plane:
    electrons = np.maximum(expected - np.float32(imaging.offset), 0) / np.float32(imaging.gain)
    counts = rng.poisson(electrons).astype(np.float32) * np.float32(imaging.gain) + np.float32(imaging.offset)
    if imaging.read_noise > 0:
        counts += np.float32(imaging.read_noise) * rng.standard_normal(counts.shape, dtype=np.float32)
    return blur(counts, imaging.smoothing)
