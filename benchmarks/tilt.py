"""How fast are tilt series projected and reconstructed beside what a user would call instead, and how well?

    python benchmarks/tilt.py                  # a few minutes
    python benchmarks/tilt.py --quick          # slices of 256 × 256 px
    python benchmarks/tilt.py --part solve

project: a slice onto 61 tilts, ±60°, and back.  solve: reconstruction from them.  Beside each time stands how near the
truth the result is (for projections: how far from ours; the middle of skimage's is half a pixel off).
How near the truth each comes on the whole test set, benchmarks/wedge.py tells.
ASTRA takes part where it is installed (`pip install astra-toolbox`; GPL-3, and no dependency of semrt).
"""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # ASTRA takes all cores otherwise

import numpy as np
from parts import command
from skimage.transform import iradon, iradon_sart, radon
from stopwatch import Race, race, show

from semrt.metrics import psnr
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import sirt, tv, wbp
from semrt.simulate.tomograms import cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TILTS = np.arange(-60.0, 61, 2)
SIRT_ITERATIONS = 60
SWEEPS = 3  # of skimage's SART, which converges faster


def project(quick: bool) -> Iterator[Race]:
    for side in (256,) if quick else (256, 1024):
        truth, geometry = slice_of(side)
        series = geometry.project(truth[:, None])[:, 0]
        contenders: dict[str, Callable[[], Any]] = {
            "TiltGeometry.project": lambda g=geometry, t=truth: g.project(t[:, None], n_threads=1)[:, 0],
            "skimage radon": lambda t=truth: radon(t, -TILTS, circle=True).T,
        }
        contenders |= {f"ASTRA, {kind}": astra_projection(kind, truth) for kind in astra_kinds()}
        run = race(f"{side}² onto {len(TILTS)} tilts, 1 core", contenders)
        show(run, lambda name, run=run, s=series: f"{relative(run.results[name], s):.4f} from ours")
        yield run
        run = race(
            f"{len(TILTS)} tilts back to {side}², 1 core",
            {
                "TiltGeometry.back_project": partial(geometry.back_project, series[:, None], n_threads=1),
                "skimage iradon, no filter": partial(iradon, series.T, -TILTS, filter_name=None),
            },
        )
        show(run)
        yield run


def solve(quick: bool) -> Iterator[Race]:
    for side in (256,) if quick else (256, 512):
        truth, geometry = slice_of(side)
        clean = geometry.project(truth[:, None])
        peak = 1000 / clean.max()
        series = (np.random.default_rng(0).poisson(clean * peak) / peak).astype(np.float32)
        flat = series[:, 0]
        contenders: dict[str, Callable[[], Any]] = {
            f"sirt, {SIRT_ITERATIONS} iterations": lambda g=geometry, s=series: sirt(s, g, n_threads=1)[:, 0],
            "tv, 120 iterations": lambda g=geometry, s=series: tv(s, g, n_threads=1)[:, 0],
            "wbp, Hann": lambda g=geometry, s=series: wbp(s, g, n_threads=1)[:, 0],
            f"skimage iradon_sart, {SWEEPS} sweeps": partial(swept, flat),
            "skimage iradon, Hann": partial(iradon, flat.T, -TILTS, filter_name="hann"),
        }
        contenders |= {f"ASTRA SIRT, {kind}": astra_sirt(kind, flat) for kind in astra_kinds()}
        run = race(f"{len(TILTS)} tilts of {side}², 1000 counts, 1 core", contenders)
        show(run, lambda name, run=run, t=truth: f"PSNR {psnr(run.results[name], t, t.max()):.2f} dB")
        yield run


def slice_of(side: int) -> tuple[np.ndarray, TiltGeometry]:
    """Grains of the test set as if sampled more finely, and how they are tilted."""
    truth = cases()["particles-60-lo"].sample().truth[:, 0]
    truth = np.kron(truth, np.ones((side // 256, side // 256), np.float32))
    truth[np.hypot(*(np.indices(truth.shape) - side // 2)) > side // 2 - 1] = 0  # skimage wants it so
    return truth, TiltGeometry(TILTS, truth.shape)


def swept(series: np.ndarray) -> np.ndarray:
    image = None
    for _ in range(SWEEPS):
        image = iradon_sart(series.T.astype(float), -TILTS, image, clip=(0, np.inf))
    return image


def astra_kinds() -> tuple[str, ...]:
    return ("linear", "strip") if find_spec("astra") else ()


def astra_projection(kind: str, truth: np.ndarray) -> Callable[[], np.ndarray]:
    import astra

    projector = astra_projector(kind, truth.shape)

    def run() -> np.ndarray:
        data, series = astra.create_sino(truth, projector)
        astra.data2d.delete(data)
        return series

    return run


def astra_sirt(kind: str, series: np.ndarray) -> Callable[[], np.ndarray]:
    import astra

    projector = astra_projector(kind, (series.shape[1], series.shape[1]))

    def run() -> np.ndarray:
        sinogram = astra.data2d.create("-sino", astra.projector.projection_geometry(projector), series)
        volume = astra.data2d.create("-vol", astra.projector.volume_geometry(projector), 0)
        how = astra.astra_dict("SIRT") | {
            "ProjectorId": projector,
            "ProjectionDataId": sinogram,
            "ReconstructionDataId": volume,
            "option": {"MinConstraint": 0},
        }
        algorithm = astra.algorithm.create(how)
        astra.algorithm.run(algorithm, SIRT_ITERATIONS)
        found = astra.data2d.get(volume)
        astra.algorithm.delete(algorithm)
        astra.data2d.delete([sinogram, volume])
        return found

    return run


def astra_projector(kind: str, shape: tuple[int, int]) -> int:
    import astra

    beams = astra.create_proj_geom("parallel", 1.0, shape[1], -np.deg2rad(TILTS))  # its y points up
    return astra.create_projector(kind, beams, astra.create_vol_geom(*shape))


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


main = command(__doc__, project, solve)

if __name__ == "__main__":
    main()
