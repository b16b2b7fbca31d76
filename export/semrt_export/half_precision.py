"""The float16 variant of an exported graph.

TensorRT takes the precision from the graph, and so does ONNX Runtime: the types must be right in the file.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["dtype_shares", "half_precision"]


def half_precision(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with float16 inside and float32 at its ends.

    What follows the last convolution stays float32: there the correction is added to the first guess, whose precision
    must not suffer.
    """
    floats = _float_tensors(graph)
    tail = _after_convolutions(graph)
    nodes_before = graph.graph.node
    halves = {name for node in nodes_before if node.name not in tail for name in node.output} & floats
    outputs = {value.name for value in graph.graph.output}
    weights = {weight.name: weight for weight in graph.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    kept: dict[str, TensorProto] = {}

    def stored(name: str) -> str:
        return f"{name}_float16" if name in halves & outputs else name  # the output keeps its name and is float32

    def as_needed(name: str, half: bool) -> str:
        """The name under which the tensor has the type that is needed; made at its first use."""
        if name in weights and not (half and name in floats):
            kept[name] = weights[name]
        if name not in floats or (name in halves) == half:
            return stored(name)
        converted = f"{name}_as_{'float16' if half else 'float32'}"
        if name in weights:
            kept[converted] = numpy_helper.from_array(
                numpy_helper.to_array(weights[name]).astype(np.float16), converted
            )
        elif all(converted not in node.output for node in nodes):
            nodes.append(_cast(stored(name), converted, TensorProto.FLOAT16 if half else TensorProto.FLOAT))
        return converted

    for node in nodes_before:
        inputs = [as_needed(name, half=node.name not in tail) for name in node.input]
        converted = onnx.NodeProto.FromString(node.SerializeToString())
        converted.input[:] = inputs
        converted.output[:] = [stored(name) for name in node.output]
        nodes.append(converted)
    nodes += [_cast(stored(name), name, TensorProto.FLOAT) for name in sorted(halves & outputs)]
    result = onnx.ModelProto.FromString(graph.SerializeToString())
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(kept.values())
    onnx.checker.check_model(result, full_check=True)
    return result


def dtype_shares(graph: onnx.ModelProto) -> dict[str, float]:
    """Share of the weights in each type, by number."""
    counts: Counter[str] = Counter()
    for weight in graph.graph.initializer:
        if weight.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16):
            name = "float32" if weight.data_type == TensorProto.FLOAT else "float16"
            counts[name] += int(np.prod(weight.dims))
    return {name: round(count / counts.total(), 4) for name, count in sorted(counts.items())}


def _float_tensors(graph: onnx.ModelProto) -> set[str]:
    """Names of all tensors of type float32: inputs, weights, and what the nodes compute."""
    body = onnx.shape_inference.infer_shapes(graph, strict_mode=True).graph
    values = (*body.input, *body.value_info, *body.output)
    found = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return found | {weight.name for weight in body.initializer if weight.data_type == TensorProto.FLOAT}


def _after_convolutions(graph: onnx.ModelProto) -> set[str]:
    """Names of the nodes that lead to the output through neither a convolution nor a change of resolution."""
    makers = {output: node for node in graph.graph.node for output in node.output}
    found: set[str] = set()
    open_ends = [value.name for value in graph.graph.output]
    while open_ends:
        node = makers.get(open_ends.pop())
        if node is None or node.name in found or node.op_type in ("Conv", "ConvTranspose", "DepthToSpace"):
            continue
        found.add(node.name)
        open_ends.extend(node.input)
    return found


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=to)
