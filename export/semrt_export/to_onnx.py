"""From a PyTorch network to ONNX graphs, each compared in numbers with what it came from."""

from __future__ import annotations

import copy
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from semrt.errors import SemrtError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from semrt_export.evaluate import Run

__all__ = ["INPUT", "OPSET", "OUTPUT", "relative_errors", "strip", "to_onnx", "verify"]

OPSET = 18  # read by every ONNX Runtime and TensorRT that semrt supports
INPUT, OUTPUT = "channels", "estimate"
AXES = {0: "batch", -2: "height", -1: "width"}  # channels lie between; of voxels, classes and heights
LARGEST_ERROR = 1e-4  # root mean square, relative to that of the reference


def to_onnx(network: nn.Module, *, channels: int, multiple: int) -> onnx.ModelProto:
    """Export a network of images with free batch, height and width; one self-contained graph.

    multiple: what height and width are a multiple of [px].
    """
    rows, columns = (multiple * torch.export.Dim(name, min=1) for name in ("rows", "columns"))
    with _quiet():
        exported = torch.onnx.export(
            _folded(network.eval().cpu()),
            # No two sizes alike, and a batch above one: equal or single sizes might be taken for constants.
            (torch.zeros(2, channels, 3 * multiple, 5 * multiple),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1), 2: rows, 3: columns},),
            custom_translation_table={torch.ops.aten.pixel_unshuffle.default: _pixel_unshuffle},
            verbose=False,
        )
    graph = exported.model_proto
    strip(graph)
    for value in (*graph.graph.input, *graph.graph.output):
        for axis, name in AXES.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    graph.producer_name, graph.producer_version = "semrt_export", ""
    onnx.checker.check_model(graph, full_check=True)
    return graph


def verify(
    reference: Run, run: Run, inputs: Iterable[NDArray[np.float32]], *, limit: float = LARGEST_ERROR
) -> dict[str, float]:
    """Compare two runs of a network on several inputs, (n, c, h, w) each; returns the largest relative errors.

    Raises SemrtError where the root mean square exceeds `limit`, or anything is not finite.
    """
    errors = [relative_errors(run(batch), reference(batch)) for batch in inputs]
    worst = {name: max(error[name] for error in errors) for name in errors[0]}
    if not worst["relative_rms"] <= limit:
        raise SemrtError(
            f"exported graph: expected the results of the network within {limit:g} (relative RMS), got "
            f"{worst['relative_rms']:.3g}; nothing was written"
        )
    return worst


def relative_errors(result: NDArray[np.floating], reference: NDArray[np.floating]) -> dict[str, float]:
    """Root mean square and largest difference, both relative to the root mean square of the reference."""
    if result.shape != reference.shape:
        raise SemrtError(f"exported graph: expected shape {reference.shape}, got {result.shape}; nothing was written")
    scale = float(np.sqrt(np.mean(np.square(reference, dtype=np.float64))))
    difference = np.subtract(result, reference, dtype=np.float64)
    rms, largest = float(np.sqrt(np.mean(difference**2))), float(np.abs(difference).max())
    return {"relative_rms": rms / scale, "relative_max": largest / scale}


def strip(graph: onnx.ModelProto) -> None:
    """Take out what running does not need: stack traces, which name paths of this machine, and intermediate shapes."""
    body = graph.graph
    del body.value_info[:], graph.functions[:]
    for part in (graph, body, *body.node, *body.initializer, *body.input, *body.output):
        part.doc_string = ""
        del part.metadata_props[:]


def _folded(network: nn.Module) -> nn.Module:
    """The network with its weights as numbers, where it computes them anew at each run, as normalised ones are."""
    if not any(is_parametrized(layer) for layer in network.modules()):
        return network
    network = copy.deepcopy(network)
    for layer in [layer for layer in network.modules() if is_parametrized(layer)]:
        values = {name: getattr(layer, name).detach() for name in layer.parametrizations}
        # Not torch's remove_parametrizations: a copy shares its class with the original, which that would damage.
        layer.__class__ = type_before_parametrizations(layer)
        del layer.parametrizations
        for name, value in values.items():
            layer.register_parameter(name, nn.Parameter(value))
    return network


def _pixel_unshuffle(image: Any, downscale_factor: int) -> Any:
    """SpaceToDepth, whose channels ONNX orders block first and torch channel first; else it becomes a dozen nodes."""
    from onnxscript import opset18

    n_channels, area = image.shape[1], downscale_factor**2
    order = [block * n_channels + channel for channel in range(n_channels) for block in range(area)]
    folded = opset18.SpaceToDepth(image, blocksize=downscale_factor)
    return opset18.Gather(folded, opset18.Constant(value_ints=order), axis=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' notes on their own future, and on packages that are not needed, from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
