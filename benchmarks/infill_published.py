"""What do the parts of the published network for partial scans bring, and how does it compare with `infill`?

    python benchmarks/infill_published.py                     # two minutes each, an eighth as wide as published
    python benchmarks/infill_published.py --minutes 30 --width 0.25 --images train --test-images test
    python benchmarks/infill_published.py --published --steps 1000000 --images train --device cuda    # as published

Every variant is trained on the same scans along a published path, exported, and run by `semrt.infer` on the same
test scans, of images that training never draws. Errors are root mean squares against the blurred truth (5×5, σ 2.5 px)
in percent of images from 0 to 1, of all pixels, measured ones included; `blurred` is that of the result once blurred
alike, which is what counts where an opponent asks for noise. GMAC: multiplications for 512 × 512 px.

The published errors, of 20,000 real scans of 512 × 512 px after 10⁶ steps: 2.66 % at a nominal distance of 16 px.
Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0; there a "3.8 %" is of images from -1 to 1, and √2 times that.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded, as `semrt train` does

import click
import numpy as np
import torch
from environment import describe_machine
from torch.utils.flop_counter import FlopCounterMode

import semrt
from semrt.errors import SemrtError
from semrt.kernels import natural_neighbour
from semrt.models import Manifest
from semrt.tasks.exposure import sample_values
from semrt.tasks.kriging import SMOOTHING
from semrt.tasks.published_infill import INPUT_CHANNELS, PublishedInfill, normalisation
from semrt_export import recipes
from semrt_export.data.published_scans import PATTERNS, procedural
from semrt_export.data.real_images import centre_crop, denoised, find_images, read_grey
from semrt_export.publish import publish
from semrt_export.schedule import Budget
from semrt_export.train import make_pool, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from semrt.data import Micrograph, SparseScan

PLAIN, ADVERSARIAL = "infill-published", "infill-published-adversarial"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "as published": (PLAIN, {}),
    "path not told": (PLAIN, {"sees": "scan"}),
    "filled, path not told": (PLAIN, {"sees": "filled-scan"}),
    "without clipping": (PLAIN, {"clipping": False}),
    "without trainer": (PLAIN, {"trainer": False}),
    "without hard examples": (PLAIN, {"hard_examples": False}),
    "pixels weighted": (PLAIN, {"running_weights": True}),
    "adversarial": (ADVERSARIAL, {}),
}
TEST_SEED = 10**7  # neither of the training nor of what it measures itself on
HEAD = f"{'':<24}{'RMSE %':>8}{'median':>8}{'blurred':>9}{'M par.':>9}{'GMAC':>8}{'min':>7}{'steps':>8}{'s':>8}"


def test_scans(recipe: Any, images: tuple[Path, ...], draws: int) -> list[tuple[SparseScan, NDArray[np.float32]]]:
    """Scans along the path of a recipe, each with its blurred truth."""
    recorded = [procedural(np.random.default_rng((TEST_SEED, number)), recipe.side) for number in range(draws)]
    recorded += [centre_crop(read_grey(path), recipe.side) for path in images]
    maker = recipe.sample_maker()
    return [
        (maker.scanner(image, np.random.default_rng((TEST_SEED, 1, number))), denoised(image))
        for number, image in enumerate(recorded)
    ]


def measured(
    solve: Callable[[SparseScan], NDArray[np.float32]], scans: list[tuple[SparseScan, NDArray[np.float32]]]
) -> dict[str, float]:
    """Errors [%] of what `solve` makes of the scans, and the median of the seconds it takes for one."""
    squares, after_blur, seconds = [], [], []
    for scan, truth in scans:
        started = time.perf_counter()
        estimate = solve(scan)
        seconds.append(time.perf_counter() - started)
        squares.append(float(np.mean((estimate - truth) ** 2)))
        after_blur.append(float(np.mean((denoised(estimate) - truth) ** 2)))
    return {
        "rmse": 100 * float(np.sqrt(np.mean(squares))),
        "median": 100 * float(np.median(np.sqrt(squares))),
        "blurred": 100 * float(np.sqrt(np.mean(after_blur))),
        "seconds": float(np.median(seconds)),
    }


def of_model(model: str | Path, threads: int | None) -> Callable[[SparseScan], NDArray[np.float32]]:
    """A model or solver as `semrt infer --denoise` runs it."""

    def solve(scan: SparseScan) -> NDArray[np.float32]:
        found: Micrograph = semrt.infer(model, scan, device="cpu", threads=threads, denoise=True, fallback="none")
        return found.intensity

    return solve


def nearest_sample(scan: SparseScan) -> NDArray[np.float32]:
    """The nearest visited pixel's intensity at full exposure."""
    mean, scale = normalisation(scan)
    return PublishedInfill().prepare(scan)[INPUT_CHANNELS.index("nearest")] * np.float32(scale) + np.float32(mean)


def smooth_neighbours(scan: SparseScan) -> NDArray[np.float32]:
    """Natural neighbours, then a Gaussian."""
    return natural_neighbour(sample_values(scan), scan.visited, smooth=SMOOTHING)


def size_of(recipe: Any) -> dict[str, float]:
    """Millions of parameters, and 10⁹ multiplications for 512 × 512 px."""
    with torch.device("meta"), torch.no_grad():
        network = recipe.network().eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, len(recipe.input_channels), 512, 512))
    parameters = sum(weight.numel() for weight in network.parameters())
    return {"parameters": parameters / 1e6, "gmac": counter.get_total_flops() / 2e9}


def trained(recipe: Any, folder: Path, pool: Path, how: dict[str, Any]) -> dict[str, float]:
    """Train a recipe on the samples of a pool and export it to folder / "model"; returns minutes and steps."""
    run = folder / "run"
    run.mkdir(parents=True)
    (run / "pool").symlink_to(pool)
    train(recipe, run, workers=0, evaluate_every=np.inf, report=_aside, **how)
    publish(run, folder / "model", images_credit="not told", threads=how["threads"] or 0, report=_aside)
    (last,) = Manifest.read(folder / "model").training["curve"][-1:]
    return {"minutes": last["minutes"], "steps": last["steps"]}


def line(name: str, figures: dict[str, float]) -> str:
    numbers = f"{figures['rmse']:8.2f}{figures['median']:8.2f}{figures['blurred']:9.2f}"
    numbers += f"{figures['parameters']:9.2f}{figures['gmac']:8.2f}" if "gmac" in figures else f"{'-':>9}{'-':>8}"
    numbers += f"{figures['minutes']:7.1f}{figures['steps']:8.0f}" if "steps" in figures else f"{'-':>7}{'-':>8}"
    return f"{name:<24}{numbers}{figures['seconds']:8.3f}"


def _aside(text: str) -> None:
    click.echo(f"  {text}", err=True)


@click.command(help=__doc__)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=2, show_default=True, help="each")
@click.option("--steps", type=click.IntRange(min=1), help="each, instead of minutes")
@click.option("--variant", "names", multiple=True, type=click.Choice(list(VARIANTS)), help="only this; repeatable")
@click.option("--width", type=click.FloatRange(min=1 / 32), help="times the published  [default: 0.125]")
@click.option("--pattern", type=click.Choice(PATTERNS), default=PATTERNS[0], show_default=True)
@click.option("--nominal", type=click.FloatRange(min=2), default=16, show_default=True, help="distance of arms [px]")
@click.option("--blurred", is_flag=True, help="a probe wider than a pixel, and noise where exposure is partial")
@click.option("--published", is_flag=True, help="width, side, samples and schedule as published")
@click.option("--samples", type=click.IntRange(min=1), help="to train on  [default: 500, 161,069 as published]")
@click.option("--images", type=click.Path(exists=True, file_okay=False), help="folder of real ones to train on")
@click.option("--test-images", type=click.Path(exists=True, file_okay=False), help="folder of others, to test on")
@click.option("--draws", type=click.IntRange(min=1), default=24, show_default=True, help="procedural ones to test on")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="that trains")
@click.option("--threads", type=click.IntRange(min=1), help="of trainer and runtime; one for each core by default")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="keep runs and models there")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
def main(
    minutes: float,
    steps: int | None,
    names: tuple[str, ...],
    width: float | None,
    pattern: str,
    nominal: float,
    blurred: bool,
    published: bool,
    samples: int | None,
    images: str | None,
    test_images: str | None,
    draws: int,
    device: str,
    threads: int | None,
    out: Path | None,
    json_path: Path | None,
) -> None:
    """Print a table: methods without a network, `infill`, then the variants."""
    machine = describe_machine()
    click.echo(json.dumps(machine))
    how = {"budget": Budget(steps, None if steps else 60 * minutes), "device": device, "threads": threads}
    common = {"pattern": pattern, "nominal": float(nominal), "blurred": blurred, "images": (images,) if images else ()}
    common |= ({"width": width} if width else {}) | ({"pool_size": samples} if samples else {})
    asked = {}
    for name in names or VARIANTS:
        kind, options = VARIANTS[name]
        as_published = type(recipes.recipe(kind, {})).published() if published else {}
        asked[name] = recipes.recipe(kind, {"pool_size": 500, **as_published, **common, **options})
    first = next(iter(asked.values()))
    scans = test_scans(first, find_images((test_images,)) if test_images else (), draws)
    results = {}
    click.echo(f"\n{HEAD}")
    methods = {
        "nearest sample": nearest_sample,
        "natural neighbours": smooth_neighbours,
        "kriging": of_model("kriging", threads),
        "infill": of_model("infill", threads),
    }
    for name, solve in methods.items():
        results[name] = measured(solve, scans) | (size_of(recipes.recipe("infill", {})) if name == "infill" else {})
        click.echo(line(name, results[name]))
    with nullcontext(out) if out else tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        make_pool(first, folder / "samples", count=first.pool_size, workers=1, report=_aside)
        for number, (name, recipe) in enumerate(asked.items()):
            try:
                training = trained(recipe, folder / f"{number}", folder / "samples" / "pool", how)
            except SemrtError as error:  # such as one that has learnt nothing in so short a time
                click.echo(f"{name:<24} {error}")
                continue
            solve = of_model(folder / f"{number}" / "model", threads)
            results[name] = measured(solve, scans) | size_of(recipe) | training
            click.echo(line(name, results[name]))
    if json_path:
        json_path.write_text(json.dumps({"machine": machine, "figures": results}))


if __name__ == "__main__":
    main()
