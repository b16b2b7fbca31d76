"""TensorRT's module as semrt sees it, on a toy card: it reads ONNX by onnx, and its engines run by ONNX Runtime.

That its names and arguments are those of the real module, test_tensorrt_names.py checks of semrt's side.
"""

import json
import threading
import time
from enum import Enum
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import onnxruntime

from toy_card import ToyEngine

DataType = Enum("DataType", ["FLOAT", "HALF", "INT64"])
TYPES = {
    onnx.TensorProto.FLOAT: DataType.FLOAT,
    onnx.TensorProto.FLOAT16: DataType.HALF,
    onnx.TensorProto.INT64: DataType.INT64,
}


class Base:
    """A class that is there to be derived from."""


def module(cuda, *, version="11.4.0.106", **how):
    """The module.  how: what goes wrong; see Toy."""
    toy = Toy(cuda, **how)
    made = ModuleType("tensorrt")
    made.__version__ = version
    made.toy = toy
    made.BuilderFlag = Enum("BuilderFlag", ["TF32", "DEBUG"])
    made.DataType = DataType
    made.ErrorCodeTRT = Enum("ErrorCodeTRT", ["FAILED_ALLOCATION", "INTERNAL_ERROR"])
    made.ExecutionContextAllocationStrategy = SimpleNamespace(ON_PROFILE_CHANGE="on profile change")
    made.ILogger = type("ILogger", (Base,), {"Severity": Enum("Severity", ["ERROR"])})
    made.IErrorRecorder = type("IErrorRecorder", (Base,), {})
    made.IProgressMonitor = type("IProgressMonitor", (Base,), {})
    made.Builder = lambda logger: toy.started(Builder(made, toy), logger, made)
    made.Runtime = lambda logger: toy.started(Runtime(made, toy), logger, made)
    made.OnnxParser = lambda network, logger: Parser(network)
    return made


class Toy:
    """What goes wrong, and what was seen.

    gain: what the engine multiplies its numbers by.  error: code and description that end a build.
    fits: pixels of a batch that its memory holds.  silent: it does not say that memory is short.
    stale: timings of an earlier build are of another driver.  pause: seconds that a step of a build takes.
    """

    def __init__(self, cuda, *, gain=1.0, error=None, stale=False, pause=0.0, starts=True, fits=None, silent=False):
        self.cuda = cuda
        self.gain = gain
        self.error = error
        self.stale = stale
        self.fits = fits
        self.silent = silent
        self.pause = pause
        self.starts = starts
        self.configs = []
        self.threads = []

    def started(self, made, logger, trt):
        if not self.starts:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        assert isinstance(logger, trt.ILogger)
        return made


class Builder:
    def __init__(self, trt, toy):
        self.trt, self.toy, self.error_recorder = trt, toy, None

    def create_network(self, flags):
        return Network()

    def create_builder_config(self):
        self.toy.configs.append(Config(self.trt, self.toy))
        return self.toy.configs[-1]

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        self.toy.threads.append(threading.current_thread())
        assert self.trt.BuilderFlag.TF32 not in config.flags
        assert config.timings is not None
        monitor = config.progress_monitor
        monitor.phase_start("Building  engine", None, 4)
        for step in range(4):
            time.sleep(self.toy.pause)
            if not monitor.step_complete("Building  engine", step):
                self.error_recorder.report_error(self.trt.ErrorCodeTRT.INTERNAL_ERROR, "cancelled")
                return None
        monitor.phase_finish("Building  engine")
        if self.toy.error is not None:
            code, description = self.toy.error
            self.error_recorder.report_error(self.trt.ErrorCodeTRT[code], description)
            self.error_recorder.report_error(self.trt.ErrorCodeTRT.INTERNAL_ERROR, "what follows from it")
            return None
        profiles = [profile.shapes for profile in config.profiles]
        if self.toy.fits is not None and any(n * h * w > self.toy.fits for _, _, (n, _, h, w) in profiles):
            if not self.toy.silent:
                said = "Could not find any implementation for node conv due to insufficient workspace"
                self.error_recorder.report_error(self.trt.ErrorCodeTRT.INTERNAL_ERROR, said)
            return None
        outputs = [network.outputs[0].name, int(network.outputs[0].shape[1])]
        return json.dumps([profiles, network.inputs[0].name, outputs]).encode() + b"\n" + network.onnx


class Config:
    def __init__(self, trt, toy):
        self.trt, self.toy = trt, toy
        self.flags = {trt.BuilderFlag.TF32}
        self.profiles = []
        self.timings = None
        self.progress_monitor = None

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)

    def create_timing_cache(self, content):
        if content and not content.startswith(b"timed"):
            return None
        return SimpleNamespace(content=content, serialize=lambda: b"timed" + content)

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch
        if self.toy.stale and cache.content:
            return False
        self.timings = cache
        return True

    def get_timing_cache(self):
        return self.timings


class Profile:
    def set_shape(self, name, min, opt, max):  # noqa: A002
        assert all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True))
        self.shapes = [min, opt, max]
        self.name = name


class Network:
    def __init__(self):
        self.inputs, self.outputs, self.onnx = [], [], b""

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_input(self, index):
        return self.inputs[index]

    def get_output(self, index):
        return self.outputs[index]

    def unmark_output(self, tensor):
        self.outputs.remove(tensor)


class Parser:
    """The real thing parses here, and tells what it does not understand in the same way."""

    def __init__(self, network):
        self.network, self.errors = network, []

    num_errors = property(lambda self: len(self.errors))

    def get_error(self, index):
        return SimpleNamespace(desc=lambda: self.errors[index])

    def parse(self, content):
        try:
            graph = onnx.load_from_string(content).graph
        except Exception:
            self.errors.append("Failed to parse\nthe ONNX model")
            return False
        strange = [node.op_type for node in graph.node if node.op_type == "Det"]
        if strange:
            self.errors.append(f"No importer registered for op: {strange[0]}")
            return False
        self.network.onnx = content
        self.network.inputs = [_tensor(told) for told in graph.input]
        self.network.outputs = [_tensor(told) for told in graph.output]
        return True


def _tensor(told):
    kind = told.type.tensor_type
    shape = [side.dim_value if side.HasField("dim_value") else -1 for side in kind.shape.dim]
    return SimpleNamespace(name=told.name, shape=shape, dtype=TYPES[kind.elem_type])


class Runtime:
    def __init__(self, trt, toy):
        self.trt, self.toy, self.error_recorder = trt, toy, None

    def deserialize_cuda_engine(self, plan):
        head, _, content = plan.partition(b"\n")
        try:
            profiles, name, (output, channels) = json.loads(head)
        except ValueError:
            self.error_recorder.report_error(self.trt.ErrorCodeTRT.INTERNAL_ERROR, "magic tag does not match")
            return None
        assert name == "x"
        assert output == "y"
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

        def function(tiles):
            return session.run([output], {name: np.array(tiles)})[0] * np.float32(self.toy.gain)

        return ToyEngine(self.toy.cuda, profiles, function=function, channels=channels)
