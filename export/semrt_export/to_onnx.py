"""From a PyTorch network to ONNX graphs, each compared in numbers with what it came from."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from torch import nn

from semrt.errors import SemrtError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from semrt_export.evaluate import Run

__all__ = ["INPUT", "OPSET", "OUTPUT", "dtype_shares", "half_precision", "relative_errors", "to_onnx", "verify"]

OPSET = 18  # read by every ONNX Runtime and TensorRT that semrt supports
INPUT, OUTPUT = "channels", "estimate"
AXES = ("batch", None, "height", "width")
LARGEST_ERROR = 1e-4  # root mean square, relative to that of the reference


def to_onnx(network: nn.Module, *, channels: int, multiple: int) -> onnx.ModelProto:
    """Export a 2-D network with free batch, height and width; one self-contained graph.

    multiple: what height and width are a multiple of [px].
    """
    rows, columns = (multiple * torch.export.Dim(name, min=1) for name in ("rows", "columns"))
    with _quiet():
        exported = torch.onnx.export(
            network.eval().cpu(),
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
        for dimension, name in zip(value.type.tensor_type.shape.dim, AXES, strict=True):
            if name is not None:
                dimension.dim_param = name
    graph.producer_name, graph.producer_version = "semrt_export", ""
    onnx.checker.check_model(graph, full_check=True)
    return graph


def half_precision(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with float16 inside and float32 at its ends.

    What follows the last convolution stays float32: there the correction is added to the first guess, whose precision
    must not suffer.
    """
    with _quiet():
        from onnxconverter_common import float16

        # By default the converter leaves out operators that old runtimes lacked, DepthToSpace among others.
        halved = float16.convert_float_to_float16(
            onnx.ModelProto.FromString(graph.SerializeToString()),
            keep_io_types=True,
            op_block_list=[],
            node_block_list=sorted(_after_convolutions(graph)),
        )
    _sort(halved)
    strip(halved)
    onnx.checker.check_model(halved, full_check=True)
    return halved


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


def dtype_shares(graph: onnx.ModelProto) -> dict[str, float]:
    """Share of the weights in each type, by number."""
    counts: Counter[str] = Counter()
    for weight in graph.graph.initializer:
        if weight.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            counts[onnx.TensorProto.DataType.Name(weight.data_type).lower()] += int(np.prod(weight.dims))
    return {name: round(count / counts.total(), 4) for name, count in counts.items()}


def strip(graph: onnx.ModelProto) -> None:
    """Take out what running does not need: stack traces, which name paths of this machine, and intermediate shapes."""
    body = graph.graph
    del body.value_info[:], graph.functions[:]
    for part in (graph, body, *body.node, *body.initializer, *body.input, *body.output):
        part.doc_string = ""
        del part.metadata_props[:]


def _pixel_unshuffle(image: Any, downscale_factor: int) -> Any:
    """SpaceToDepth, whose channels ONNX orders block first and torch channel first; else it becomes a dozen nodes."""
    from onnxscript import opset18

    n_channels, area = image.shape[1], downscale_factor**2
    order = [block * n_channels + channel for channel in range(n_channels) for block in range(area)]
    folded = opset18.SpaceToDepth(image, blocksize=downscale_factor)
    return opset18.Gather(folded, opset18.Constant(value_ints=order), axis=1)


def _after_convolutions(graph: onnx.ModelProto) -> set[str]:
    """Names of the nodes that lead to the output through neither a convolution nor a change of resolution."""
    makers = {output: node for node in graph.graph.node for output in node.output}
    found: set[str] = set()
    open_ends = [value.name for value in graph.graph.output]
    while open_ends:
        node = makers.get(open_ends.pop())
        if (
            node is not None
            and node.name not in found
            and node.op_type not in ("Conv", "ConvTranspose", "DepthToSpace")
        ):
            found.add(node.name)
            open_ends.extend(node.input)
    return found


def _sort(graph: onnx.ModelProto) -> None:
    """Put every node after those that it needs: the float16 converter appends its casts at the end."""
    waiting = list(graph.graph.node)
    known = {"", *(value.name for value in (*graph.graph.input, *graph.graph.initializer))}
    ordered: list[onnx.NodeProto] = []
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        if not ready:
            raise SemrtError(f"graph of {len(waiting)} nodes that wait for one another; nothing was written")
        ordered += ready
        known.update(output for node in ready for output in node.output)
        waiting = [node for node in waiting if not known.issuperset(node.output)]
    del graph.graph.node[:]
    graph.graph.node.extend(ordered)


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
