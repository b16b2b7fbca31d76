"""The operators of ONNX that shipped graphs are made of, as torch computes them.

To add one: a function of its node that gives what to do with its tensors, and its line in OPERATORS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OPERATORS", "Node", "UnknownOperator"]

Compute = Callable[..., Any]
"""Of the node's tensors to its result, a tensor or as many as it has outputs."""

_DTYPES = {1: torch.float32, 10: torch.float16}  # as onnx.TensorProto numbers them


class UnknownOperator(Exception):
    """An operator, or a use of it, that is none of those known here; the message names it."""


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    attributes: name -> value, those that it has.  constants: of its inputs by position, those that do not depend on the
    tiles.  n_inputs, n_outputs: how many it has.
    """

    operator: str
    attributes: Mapping[str, Any]
    constants: Mapping[int, NDArray[Any]]
    n_inputs: int
    n_outputs: int

    def numbers(self, position: int, default: list[int]) -> list[int]:
        """The whole numbers of an input that must be constant.  Raises UnknownOperator."""
        if position >= self.n_inputs:
            return default
        return [int(value) for value in self._constant(position).ravel()]

    def number(self, position: int) -> float | None:
        """The number of an input that must be constant, None where it is not given.  Raises UnknownOperator."""
        return None if position >= self.n_inputs else float(self._constant(position))

    def refuse(self, why: str) -> UnknownOperator:
        """The error of a use that is not known."""
        return UnknownOperator(f"operator {self.operator} {why}")

    def _constant(self, position: int) -> NDArray[Any]:
        if position not in self.constants:
            raise self.refuse("with parameters that the graph computes")
        return self.constants[position]


def _cast(node: Node) -> Compute:
    if (dtype := _DTYPES.get(node.attributes["to"])) is None:
        raise node.refuse(f"to type {node.attributes['to']}")
    return lambda x: x.to(dtype)


def _clip(node: Node) -> Compute:
    low, high = node.number(1), node.number(2)
    return lambda x, *_: torch.clamp(x, low, high)


def _concat(node: Node) -> Compute:
    axis = node.attributes["axis"]
    return lambda *parts: torch.cat(parts, axis)


def _conv(node: Node) -> Compute:
    given = node.attributes
    if given.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise node.refuse("with auto_pad")
    before_y, before_x, after_y, after_x = given.get("pads", [0, 0, 0, 0])
    how: dict[str, Any] = {
        "padding": (before_y, before_x),
        "stride": given.get("strides", 1),
        "dilation": given.get("dilations", 1),
        "groups": given.get("group", 1),
    }
    if (before_y, before_x) == (after_y, after_x):
        return lambda x, *weights: functional.conv2d(x, *weights, **how)
    sides, how["padding"] = (before_x, after_x, before_y, after_y), 0
    return lambda x, *weights: functional.conv2d(functional.pad(x, sides), *weights, **how)


def _depth_to_space(node: Node) -> Compute:
    size = node.attributes["blocksize"]
    if node.attributes.get("mode", b"DCR") == b"CRD":
        return lambda x: functional.pixel_shuffle(x, size)

    def apart(x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        blocks = x.reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return blocks.reshape(n, c // size**2, h * size, w * size)

    return apart


def _dequantize_linear(node: Node) -> Compute:
    axis = _axis_of_scales(node)

    def widened(x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | None = None) -> torch.Tensor:
        steps = x.to(torch.int32)
        if zero is not None:
            steps = steps - _along(zero.to(torch.int32), axis, x.ndim)
        return steps.to(scale.dtype) * _along(scale, axis, x.ndim)

    return widened


def _gather(node: Node) -> Compute:
    axis = node.attributes.get("axis", 0)
    return lambda x, places: x[(slice(None),) * (axis % x.ndim) + (places,)]


def _leaky_relu(node: Node) -> Compute:
    slope = node.attributes.get("alpha", 0.01)
    return lambda x: functional.leaky_relu(x, slope)


def _quantize_linear(node: Node) -> Compute:
    axis = _axis_of_scales(node)

    def narrowed(x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | None = None) -> torch.Tensor:
        zero = torch.zeros((), dtype=torch.uint8, device=x.device) if zero is None else zero
        limits = torch.iinfo(zero.dtype)
        steps = torch.round(x / _along(scale, axis, x.ndim)) + _along(zero, axis, x.ndim)
        return torch.clamp(steps, limits.min, limits.max).to(zero.dtype)

    return narrowed


def _slice(node: Node) -> Compute:
    starts, ends = node.numbers(1, []), node.numbers(2, [])
    axes = node.numbers(3, list(range(len(starts))))
    steps = node.numbers(4, [1] * len(starts))
    if min(steps) < 1 or min(axes) < 0:
        raise node.refuse("backwards")
    cut: list[slice] = [slice(None)] * (max(axes) + 1)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cut[axis] = slice(start, end, step)  # beyond the end is the end, in ONNX as in Python
    where = tuple(cut)
    return lambda x, *_: x[where]


def _space_to_depth(node: Node) -> Compute:
    size = node.attributes["blocksize"]

    def folded(x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
        return blocks.reshape(n, c * size**2, h // size, w // size)

    return folded


def _split(node: Node) -> Compute:
    axis = node.attributes.get("axis", 0)
    sizes = node.numbers(1, [])
    if sizes:
        return lambda x, *_: torch.split(x, sizes, axis)
    return lambda x: torch.tensor_split(x, node.n_outputs, axis)


def _axis_of_scales(node: Node) -> int:
    if others := set(node.attributes) - {"axis"}:
        raise node.refuse(f"with {', '.join(sorted(others))}")
    axis: int = node.attributes.get("axis", 1)
    return axis


def _along(values: torch.Tensor, axis: int, n_axes: int) -> torch.Tensor:
    """One value for all, or one for each place of an axis, in a shape that goes with a tensor of so many axes."""
    if values.numel() == 1:
        return values.reshape(())
    shape = [1] * n_axes
    shape[axis] = -1
    return values.reshape(shape)


def _plain(function: Compute) -> Callable[[Node], Compute]:
    return lambda node: function


OPERATORS: dict[str, Callable[[Node], Compute]] = {
    "Add": _plain(torch.add),
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "DequantizeLinear": _dequantize_linear,
    "Exp": _plain(torch.exp),
    "Gather": _gather,
    "LeakyRelu": _leaky_relu,
    "Mul": _plain(torch.mul),
    "QuantizeLinear": _quantize_linear,
    "Relu": _plain(functional.relu),
    "Sigmoid": _plain(torch.sigmoid),
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
}
