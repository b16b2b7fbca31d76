"""From a training run to a model folder: graphs, manifest and card, written once held-out data prove the model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from semrt.errors import InvalidOption, ModelDamaged, SemrtError
from semrt.models import REFERENCE
from semrt.models.manifest import MANIFEST, Manifest
from semrt_export import recipes
from semrt_export.evaluate import Evaluation, Run, onnx_run
from semrt_export.half_precision import dtype_shares, half_precision
from semrt_export.int8_variant import int8_variant
from semrt_export.model_card import model_card
from semrt_export.model_folder import CARD, write_model
from semrt_export.run_folder import RunFolder, load
from semrt_export.to_onnx import INPUT, OPSET, OUTPUT, to_onnx, verify
from semrt_export.unseen import FIRST_UNSEEN, reference_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt_export.train import Recipe

__all__ = ["publish"]

HALF_PRECISION_LIMIT = 1e-2  # relative RMS: a tenth of what noise leaves of any sample


@dataclass(frozen=True, eq=False)
class _Graphs:
    """The two graphs of a network, as bytes, with what their comparison said."""

    full: bytes
    half: bytes
    gap: dict[str, float]
    half_gap: dict[str, float]
    half_dtypes: dict[str, float]


def publish(
    run_folder: Path,
    target: Path,
    *,
    version: str = "1",
    images_credit: str = "",
    int8: bool = False,
    force: bool = False,
    threads: int = 0,
    report: Callable[[str], None] = print,
) -> Manifest:
    """Export the best weights of a run to the model folder `target`, with what they do on held-out data.

    images_credit: whose the real training images are, and under which licence; needed where some were used.
    int8: with a variant in int8 too.  force: replace a model that does better on the same held-out data.
    Raises InputNotFound (no run there), InvalidOption (no credit), SemrtError (a graph differs from the network, the
    recipe does not accept it, or the model there is better).
    """
    run = RunFolder(run_folder)
    config = run.read_config()
    recipe = recipes.recipe(config["name"], config["recipe"])
    if recipe.image_names() and not images_credit:
        raise InvalidOption(f"{run_folder}: trained on real images; say whose they are with --images-credit")
    network, progress = recipe.network(), load(run.best)
    network.load_state_dict(progress["network"])
    held_out = recipe.held_out()
    if (calibrate := getattr(recipe, "calibrate", None)) is not None:
        report(calibrate(network, held_out))
    graphs = _exported(network, recipe)
    report(f"RMS gap to the network: fp32 {graphs.gap['relative_rms']:.2g}, fp16 {graphs.half_gap['relative_rms']:.2g}")
    reference = reference_of(recipe, onnx_run(graphs.full), network.multiple)
    tensors = reference.to_bytes()
    evaluation = recipe.evaluate(onnx_run(graphs.full, threads=threads), held_out)
    report(f"held out, by ONNX Runtime: {evaluation}")
    if (objection := recipe.objection(evaluation)) is not None:
        raise SemrtError(f"{run_folder}: not good enough to publish: {objection}")
    if not force:
        _refuse_worse(recipe, evaluation, held_out, target, threads)
    files = {f"{recipe.name}.onnx": graphs.full, f"{recipe.name}.fp16.onnx": graphs.half, REFERENCE: tensors}
    variants = {"fp16": _half_entry(recipe, graphs)}
    if int8:
        variant = int8_variant(recipe, graphs.full, network.multiple, reference, report=report)
        variants["int8"] = variant.entry
        files[variant.entry["onnx"]] = variant.onnx
    manifest = Manifest(
        name=recipe.name,
        version=version,
        task=getattr(recipe, "task", recipe.name),
        onnx=f"{recipe.name}.onnx",
        sha256=hashlib.sha256(graphs.full).hexdigest(),
        input=INPUT,
        output=OUTPUT,
        input_channels=tuple(recipe.input_channels),
        output_channels=tuple(recipe.output_channels),
        tile=recipe.tile,
        multiple=network.multiple,
        halo=network.receptive_field_radius(),
        opset=OPSET,
        normalisation=recipe.normalisation,
        domain=recipe.domain(),
        variants=variants,
        reference={"file": REFERENCE, "sha256": hashlib.sha256(tensors).hexdigest()},
        training=_training(recipe, config, progress, network, images_credit) | {"curve": _curve(run)},
        figures={"score": round(evaluation.score, 4), "held_out": list(evaluation.table), "onnx_to_torch": graphs.gap},
        licence="Apache-2.0",
    )
    write_model(target, manifest, files | {CARD: model_card(manifest).encode()})
    report(f"{target}: {recipe.name} {version}, score {evaluation.score:.3f}")
    return manifest


def _exported(network: Any, recipe: Recipe) -> _Graphs:
    full = to_onnx(network, channels=len(recipe.input_channels), multiple=network.multiple)
    half = half_precision(full)
    inputs = list(_odd_inputs(recipe, network.multiple))
    reference = _torch_run(network)
    full_bytes, half_bytes = full.SerializeToString(), half.SerializeToString()
    return _Graphs(
        full_bytes,
        half_bytes,
        verify(reference, onnx_run(full_bytes), inputs),
        verify(reference, onnx_run(half_bytes), inputs, limit=_half_precision_limit(recipe)),
        dtype_shares(half),
    )


def _half_entry(recipe: Recipe, graphs: _Graphs) -> dict[str, Any]:
    return {
        "onnx": f"{recipe.name}.fp16.onnx",
        "sha256": hashlib.sha256(graphs.half).hexdigest(),
        "relative_rms": graphs.half_gap["relative_rms"],
        "dtypes": graphs.half_dtypes,
    }


def _half_precision_limit(recipe: Recipe) -> float:
    return getattr(recipe, "half_precision_limit", HALF_PRECISION_LIMIT)


def _odd_inputs(recipe: Recipe, multiple: int) -> Iterator[NDArray[np.float32]]:
    """Samples of awkward sizes: odd multiples, narrow, not square, one and several at once."""
    make = recipe.sample_maker()
    for number, (n, rows, columns) in enumerate(((1, 1, 3), (1, 5, 3), (3, 2, 1), (1, 7, 7), (2, 1, 1))):
        sample = make(FIRST_UNSEEN + number).inputs[:, : rows * multiple, : columns * multiple]
        yield np.repeat(sample[None], n, axis=0).astype(np.float32)


def _torch_run(network: torch.nn.Module) -> Run:
    def run(channels: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return network(torch.from_numpy(channels)).numpy()

    return run


def _refuse_worse(recipe: Recipe, evaluation: Evaluation, held_out: Sequence[Any], target: Path, threads: int) -> None:
    """Compare on the same data: the figures in the old manifest may come from others."""
    if not (target / MANIFEST).exists():
        return
    try:
        old = Manifest.read(target)
        graph = old.load(target)
    except ModelDamaged:
        return  # nothing that could be better
    if old.input_channels != tuple(recipe.input_channels):
        return  # made for another semrt, which this one cannot feed
    there = recipe.evaluate(onnx_run(graph, threads=threads), held_out).score
    if there > evaluation.score:
        raise SemrtError(
            f"{target}: the model there is better (score {there:.3f}, this one {evaluation.score:.3f}); use --force"
        )


def _training(
    recipe: Recipe, config: dict[str, Any], progress: dict[str, Any], network: Any, credit: str
) -> dict[str, Any]:
    return {
        # Names of images, not of folders: where they lay says nothing to anybody else.
        "recipe": {name: value for name, value in config["recipe"].items() if not name.endswith("images")},
        "images": recipe.image_names(),
        "images_credit": credit,
        "schedule": config["schedule"],
        **{name: config[name] for name in ("started_from",) if name in config},
        "seed": config["seed"],
        "environment": config["environment"],
        "steps": progress["step"],
        "hours": round(progress["seconds"] / 3600, 2),
        "parameters": sum(weight.numel() for weight in network.parameters()),
    }


def _curve(run: RunFolder) -> list[dict[str, float]]:
    """What training time bought: the score on the held-out data as training went on."""
    return [
        {"steps": int(row["step"]), "minutes": round(row["seconds"] / 60, 1), "score": round(row["score"], 3)}
        for row in run.rows("held_out")
    ]
