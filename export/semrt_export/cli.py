"""`semrt train`, `semrt export` and `semrt quantise`: parse, call, print."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from semrt.cli._values import Finite
from semrt_export.recipes import RECIPES

__all__ = ["export", "quantise", "train"]

_FOLDER = click.Path(path_type=Path, file_okay=False)
_IMAGES = click.Path(exists=True, file_okay=False, resolve_path=True)


@click.command()
@click.argument("model", type=click.Choice(sorted(RECIPES)))
@click.option("--out", required=True, type=_FOLDER, help="Folder of the run.")
@click.option("--max-seconds", type=Finite(min=0, min_open=True), help="End after this time, resumed runs included.")
@click.option("--max-steps", type=click.IntRange(min=1), help="End after this many steps, resumed runs included.")
@click.option("--images", multiple=True, type=_IMAGES, help="Folder of real micrographs to train on; may be repeated.")
@click.option("--held-out", multiple=True, type=_IMAGES, help="Folder of other real micrographs, to measure on.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="An option of the recipe; repeatable.")
@click.option("--make-pool", type=click.IntRange(min=1), metavar="N", help="Only make N training samples, for later.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="Of the trainer on a CPU.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=1, show_default=True, help="Processes that make samples."
)
@click.option("--evaluate-every", type=Finite(min=1), default=600, show_default=True, help="Seconds between.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with its options.")
@click.option(
    "--start-from", metavar="MODEL", help="Begin with the weights of this model: a shipped name, or a folder."
)
def train(
    model: str,
    out: Path,
    max_seconds: float | None,
    max_steps: int | None,
    images: tuple[str, ...],
    held_out: tuple[str, ...],
    pairs: tuple[str, ...],
    make_pool: int | None,
    device: str,
    threads: int | None,
    workers: int,
    evaluate_every: float,
    resume: bool,
    start_from: str | None,
) -> None:
    """Train a MODEL on simulated data, and on micrographs of your own."""
    # Threads that wait must sleep: by default those of OpenMP spin, and on cores that are shared, with the makers of
    # samples among others, a step then takes ten times as long. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from semrt.errors import InvalidOption
    from semrt.models import registry
    from semrt_export import recipes
    from semrt_export import train as training
    from semrt_export.run_folder import RunFolder
    from semrt_export.schedule import Budget

    asked: dict[str, Any] = _recipe_options(model, pairs)
    if images:
        asked["images"] = images
    if held_out:
        asked["held_out_images"] = held_out
    if resume and asked:
        raise InvalidOption("--resume goes on with the options of the run; leave --images, --held-out and --set away")
    if resume and start_from:
        raise InvalidOption("--resume goes on with the weights of the run; leave --start-from away")
    recipe = recipes.recipe(model, RunFolder(out).read_config()["recipe"] if resume else asked)
    if make_pool is not None:
        training.make_pool(recipe, out, count=make_pool, workers=max(1, workers), report=click.echo)
        return
    training.train(
        recipe,
        out,
        budget=Budget(max_steps, max_seconds),
        device=device,
        threads=threads,
        workers=workers,
        resume=resume,
        start_from=registry.find(start_from) if start_from else None,
        evaluate_every=evaluate_every,
        report=click.echo,
    )


def _recipe_options(model: str, pairs: tuple[str, ...]) -> dict[str, Any]:
    """Read NAME=VALUE pairs as options of a recipe, each of the kind of its default.  Raises InvalidOption."""
    from semrt.cli._values import settings_of
    from semrt.errors import InvalidOption
    from semrt_export import recipes

    settings = settings_of(pairs)
    defaults = recipes.recipe(model, {}).options() if settings else {}
    for name, value in settings.items():
        if name not in defaults:
            raise InvalidOption.unknown(f"option of the recipe {model}:", name, defaults)
        default = defaults[name]
        if isinstance(default, tuple) and not isinstance(value, tuple):
            settings[name] = value = (value,)
        elif isinstance(default, float) and type(value) is int:
            settings[name] = value = float(value)
        if type(value) is not type(default):
            raise InvalidOption(f"--set {name}: expected a value such as {default!r}, got {value!r}")
    return settings


@click.command()
@click.argument("model", type=click.Choice(sorted(RECIPES)))
@click.option("--run", "run_folder", required=True, type=_FOLDER, help="Folder of the training run.")
@click.option("-o", "--output", required=True, type=_FOLDER, help="Model folder to write.")
@click.option("--model-version", default="1", show_default=True, help="Version that the manifest states.")
@click.option("--images-credit", default="", help="Whose the real training images are, and their licence.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="Of ONNX Runtime; 0 lets it choose.")
@click.option("--int8", is_flag=True, help="Write a variant in int8 too; see semrt quantise.")
@click.option("--force", is_flag=True, help="Replace a model that does better.")
def export(
    model: str,
    run_folder: Path,
    output: Path,
    model_version: str,
    images_credit: str,
    threads: int,
    int8: bool,
    force: bool,
) -> None:
    """Export a trained MODEL: ONNX graphs compared with PyTorch, manifest, and a card with figures on held-out data."""
    from semrt.errors import InvalidOption
    from semrt_export.publish import publish
    from semrt_export.run_folder import RunFolder

    if (trained := RunFolder(run_folder).read_config()["name"]) != model:
        raise InvalidOption(f"{run_folder}: holds a run of {trained}, not of {model}")
    publish(
        run_folder,
        output,
        version=model_version,
        images_credit=images_credit,
        int8=int8,
        force=force,
        threads=threads,
        report=click.echo,
    )


@click.command()
@click.argument("model")
@click.option("-o", "--output", required=True, type=_FOLDER, help="Model folder to write; may be that of the model.")
@click.option("--signed", is_flag=True, help="Activations about zero, as TensorRT wants them; slow on a processor.")
@click.option("--samples", type=click.IntRange(min=1), default=24, show_default=True, help="To calibrate with.")
def quantise(model: str, output: Path, signed: bool, samples: int) -> None:
    """Give a MODEL a variant in int8, for --precision int8: about twice as fast on processors that multiply 8 bits.

    MODEL is a name that `semrt models list` shows, or a folder with a semrt.json. Samples of its recipe say how large
    its tensors become; convolutions that would cost too much stay in float32.
    """
    from semrt.models import find
    from semrt_export.quantise import quantise as write_quantised

    write_quantised(find(model), output, signed=signed, samples=samples, report=click.echo)
