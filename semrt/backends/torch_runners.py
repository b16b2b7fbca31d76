"""A graph of torch on the processor, and on a card: there recorded once for each shape of tiles, and replayed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from semrt.backends.spans import add_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.backends.torch_graph import TorchGraph

__all__ = ["CpuRunner", "CudaRunner", "Runner"]

_MOST_KEPT = 12
"""Shapes whose recordings a card keeps; each holds the memory that it needs."""
_settings = threading.Lock()  # those of torch are the whole process's: number of threads, TF32


class Runner(Protocol):
    """Runs batches, from any thread.  place: the device that the results come from."""

    place: torch.device

    def run(self, tiles: NDArray[np.float32], spans: dict[str, float] | None = None) -> NDArray[np.float32]:
        """(n, c, h, w) -> (n, k, h, w).  Raises what torch raises, RuntimeError.

        spans: where the seconds of a card are added; see semrt.backends.spans.
        """
        ...

    def close(self) -> None:
        """Give memory back."""
        ...


class CpuRunner:
    """On the processor."""

    def __init__(self, graph: TorchGraph, threads: int | None) -> None:
        self._graph = graph
        self._threads = threads
        self.place = torch.device("cpu")

    def run(self, tiles: NDArray[np.float32], _spans: dict[str, float] | None = None) -> NDArray[np.float32]:
        """Run a batch, with as many threads as were asked for; one batch at a time."""
        with _settings, torch.inference_mode():
            before = torch.get_num_threads()
            torch.set_num_threads(self._threads or before)
            try:
                return self._graph(torch.from_numpy(tiles)).numpy()
            finally:
                torch.set_num_threads(before)

    def close(self) -> None:
        """Nothing is held but the graph."""


class CudaRunner:
    """On a card, in float32 that is float32."""

    def __init__(self, graph: TorchGraph, place: torch.device) -> None:
        self._graph = graph
        self._lock = threading.Lock()
        self._recorded: OrderedDict[tuple[int, ...], _Recorded] = OrderedDict()  # the one used last comes last
        weights = {weight.device for weight in graph.weights.values()}
        self.place = next(iter(weights)) if len(weights) == 1 else place

    def run(self, tiles: NDArray[np.float32], spans: dict[str, float] | None = None) -> NDArray[np.float32]:
        """Run a batch; one at a time, as they would share the card anyway.  spans: see Runner."""
        with self._lock, torch.inference_mode(), torch.cuda.device(self.place):
            recorded = self._recorded.pop(tiles.shape, None) or self._new(tiles.shape)
            self._recorded[tiles.shape] = recorded
            if len(self._recorded) > _MOST_KEPT:
                self._recorded.popitem(last=False)
            return recorded.run(tiles, spans)

    def close(self) -> None:
        """Give the card's memory back."""
        with self._lock:
            self._recorded.clear()
        with torch.cuda.device(self.place):
            torch.cuda.empty_cache()

    def _new(self, shape: tuple[int, ...]) -> _Recorded:
        try:
            return _Recorded(self._graph, shape, self.place)
        except torch.OutOfMemoryError:
            if not self._recorded:
                raise
        self._recorded.clear()  # other shapes hold what this one needs
        torch.cuda.empty_cache()
        return _Recorded(self._graph, shape, self.place)


class _Recorded:
    """The graph at one shape, as a CUDA graph: fixed memory on both sides, and a stream of its own."""

    def __init__(self, graph: TorchGraph, shape: tuple[int, ...], place: torch.device) -> None:
        self._stream = torch.cuda.Stream(place)  # type: ignore[no-untyped-call]
        self._sent = _page_locked(shape)
        self._input = torch.zeros(shape, device=place)
        self._stream.wait_stream(torch.cuda.current_stream(place))
        # TF32 has ten bits of mantissa, and is what convolutions take by default.
        with _settings, torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            with torch.cuda.stream(self._stream):
                graph(self._input)  # once before it is recorded: libraries choose their kernels in the first call
            self._stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._output = graph(self._input)
        self._got = _page_locked(tuple(self._output.shape))

    def run(self, tiles: NDArray[np.float32], spans: dict[str, float] | None = None) -> NDArray[np.float32]:
        """Run a batch of this shape.  spans: see Runner."""
        self._sent.numpy()[...] = tiles
        marks: list[Any] = []

        def mark() -> None:
            if spans is not None:
                marks.append(torch.cuda.Event(enable_timing=True))  # type: ignore[no-untyped-call]
                marks[-1].record()

        with torch.cuda.stream(self._stream):
            mark()
            self._input.copy_(self._sent, non_blocking=True)
            mark()
            self._graph.replay()
            mark()
            self._got.copy_(self._output, non_blocking=True)
            mark()
        self._stream.synchronize()
        if spans is not None:
            add_spans(spans, (first.elapsed_time(then) / 1e3 for first, then in pairwise(marks)))
        return np.array(self._got.numpy())  # a copy: the next run writes over it


def _page_locked(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.empty(shape, pin_memory=True)
