"""What a scan would give before it is made: patterns and coverages at one dose, by the error that is to be expected."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt import engine, metrics
from semrt.data import Micrograph, SparseScan
from semrt.engine.options import takes
from semrt.errors import InvalidOption, InvalidValue
from semrt.kernels.rasterise import record
from semrt.scan import PATTERNS, generate
from semrt.scan.scan_path import inside
from semrt.tasks import NetworkTask, Solver, find_task
from semrt.tasks.kriging import Kriging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from semrt.backends import Session
    from semrt.scan import ScanPath

__all__ = ["Candidate", "Dose", "Forecast", "Trial", "candidates", "forecast", "recorded", "stand_in"]


@dataclass(frozen=True, slots=True)
class Dose:
    """How an image is lit, the same for every scan of it.

    electrons: detected ones, the mean over all pixels of a frame.
    dark: intensity where none is detected.
    gain: intensity that an electron adds, on a pixel of a frame that is scanned in full.
    """

    electrons: float
    dark: float
    gain: float

    @classmethod
    def of(cls, truth: Micrograph, electrons: float, dark: float | None = None) -> Dose:
        """The gain follows from the mean of the truth.

        dark: 0 when None, or the lowest intensity where that is negative.
        Raises InvalidOption for a dose or a dark level that cannot be.
        """
        if not (math.isfinite(electrons) and electrons > 0):
            raise InvalidOption(f"dose: expected electrons per pixel above 0, got {electrons}")
        lowest, mean = float(truth.intensity.min()), float(truth.intensity.mean(dtype=np.float64))
        level = min(0.0, lowest) if dark is None else float(dark)
        if not level < mean:
            raise InvalidOption(f"dark: expected an intensity below the mean of the image, {mean:.6g}, got {level:.6g}")
        return cls(electrons, level, (mean - level) / electrons)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to scan."""

    pattern: str
    coverage: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a scan asks of the instrument, and how far its image is from the truth.

    coverage: fraction of the pixels that is really visited.  samples: whose dwell time is such that all scans take the
    same dose.  wait: for the probe to arrive, flyback and settling.  total_time: dwell and wait.
    rmse: fraction of the truth's range.  psnr: [dB] over that range.
    ran: what inferred the image: the model, or what stands in for it on such a scan.
    """

    pattern: str
    asked: float
    coverage: float
    samples: int
    electrons_per_sample: float
    dwell_time_us: float
    path_length_px: float
    wait_us: float
    total_time_us: float
    rmse: float
    psnr: float
    ran: str


@dataclass(frozen=True, eq=False, slots=True)
class Trial:
    """A forecast, and the last scan and image that it was made from."""

    forecast: Forecast
    scan: SparseScan
    image: Micrograph


def stand_in(
    image: Micrograph, *, shape: tuple[int, int] | None = None, clean: bool = False, threads: int | None = None
) -> Micrograph:
    """What is taken to be the truth: the middle of an image, less its noise.

    shape: (ny, nx) at most; all of it when None.
    clean: there is none; otherwise kriging tells noise from image, and takes detail along that is as fine and as weak.
    Raises InvalidValue for an image of one intensity, or with NaN.
    """
    if not np.isfinite(image.intensity).all():
        raise InvalidValue("image", "finite intensities", "NaN or infinite ones", "fill it first: semrt infer infill")
    sides = [min(side, most) for side, most in zip(image.shape, shape or image.shape, strict=True)]
    part = tuple(slice((side - cut) // 2, (side + cut) // 2) for side, cut in zip(image.shape, sides, strict=True))
    intensity = np.ascontiguousarray(image.intensity[part])
    if not np.ptp(intensity) > 0:
        raise InvalidValue("image", "something to see", "one intensity everywhere", "choose another, or a larger part")
    if not clean:
        whole = SparseScan(intensity, np.ones(intensity.shape, np.bool_))
        intensity = Kriging().solve(whole, denoise=True, n_threads=threads).intensity
    return replace(image, intensity=intensity, error=None)


def candidates(patterns: Sequence[str], coverages: Sequence[float]) -> list[Candidate]:
    """Every pattern, all of them where none is named, at every coverage.  Raises InvalidOption."""
    for name in patterns:
        if name not in PATTERNS:
            raise InvalidOption.unknown("pattern", name, PATTERNS)
    named = dict.fromkeys(patterns or PATTERNS)
    return [Candidate(name, share) for name in named for share in dict.fromkeys(coverages)]


def forecast(
    truth: Micrograph,
    dose: Dose,
    wanted: Candidate,
    model: Session | Solver,
    *,
    seed: int = 0,
    repeats: int = 1,
    denoise: bool = True,
    dwell_time: float = 1.0,
    settle_time: float = 0.0,
    flyback_time: float = 0.0,
    device: str | None = None,
    threads: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Trial:
    """Scan a truth, infer the image, and compare.

    Whatever is visited, the frame takes the same electrons, shared out evenly among the samples: fewer samples are each
    seen longer, and so with less noise, which is that of counting.
    seed: of noise and pattern.  repeats: with the seeds that follow; the error is the root of the mean square.
    denoise: estimate visited pixels too, as far as the model can.
    dwell_time: on a pixel of a frame that is scanned in full [µs].  settle_time, flyback_time: as of a ScanPath [µs].
    Raises what the pattern and the model raise.
    """
    options: dict[str, Any] = {"denoise": True} if denoise and _denoises(model) else {}
    squares: list[float] = []
    for k in range(repeats):
        path = _exposed(wanted, truth, seed + k, dwell_time)
        path = replace(path, settle_time=settle_time, flyback_time=flyback_time)
        scan, per_sample = recorded(truth, path, dose, np.random.default_rng((seed + k, *wanted.pattern.encode())))
        image: Micrograph = engine.infer(
            scan,
            model,
            fallback="classical",
            device=device,
            threads=threads,
            progress=progress,
            **options,
        )
        squares.append(metrics.rmse(image.intensity, truth.intensity) ** 2)
    told = path.statistics()
    made = image.provenance
    span = float(np.ptp(truth.intensity))
    rmse = math.sqrt(float(np.mean(squares))) / span
    return Trial(
        Forecast(
            pattern=wanted.pattern,
            asked=wanted.coverage,
            coverage=told["coverage"],
            samples=int(told["samples"]),
            electrons_per_sample=per_sample,
            dwell_time_us=float(path.dwell_time[0]),
            path_length_px=told["path_length_px"],
            wait_us=float(path.wait.sum()),
            total_time_us=told["total_time_us"],
            rmse=rmse,
            psnr=-20 * math.log10(rmse) if rmse > 0 else math.inf,
            ran=made["fallback"]["solver"] if "fallback" in made else made["model"]["name"],
        ),
        scan,
        image,
    )


def recorded(truth: Micrograph, path: ScanPath, dose: Dose, rng: np.random.Generator) -> tuple[SparseScan, float]:
    """What a counting detector records along a path that takes the dose, and the mean electrons of a sample."""
    on = ~path.blank & inside(path.positions, path.shape)
    positions = path.positions[on]
    longer = path.shape[0] * path.shape[1] / len(positions)  # than a pixel of a full frame is a sample seen
    gain = dose.gain / longer
    expected = (record(truth.intensity, positions).astype(np.float64) - dose.dark) / gain
    counts = rng.poisson(np.maximum(expected, 0))
    scan = SparseScan.from_positions(
        positions,
        counts * gain + dose.dark,
        path.shape,
        dwell_time=path.dwell_time[on],
        pixel_size=truth.pixel_size,
        metadata=truth.metadata,
    )
    return scan, dose.electrons * longer


def _exposed(wanted: Candidate, truth: Micrograph, seed: int, dwell_time: float) -> ScanPath:
    """The path, with the dwell time that a frame's dose leaves for each of its samples."""
    path = generate(wanted.pattern, truth.shape, wanted.coverage, seed=seed)
    on = np.count_nonzero(~path.blank & inside(path.positions, path.shape))
    each = dwell_time * truth.intensity.size / on
    return replace(path, dwell_time=np.full(len(path.positions), each))


def _denoises(model: Session | Solver) -> bool:
    task = model if isinstance(model, Solver) else find_task(model.manifest.task)
    functions = (task.prepare, task.finish) if isinstance(task, NetworkTask) else (task.solve,)
    return any(takes(function, "denoise") for function in functions)
