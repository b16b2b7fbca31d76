"""ONNX Runtime on memory that stays where it is, so that copies to and from a card overlap with what it computes.

Each batch has a lane of its own: memory to send and to receive, and a binding of both to the graph. Binding an input
copies it to the card, and the output comes back into memory that is there already; while one lane computes, another
copies. Two batches computed at once would take twice the memory and be no faster, so lanes compute one at a time.

CUDA graphs are left out: with them ONNX Runtime allows a session one thread alone, wants input and output in fixed
memory on the card, and keeps what each shape took. They would save the launching of some sixty kernels, which at the
usual tiles goes on while the card computes. Where launching counts, there are TensorRT's engines, which are recorded.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.backends.spans import add_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from semrt.backends.onnxruntime_memory import Memory
    from semrt.models import Manifest

__all__ = ["LANES", "BoundGraph"]

_MOST_IDLE = 8
"""Lanes kept although nobody uses them: page-locked memory is lost to all other programs."""
LANES = 2
_SHRINK = "memory.enable_memory_arena_shrinkage"
_NO_ARENA = "memory arena shrink list"
_ARENAS = {"cuda": "gpu", "cpu": "cpu"}
"""What ONNX Runtime calls its memory on each kind of device."""


class BoundGraph:
    """A graph whose batches have memory of their own; from any thread.

    onnxruntime: the module.  graph: an InferenceSession.  memory: where batches lie on this side.
    place: the device that it computes on, "cuda" or "cpu", and which of them.
    frugal: whether memory is short from the start, so that what a new shape took in its first call is given back.
    proven: whether it ever ran.
    """

    def __init__(
        self,
        onnxruntime: Any,
        graph: Any,
        manifest: Manifest,
        memory: Memory,
        place: tuple[str, int],
        *,
        frugal: bool,
    ) -> None:
        self._onnxruntime = onnxruntime
        self._graph = graph
        self._manifest = manifest
        self._memory = memory
        self._place = place
        self.proven = False
        self._shrinking: Any = onnxruntime.RunOptions()
        self._shrinking.add_run_config_entry(_SHRINK, f"{_ARENAS[place[0]]}:{place[1]}")
        self._frugal = frugal
        self._settled: set[tuple[int, ...]] = set()
        self._lock = threading.Lock()
        self._computing = threading.Lock()
        self._idle: OrderedDict[int, _Lane] = OrderedDict()  # the one used last comes last

    def run(self, tiles: NDArray[np.float32], batches: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Run (n, c, h, w) -> (n, k, h, w) in batches, each from its first tile to that after its last.

        Raises what ONNX Runtime raises.
        """
        predicted = np.empty((len(tiles), len(self._manifest.output_channels), *tiles.shape[2:]), np.float32)
        left, failed = deque(batches), list[BaseException]()

        def work() -> None:
            try:
                while not failed and (batch := _next(left)) is not None:
                    first, end = batch
                    self._run_batch(tiles[first:end], predicted[first:end])
            except BaseException as error:  # told where it is waited for
                failed.append(error)

        helpers = [threading.Thread(target=work, daemon=True) for _ in range(min(LANES, len(batches)) - 1)]
        for helper in helpers:
            helper.start()
        work()
        for helper in helpers:
            helper.join()
        if failed:
            raise failed[0]
        return predicted

    def run_clocked(
        self, tiles: NDArray[np.float32], batches: Sequence[tuple[int, int]], spans: dict[str, float]
    ) -> NDArray[np.float32]:
        """As `run`, one batch after another and each step waited for: adds its seconds to spans, see backends.spans.

        Raises what ONNX Runtime raises.
        """
        predicted = np.empty((len(tiles), len(self._manifest.output_channels), *tiles.shape[2:]), np.float32)
        for first, end in batches:
            lane = self._taken(tiles[first:end].shape, predicted[first:end].shape)
            with self._computing:
                add_spans(spans, lane.clocked(tiles[first:end], self._place, self._memory))
            np.copyto(predicted[first:end], lane.got)
            self._give_back(lane)
        return predicted

    @property
    def keeps_time(self) -> bool:
        """Whether `run_clocked` can reach the memory of the device."""
        return self._memory.place == self._place[0]

    def close(self) -> None:
        """Give memory back; what runs just now gives back its own when it is done."""
        with self._lock:
            self._graph = None
            self._idle.clear()

    def spare(self) -> None:
        """Memory ran out: from now on give back what a new shape took in its first call, and what it took before."""
        with self._lock:
            self._frugal = True
            self._settled.clear()

    def _run_batch(self, tiles: NDArray[np.float32], predicted: NDArray[np.float32]) -> None:
        lane = self._taken(tiles.shape, predicted.shape)
        lane.send(tiles)
        with self._computing:
            options = self._options(tiles.shape)
            try:
                lane.compute(options)
            except Exception as error:
                if options is None or _NO_ARENA not in str(error):
                    raise
                self._shrinking = None  # this version calls its memory otherwise; nothing has been computed yet
                lane.send(tiles)
                lane.compute(None)
        self.proven = True
        np.copyto(predicted, lane.got)
        self._give_back(lane)

    def _options(self, shape: tuple[int, ...]) -> Any:
        """Whether the memory of this call is given back when it is done.

        The first call of a shape takes the most, for the libraries choose their kernels then. To give back after every
        call would cost an allocation in each.
        """
        with self._lock:
            first = self._frugal and shape not in self._settled
            self._settled.add(shape)
        return self._shrinking if first else None

    def _taken(self, shape: tuple[int, ...], gives: tuple[int, ...]) -> _Lane:
        with self._lock:
            fitting = [key for key, lane in self._idle.items() if lane.sent.shape == shape]
            if fitting:
                return self._idle.pop(fitting[-1])
            graph = self._graph
        if graph is None:
            raise RuntimeError("the session was closed")
        return _Lane(self._onnxruntime, graph, self._manifest, self._memory, shape, gives)

    def _give_back(self, lane: _Lane) -> None:
        with self._lock:
            if self._graph is not None:
                self._idle[id(lane)] = lane
                if len(self._idle) > _MOST_IDLE:
                    self._idle.popitem(last=False)


def _next(left: deque[tuple[int, int]]) -> tuple[int, int] | None:
    try:
        return left.popleft()  # not looked at before: another thread may be faster
    except IndexError:
        return None


class _Lane:
    """Memory for batches of one shape, bound to the graph; for one thread at a time."""

    def __init__(
        self,
        onnxruntime: Any,
        graph: Any,
        manifest: Manifest,
        memory: Memory,
        shape: tuple[int, ...],
        gives: tuple[int, ...],
    ) -> None:
        self.sent = memory.array(shape)
        self.got = memory.array(gives)
        self._graph = graph
        self._input, self._output = manifest.input, manifest.output
        self._value = onnxruntime.OrtValue.ortvalue_from_numpy(self.sent, "cpu")  # a view, not a copy
        self._binding = graph.io_binding()
        self._receive()

    def send(self, tiles: NDArray[np.float32]) -> None:
        """Copy a batch to where the graph will read it: into this memory, and from there to the device by binding."""
        np.copyto(self.sent, tiles)
        self._binding.bind_ortvalue_input(self._input, self._value)

    def compute(self, options: Any) -> None:
        """Run the graph on what was sent; the result is in `got`."""
        self._binding.synchronize_inputs()
        try:
            self._graph.run_with_iobinding(self._binding, options)
        finally:
            self._binding.clear_binding_inputs()  # its copy on the device: the next lane may need the memory

    def clocked(self, tiles: NDArray[np.float32], place: tuple[str, int], memory: Memory) -> tuple[float, float, float]:
        """Run the graph step by step; the seconds to the device, of computing, and back.  The result is in `got`."""
        np.copyto(self.sent, tiles)
        try:
            begun = perf_counter()
            self._binding.bind_ortvalue_input(self._input, self._value)
            self._binding.synchronize_inputs()
            there = perf_counter()
            self._binding.bind_output(self._output, *place)  # the result stays on the device
            self._graph.run_with_iobinding(self._binding, None)
            self._binding.synchronize_outputs()
            computed = perf_counter()
            (value,) = self._binding.get_outputs()
            memory.fetch(value.data_ptr(), self.got)
            done = perf_counter()
        finally:
            self._binding.clear_binding_inputs()
            self._receive()
        return there - begun, computed - there, done - computed

    def _receive(self) -> None:
        """Bind the output to `got`."""
        address = self.got.ctypes.data
        self._binding.bind_output(self._output, "cpu", 0, np.float32, list(self.got.shape), address)
