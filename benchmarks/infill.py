"""How close does each method come to the micrograph that a sparse scan was taken from?

    python benchmarks/infill.py                        # simulated micrographs that training never drew
    python benchmarks/infill.py --images FOLDER        # micrographs of your own
    python benchmarks/infill.py --quick                # without the slow peers
    python benchmarks/infill.py --published FOLDER     # the published noisy scans, and spirals over their micrographs

PSNR [dB] and SSIM, intensities in [0, 1], against the micrograph blurred by a 5x5 Gaussian of sigma 2.5 px, because the
raw one is noisy and no truth (Ede 2020, doi:10.1038/s41598-020-65261-0). Simulated ones are known without noise.
The blur takes what is finer than itself from the truth, so each image is judged at its unvisited pixels as well, as
they were recorded: their noise is in no sample, so that all methods lose alike by it. Beside them, the share of
unvisited pixels whose errors the stated 90 % intervals hold.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from environment import describe_machine
from scipy.interpolate import griddata

import semrt
from semrt import scan
from semrt.kernels import natural_neighbour
from semrt.metrics import blur_5x5, coverage_of_intervals, psnr, rmse, ssim
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


def without_error(method):
    return lambda sparse: semrt.Micrograph(method(sparse))


METHODS = {
    "Telea": without_error(lambda sparse: inpainted(sparse, cv2.INPAINT_TELEA)),
    "Navier-Stokes": without_error(lambda sparse: inpainted(sparse, cv2.INPAINT_NS)),
    "linear": without_error(linear),
    "NN + Gauss": lambda sparse: semrt.infer("natural-neighbours", sparse, denoise=True),
    "kriging": lambda sparse: semrt.infer("kriging", sparse, denoise=True),
    "wiener": lambda sparse: semrt.infer("wiener", sparse, denoise=True),
}


def network_method(model: str):
    def run(sparse: semrt.SparseScan) -> semrt.Micrograph:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "unlike the training")
            return semrt.infer(model, sparse, denoise=True, fallback="none")

    return run


@dataclass(frozen=True)
class Score:
    """Of one method on one scan: against the truth, and [dB] against the unvisited pixels as recorded.

    held: the share of unvisited pixels in 90 % intervals, where it states its error.
    """

    psnr: float
    ssim: float
    recorded: float
    held: float


@click.command(help=__doc__)
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), help="folder of micrographs")
@click.option("--model", default="infill", show_default=True, help="shipped name or folder of the network")
@click.option("--count", default=8, show_default=True, help="simulated micrographs")
@click.option("--side", default=512, show_default=True, help="of each image [px]")
@click.option("--quick", is_flag=True, help="leave out the slow peers: " + ", ".join(SLOW))
@click.option(
    "--published",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="folder of the published scans: NAME-partial-N.tif, NAME-truth-N.tif, NAME-mask.tif; runs these alone",
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
def main(
    images: Path | None,
    model: str,
    count: int,
    side: int,
    quick: bool,
    published: Path | None,
    json_path: Path | None,
) -> None:
    """Print one table for each pattern, and the network's margin over the better classical method."""
    machine = describe_machine()
    click.echo(json.dumps(machine))
    methods = {name: method for name, method in METHODS.items() if not (quick and name in SLOW)}
    network = f"{Path(model).name} (network)"
    methods[network] = network_method(model)
    if published is not None:
        published_tables(published, {name: methods[name] for name in (*CLASSICAL, "wiener", network)})
        return
    scenes = recorded(images, side) if images else simulated(count, side)
    figures: dict[str, list[dict[str, Score]]] = {}
    for title, pattern in PATTERNS.items():
        click.echo(f"\n{title}: median PSNR [dB] / SSIM over {len(scenes)} images")
        click.echo("coverage  " + "".join(f"{name:>19}" for name in methods) + "   " + MARGINS)
        for inverse in COVERAGES:
            rows = [measure(scene, number, pattern, inverse, methods) for number, scene in enumerate(scenes)]
            figures[f"{pattern} 1/{inverse}"] = rows
            cells = (
                f"{np.median([row[name].psnr for row in rows]):.2f} / {np.median([row[name].ssim for row in rows]):.3f}"
                for name in methods
            )
            click.echo(f"1/{inverse:<8}" + "".join(f"{cell:>19}" for cell in cells) + margins(rows, network, scenes))
    by_image(figures, network, [scene.name for scene in scenes])
    intervals(figures, network, scenes)
    if json_path:
        plain = {
            cell: [{name: asdict(score) for name, score in row.items()} for row in rows]
            for cell, rows in figures.items()
        }
        json_path.write_text(json.dumps({"machine": machine, "scenes": [s.name for s in scenes], "figures": plain}))


MARGINS = (
    f"{'over kriging: median':<22}{'over the better: median':<25}{'least (on)':<33}{'SSIM lost':<21}over wiener: median"
)


def margins(rows: list[dict[str, Score]], network: str, scenes: list[Scene]) -> str:
    """The network's gain [dB] over kriging, over the better of CLASSICAL, where it is least, and over wiener."""
    over_kriging = [row[network].psnr - row["kriging"].psnr for row in rows]
    over_best = [row[network].psnr - max(row[name].psnr for name in CLASSICAL) for row in rows]
    over_wiener = [row[network].psnr - row["wiener"].psnr for row in rows]
    lost = [max(row[name].ssim for name in CLASSICAL) - row[network].ssim for row in rows]
    worst = scenes[int(np.argmin(over_best))].name[:22]
    return (
        f"{np.median(over_kriging):>+24.2f}{np.median(over_best):>+25.2f}{min(over_best):>+8.2f} {worst:<24}"
        f"{f'on {sum(loss > 0.001 for loss in lost)}, most {max(0.0, *lost):.3f}':<19}"
        f"{np.median(over_wiener):>+19.2f}"
    )


def by_image(figures: dict[str, list[dict[str, Score]]], network: str, names: list[str]) -> None:
    """Mean gains [dB] over all scans of an image, and in how many cells something is lost."""
    pairs = (("wiener", "kriging"), (network, "kriging"), (network, "wiener"))
    click.echo(
        "\nmean gains over all patterns and coverages [dB]; in brackets, against the unvisited pixels as recorded"
    )
    click.echo(f"{'':32}" + "".join(f"{f'{one} over {other}':>32}" for one, other in pairs))
    everything = [row for found in figures.values() for row in found]
    groups = {name: [found[number] for found in figures.values()] for number, name in enumerate(names)}
    for name, rows in (groups | {"all": everything}).items():
        cells = []
        for one, other in pairs:
            gain = np.mean([row[one].psnr - row[other].psnr for row in rows])
            recorded = np.mean([row[one].recorded - row[other].recorded for row in rows])
            cells.append(f"{gain:+.2f} ({recorded:+.2f})")
        click.echo(f"{name[:30]:32}" + "".join(f"{cell:>32}" for cell in cells))
    for method in ("wiener", network):
        rougher = sum(row[method].ssim < max(row[name].ssim for name in CLASSICAL) - 0.001 for row in everything)
        below, below_recorded = (
            sum(
                getattr(row[method], against) < max(getattr(row[name], against) for name in CLASSICAL) - 0.3
                for row in everything
            )
            for against in ("psnr", "recorded")
        )
        click.echo(
            f"{method}: more than 0.3 dB below the better of {' and '.join(CLASSICAL)} in {below} of {len(everything)}"
            f" cells ({below_recorded} as recorded), with less SSIM in {rougher}"
        )


def intervals(figures: dict[str, list[dict[str, Score]]], network: str, scenes: list[Scene]) -> None:
    """How many unvisited pixels lie within the 90 % intervals: of all scans, by image and by coverage."""
    click.echo("\nunvisited pixels within the stated 90 % intervals [%]")
    stating = ("kriging", "wiener", network)
    click.echo(f"{'':32}" + "".join(f"{method:>20}" for method in stating))
    rows = [
        (cell.split()[1], scene.name, row)
        for cell, found in figures.items()
        for scene, row in zip(scenes, found, strict=True)
    ]
    groups = {"all": rows}
    groups |= {name: [row for row in rows if row[0] == name] for name in dict.fromkeys(row[0] for row in rows)}
    groups |= {name: [row for row in rows if row[1] == name] for name in dict.fromkeys(row[1] for row in rows)}
    for name, chosen in groups.items():
        held = [100 * np.mean([row[method].held for _, _, row in chosen]) for method in stating]
        click.echo(f"{name[:30]:32}" + "".join(f"{share:>20.1f}" for share in held))


def measure(scene: Scene, number: int, pattern: str, inverse: int, methods: dict) -> dict[str, Score]:
    visited = scan.generate(pattern, scene.truth.shape, 1 / inverse, seed=number).visited
    sparse = semrt.SparseScan(scene.recorded, visited)
    return {name: score(method(sparse), scene, visited) for name, method in methods.items()}


def score(found: semrt.Micrograph, scene: Scene, visited: np.ndarray) -> Score:
    held = float("nan")
    if found.error is not None:
        parts = (image[~visited][None] for image in (found.intensity, found.error, scene.truth))
        held = coverage_of_intervals(*parts, level=0.9)
    recorded = psnr(found.intensity[~visited][None], scene.recorded[~visited][None])
    return Score(psnr(found.intensity, scene.truth), ssim(found.intensity, scene.truth), recorded, held)


NOMINAL = (16, 25, 36, 49, 64, 81, 100)  # of the published spirals: 1/17.9 to 1/87 of the pixels


def published_tables(folder: Path, methods: dict) -> None:
    """RMSE [%] of the range of the truth, against the blurred truth, as Ede & Beanland 2020 have it."""
    (mask_path,) = folder.glob("*-mask.tif")
    mask = semrt.read(mask_path).intensity
    name = mask_path.name.removesuffix("-mask.tif")
    truths = {path.stem: semrt.read(path).intensity for path in sorted(folder.glob(f"{name}-truth-*.tif"))}
    click.echo("\nnoisy blurred spirals as given; RMSE [%], one gain fitted to each image about its middle grey")
    click.echo(f"{'':24}" + "".join(f"{method:>20}" for method in methods))
    rows = []
    for title, truth in truths.items():
        partial = semrt.read(folder / f"{title.replace('truth', 'partial')}.tif").intensity
        sparse = semrt.SparseScan(partial, mask > 0, exposure=mask)
        wanted = 2 * blur_5x5(truth) - 1  # the published scans count from -1 to 1
        row = []
        for method in methods.values():
            found = method(sparse).intensity
            gain = float((found * wanted).sum() / (found * found).sum())
            row.append(50 * rmse(gain * found, wanted))
        rows.append(row)
        click.echo(f"{title:24}" + "".join(f"{value:>20.2f}" for value in row))
    click.echo(f"{'mean':24}" + "".join(f"{value:>20.2f}" for value in np.mean(rows, axis=0)))
    click.echo("\nbinary published spirals, nothing fitted; RMSE [%], mean")
    for nominal in NOMINAL:
        rows = []
        for truth in truths.values():
            visited = scan.generate("ede-spiral", truth.shape, nominal=float(nominal)).visited
            sparse = semrt.SparseScan(truth, visited)
            rows.append([100 * rmse(method(sparse).intensity, blur_5x5(truth)) for method in methods.values()])
        title = f"nominal 1/{nominal}, 1/{1 / visited.mean():.1f}"
        click.echo(f"{title:24}" + "".join(f"{value:>20.2f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
