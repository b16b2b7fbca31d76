"""How well do the published networks for layers learn here, beside what was published and beside a Markov field?

    python benchmarks/layer_networks.py                      # two minutes each, as narrow as the recipes have them
    python benchmarks/layer_networks.py --minutes 30 --width 16
    python benchmarks/layer_networks.py --published --steps 88125 --device cuda     # as published

Every network is trained on the same structures, exported, and run by `semrt.infer` on the same test stacks: Perlin
layers that training never draws, 128 px, 31 energies, 2 % of noise, variant `repo`. Means over the stacks, of voxels
of 10 nm: IoU and recall of the three classes, share of the voxels that are right, IoU of gold and aluminium; mean
absolute errors of the thickness [nm]. Networks of voxels know thickness in steps of 10 nm alone.

The published figures, of other stacks of the kind: github.com/p0l0satik/DL-Microtomography.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded, as `semrt train` does

import click
import numpy as np
from environment import describe_machine

import semrt
from semrt.data import EnergyStack
from semrt.errors import SemrtError
from semrt.models import Manifest
from semrt_export import recipes
from semrt_export.data.published_layers import layer_scores, perlin_layers
from semrt_export.publish import publish
from semrt_export.run_folder import RunFolder
from semrt_export.schedule import Budget
from semrt_export.train import make_pool, train

if TYPE_CHECKING:
    from semrt.simulate.layers import LayerSample

NETWORKS = ("layers-3conv", "layers-unet-2d", "layers-stacked", "layers-unet-3d", "layers-hybrid")
PUBLISHED = {  # mIOU, recall, accuracy
    "numerical": (0.617, 0.642, 0.876),
    "layers-3conv": (0.633, 0.676, 0.890),
    "layers-unet-2d": (0.953, 0.957, 0.995),
    "layers-stacked": (0.909, 0.942, 0.978),
    "layers-unet-3d": (0.620, 0.874, 0.949),
    "layers-hybrid": (0.938, 0.982, 0.981),
}
SOLVERS = {"layers": "", "layers-tikhonov": "numerical"}  # and what was published of the kind
SIDE = 128  # px
COLUMNS = {
    "miou": ("mIOU", 7, 3),
    "recall": ("recall", 8, 3),
    "accuracy": ("accuracy", 10, 3),
    "iou_gold": ("IoU Au", 8, 3),
    "iou_aluminium": ("IoU Al", 8, 3),
    "mae_gold_nm": ("MAE Au", 8, 2),
    "mae_aluminium_nm": ("MAE Al", 8, 2),
}


def measured(model: str | Path, stacks: list[LayerSample], threads: int | None) -> dict[str, float]:
    """Mean scores of a model over the stacks, and the median of the seconds it takes for one."""
    rows, seconds = [], []
    for sample in stacks:
        stack = EnergyStack(sample.intensity, sample.energies)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is left unexplained, the scores tell better
            result = semrt.infer(model, stack, device="cpu", threads=threads, fallback="none")
        seconds.append(time.perf_counter() - started)
        rows.append(layer_scores(result.thickness, sample.thickness))
    return {name: float(np.mean([row[name] for row in rows])) for name in COLUMNS} | {
        "seconds": float(np.median(seconds))
    }


def trained(name: str, options: dict[str, Any], folder: Path, pool: Path, how: dict[str, Any]) -> Path:
    """Train one of NETWORKS on the samples of a pool, and export it; returns the folder of the model."""
    run = folder / name / "run"
    run.mkdir(parents=True)
    (run / "pool").symlink_to(pool)
    train(recipes.recipe(name, options), run, workers=0, evaluate_every=np.inf, report=_aside, **how)
    publish(run, folder / name / "model", threads=how["threads"] or 0, report=_aside)
    return folder / name / "model"


def training_of(model: Path) -> dict[str, float]:
    """Parameters in millions, minutes and steps, as the manifest has them."""
    training = Manifest.read(model).training
    (last,) = training["curve"][-1:]
    return {"parameters": training["parameters"] / 1e6, "minutes": last["minutes"], "steps": last["steps"]}


def line(name: str, figures: dict[str, float]) -> str:
    scores = "".join(f"{figures[key]:{width}.{digits}f}" for key, (_, width, digits) in COLUMNS.items())
    known = PUBLISHED.get(SOLVERS.get(name, name))
    published = " / ".join(f"{value:.3f}" for value in known) if known else "-"
    if "steps" not in figures:
        return f"{name:<16}{scores}{'-':>8}{'-':>7}{'-':>8}{figures['seconds']:8.2f}   {published}"
    training = f"{figures['parameters']:8.2f}{figures['minutes']:7.1f}{figures['steps']:8.0f}"
    return f"{name:<16}{scores}{training}{figures['seconds']:8.2f}   {published}"


HEAD = (
    f"{'':<16}{''.join(f'{title:>{width}}' for title, width, _ in COLUMNS.values())}"
    f"{'M par.':>8}{'min':>7}{'steps':>8}{'s':>8}   published mIOU / recall / accuracy"
)


def _aside(text: str) -> None:
    click.echo(f"  {text}", err=True)


@click.command(help=__doc__)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=2, show_default=True, help="each")
@click.option("--steps", type=click.IntRange(min=1), help="each, instead of minutes")
@click.option("--network", "names", multiple=True, type=click.Choice(NETWORKS), help="only this one; repeatable")
@click.option("--width", type=click.IntRange(min=1), help="of all networks, but a multiple of 32 of the hybrid")
@click.option("--published", is_flag=True, help="widths, samples, dropout and schedule as published")
@click.option("--samples", type=click.IntRange(min=1), help="to train on  [default: 1000, 9400 as published]")
@click.option("--stacks", type=click.IntRange(min=1), default=20, show_default=True, help="to test on")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="that trains")
@click.option("--threads", type=click.IntRange(min=1), help="of trainer and runtime; one for each core by default")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="keep runs and models there")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
def main(
    minutes: float,
    steps: int | None,
    names: tuple[str, ...],
    width: int | None,
    published: bool,
    samples: int | None,
    stacks: int,
    device: str,
    threads: int | None,
    out: Path | None,
    json_path: Path | None,
) -> None:
    """Print a table: solvers, then networks."""
    machine = describe_machine()
    click.echo(json.dumps(machine))
    tested = [perlin_layers("test", number, SIDE, "repo") for number in range(stacks)]
    how = {"budget": Budget(steps, None if steps else 60 * minutes), "device": device, "threads": threads}
    results = {}
    click.echo(f"\n{HEAD}")
    for name in SOLVERS:
        results[name] = measured(name, tested, threads)
        click.echo(line(name, results[name]))
    with nullcontext(out) if out else tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        asked = {name: _options(name, width, published) for name in names or NETWORKS}
        maker = recipes.recipe(*next(iter(asked.items())))
        make_pool(maker, folder / "samples", count=samples or (9400 if published else 1000), workers=1, report=_aside)
        for name, options in asked.items():
            try:
                model = trained(name, options, folder, folder / "samples" / "pool", how)
            except SemrtError as error:  # such as one that has learnt nothing in so short a time
                click.echo(f"{name:<16} {error}")
                continue
            scores = RunFolder(folder / name / "run").rows("held_out")[-1]
            results[name] = measured(model, tested, threads) | training_of(model) | {"validation": scores["score"]}
            click.echo(line(name, results[name]))
    if json_path:
        json_path.write_text(json.dumps({"machine": machine, "published": PUBLISHED, "figures": results}))


def _options(name: str, width: int | None, published: bool) -> dict[str, Any]:
    kind = type(recipes.recipe(name, {}))
    options = kind.published() if published else {}
    if width is not None:
        options["width"] = -(-width // 32) * 32 if name == "layers-hybrid" else width
    return options


if __name__ == "__main__":
    main()
