"""Weights to begin with: those of a model that is there, as far as its layers are those of the new network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from semrt.errors import SemrtError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["begin_with"]


def begin_with(network: nn.Module, graph: bytes) -> int:
    """Copy the weights of an exported graph into the parameters of the same names; returns how many numbers.

    Where a layer has grown or shrunk, what both have is copied: channels that are new on the way in count for nothing
    at first, those that are new on the way out start as in a new network.
    Raises SemrtError where no parameter has a namesake of its own number of axes.
    """
    stored = {tensor.name: tensor for tensor in onnx.load_from_string(graph).graph.initializer}
    copied = 0
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name not in stored or len(stored[name].dims) != parameter.dim():
                continue
            weights = torch.from_numpy(np.array(numpy_helper.to_array(stored[name]), np.float32))
            common = tuple(slice(min(pair)) for pair in zip(weights.shape, parameter.shape, strict=True))
            if parameter.dim() > 1:
                parameter[common[0]] = 0
            parameter[common] = weights[common]
            copied += weights[common].numel()
    if not copied:
        raise SemrtError("no layer of that model is called as one of this network; start from a model of this recipe")
    return copied
