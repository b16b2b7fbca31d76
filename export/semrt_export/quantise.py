"""The int8 variant of a model that is there already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from semrt.errors import InvalidOption, ModelUnsuitable
from semrt.models import Manifest, Reference
from semrt_export import recipes
from semrt_export.int8_variant import SAMPLES, int8_variant
from semrt_export.model_card import model_card
from semrt_export.model_folder import CARD, write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["quantise"]


def quantise(
    source: Path,
    target: Path,
    *,
    signed: bool = False,
    samples: int = SAMPLES,
    report: Callable[[str], None] = print,
) -> Manifest:
    """Write the model in `source` to `target`, which may be the same folder, with an int8 variant beside the others.

    Calibration data are samples of the recipe that made the model, which no training drew.
    signed: activations about zero, as TensorRT wants them.
    Raises ModelDamaged, ModelUnsuitable (without test tensors, or of no recipe here), InvalidOption, SemrtError (int8
    is too far from the graph).
    """
    manifest = Manifest.read(source)
    manifest.verify(source)
    reference = Reference.read(source, manifest)
    if reference is None:
        raise ModelUnsuitable(f"{manifest.name}: has no test tensors to compare int8 with; export it again")
    if manifest.name not in recipes.RECIPES or "recipe" not in manifest.training:
        raise ModelUnsuitable(f"{manifest.name}: made by no recipe here, which would give samples to calibrate with")
    try:
        recipe = recipes.recipe(manifest.name, manifest.training["recipe"])
    except InvalidOption as error:
        why = f"made by another version of its recipe ({error}); export it again"
        raise ModelUnsuitable(f"{manifest.name}: {why}") from error
    if tuple(recipe.input_channels) != manifest.input_channels:
        raise ModelUnsuitable(f"{manifest.name}: made by another version of its recipe (channels); export it again")
    variant = int8_variant(
        recipe, manifest.load(source), manifest.multiple, reference, signed=signed, samples=samples, report=report
    )
    made = replace(manifest, variants={**manifest.variants, "int8": variant.entry})
    files = {name: (source / name).read_bytes() for name in _named(manifest)}
    files[variant.entry["onnx"]] = variant.onnx
    files[CARD] = model_card(made).encode()
    write_model(target, made, files)
    report(f"{target}: {made.name} {made.version} in fp32, {', '.join(made.variants)}")
    return made


def _named(manifest: Manifest) -> list[str]:
    """Files of the model, but an int8 variant that was there."""
    others = [precision for precision in manifest.variants if precision != "int8"]
    return [manifest.file(precision)[0] for precision in ("fp32", *others)] + [manifest.reference["file"]]
