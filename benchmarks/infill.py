"""How close does each method come to the micrograph that a sparse scan was taken from?

    python benchmarks/infill.py                        # simulated micrographs that training never drew
    python benchmarks/infill.py --images FOLDER        # micrographs of your own
    python benchmarks/infill.py --quick                # without the slow peers

PSNR [dB] and SSIM, intensities in [0, 1], against the micrograph blurred by a 5x5 Gaussian of sigma 2.5 px, because the
raw one is noisy and no truth (Ede 2020, doi:10.1038/s41598-020-65261-0). Simulated ones are known without noise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from environment import describe_machine
from scipy.interpolate import griddata

import semrt
from semrt import scan
from semrt.kernels import natural_neighbour
from semrt.metrics import blur_5x5, psnr, ssim
from semrt.simulate import detector, micrographs

PATTERNS = {"spiral": "archimedean", "jittered grid": "jittered-grid", "random": "random", "line hop": "line-hop"}
COVERAGES = (10, 20, 40, 100)
HELD_OUT_SEED = 20_261_121
SLOW = ("Telea", "Navier-Stokes", "linear")
CLASSICAL = ("NN + Gauss", "kriging")


@dataclass(frozen=True, eq=False)
class Scene:
    """What was recorded, (ny, nx), and what a perfect method would give."""

    name: str
    recorded: np.ndarray
    truth: np.ndarray


def simulated(count: int, side: int) -> list[Scene]:
    scenes = []
    for number in range(count):
        rng = np.random.default_rng((HELD_OUT_SEED, number))
        clean = micrographs.draw(rng, (side, side))
        scenes.append(Scene(f"simulated {number}", detector.random_noise(clean, rng), clean))
    return scenes


def recorded(folder: Path, side: int) -> list[Scene]:
    """The middle of each micrograph of a folder, at full and at half resolution where it is large enough."""
    scenes = []
    for path in sorted(folder.iterdir()):
        measured = semrt.read(path)
        if not isinstance(measured, semrt.Micrograph):
            continue
        image = measured.intensity
        low, high = np.quantile(image, (0.001, 0.999))
        image = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
        for factor in (1, 2):
            extent = side * factor
            if min(image.shape) < extent:
                continue
            y0, x0 = ((length - extent) // 2 for length in image.shape)
            piece = cv2.resize(image[y0 : y0 + extent, x0 : x0 + extent], (side, side), interpolation=cv2.INTER_AREA)
            scenes.append(Scene(f"{path.stem}{'' if factor == 1 else ' (1/2)'}", piece, blur_5x5(piece)))
    return scenes


def inpainted(sparse: semrt.SparseScan, method: int) -> np.ndarray:
    grey = np.clip(np.rint(sparse.intensity * 255), 0, 255).astype(np.uint8)
    return cv2.inpaint(grey, (~sparse.visited).astype(np.uint8), 3, method).astype(np.float32) / 255


def linear(sparse: semrt.SparseScan) -> np.ndarray:
    points, values = np.argwhere(sparse.visited), sparse.intensity[sparse.visited]
    everywhere = np.indices(sparse.shape).reshape(2, -1).T
    filled = griddata(points, values, everywhere, method="linear").reshape(sparse.shape)
    outside_hull = np.isnan(filled)
    return np.where(outside_hull, natural_neighbour(sparse.intensity, sparse.visited), filled).astype(np.float32)


METHODS = {
    "Telea": lambda sparse: inpainted(sparse, cv2.INPAINT_TELEA),
    "Navier-Stokes": lambda sparse: inpainted(sparse, cv2.INPAINT_NS),
    "linear": linear,
    "NN + Gauss": lambda sparse: natural_neighbour(sparse.intensity, sparse.visited, smooth=2.5),
    "kriging": lambda sparse: semrt.infer("kriging", sparse, denoise=True).intensity,
}


@click.command(help=__doc__)
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), help="folder of micrographs")
@click.option("--model", default="infill", show_default=True, help="shipped name or folder of the network")
@click.option("--count", default=8, show_default=True, help="simulated micrographs")
@click.option("--side", default=512, show_default=True, help="of each image [px]")
@click.option("--quick", is_flag=True, help="leave out the slow peers: " + ", ".join(SLOW))
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
def main(images: Path | None, model: str, count: int, side: int, quick: bool, json_path: Path | None) -> None:
    """Print one table for each pattern, and the network's margin over the better classical method."""
    machine = describe_machine()
    click.echo(json.dumps(machine))
    scenes = recorded(images, side) if images else simulated(count, side)
    methods = {name: method for name, method in METHODS.items() if not (quick and name in SLOW)}
    network = f"{model} (network)"
    methods[network] = lambda sparse: semrt.infer(model, sparse, denoise=True, fallback="none").intensity
    figures: dict[str, list[dict[str, object]]] = {}
    for title, pattern in PATTERNS.items():
        click.echo(f"\n{title}: median PSNR [dB] / SSIM over {len(scenes)} images")
        click.echo(
            "coverage  " + "".join(f"{name:>19}" for name in methods) + "   network - best classical: median  least"
        )
        for inverse in COVERAGES:
            rows = [measure(scene, number, pattern, inverse, methods) for number, scene in enumerate(scenes)]
            figures[f"{pattern} 1/{inverse}"] = rows
            margins = [row[network][0] - max(row[name][0] for name in CLASSICAL) for row in rows]
            medians = {name: np.median([row[name] for row in rows], axis=0) for name in methods}
            cells = "".join(f"{f'{medians[name][0]:.2f} / {medians[name][1]:.3f}':>19}" for name in methods)
            worst = scenes[int(np.argmin(margins))].name
            click.echo(f"1/{inverse:<8}{cells}{np.median(margins):>+34.2f} {min(margins):>+6.2f} ({worst})")
    if json_path:
        json_path.write_text(json.dumps({"machine": machine, "scenes": [s.name for s in scenes], "figures": figures}))


def measure(scene: Scene, number: int, pattern: str, inverse: int, methods: dict) -> dict[str, tuple[float, float]]:
    visited = scan.generate(pattern, scene.truth.shape, 1 / inverse, seed=number).visited
    sparse = semrt.SparseScan(scene.recorded, visited)
    results = {name: method(sparse) for name, method in methods.items()}
    return {name: (psnr(image, scene.truth), ssim(image, scene.truth)) for name, image in results.items()}


if __name__ == "__main__":
    main()
