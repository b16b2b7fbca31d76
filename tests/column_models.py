"""A network of two filters that finds columns of the standard spacing, as real files: for tests of what carries it."""

import numpy as np
from onnx import helper

from semrt.tasks.column_input import INPUT_CHANNELS, OUTPUT_CHANNELS
from tiny_models import graph, write_model

DOMAIN = {"standard_spacing": 12.0, "spacing_error": [0.5, 2.0]}
NARROW, WIDE = 1.8, 4.5  # sigmas of the two Gaussians whose difference rings on a column [px of the network]
REACH = 14


def gaussian(sigma):
    along = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / sigma) ** 2)
    return np.outer(along, along) / along.sum() ** 2


def column_graph(steepness=6.0, offset=0.35):
    """columns: sigmoid of the local contrast's difference of Gaussians.  clean: the same of the intensity."""
    weights = np.zeros((2, len(INPUT_CHANNELS), 2 * REACH + 1, 2 * REACH + 1), np.float32)
    ring = gaussian(NARROW) - gaussian(WIDE)
    weights[0, INPUT_CHANNELS.index("contrast")] = steepness * ring
    weights[1, INPUT_CHANNELS.index("intensity")] = ring
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["filtered"], pads=[REACH] * 4),
        helper.make_node("Split", ["filtered"], ["ringing", "clean"], axis=1, num_outputs=2),
        helper.make_node("Sigmoid", ["ringing"], ["columns"]),
        helper.make_node("Concat", ["columns", "clean"], ["y"], axis=1),
    ]
    constants = {"w": weights, "b": np.array([-steepness * offset, 0], np.float32)}
    return graph(nodes, constants, len(INPUT_CHANNELS), len(OUTPUT_CHANNELS))


def column_model(folder, **changes):
    """A model folder that verifies; returns it."""
    described = {
        "name": "columns",
        "task": "columns",
        "input_channels": INPUT_CHANNELS,
        "output_channels": OUTPUT_CHANNELS,
        "tile": 256,
        "halo": 16,
        "domain": DOMAIN,
    }
    return write_model(folder, column_graph(), **(described | changes))
