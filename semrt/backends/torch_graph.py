"""A model's ONNX graph, computed by torch node for node: other people's arithmetic, to check a runtime by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from semrt.backends.torch_operators import OPERATORS, Node, UnknownOperator
from semrt.errors import ModelDamaged, ModelUnsuitable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.backends.torch_operators import Compute
    from semrt.models import Manifest

__all__ = ["TorchGraph"]


@dataclass(frozen=True)
class _Step:
    """One node: what it computes, from which values to which, and those that nobody needs after it."""

    compute: Compute
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    done: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TorchGraph:
    """A graph, and its weights on the device where it is computed.

    input, output: names of its tensors.  shape: of the input, a name or None where a side is free.
    """

    input: str
    output: str
    shape: tuple[int | str | None, ...]
    weights: Mapping[str, torch.Tensor]
    steps: Sequence[_Step]

    @classmethod
    def read(cls, content: bytes, manifest: Manifest, path: Path, device: torch.device) -> Self:
        """Read the bytes of an ONNX file, and put its weights on the device.

        Raises ModelDamaged, and ModelUnsuitable for an operator that is not known here.
        """
        try:
            body = onnx.load_from_string(content).graph
        except Exception as error:  # protobuf has its own classes in each version
            raise ModelDamaged(path, error) from error
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in body.initializer}
        shape = _shape(body, manifest, constants, path)
        steps = _steps(body, manifest.output, constants, path)
        needed = {name for step in steps for name in step.inputs}
        weights = {
            name: torch.from_numpy(np.array(values)).to(device) for name, values in constants.items() if name in needed
        }
        return cls(manifest.input, manifest.output, shape, weights, steps)

    def __call__(self, tiles: torch.Tensor) -> torch.Tensor:
        """Compute (n, c, h, w) -> (n, k, h, w), where the weights are."""
        values = {**self.weights, self.input: tiles}
        for step in self.steps:
            made = step.compute(*(values[name] for name in step.inputs))
            values.update(zip(step.outputs, made if isinstance(made, tuple) else (made,), strict=True))
            for name in step.done:  # else all that was ever computed would be held to the end
                del values[name]
        return values[self.output]


def _shape(
    body: onnx.GraphProto, manifest: Manifest, constants: Mapping[str, Any], path: Path
) -> tuple[int | str | None, ...]:
    """The shape of the input.  Raises ModelDamaged for a graph that is not the one described."""
    shapes = {}
    for kind, name, tensors in (("input", manifest.input, body.input), ("output", manifest.output, body.output)):
        named = {tensor.name: tensor.type.tensor_type for tensor in tensors if tensor.name not in constants}
        if name not in named or (kind == "input" and len(named) > 1):
            raise ModelDamaged(path, f"expected {kind} {name!r}, got {', '.join(map(repr, named))}")
        sides = named[name].shape.dim
        shapes[kind] = tuple(
            side.dim_value if side.HasField("dim_value") else (side.dim_param or None) for side in sides
        )
        if len(sides) != 4 or named[name].elem_type != onnx.TensorProto.FLOAT:
            raise ModelDamaged(path, f"{kind} {name!r}: expected (n, c, h, w) of float, got {shapes[kind]}")
    return shapes["input"]


def _steps(body: onnx.GraphProto, output: str, constants: Mapping[str, NDArray[Any]], path: Path) -> list[_Step]:
    """The nodes, in the order in which they can be computed, which is that of the file."""
    last = {name: index for index, node in enumerate(body.node) for name in node.input}
    steps = []
    for index, node in enumerate(body.node):
        inputs = tuple(node.input)
        described = Node(
            node.op_type,
            {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute},
            {place: constants[name] for place, name in enumerate(inputs) if name in constants},
            len(inputs),
            len(node.output),
        )
        try:
            if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
                raise described.refuse("is unknown here")
            if not all(inputs):
                raise described.refuse("with an input left out")
            compute = OPERATORS[node.op_type](described)
        except UnknownOperator as error:
            raise ModelUnsuitable(f"{path}: torch cannot take this graph ({error}); choose --device cpu") from error
        over = {name for name in inputs if last[name] == index and name not in constants}
        unread = {name for name in node.output if name not in last}
        steps.append(_Step(compute, inputs, tuple(node.output), tuple((over | unread) - {output})))
    return steps
