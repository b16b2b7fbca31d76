"""How fast, and how near the truth, are the kernels for atomic columns beside what a user would call instead?

    python benchmarks/column_kernels.py                # a few minutes
    python benchmarks/column_kernels.py --quick        # small fields alone, under a minute
    python benchmarks/column_kernels.py --part hough   # one part

hough: disks in a map of probabilities, apart and touching, their edges soft and noisy. Beside each time stand F1 (one
to one, within a third of the spacing) and the root mean square of the distance to the truth, along one axis [px].
fit: columns refined from starts 0.3 px off. Beside each time stand the time a column, the error over the Cramér–Rao
bound (1 is perfect) and, for us, over what the fit itself states (1 is honest).
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as in benchmarks/kernels.py

import cv2
import numpy as np
from kernels import cores, thread_counts
from parts import command
from scipy.ndimage import center_of_mass, distance_transform_edt, gaussian_filter
from scipy.optimize import least_squares
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max
from skimage.segmentation import watershed
from skimage.transform import hough_circle, hough_circle_peaks
from stopwatch import Race, race, show

import semrt
from semrt.simulate.columns import Imaging, Specimen, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from semrt.simulate.columns import ColumnImage

RADIUS = 5.0  # of the disks [px]
SPACINGS = {"apart": 20.0, "touching": 10.0}  # [px]
FITTED_BY_SCIPY = 40  # columns: the rest would take minutes


def hough(quick: bool) -> Iterator[Race]:
    for side in (512,) if quick else (512, 2048):
        for name, spacing in SPACINGS.items():
            true, probability = disks(side, spacing)
            for threads in thread_counts():
                cv2.setNumThreads(threads)
                contenders: dict[str, Callable[[], Any]] = {
                    "find_circles": partial(found_by_us, probability, threads),
                    "cv2.HoughCircles, gradient": partial(found_by_opencv, probability, spacing),
                    "watershed, centroids": partial(found_by_watershed, probability, spacing),
                }
                if name == "apart" and threads == 1:
                    contenders["skimage hough_circle, 3 radii"] = partial(found_by_skimage, probability, spacing)
                run = race(f"{len(true)} disks {name} on {side}², {cores(threads)}", contenders)
                show(run, lambda peer, run=run, true=true, d=spacing: nearness(run.results[peer], true, d))
                yield run


def disks(side: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """A hexagonal lattice of soft disks, jittered: (n, 2) centres and the map of them with noise on its edges."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[spacing : side - spacing : spacing * np.sqrt(3) / 2, spacing : side - 1.5 * spacing : spacing]
    x = x + (np.arange(len(x)) % 2)[:, None] * spacing / 2
    centres = np.stack([y.ravel(), x.ravel()], 1) + rng.normal(0, 0.4, (y.size, 2))
    reach = int(RADIUS) + 6
    drawn = np.zeros((side, side), np.float32)
    for yc, xc in centres:
        rows, columns = (slice(max(0, int(c) - reach), min(side, int(c) + reach + 1)) for c in (yc, xc))
        distance = np.hypot(*(np.ogrid[rows, columns][k] - c for k, c in enumerate((yc, xc))))
        drawn[rows, columns] = np.maximum(drawn[rows, columns], 1 / (1 + np.exp((distance - RADIUS) / 0.7)))
    noise = gaussian_filter(rng.standard_normal(drawn.shape), 1)
    noise *= 0.05 / noise.std() * (0.3 + 4 * drawn * (1 - drawn))
    return centres, np.clip(drawn + noise, 0, 1).astype(np.float32)


def found_by_us(probability: np.ndarray, threads: int) -> np.ndarray:
    return semrt.find_circles(probability, RADIUS, n_threads=threads).positions


def found_by_opencv(probability: np.ndarray, spacing: float) -> np.ndarray:
    grey = np.rint(probability * 255).astype(np.uint8)
    least, most = int(0.7 * RADIUS), int(np.ceil(1.3 * RADIUS))
    found = cv2.HoughCircles(
        grey, cv2.HOUGH_GRADIENT, 1, 0.7 * spacing, param1=100, param2=8, minRadius=least, maxRadius=most
    )
    return np.empty((0, 2)) if found is None else found[0, :, 1::-1].astype(float)


def found_by_watershed(probability: np.ndarray, spacing: float) -> np.ndarray:
    mask = probability > 0.5
    depth = gaussian_filter(distance_transform_edt(mask), 1)
    peaks = peak_local_max(depth, min_distance=int(0.5 * spacing), labels=mask.astype(int))
    markers = np.zeros(mask.shape, int)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-depth, markers, mask=mask)
    return np.array(center_of_mass(mask, labels, np.arange(1, len(peaks) + 1)))


def found_by_skimage(probability: np.ndarray, spacing: float) -> np.ndarray:
    edges = cv2.Canny(np.rint(probability * 255).astype(np.uint8), 50, 100) > 0
    radii = np.arange(int(RADIUS) - 1, int(RADIUS) + 2)
    apart = int(0.5 * spacing)
    _, x, y, _ = hough_circle_peaks(hough_circle(edges, radii), radii, min_xdistance=apart, min_ydistance=apart)
    return np.stack([y, x], 1).astype(float)


def fit(quick: bool) -> Iterator[Race]:
    imaging = Imaging(probe_sigma=3.5, dose=60, level=0.12, variation=0.03, background="plane", read_noise=1.5)
    for side in (512,) if quick else (512, 2048):
        image = record(Specimen("square", 20, angle=7), imaging, (side, side), np.random.default_rng(0))
        true = np.stack([image.y, image.x], 1)
        starts = true + np.random.default_rng(1).normal(0, 0.3, true.shape)
        few = starts[image.counted()][:FITTED_BY_SCIPY]
        contenders: dict[str, Callable[[], Any]] = {
            f"refine_columns, {cores(threads)}": partial(semrt.refine_columns, image.counts, starts, n_threads=threads)
            for threads in thread_counts()
        }
        contenders["refine_columns, find_missing, 1 core"] = partial(
            semrt.refine_columns, image.counts, starts, find_missing=True, n_threads=1
        )
        contenders[f"scipy, a Gaussian each, {len(few)} columns"] = partial(fitted_by_scipy, image.counts, few)
        run = race(f"{len(true)} columns refined on {side}²", contenders)
        show(run, lambda peer, run=run, image=image: exactness(run, peer, image))
        yield run


def fitted_by_scipy(counts: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """What a script would do: one Gaussian and a constant, unweighted, in a window of 0.4 spacings."""
    reach, found = 8, []
    for y, x in starts:
        top, left = (max(0, round(c) - reach) for c in (y, x))
        window = counts[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
        rows, columns = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]

        def residual(p: np.ndarray, rows: Any = rows, columns: Any = columns, window: Any = window) -> np.ndarray:
            square = (rows - p[0]) ** 2 + (columns - p[1]) ** 2
            return (p[2] * np.exp(-square / (2 * p[3] ** 2)) + p[4] - window).ravel()

        found.append(least_squares(residual, [y, x, np.ptp(window), 3.0, window.min()]).x[:2])
    return np.array(found)


def nearness(found: np.ndarray, true: np.ndarray, spacing: float) -> str:
    distance, which = cKDTree(true).query(found, distance_upper_bound=spacing / 3)
    good = len(np.unique(which[np.isfinite(distance)]))
    near = distance[np.isfinite(distance)]
    return f"F1 {2 * good / (len(found) + len(true)):.4f}, RMS {np.sqrt(np.mean(near**2) / 2):.3f} px"


def exactness(run: Race, name: str, image: ColumnImage) -> str:
    result = run.results[name]
    asked = slice(None) if isinstance(result, np.ndarray) else result.source >= 0  # not what it found besides
    found = (result if isinstance(result, np.ndarray) else result.positions)[asked]
    _, nearest = cKDTree(np.stack([image.y, image.x], 1)).query(found)
    counted = image.counted()[nearest]
    error = (found - np.stack([image.y, image.x], 1)[nearest])[counted]
    bound = np.stack([image.crlb_y, image.crlb_x], 1)[nearest][counted]
    text = (
        f"{1e6 * float(np.median(run.seconds[name])) / len(found):.0f} µs a column, RMS / CRLB {rms(error / bound):.2f}"
    )
    if isinstance(result, np.ndarray):
        return text
    stated = np.stack([result.sigma_y, result.sigma_x], 1)[asked]
    return text + f", RMS / σ {rms(error / stated[counted]):.2f}"


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


main = command(__doc__, hough, fit)

if __name__ == "__main__":
    main()
