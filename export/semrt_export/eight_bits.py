"""The int8 variant of an exported graph: its convolutions in whole numbers, all else as it was.

Written as pairs of QuantizeLinear and DequantizeLinear, which ONNX Runtime and TensorRT turn into kernels of their own.
Jacob et al. 2018, doi:10.1109/CVPR.2018.00286.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    Ranges = Mapping[str, tuple[float, float]]

__all__ = ["convolutions", "eight_bits", "tensor_ranges", "weight_shares"]

QUANTISED = ("Conv", "Relu")  # a Relu alone stays: it goes with the convolution before it
PER_TILE = 8192  # values of a tensor that are looked at, of each tile
SHRINKINGS = np.geomspace(1, 0.02, 60)  # of a range, that are tried
TYPES = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT8: "int8",
    TensorProto.INT32: "int32",
}


def convolutions(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes that can be computed in whole numbers."""
    return [node.name for node in graph.graph.node if node.op_type == "Conv"]


def tensor_ranges(graph: onnx.ModelProto, tiles: Iterable[NDArray[np.float32]]) -> dict[str, tuple[Ranges, Ranges]]:
    """What the tensors about convolutions hold: their range, and the one within which rounding to 8 bits errs least.

    tiles: (1, c, h, w) each, to be run through the graph.
    Returns "extremes" and "least error", each for unsigned and signed numbers.
    """
    asked = _activations(graph)
    (channels,) = graph.graph.input
    told = onnx.ModelProto.FromString(graph.SerializeToString())
    there = {value.name for value in told.graph.output}
    inner = [name for name in asked if name != channels.name]
    told.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner if name not in there
    )
    session = onnxruntime.InferenceSession(told.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in asked}
    extremes = dict.fromkeys(asked, (0.0, 0.0))  # zero must be one of the whole numbers: borders are padded with it
    for tile in tiles:
        for name, values in zip(inner, session.run(inner, {channels.name: tile}), strict=True):
            _note(name, values, kept, extremes, rng)
        if channels.name in asked:
            _note(channels.name, tile, kept, extremes, rng)
    values = {name: np.concatenate(parts) for name, parts in kept.items()}
    widest = {name: (-max(-low, high), max(-low, high)) for name, (low, high) in extremes.items()}
    least = tuple({name: _least_error(values[name], *of[name]) for name in asked} for of in (extremes, widest))
    return {"extremes": (extremes, widest), "least error": (least[0], least[1])}


def eight_bits(
    graph: onnx.ModelProto, ranges: Ranges, *, signed: bool = False, left_out: Collection[str] = ()
) -> onnx.ModelProto:
    """The graph with its convolutions in int8, weights channel by channel; float32 at its ends and in between.

    ranges: of the tensors, see tensor_ranges.  signed: of activations; about zero then, and biases stay float32, as
        TensorRT asks. Unsigned, they are what processors have fast instructions for.
    left_out: convolutions that stay float32.
    """
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, TensorsData

    told = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    options = {"ActivationSymmetric": signed, "WeightSymmetric": True, "QuantizeBias": not signed}
    with _quiet():
        quantiser = QDQQuantizer(
            onnx.shape_inference.infer_shapes(graph),  # a copy: it is changed in place
            True,  # channel by channel
            not signed,  # 7 bits of weights: processors before VNNI add two products in 16 bits, which overflow with 8
            QuantType.QInt8,
            QuantType.QInt8 if signed else QuantType.QUInt8,
            TensorsData(CalibrationMethod.MinMax, told),
            [],
            list(left_out),
            list(QUANTISED),
            options,
        )
        quantiser.quantize_model()
        quantiser.model.topological_sort()  # it appends what it inserts
    result = quantiser.model.model
    onnx.checker.check_model(result, full_check=True)
    return result


def weight_shares(graph: onnx.ModelProto) -> dict[str, float]:
    """Share of the weights and biases of convolutions in each type, by number."""
    stored = {weight.name: weight for weight in graph.graph.initializer}
    source = {node.output[0]: node.input[0] for node in graph.graph.node if node.op_type == "DequantizeLinear"}
    counts: Counter[str] = Counter()
    for node in graph.graph.node:
        for name in node.input[1:] if node.op_type == "Conv" else ():
            weight = stored[source.get(name, name)]
            counts[TYPES[weight.data_type]] += int(np.prod(weight.dims))
    return {name: round(count / counts.total(), 4) for name, count in sorted(counts.items())}


def _activations(graph: onnx.ModelProto) -> list[str]:
    """Names of what goes into convolutions and comes out of them and of what follows, each once."""
    known = {weight.name for weight in graph.graph.initializer}
    nodes = [node for node in graph.graph.node if node.op_type in QUANTISED]
    return list(dict.fromkeys(name for node in nodes for name in (node.input[0], *node.output) if name not in known))


def _note(
    name: str,
    values: NDArray[np.float32],
    kept: dict[str, list[NDArray[np.float32]]],
    extremes: dict[str, tuple[float, float]],
    rng: np.random.Generator,
) -> None:
    low, high = extremes[name]
    extremes[name] = min(low, float(values.min())), max(high, float(values.max()))
    flat = values.ravel()
    kept[name].append(flat if flat.size <= PER_TILE else flat[rng.integers(0, flat.size, PER_TILE)])


def _least_error(values: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """The range, shrunk to where clipping and rounding to 256 steps err least together."""

    def error(shrunk: float) -> float:
        step = max((high - low) * shrunk / 255, 1e-30)
        steps = np.clip(np.rint(values / step), np.rint(low * shrunk / step), np.rint(high * shrunk / step))
        return float(np.mean(np.square(steps * step - values)))

    best = float(min(SHRINKINGS, key=error))
    return best * low, best * high


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice, which goes to the root logger, from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
