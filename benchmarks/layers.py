"""How well is the thickness of gold under aluminium found, where the microscope keeps to the model and where not?

    python benchmarks/layers.py                    # 20 stacks of 128² of each kind, some minutes
    python benchmarks/layers.py --quick            # 4 of each
    python benchmarks/layers.py --method mrf --kind "offset +0.01"

Stacks are simulated, of the test split, which training never draws. Scores are of voxels of 10 nm in three classes
(nothing, gold, aluminium), means over classes as DL-Microtomography has them: an absent class counts 1; accuracy is the
share of right voxels. Within 1 and 2 sigma: shares of the layers of pixels whose error the method's own sigma holds.

Beside them stand the report's published figures, of its own test set, drawn in the same manner; and the Cramér–Rao
bound: how well thickness can be known from a pixel alone.
"""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from environment import describe_machine

import semrt
from semrt.kernels.layers import LayerSmoothness
from semrt.metrics import iou, label_scores, thickness_mae
from semrt.physics.backscatter import ENERGIES, backscatter, backscatter_slopes
from semrt.simulate.layers import Recording, draw, split_seed
from semrt.tasks.layer_solvers import layer_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from semrt.simulate.layers import LayerSample

SIDE, NOISE = 128, 0.02
KINDS: dict[str, tuple[str, str, Recording]] = {  # name -> structure, variant, recording
    "repo": ("perlin", "repo", Recording()),
    "phys": ("perlin", "phys", Recording()),
    "strips": ("strips", "repo", Recording()),
    "strips, 0.5 %": ("strips", "repo", Recording(noise=0.005)),
    "offset +0.01": ("perlin", "repo", Recording(offset=0.01)),
    "gain 1 %": ("perlin", "repo", Recording(gain=0.01)),
    "blur 0.7 px": ("perlin", "repo", Recording(blur=0.7)),
    "drift 0.4 px": ("perlin", "repo", Recording(drift=0.4)),
    "all three, drift": ("perlin", "repo", Recording(offset=0.005, gain=0.01, blur=0.7, drift=0.4)),
    "phys, all three, drift": ("perlin", "phys", Recording(offset=0.005, gain=0.01, blur=0.7, drift=0.4)),
    "varied": ("varied", "repo", Recording()),
}
PUBLISHED = {  # mean IoU, recall, accuracy on the report's test set
    "numerical": (0.617, 0.642, 0.876),
    "3Conv": (0.633, 0.676, 0.890),
    "UNet-to-2d": (0.953, 0.957, 0.995),
    "stacked UNet": (0.909, 0.942, 0.978),
    "UNet-to-3d": (0.620, 0.874, 0.949),
    "hybrid UVNet": (0.938, 0.982, 0.981),
}
COLUMNS = {  # name -> width, digits; in the order of Score
    "mIoU": (7, 3),
    "recall": (8, 3),
    "acc.": (7, 3),
    "IoU Au": (8, 3),
    "IoU Al": (8, 3),
    "MAE Au": (8, 3),
    "MAE Al": (8, 2),
    "1 sigma": (9, 2),
    "2 sigma": (9, 2),
    "s": (8, 2),
}
HEAD = "".join(f"{name:>{width}}" for name, (width, _) in COLUMNS.items())


@dataclass(frozen=True)
class Score:
    """What a method made of a stack: voxels, nanometres, honesty, seconds."""

    miou: float
    recall: float
    accuracy: float
    iou_gold: float
    iou_aluminium: float
    mae_gold: float
    mae_aluminium: float
    within_one: float
    within_two: float
    seconds: float


def by_semrt(model: str, **options: Any) -> Callable[[LayerSample, str], Any]:
    def solve(sample: LayerSample, variant: str) -> Any:
        stack = semrt.EnergyStack(sample.intensity, sample.energies)
        return semrt.infer(model, stack, variant=variant, **options)

    return solve


def by_numpy_icm(sample: LayerSample, variant: str) -> Any:
    """What a script would do: costs of all labels in all pixels, and iterated conditional modes on a checkerboard."""
    table = layer_table(sample.energies, variant)
    signals = table.signals.reshape(len(sample.energies), -1)
    scale = 1 / (NOISE * signals)
    pixels = sample.intensity.reshape(len(sample.energies), -1)
    # chi² / 2 as a product of matrices: (measured / s - 1 / noise)².
    cost = (0.5 * (scale.T**2 @ pixels**2) - (scale.T / NOISE) @ pixels).T.astype(np.float32)
    shape = sample.intensity.shape[1:]
    label = cost.argmin(1).reshape(shape)
    lower, upper = np.divmod(np.arange(signals.shape[1]), len(table.upper))
    smooth = LayerSmoothness()
    steps = (np.abs(np.subtract.outer(values, values)) for values in (table.lower, table.upper))
    pair = [w * np.minimum(step, most) for w, step, most in zip(smooth.weight, steps, smooth.limit, strict=True)]
    pair_lower, pair_upper = (p.astype(np.float32) for p in pair)
    rows, columns = np.indices(shape)
    for _ in range(6):
        for colour in (0, 1):
            y, x = np.nonzero((rows + columns) % 2 == colour)
            total = cost[y * shape[1] + x]
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                beside = label[np.clip(y + dy, 0, shape[0] - 1), np.clip(x + dx, 0, shape[1] - 1)]
                both = pair_lower[lower[beside]][:, :, None] + pair_upper[upper[beside]][:, None, :]
                total = total + both.reshape(len(y), -1)
            label[y, x] = total.argmin(1)
    found = np.stack([table.lower[lower[label]], table.upper[upper[label]]])
    return semrt.LayerMap(found.astype(np.float32))


METHODS: dict[str, Callable[[LayerSample, str], Any]] = {
    "tikhonov": by_semrt("layers-tikhonov"),
    "ml": by_semrt("layers-ml"),
    "numpy icm": by_numpy_icm,
    "mrf, no calibration": by_semrt("layers", calibrate=False, sharpen=False),
    "mrf, taken for sharp": by_semrt("layers", sharpen=False),
    "mrf": by_semrt("layers"),
}


def scored(method: Callable[[LayerSample, str], Any], sample: LayerSample, variant: str) -> Score:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # notes on detectors
        found = method(sample, variant)
    seconds = time.perf_counter() - started
    truth = semrt.LayerMap(sample.thickness)
    labels, true = (of.voxels(total=160.0) for of in (found, truth))
    scores, by_class = label_scores(labels, true), iou(labels, true)
    within = [np.nan, np.nan]
    if found.sigma is not None:
        there = sample.thickness > 0
        off = np.abs(found.thickness - sample.thickness)
        within = [float((off <= many * found.sigma)[there].mean()) for many in (1, 2)]
    return Score(
        scores["miou"],
        scores["recall"],
        scores["accuracy"],
        *by_class[1:],
        *thickness_mae(found.thickness, sample.thickness),
        *within,
        seconds,
    )


def bound(variant: str) -> tuple[float, float]:
    """Median Cramér–Rao bounds [nm] of gold and aluminium over pixels that hold both, at 2 % of noise."""
    labels = np.stack(np.meshgrid(np.arange(1, 16.0), np.arange(10, 151.0, 10), indexing="ij")).reshape(2, -1)
    signal, slopes = backscatter(labels, ENERGIES, variant=variant), backscatter_slopes(labels, variant=variant)[1]
    relative = slopes / (NOISE * signal[:, None])
    fisher = np.einsum("eip,ejp->pij", relative, relative)
    known = np.linalg.cond(fisher) < 1e12
    deviations = np.sqrt(np.diagonal(np.linalg.inv(fisher[known]), axis1=1, axis2=2))
    gold, aluminium = np.median(deviations, axis=0).tolist()
    return gold, aluminium


def line(scores: list[Score]) -> str:
    values = np.array([list(vars(score).values()) for score in scores]).mean(0)
    pairs = zip(values, COLUMNS.values(), strict=True)
    return "".join(f"{value:>{width}.{digits}f}" for value, (width, digits) in pairs)


@click.command(help=__doc__)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(KINDS)), help="only this kind; repeatable")
@click.option("--method", "methods", multiple=True, type=click.Choice(list(METHODS)), help="only this; repeatable")
@click.option("--network", type=click.Path(path_type=Path), help="folder of a trained network, to compare too")
@click.option("--quick", is_flag=True, help="4 stacks of each kind instead of 20")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
def main(
    kinds: tuple[str, ...], methods: tuple[str, ...], network: Path | None, quick: bool, json_path: Path | None
) -> None:
    """Print a table for each kind of stack."""
    solve = {name: METHODS[name] for name in methods or METHODS}
    if network is not None:
        solve["network"] = by_semrt(str(network), device="cpu")
    machine = describe_machine()
    click.echo(json.dumps(machine))
    for variant in ("repo", "phys"):
        gold, aluminium = bound(variant)
        click.echo(f"Cramér–Rao bound of a pixel, {variant}, median: gold {gold:.2f} nm, aluminium {aluminium:.1f} nm")
    figures: dict[str, dict[str, list[dict[str, float]]]] = {}
    for kind in kinds or KINDS:
        structure, variant, recording = KINDS[kind]
        stacks = [
            draw(split_seed("test", number), (SIDE, SIDE), structure, recording=recording, variant=variant)
            for number in range(4 if quick else 20)
        ]
        click.echo(f"\n{kind}: {len(stacks)} stacks\n{'':<22}{HEAD}")
        for method in solve:
            some = stacks[:2] if method == "numpy icm" else stacks  # it takes its time
            scores = [scored(solve[method], stack, variant) for stack in some]
            figures.setdefault(kind, {})[method] = [vars(score) for score in scores]
            click.echo(f"{method:<22}{line(scores)}")
        if kind == "repo":
            for name, (miou, recall, accuracy) in PUBLISHED.items():
                click.echo(f"{'published ' + name:<24}{miou:.3f}{recall:>8.3f}{accuracy:>7.3f}")
    if json_path:
        json_path.write_text(json.dumps({"machine": machine, "figures": figures}))


if __name__ == "__main__":
    main()
