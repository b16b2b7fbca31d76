"""In TensorRT's place, where there is no card: engines that ONNX Runtime runs, with faults that can be planted."""

import json
import threading

import numpy as np
import onnxruntime

from semrt.errors import DeviceUnavailable


class Standin:
    """See semrt.backends.tensorrt_toolchain.Toolchain.

    gains: batch -> what its numbers are multiplied by.  at: called within the build, after its second step of three.
    """

    version, flags, capability, gpu = "11.4.0.106", ("strongly typed", "no tf32"), "9.0", "Stand-in"

    def __init__(self, gains=None, at=lambda: None):
        self.gains = gains or {}
        self.at = at
        self.builds = 0
        self.timings = []
        self.opened = []

    def build(self, graph, profiles, timings, progress):
        self.builds += 1
        self.timings.append(timings)
        for step in range(3):
            progress(step, 3, "step")
            if step == 1:
                self.at()
        told = {"profiles": profiles, "gains": self.gains}
        return json.dumps(told).encode() + b"\n" + graph.onnx, b"timed" + timings

    def open(self, plan, graph):
        told, _, onnx = plan.partition(b"\n")
        if onnx != graph.onnx:
            raise DeviceUnavailable("tensorrt:0", "TensorRT does not load the engine", "")
        told = json.loads(told)
        gains = {int(batch): gain for batch, gain in told["gains"].items()}
        self.opened.append(Opened(onnx, told["profiles"], gains, graph))
        return self.opened[-1]


class Opened:
    """See semrt.backends.tensorrt_toolchain.Runner; as strict as the real one in what shapes it takes."""

    def __init__(self, onnx, profiles, gains, graph):
        self.graph = graph
        self.session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        fixed = [side if isinstance(side, int) else None for side in self.session.get_inputs()[0].shape]
        fitted = [
            tuple(tuple(a if f is None else f for a, f in zip(sides, fixed, strict=True)) for sides in profile)
            for profile in profiles
        ]
        self.profiles = tuple(dict.fromkeys(fitted))
        self.gains = gains
        self.shapes = []
        self.lock = threading.Lock()
        self.closed = False

    def run(self, tiles):
        assert not self.closed
        assert tiles.flags.c_contiguous
        allowed = [
            all(low <= side <= high for low, side, high in zip(smallest, tiles.shape, largest, strict=True))
            for smallest, _, largest in self.profiles
        ]
        assert any(allowed), tiles.shape
        with self.lock:
            self.shapes.append(tiles.shape)
        (predicted,) = self.session.run([self.graph.output], {self.graph.input: tiles})
        return predicted * np.float32(self.gains.get(len(tiles), 1.0))

    def close(self):
        self.closed = True
