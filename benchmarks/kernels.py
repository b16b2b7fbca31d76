"""How fast are the kernels beside what a user would call instead?

    python benchmarks/kernels.py                       # a few minutes
    python benchmarks/kernels.py --quick               # small fields alone, under a minute
    python benchmarks/kernels.py --part kriging        # one part; repeat for more

Each kernel and its peers run in this process, turn by turn. Printed are the median time, its spread over the rounds,
and how many times as long as the first line a peer took. Where methods differ, PSNR [dB] against the simulated truth
stands beside the time, because a quick method that is far off is no peer.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

# SciPy calls BLAS on matrices of 2 x 2 to 43 x 43; with threads that took up to a hundred times as long, at random.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import click
import cv2
import numpy as np
from infill import Scene, simulated
from parts import command
from scipy.interpolate import RBFInterpolator, griddata
from scipy.ndimage import distance_transform_edt
from stopwatch import Race, race, show

import semrt
from semrt import kernels, scan, tiling
from semrt.metrics import psnr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COVERAGE = 1 / 20
PATTERNS = {"spiral": "archimedean", "random": "random"}
SMOOTHING = 2.5  # [px]
NEIGHBOURS = 40
TILE, HALO, MULTIPLE, CHANNELS = 1344, 192, 32, 8  # as the infill model has them


def rasterise(quick: bool) -> Iterator[Race]:
    for side in (512,) if quick else (512, 4096):
        shape, rng = (side, side), np.random.default_rng(0)
        everywhere = rng.uniform(-0.5, side - 0.5, (round(COVERAGE * side**2), 2))
        paths = {"spiral": scan.generate("archimedean", shape, COVERAGE).positions, "random": everywhere}
        for name, positions in paths.items():
            samples = positions, shape, rng.random(len(positions)), rng.uniform(0.5, 2, len(positions))
            contenders: dict[str, Callable[[], Any]] = {
                f"rasterise, {cores(threads)}": partial(rasterised, samples, threads) for threads in thread_counts()
            }
            contenders |= {"np.add.at": partial(added_at, *samples), "np.bincount": partial(counted, *samples)}
            if name == "spiral":  # it draws lines from sample to sample, which makes no sense between random ones
                contenders["cv2.polylines (mask alone)"] = partial(drawn, positions, shape)
            run = race(f"rasterise {len(positions)} {name} samples on {side}²", contenders)
            show(run, lambda peer, run=run: difference(run, peer) if peer.startswith("np.") else "")
            yield run


def rasterised(samples: tuple[Any, ...], threads: int) -> tuple[np.ndarray, np.ndarray]:
    positions, shape, intensities, dwell_time = samples
    gridded = kernels.rasterise(positions, shape, intensities=intensities, dwell_time=dwell_time, n_threads=threads)
    return gridded.dwell_time, gridded.intensity


def added_at(
    positions: np.ndarray, shape: tuple[int, int], intensities: np.ndarray, dwell_time: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    at, inside = pixels(positions, shape)
    times, signal = np.zeros(shape), np.zeros(shape)
    where = tuple(at[inside].T)
    np.add.at(times, where, dwell_time[inside])
    np.add.at(signal, where, (dwell_time * intensities)[inside])
    return times, np.divide(signal, times, out=signal, where=times > 0)


def counted(
    positions: np.ndarray, shape: tuple[int, int], intensities: np.ndarray, dwell_time: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    at, inside = pixels(positions, shape)
    flat = at[inside] @ (shape[1], 1)
    times = np.bincount(flat, dwell_time[inside], shape[0] * shape[1]).reshape(shape)
    signal = np.bincount(flat, (dwell_time * intensities)[inside], shape[0] * shape[1]).reshape(shape)
    return times, np.divide(signal, times, out=signal, where=times > 0)


def pixels(positions: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    at = np.floor(positions + 0.5).astype(np.intp)
    return at, ((at >= 0) & (at < shape)).all(axis=1)


def drawn(positions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    return cv2.polylines(mask, [np.rint(positions[:, ::-1]).astype(np.int32)], False, 1)


def fill(quick: bool) -> Iterator[Race]:
    for side in (512,) if quick else (512, 2048):
        for name, scene, sparse in scans(side):
            for threads in thread_counts():
                cv2.setNumThreads(threads)
                run = race(
                    f"fill {side}², {name} at 1/20, {cores(threads)}",
                    {
                        "natural neighbour + Gauss": partial(natural_neighbour, sparse, SMOOTHING, threads),
                        "natural neighbour": partial(natural_neighbour, sparse, 0.0, threads),
                        "cv2.inpaint, Telea": partial(inpainted, sparse, cv2.INPAINT_TELEA),
                        "cv2.inpaint, Navier-Stokes": partial(inpainted, sparse, cv2.INPAINT_NS),
                        "scipy griddata, nearest": partial(gridded, sparse, "nearest"),
                        "scipy griddata, linear": partial(gridded, sparse, "linear"),
                        "scipy griddata, cubic": partial(gridded, sparse, "cubic"),
                    },
                )
                show(run, lambda peer, run=run, scene=scene: closeness(run, peer, scene))
                yield run


def natural_neighbour(sparse: semrt.SparseScan, smooth: float, threads: int) -> np.ndarray:
    return kernels.natural_neighbour(sparse.intensity, sparse.visited, smooth=smooth, n_threads=threads)


def inpainted(sparse: semrt.SparseScan, method: int) -> np.ndarray:
    grey = np.clip(np.rint(sparse.intensity * 255), 0, 255).astype(np.uint8)
    return cv2.inpaint(grey, (~sparse.visited).astype(np.uint8), 3, method).astype(np.float32) / 255


def gridded(sparse: semrt.SparseScan, method: str) -> np.ndarray:
    everywhere = tuple(np.indices(sparse.shape))
    values = sparse.intensity[sparse.visited]
    return griddata(np.argwhere(sparse.visited), values, everywhere, method=method, fill_value=values.mean())


def distance(quick: bool) -> Iterator[Race]:
    for side in (512,) if quick else (512, 4096):
        visited = scan.generate("random", (side, side), COVERAGE).visited
        unvisited = (~visited).astype(np.uint8)
        for threads in thread_counts():
            cv2.setNumThreads(threads)
            run = race(
                f"distance to the nearest sample, {side}², random at 1/20, {cores(threads)}",
                {
                    "distance_to_sample": partial(kernels.distance_to_sample, visited, n_threads=threads),
                    "scipy distance_transform_edt": partial(distance_transform_edt, unvisited),
                    "cv2.distanceTransform, precise": partial(
                        cv2.distanceTransform, unvisited, cv2.DIST_L2, cv2.DIST_MASK_PRECISE
                    ),
                    "cv2.distanceTransform, 5x5 mask": partial(cv2.distanceTransform, unvisited, cv2.DIST_L2, 5),
                },
            )
            show(run, lambda peer, run=run: difference(run, peer))
            yield run


def kriging(quick: bool) -> Iterator[Race]:
    side = 128 if quick else 512
    for name, scene, sparse in scans(side):
        variogram = kernels.fit_variogram(sparse.intensity, sparse.visited)
        contenders: dict[str, Callable[[], Any]] = {
            f"krige, {cores(threads)}": partial(
                kernels.krige, sparse.intensity, sparse.visited, variogram, n_threads=threads
            )
            for threads in thread_counts()
        }
        contenders["fit_variogram, 1 core"] = partial(kernels.fit_variogram, sparse.intensity, sparse.visited)
        contenders[f"scipy RBFInterpolator, {NEIGHBOURS} neighbours"] = partial(radial, sparse)
        run = race(f"kriging {side}², {name} at 1/20, with its error map", contenders)
        show(run, lambda peer, run=run, scene=scene: closeness(run, peer, scene))
        yield run


def radial(sparse: semrt.SparseScan) -> np.ndarray:
    """What SciPy offers to the same end: a smooth interpolant of the nearest samples, without an error map."""
    samples = np.argwhere(sparse.visited).astype(float)
    interpolant = RBFInterpolator(samples, sparse.intensity[sparse.visited], neighbors=NEIGHBOURS, kernel="linear")
    everywhere = np.indices(sparse.shape).reshape(2, -1).T.astype(float)
    return interpolant(everywhere).reshape(sparse.shape)


def paths(quick: bool) -> Iterator[Race]:
    """No peer draws these paths: they are compared to the time of the scan itself, and to the coverage asked for."""
    side = 512
    contenders = {name: partial(scan.generate, name, (side, side), COVERAGE) for name in scan.PATTERNS}
    run = race(f"scan paths of {side}² at 1/20 ({COVERAGE * side**2:.0f} px)", contenders, rounds=3 if quick else 7)
    click.echo(
        f"\n{run.title}\n  {'pattern':<16}{'drawn in':>12}{'scanned at 1 µs in':>22}{'visited':>10}{'coverage':>12}"
    )
    for name, times in run.seconds.items():
        path: scan.ScanPath = run.results[name]
        scanned = f"{path.dwell_time.sum() / 1e3:.1f} ms"
        visited = np.count_nonzero(path.visited)
        click.echo(
            f"  {name:<16}{1e3 * float(np.median(times)):>9.2f} ms{scanned:>22}{visited:>10}{path.coverage:>12.5f}"
        )
    yield run


def tiles(quick: bool) -> Iterator[Race]:
    side = 1536 if quick else 2048
    field = np.random.default_rng(0).random((CHANNELS, side, side), np.float32)
    contenders = {
        f"tiling.run, {cores(threads)}": partial(
            tiling.run, np.copy, field, tile=TILE, halo=HALO, multiple=MULTIPLE, n_threads=threads
        )
        for threads in thread_counts()
    }
    contenders |= {"NumPy, same tiles and weights": partial(sliced, field), "one copy of the field": field.copy}
    n_tiles = len(tiling.plan(field.shape[1:], TILE, HALO, MULTIPLE))
    run = race(f"cut {CHANNELS} x {side}² into {n_tiles} tiles, copy each, and join them", contenders)
    show(run, lambda peer: difference(run, peer))
    yield run


def sliced(field: np.ndarray) -> np.ndarray:
    layout = tiling.plan(field.shape[1:], TILE, HALO, MULTIPLE)
    beyond = [(0, padded - n) for padded, n in zip(layout.padded, layout.shape, strict=True)]
    padded = np.pad(field, [(0, 0), *beyond], mode="symmetric")
    canvas = np.zeros_like(padded)
    for (y, x), (window_y, window_x) in zip(layout.origins(), layout.windows(), strict=True):
        there = (slice(None), slice(y, y + layout.tile[0]), slice(x, x + layout.tile[1]))
        canvas[there] += padded[there].copy() * (window_y[:, None] * window_x)
    return canvas[:, : layout.shape[0], : layout.shape[1]]


def scans(side: int) -> Iterator[tuple[str, Scene, semrt.SparseScan]]:
    scene = simulated(1, side)[0]
    for name, pattern in PATTERNS.items():
        yield name, scene, semrt.SparseScan(scene.recorded, scan.generate(pattern, (side, side), COVERAGE).visited)


def thread_counts() -> tuple[int, ...]:
    return (1,) if kernels.thread_count() == 1 else (1, kernels.thread_count())


def cores(threads: int) -> str:
    return "1 core" if threads == 1 else f"{threads} cores"


def closeness(run: Race, name: str, scene: Scene) -> str:
    result = run.results[name]
    if isinstance(result, kernels.Variogram):
        return ""
    return f"PSNR {psnr(result[0] if isinstance(result, tuple) else result, scene.truth):.2f} dB"


def difference(run: Race, name: str) -> str:
    """How far a peer's result is from the first contender's, which should be all rounding."""
    ours, theirs = (np.asarray(run.results[one]) for one in (next(iter(run.results)), name))
    return "" if theirs is ours else f"differs by {np.abs(ours - theirs).max():.1e} at most"


main = command(__doc__, rasterise, fill, distance, kriging, paths, tiles)

if __name__ == "__main__":
    main()
