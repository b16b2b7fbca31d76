"""The page that tells people what a model is, written from its manifest so that the two cannot disagree.

Mitchell et al. 2019, doi:10.1145/3287560.3287596.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semrt.models.manifest import Manifest

__all__ = ["model_card"]


def model_card(manifest: Manifest) -> str:
    """Markdown: what goes in and out, how it was trained, what it does on data that it never saw, where it ends."""
    return "\n".join(
        [
            f"# {manifest.name} {manifest.version}",
            "",
            f"Licence of the weights: {manifest.licence}. Written by `semrt export` from `semrt.json`.",
            "",
            "## What goes in and out",
            _tensor(manifest.input, manifest.input_channels),
            _tensor(manifest.output, manifest.output_channels),
            f"* {manifest.normalisation}",
            f"* h and w are multiples of {manifest.multiple}; an output pixel sees {manifest.halo} px to each side.",
            *(f"* {name}: {_text(value)}" for name, value in manifest.domain.items()),
            "",
            "## Training",
            *_training(manifest.training),
            "",
            "What training time bought, as the score on held-out data:",
            "",
            *_table(manifest.training["curve"]),
            "",
            "## On held-out data",
            *_table(manifest.figures["held_out"]),
            "",
            "## Precision",
            f"* fp32: relative RMS {manifest.figures['onnx_to_torch']['relative_rms']:.1e} to the network in PyTorch.",
            *(
                f"* {name}: relative RMS {variant['relative_rms']:.1e}; weights {_text(variant['dtypes'])}"
                f"{_calibration(variant)}."
                for name, variant in manifest.variants.items()
            ),
            "",
        ]
    )


def _calibration(variant: Mapping[str, Any]) -> str:
    if "calibration" not in variant:
        return ""
    told = variant["calibration"]
    kept = ", ".join(told["left_in_float32"]) or "none"
    return (
        f" of {told['weight_bits']} bits; activations {told['activations']}, ranges by {told['method']} in "
        f"{told['samples']} samples; convolutions left in float32: {kept}"
    )


def _tensor(name: str, channels: tuple[str, ...]) -> str:
    return f"* `{name}` (n, {len(channels)}, h, w) float32: {', '.join(channels)}."


def _training(training: Mapping[str, Any]) -> Iterator[str]:
    machine = training["environment"]
    yield (
        f"* {training['parameters'] / 1e6:.2f} M parameters, {training['steps']} steps, {training['hours']} h on "
        f"{machine['processor']} ({machine['device']}, {machine['threads']} threads), PyTorch {machine['torch']}."
    )
    yield f"* Recipe: {_text(training['recipe'])}; seed of the weights {training['seed']}."
    if "started_from" in training:
        yield f"* Began with the weights of {_text(training['started_from'])}."
    yield f"* Schedule: {_text(training['schedule'])}."
    if training["images"]:
        yield f"* Real images, beside the procedural ones: {', '.join(training['images'])}. {training['images_credit']}"
    else:
        yield "* Procedural images alone: no real micrograph was seen in training."


def _table(rows: list[Mapping[str, Any]]) -> Iterator[str]:
    """A Markdown table with the columns of the rows; a group of figures becomes one column, in its own order."""
    yield "| " + " | ".join(name.replace("_", " ") for name in rows[0]) + " |"
    yield "|" + "---|" * len(rows[0])
    for row in rows:
        cells = (
            " / ".join(map(_text, cell.values())) if isinstance(cell, Mapping) else _text(cell) for cell in row.values()
        )
        yield "| " + " | ".join(cells) + " |"
    for name, cell in rows[0].items():
        if isinstance(cell, Mapping):
            yield f"\n{name.replace('_', ' ')}: {' / '.join(cell)}."


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
