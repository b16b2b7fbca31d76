"""Does a completed scan look as if it had been recorded, and is its error alike everywhere?

    python benchmarks/infill_realism.py                        # simulated micrographs that training never drew
    python benchmarks/infill_realism.py --images FOLDER        # micrographs of your own
    python benchmarks/infill_realism.py --model FOLDER         # an infill-adversarial that you trained

For kriging, for `infill`, for the same with white noise of the samples' own level, which is what a network has to do
better than, and for the network; medians over images and patterns:
    spectrum   distance of the power spectrum to that of the recorded image [dB]; 0 is alike
    noise      its noise over that of the recorded image, between the samples [dB]; 0 is alike
    blurred    PSNR of the blurred completion to the blurred truth [dB]: what realism costs
    path       error far from the path over error beside it, both blurred: 1 has no structure of the path
    lumps      share of the error's power in lumps above 8 px: white noise has 0.05
What was measured stays measured, as in use.  Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0, found the errors of
adversarial completions less structured.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import click
import numpy as np
from environment import describe_machine
from infill import PATTERNS, Scene, recorded, simulated

import semrt
from semrt import scan
from semrt.kernels import distance_to_sample
from semrt.metrics import blur_5x5, noise_level, psnr, spectral_distance

COARSEST_LUMP = 1 / 8  # cycles a pixel
FIGURES = ("spectrum", "noise", "blurred", "path", "lumps")


def completions(sparse: semrt.SparseScan, adversarial: str, seed: int) -> dict[str, np.ndarray]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unlike the training")
        images = {name: semrt.infer(name, sparse).intensity for name in ("kriging", "infill")}
        images["infill-adversarial"] = semrt.infer(adversarial, sparse, seed=seed, fallback="none").intensity
    noise = np.sqrt(semrt.infer("kriging", sparse).provenance["details"]["variogram"]["nugget"])
    grain = noise * np.random.default_rng(seed).standard_normal(sparse.shape, np.float32)
    images["infill + noise"] = np.where(sparse.visited, sparse.intensity, images["infill"] + grain)
    return images


def figures(image: np.ndarray, scene: Scene, visited: np.ndarray) -> dict[str, float]:
    truth = blur_5x5(scene.recorded)
    error = blur_5x5(image) - truth
    distance = distance_to_sample(visited)
    far = distance > np.quantile(distance[~visited], 0.8)
    near = ~visited & (distance <= np.quantile(distance[~visited], 0.2))
    return {
        "spectrum": spectral_distance(image, scene.recorded),
        "noise": 20 * float(np.log10(max(noise_level(image), 1e-9) / max(noise_level(scene.recorded), 1e-9))),
        "blurred": psnr(blur_5x5(image), truth),
        "path": float(np.sqrt(np.mean(error[far] ** 2) / max(np.mean(error[near] ** 2), 1e-15))),
        "lumps": share_of_lumps(image - scene.recorded),
    }


def share_of_lumps(error: np.ndarray) -> float:
    ny, nx = error.shape
    power = np.abs(np.fft.fft2((error - error.mean()) * np.outer(np.hanning(ny), np.hanning(nx)))) ** 2
    coarse = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.fftfreq(nx)[None]) < COARSEST_LUMP
    return float(power[coarse].sum() / max(power.sum(), 1e-30))


@click.command(help=__doc__)
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), help="folder of micrographs")
@click.option("--model", default="infill-adversarial", show_default=True, help="shipped name or folder")
@click.option("--count", default=8, show_default=True, help="simulated micrographs")
@click.option("--side", default=512, show_default=True, help="of each image [px]")
def main(images: Path | None, model: str, count: int, side: int) -> None:
    """Print one table for each coverage."""
    click.echo(json.dumps(describe_machine()))
    scenes = recorded(images, side) if images else simulated(count, side)
    for inverse in (10, 20, 40):
        rows: dict[str, list[dict[str, float]]] = {}
        for number, scene in enumerate(scenes):
            for pattern in PATTERNS.values():
                visited = scan.generate(pattern, scene.recorded.shape, 1 / inverse, seed=number).visited
                made = completions(semrt.SparseScan(scene.recorded, visited), model, number)
                for name, image in made.items():
                    rows.setdefault(name, []).append(figures(image, scene, visited))
        click.echo(f"\n1/{inverse}: medians over {len(scenes)} images, {len(PATTERNS)} patterns")
        click.echo(f"{'':24}" + "".join(f"{name:>11}" for name in FIGURES))
        for name, found in rows.items():
            click.echo(f"{name:24}" + "".join(f"{np.median([row[key] for row in found]):>11.2f}" for key in FIGURES))


if __name__ == "__main__":
    main()
