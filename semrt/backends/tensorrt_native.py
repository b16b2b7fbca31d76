"""TensorRT itself, from version 11: graphs to engines, and engines opened; the one module that imports it.

Networks are strongly typed there: the precision is that of the graph, and no flag changes it.
"""

from __future__ import annotations

import threading
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from semrt.backends.tensorrt_cuda import Card
from semrt.backends.tensorrt_errors import MENDING, failure, foreign_graph, unloadable
from semrt.backends.tensorrt_progress import PERCENT, Phases
from semrt.backends.tensorrt_runner import NativeRunner
from semrt.errors import DeviceUnavailable, EngineUnusable, Interrupted, MissingDependency, ModelDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import tensorrt as trt

    from semrt.backends.base import Device
    from semrt.backends.tensorrt_toolchain import Graph, Profile, Progress

__all__ = ["NativeToolchain", "import_tensorrt", "listening", "started"]

OLDEST, NEXT = 11, 12
_MOST_ERRORS = 64
_LISTEN = 0.1  # seconds between looks whether somebody pressed Ctrl-C


class NativeToolchain:
    """TensorRT on one card; see Toolchain.  Raises MissingDependency, DeviceUnavailable."""

    flags = ("strongly typed", "no tf32")

    def __init__(self, device: Device) -> None:
        self.device = str(device)
        self._trt = import_tensorrt(self.device)
        self._card = Card(device.index, self.device)
        self.version = str(self._trt.__version__)
        self.capability = self._card.capability
        self.gpu = self._card.name

    def build(
        self, graph: Graph, profiles: Sequence[Profile], timings: bytes, progress: Progress
    ) -> tuple[bytes, bytes]:
        """Build an engine, for minutes; see Toolchain."""
        trt = self._trt
        self._card.use()
        recorder = _recorder(trt)
        builder = started(trt, trt.Builder, self.device)
        builder.error_recorder = recorder
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, _logger(trt))
        if not parser.parse(graph.onnx):
            raise foreign_graph(graph.path, [parser.get_error(index).desc() for index in range(parser.num_errors)])
        shape = _checked(trt, network, graph)
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default: ten bits of mantissa, and other results
        for smallest, usual, largest in dict.fromkeys(_fitted(profile, shape) for profile in profiles):
            profile = builder.create_optimization_profile()
            profile.set_shape(graph.input, min=smallest, opt=usual, max=largest)
            config.add_optimization_profile(profile)
        known = config.create_timing_cache(timings)
        if known is None or not config.set_timing_cache(known, ignore_mismatch=False):  # of another driver, say
            known = config.create_timing_cache(b"")
            config.set_timing_cache(known, ignore_mismatch=False)
        monitor = _monitor(trt, progress)
        config.progress_monitor = monitor
        plan = listening(lambda: self._build(builder, network, config), monitor.stop)
        if monitor.error is not None:
            raise monitor.error
        if plan is None:
            cure = "close what else uses the card"
            raise failure(self.device, recorder, "TensorRT built no engine", cure, silence_is_full=True)
        return bytes(plan), bytes(config.get_timing_cache().serialize())

    def open(self, plan: bytes, graph: Graph) -> NativeRunner:
        """Open an engine; see Toolchain."""
        trt = self._trt
        self._card.use()
        recorder = _recorder(trt)
        runtime = started(trt, trt.Runtime, self.device)
        runtime.error_recorder = recorder
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise failure(self.device, recorder, "TensorRT does not load the engine", otherwise=EngineUnusable)
        return NativeRunner(trt, self._card, engine, recorder, graph)

    def _build(self, builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig) -> Any:
        self._card.use()  # of this thread too
        return builder.build_serialized_network(network, config)


def started(trt: Any, kind: Callable[[Any], Any], device: str) -> Any:
    """Make a Builder or a Runtime.  Raises DeviceUnavailable."""
    try:
        return kind(_logger(trt))
    except TypeError as error:  # pybind11's word for a null pointer
        why = f"TensorRT {trt.__version__} does not start on it"
        raise DeviceUnavailable(device, why, "update the NVIDIA driver, or choose --device cuda") from error


def import_tensorrt(device: str) -> Any:
    """Import TensorRT, under its own name or that of its bindings.  Raises MissingDependency, DeviceUnavailable."""
    try:
        try:
            trt = import_module("tensorrt")
        except ModuleNotFoundError:
            trt = import_module("tensorrt_bindings")
    except ModuleNotFoundError as error:
        raise MissingDependency("tensorrt", "trt", "device tensorrt") from error
    except (ImportError, OSError) as error:  # its libraries are another package, and may be missing
        raise unloadable(device, error) from error
    version = str(getattr(trt, "__version__", "of no version"))
    if not OLDEST <= int(version.partition(".")[0] if version[:1].isdigit() else 0) < NEXT:
        raise DeviceUnavailable(device, f"TensorRT {version} is installed, and {OLDEST} is needed", MENDING)
    return trt


def _checked(trt: Any, network: trt.INetworkDefinition, graph: Graph) -> tuple[int, ...]:
    """The shape of the input, -1 where it is free; what nobody asks for is left out.  Raises ModelDamaged."""
    inputs = {(tensor := network.get_input(index)).name: tensor for index in range(network.num_inputs)}
    outputs = {(tensor := network.get_output(index)).name: tensor for index in range(network.num_outputs)}
    if list(inputs) != [graph.input]:
        raise ModelDamaged(graph.path, f"expected input {graph.input!r}, got {', '.join(map(repr, inputs))}")
    if graph.output not in outputs:
        raise ModelDamaged(graph.path, f"expected output {graph.output!r}, got {', '.join(map(repr, outputs))}")
    for name, tensor in outputs.items():
        if name != graph.output:
            network.unmark_output(tensor)
    _check_tensor(trt, outputs[graph.output], graph.channels[1], graph.path)
    return _check_tensor(trt, inputs[graph.input], graph.channels[0], graph.path)


def _check_tensor(trt: Any, tensor: trt.ITensor, channels: int, path: Path) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    if tensor.dtype != trt.DataType.FLOAT or len(shape) != 4 or shape[1] not in (-1, channels):
        got = f"{shape} of {tensor.dtype}"
        raise ModelDamaged(path, f"{tensor.name!r}: expected (n, {channels}, h, w) of float, got {got}")
    return shape


def _fitted(profile: Profile, shape: tuple[int, ...]) -> Profile:
    """The profile of a graph that leaves some of the sides no choice."""
    smallest, usual, largest = (
        tuple(side if side != -1 else asked for side, asked in zip(shape, sides, strict=True)) for sides in profile
    )
    return smallest, usual, largest


def listening(work: Callable[[], Any], stop: Callable[[], None]) -> Any:
    """Do work that stays in native code for minutes, and hear Ctrl-C meanwhile: in a thread of its own.

    stop: asks the work to end; it is waited for, unless Ctrl-C comes again.
    """
    done: list[Any] = []
    failed: list[BaseException] = []
    begun, abandoned, ended = threading.Event(), threading.Event(), threading.Event()

    def attempt() -> None:
        begun.set()
        try:
            if not abandoned.is_set():
                done.append(work())
        except BaseException as error:  # told where it is waited for
            failed.append(error)
        finally:
            ended.set()

    try:
        threading.Thread(target=attempt, name="TensorRT", daemon=True).start()
        while not ended.wait(_LISTEN):
            pass
    except BaseException:
        abandoned.set()
        stop()
        if begun.is_set():
            ended.wait()
        raise
    if failed:
        raise failed[0]
    return done[0]


@cache
def _logger(trt: Any) -> Any:
    """The one logger, for TensorRT keeps the first it is given while the process lives; its own prints to stdout."""

    class Quiet(trt.ILogger):  # type: ignore[misc]
        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            pass  # what matters comes through the error recorder, or as a result that is None

    return Quiet()


def _recorder(trt: Any) -> Any:
    """Keeps what goes wrong, to be told in one line."""

    class Recorder(trt.IErrorRecorder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[tuple[Any, str]] = []

        def report_error(self, code: trt.ErrorCodeTRT, description: str) -> bool:
            if not self.has_overflowed():  # the first are the causes
                self.errors.append((code, description))
            return False

        def num_errors(self) -> int:
            return len(self.errors)

        def get_error_code(self, index: int) -> Any:
            return self.errors[index][0]

        def get_error_desc(self, index: int) -> str:
            return self.errors[index][1]

        def has_overflowed(self) -> bool:
            return len(self.errors) >= _MOST_ERRORS

        def clear(self) -> None:
            self.errors.clear()

    return Recorder()


def _monitor(trt: Any, progress: Progress) -> Any:
    """Tells `progress` how far the build is, and ends it when that raises; nothing may be raised into native code."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.phases = Phases()
            self.error: BaseException | None = None

        def stop(self) -> None:
            self.error = self.error or Interrupted()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.phases.step(phase_name, step)
            if self.error is None:
                try:
                    percent, within = self.phases.told()
                    progress(percent, PERCENT, f"percent, {within}")
                except BaseException as error:  # such as Interrupted
                    self.error = error
            return self.error is None

        def phase_finish(self, phase_name: str) -> None:
            self.phases.finish(phase_name)

    return Monitor()
