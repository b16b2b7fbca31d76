"""How fast are the kernels, beside what a user would take instead?

    python benchmarks/kernels.py
    python benchmarks/kernels.py --side 1024

One core unless said otherwise. Medians of runs that alternate within one process; a ratio above 1 says that semrt is
faster.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import click
import cv2
import numpy as np
from environment import describe_machine
from scipy.interpolate import RBFInterpolator, griddata
from scipy.ndimage import distance_transform_edt

from semrt import kernels, scan, tiling
from semrt.simulate import micrographs

Work = Callable[[], object]


def compare(title: str, ours: Work, peers: dict[str, Work], runs: int) -> dict[str, float]:
    """Time all in turn, `runs` times over, and print medians [ms] and ratios."""
    seconds: dict[str, list[float]] = {name: [] for name in ("semrt", *peers)}
    for _ in range(runs):
        for name, work in {"semrt": ours, **peers}.items():
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: 1e3 * statistics.median(values) for name, values in seconds.items()}
    beside = ", ".join(f"{name} {medians[name]:.1f} ({medians[name] / medians['semrt']:.1f} x)" for name in peers)
    click.echo(f"{title:<34} {medians['semrt']:8.1f} ms   {beside}")
    return medians


def add_at(positions: np.ndarray, dwell: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    pixels = tuple(np.rint(positions).astype(int).T)
    exposed, signal = np.zeros(shape), np.zeros(shape)
    np.add.at(exposed, pixels, dwell)
    np.add.at(signal, pixels, dwell * values)
    return np.divide(signal, exposed, out=signal, where=exposed > 0)


def polylines(positions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    points = np.rint(positions[:, ::-1]).astype(np.int32).reshape(-1, 1, 2)
    return cv2.polylines(mask, [points], isClosed=False, color=1)


@click.command(help=__doc__)
@click.option("--side", default=512, show_default=True, help="Of the field [px].")
@click.option("--coverage", default=20, show_default=True, help="One pixel in so many is visited.")
@click.option("--runs", default=7, show_default=True)
def main(side: int, coverage: int, runs: int) -> None:
    """Print a line for each kernel."""
    click.echo(json.dumps(describe_machine()))
    cv2.setNumThreads(1)
    shape = (side, side)
    image = micrographs.draw(np.random.default_rng(1), shape, "grains")

    click.echo(f"\nscan paths, {side}², 1/{coverage}")
    for pattern in scan.PATTERNS:
        started = time.perf_counter()
        path = scan.generate(pattern, shape, 1 / coverage)
        milliseconds = 1e3 * (time.perf_counter() - started)
        click.echo(f"{pattern:<34} {milliseconds:8.1f} ms   {len(path.positions)} positions, 1/{1 / path.coverage:.2f}")

    for pattern in ("clv", "random"):
        path = scan.generate(pattern, shape, 1 / coverage)
        positions, visited = path.positions, path.visited
        dwell, values = np.ones(len(positions)), np.random.default_rng(0).random(len(positions))
        sparse = np.where(visited, image, np.float32(0))
        click.echo(f"\n{pattern}, {side}², 1/{coverage}")
        compare(
            "rasterise: dwell and mean",
            lambda p=positions, d=dwell, v=values: kernels.rasterise(
                p, shape, intensities=v, dwell_time=d, n_threads=1
            ),
            {
                "NumPy add.at": lambda p=positions, d=dwell, v=values: add_at(p, d, v, shape),
                "OpenCV polylines (mask alone)": lambda p=positions: polylines(p, shape),
            },
            runs,
        )
        unvisited = (~visited).astype(np.uint8)
        grey = (255 * sparse).astype(np.uint8)
        points, everywhere = np.argwhere(visited), np.indices(shape).reshape(2, -1).T
        compare(
            "distance to the nearest sample",
            lambda m=visited: kernels.distance_to_sample(m),
            {
                "SciPy": lambda m=visited: distance_transform_edt(~m),
                "OpenCV 5x5 (inexact)": lambda m=unvisited: cv2.distanceTransform(m, cv2.DIST_L2, 5),
            },
            runs,
        )
        compare(
            "natural neighbour + Gaussian",
            lambda s=sparse, m=visited: kernels.natural_neighbour(s, m, smooth=2.5, n_threads=1),
            {
                "SciPy griddata linear": lambda s=sparse, m=visited, p=points, e=everywhere: griddata(p, s[m], e),
                "griddata cubic": lambda s=sparse, m=visited, p=points, e=everywhere: griddata(p, s[m], e, "cubic"),
                "OpenCV Telea": lambda g=grey, u=unvisited: cv2.inpaint(g, u, 3, cv2.INPAINT_TELEA),
                "Navier-Stokes": lambda g=grey, u=unvisited: cv2.inpaint(g, u, 3, cv2.INPAINT_NS),
            },
            max(1, runs // 2),
        )
        variogram = kernels.fit_variogram(sparse, visited)
        compare("variogram", lambda s=sparse, m=visited: kernels.fit_variogram(s, m), {}, runs)
        compare(
            "kriging",
            lambda s=sparse, m=visited, v=variogram: kernels.krige(s, m, v, n_threads=1),
            {
                "kriging on all cores": lambda s=sparse, m=visited, v=variogram: kernels.krige(s, m, v),
                "SciPy RBF, 40 neighbours": lambda s=sparse, m=visited, p=points, e=everywhere: RBFInterpolator(
                    p, s[m], neighbors=40, kernel="linear"
                )(e),
            },
            max(1, runs // 4),
        )

    channels = np.random.default_rng(0).random((8, 2048, 2048), np.float32)
    click.echo("\ntiles")
    compare(
        "cut and join 8 x 2048² in 512²",
        lambda: tiling.run(lambda tiles: tiles[:, :1], channels, tile=512, halo=64, multiple=32, batch=4, n_threads=1),
        {"a plain copy": channels.copy},
        runs,
    )


if __name__ == "__main__":
    main()
