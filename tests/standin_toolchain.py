"""In TensorRT's place, where there is no card: engines that ONNX Runtime runs, with faults that can be planted."""

import hashlib
import json
import threading

import numpy as np
import onnxruntime

from semrt.backends import Device, tensorrt_toolchain
from semrt.backends.tensorrt_build import build_engine
from semrt.errors import EngineUnusable, OutOfMemory
from semrt.models import REFERENCE, Manifest, Reference
from tiny_models import box_graph, manifest_for

CARD = Device("tensorrt")


class Standin:
    """See semrt.backends.tensorrt_toolchain.Toolchain.

    gains: batch -> what its numbers are multiplied by.  at: called within the build, after its second step of three.
    fits: pixels of a batch that its memory holds; any number when None.
    """

    version, flags, capability, gpu = "11.4.0.106", ("strongly typed", "no tf32"), "9.0", "Stand-in"

    def __init__(self, gains=None, at=lambda: None, fits=None):
        self.gains = gains or {}
        self.at = at
        self.fits = fits
        self.asked = []
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
        self.asked.append([largest[0] for _, _, largest in profiles])
        if self.fits is not None and any(n * h * w > self.fits for _, _, (n, _, h, w) in profiles):
            raise OutOfMemory("tensorrt:0")
        told = {"profiles": profiles, "gains": self.gains}
        return json.dumps(told).encode() + b"\n" + graph.onnx, b"timed" + timings

    def open(self, plan, graph):
        told, _, onnx = plan.partition(b"\n")
        if onnx != graph.onnx:
            raise EngineUnusable("tensorrt:0", "TensorRT does not load the engine", "")
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

    def run(self, tiles, spans=None):
        """It keeps no time."""
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


def box_model(folder, onnx=None, side=16, **changes):
    """A model of the mean of 3 x 3 px, with test tensors of a size that is not that of its tiles."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx = box_graph() if onnx is None else onnx
    channels = np.random.default_rng(0).random((2, 1, side, side)).astype(np.float16).astype(np.float32)
    padded = np.pad(channels, ((0, 0), (0, 0), (1, 1), (1, 1)))
    mean = sum(padded[..., i : i + side, j : j + side] for i in range(3) for j in range(3)) / np.float32(9)
    tensors = Reference(channels, mean).to_bytes()
    (folder / REFERENCE).write_bytes(tensors)
    (folder / "box.onnx").write_bytes(onnx)
    changes.setdefault("reference", {"file": REFERENCE, "sha256": hashlib.sha256(tensors).hexdigest()})
    manifest_for(onnx, **changes).write(folder)
    return folder


def install(monkeypatch, toolchain):
    """Make it TensorRT, as far as semrt can tell."""
    monkeypatch.setattr(tensorrt_toolchain, "toolchain_for", lambda device: toolchain)
    return toolchain


def build(folder, **how):
    """The engine of a model."""
    return build_engine(folder, Manifest.read(folder), CARD, **how)


def tiles_of(n=2, h=32, w=32, seed=1):
    return np.random.default_rng(seed).random((n, 1, h, w), np.float32)


def nothing_is_kept(kept):
    """No engine, no sidecar, nothing half written."""
    left = sorted(kept.folder.glob("*")) if kept.folder.exists() else []
    assert [path.suffix for path in left if path.suffix != ".lock"] == []
    return True
