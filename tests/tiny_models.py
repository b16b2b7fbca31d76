"""Models of a few weights, as real files: an ONNX graph and its manifest, for tests of what carries networks."""

import hashlib

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from semrt.models import Manifest


def box_graph(channels=1, *, size=3, side=None, batch="n", gain=1.0, out_channels=1):
    """Mean of size × size pixels over all channels, zeros beyond the edge: its result can be told by arithmetic."""
    weights = np.full((out_channels, channels, size, size), gain / (channels * size * size), np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[size // 2] * 4)
    return graph([node], {"w": weights}, channels, out_channels, batch=batch, side=side)


def graph(nodes, constants, channels=1, out_channels=1, *, batch="n", side=None, opset=18):
    """The bytes of a graph from x (n, channels, h, w) to y (n, out_channels, h, w)."""
    height, width = (side, side) if side else ("h", "w")
    body = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, channels, height, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, out_channels, height, width])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return model.SerializeToString()


def manifest_for(onnx, **changes):
    """A manifest that fits box_graph()."""
    described = {
        "name": "box",
        "version": "1.0",
        "task": "infill",
        "onnx": "box.onnx",
        "sha256": hashlib.sha256(onnx).hexdigest(),
        "input": "x",
        "output": "y",
        "input_channels": ("intensity",),
        "output_channels": ("intensity",),
        "tile": 32,
        "multiple": 4,
        "halo": 4,
    }
    return Manifest(**{**described, **changes})


def write_model(folder, onnx=None, **changes):
    """A model folder that verifies; returns it."""
    onnx = box_graph() if onnx is None else onnx
    manifest = manifest_for(onnx, **changes)
    manifest.write(folder)
    (folder / manifest.onnx).write_bytes(onnx)
    return folder
