"""An opened engine: execution contexts, each with its memory and its CUDA graph, lent to one thread at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.backends.spans import add_spans
from semrt.backends.tensorrt_errors import failure
from semrt.errors import InvalidShape, ModelDamaged, OutOfMemory, SemrtError

if TYPE_CHECKING:
    import tensorrt as trt
    from numpy.typing import NDArray

    from semrt.backends.tensorrt_cuda import Card
    from semrt.backends.tensorrt_toolchain import Graph, Profile

__all__ = ["NativeRunner"]

_MOST_IDLE = 12
"""Execution contexts kept although nobody uses them; each holds the memory that its shape needs."""


class NativeRunner:
    """An engine on a card; see Runner.  From several threads: each run has a context of its own."""

    def __init__(self, trt: Any, card: Card, engine: trt.ICudaEngine, recorder: Any, graph: Graph) -> None:
        self._trt = trt
        self._card = card
        self._engine: Any = engine
        self._recorder = recorder
        self._graph = graph
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, Slot] = OrderedDict()  # the one used last comes last
        self.profiles: tuple[Profile, ...] = tuple(
            _profile(engine, graph.input, index) for index in range(engine.num_optimization_profiles)
        )

    def run(self, tiles: NDArray[np.float32], spans: dict[str, float] | None = None) -> NDArray[np.float32]:
        """Run one batch, (n, c, h, w) -> (n, k, h, w), whose shape one of the profiles has.  spans: see Runner."""
        self._card.use()
        slot = self._taken(tiles.shape)
        try:
            predicted = slot.run(tiles, spans)
        except BaseException:
            slot.close()
            raise
        self._give_back(slot)
        return predicted

    def close(self) -> None:
        """Give the card's memory back; what runs just now gives back its own when it is done."""
        with self._lock:
            slots, self._engine = list(self._idle.values()), None
            self._idle.clear()
        for slot in slots:
            slot.close()

    def _taken(self, shape: tuple[int, ...]) -> Slot:
        with self._lock:
            engine = self._engine
            fitting = [key for key, slot in self._idle.items() if slot.shape == shape]
            if fitting:
                return self._idle.pop(fitting[-1])
        if engine is None:
            raise SemrtError("the session is closed; open it again")
        try:
            return self._new(engine, shape)
        except OutOfMemory:
            with self._lock:
                idle = list(self._idle.values())
                self._idle.clear()
            if not idle:
                raise
        for slot in idle:  # other shapes hold what this one needs
            slot.close()
        return self._new(engine, shape)

    def _new(self, engine: Any, shape: tuple[int, ...]) -> Slot:
        index = _chosen(self.profiles, shape)
        return Slot(self._trt, self._card, engine, self._recorder, self._graph, index, shape)

    def _give_back(self, slot: Slot) -> None:
        with self._lock:
            surplus = [slot]
            if self._engine is not None:
                self._idle[id(slot)] = slot
                surplus = [self._idle.popitem(last=False)[1]] if len(self._idle) > _MOST_IDLE else []
        for one in surplus:
            one.close()


class Slot:
    """One execution context at one shape: its stream, its memory on both sides, its graph; for one thread at a time."""

    def __init__(
        self,
        trt: Any,
        card: Card,
        engine: trt.ICudaEngine,
        recorder: Any,
        graph: Graph,
        profile: int,
        shape: tuple[int, ...],
    ) -> None:
        self.shape = shape
        self._card = card
        self._recorder = recorder
        self._stream: Any = None
        self._memory: tuple[int, ...] = ()
        self._host: tuple[Any, ...] = ()
        self._recorded: Any = None
        self._clocked: Any = None  # the same with marks between its parts, once somebody has asked for the time
        self._marks: tuple[Any, ...] = ()
        # Memory for this profile alone: the static strategy takes what the largest one needs.
        strategy = trt.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
        self._context: trt.IExecutionContext = engine.create_execution_context(strategy)
        if self._context is None:
            raise failure(card.device, recorder, "TensorRT makes no execution context")
        try:
            self._prepare(graph, profile)
        except BaseException:
            self.close()
            raise

    def run(self, tiles: NDArray[np.float32], spans: dict[str, float] | None = None) -> NDArray[np.float32]:
        """Run one batch of this shape.  spans: see Runner."""
        into, out = self._host
        into.array[...] = tiles
        recorded = self._recorded if spans is None else self._recorded_with_marks()
        if recorded is not None:
            self._card.launch(recorded, self._stream)
        elif spans is None:
            self._enqueue()
        else:
            self._enqueue(self._marks)
        self._card.wait(self._stream)
        if spans is not None:
            add_spans(spans, self._card.between(self._marks))
        return np.array(out.array)  # a copy: the next run writes over it

    def close(self) -> None:
        """Give memory, stream, graphs and marks back."""
        self._card.free(graph=self._recorded)
        self._card.free(graph=self._clocked, marks=self._marks)
        self._context = None  # its memory goes with it, once nothing that was recorded needs it
        self._card.free(stream=self._stream, memory=self._memory, pinned=self._host)
        self._recorded, self._clocked, self._stream = None, None, None
        self._marks, self._memory, self._host = (), (), ()

    def _prepare(self, graph: Graph, profile: int) -> None:
        card, context = self._card, self._context
        self._stream = card.stream()
        if not context.set_optimization_profile_async(profile, int(self._stream)):
            raise self._failure("TensorRT refuses its own profile")
        card.wait(self._stream)
        if not context.set_input_shape(graph.input, self.shape):
            raise self._failure(f"TensorRT refuses tiles of {self.shape}")
        n, _, h, w = self.shape
        wanted = (n, graph.channels[1], h, w)
        gives = tuple(context.get_tensor_shape(graph.output))
        if gives != wanted:
            raise ModelDamaged(graph.path, f"{graph.output}: expected shape {wanted}, got {gives}")
        for name, shape in ((graph.input, self.shape), (graph.output, wanted)):
            self._host = (*self._host, card.pinned(shape))
            self._memory = (*self._memory, card.memory(self._host[-1].array.nbytes))
            if not context.set_tensor_address(name, self._memory[-1]):
                raise self._failure(f"TensorRT refuses memory for {name}")
        self._host[0].array[...] = 0
        self._enqueue()  # once before it is recorded: the first call of a shape prepares what a graph cannot hold
        card.wait(self._stream)
        self._recorded = card.graph(self._stream, self._enqueue)
        self._recorder.clear()  # what a recording does not allow is no error of a run

    def _recorded_with_marks(self) -> Any:
        """What is launched to learn the times; None where the network cannot be recorded."""
        if not self._marks:
            for _ in range(4):
                self._marks = (*self._marks, self._card.mark())
            if self._recorded is not None:
                self._clocked = self._card.graph(self._stream, lambda: self._enqueue(self._marks, recording=True))
                self._recorder.clear()
        return self._clocked

    def _enqueue(self, marks: tuple[Any, ...] = (), *, recording: bool = False) -> None:
        """Put a run into the stream.  marks: four, that are set before, between and after its three parts."""
        (into, out), (there, back) = self._host, self._memory
        passed = iter(marks)

        def mark() -> None:
            for one in islice(passed, 1):
                self._card.set_mark(one, self._stream, recording=recording)

        mark()
        self._card.put(there, into, self._stream)
        mark()
        if not self._context.execute_async_v3(int(self._stream)):
            raise self._failure("TensorRT does not run the engine")
        mark()
        self._card.get(out, back, self._stream)
        mark()

    def _failure(self, why: str) -> SemrtError:
        return failure(self._card.device, self._recorder, why)


def _profile(engine: trt.ICudaEngine, name: str, index: int) -> Profile:
    smallest, usual, largest = (tuple(sides) for sides in engine.get_tensor_profile_shape(name, index))
    if not usual:  # an engine of one shape need not have any other
        smallest = usual = largest = tuple(engine.get_tensor_shape(name))
    return smallest, usual, largest


def _chosen(profiles: tuple[Profile, ...], shape: tuple[int, ...]) -> int:
    """The profile that was tuned for the shape, or that allows it at least.  Raises InvalidShape."""
    for index, (_, usual, _) in enumerate(profiles):
        if usual == shape:
            return index
    for index, (smallest, _, largest) in enumerate(profiles):
        if all(low <= side <= high for low, side, high in zip(smallest, shape, largest, strict=True)):
            return index
    raise InvalidShape("tiles", " or ".join(str(largest) for _, _, largest in profiles) + " or smaller", shape)
