"""An NVIDIA card by cuda-bindings: memory, streams, graphs; the code that each call returns is looked at."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import DeviceUnavailable, MissingDependency, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Card", "Pinned"]

_DRIVER = "install the NVIDIA driver, or choose --device cpu"
_OTHER = "choose --device cuda or cpu"


@dataclass(frozen=True)
class Pinned:
    """Memory of the host that the card reads and writes by itself.  array: a view of it, float32."""

    address: int
    array: NDArray[np.float32]


class Card:
    """One card, by its number.

    name, capability: "NVIDIA H200", "9.0".
    Raises MissingDependency, DeviceUnavailable; every method OutOfMemory or DeviceUnavailable.
    """

    def __init__(self, index: int, device: str) -> None:
        self.index = index
        self.device = device
        self.cudart = _cudart()
        n_cards = self.call(self.cudart.cudaGetDeviceCount, cure=_DRIVER)
        if index >= n_cards:
            there = f"there are only {n_cards}" if n_cards > 1 else "there is only one"
            raise DeviceUnavailable(device, f"of the NVIDIA cards {there}, and the first has number 0", _OTHER)
        self.use()
        told = self.call(self.cudart.cudaGetDeviceProperties, index)
        self.name = told.name.decode(errors="replace").rstrip("\0")
        self.capability = f"{told.major}.{told.minor}"

    def call(self, function: Callable[..., Any], *arguments: Any, cure: str = _OTHER) -> Any:
        """Call a function of the CUDA runtime, and return what it returns beside its code."""
        code, *values = function(*arguments)
        if code != self.cudart.cudaError_t.cudaSuccess:
            self.cudart.cudaGetLastError()  # which forgets it: it is told here, not of the next call
            if code == self.cudart.cudaError_t.cudaErrorMemoryAllocation:
                raise OutOfMemory(self.device)
            raise DeviceUnavailable(self.device, f"{function.__name__}: {self._words(code)}", cure)
        return values[0] if len(values) == 1 else values

    def use(self) -> None:
        """Make this the card of the thread that calls."""
        self.call(self.cudart.cudaSetDevice, self.index)

    def stream(self) -> Any:
        """A stream that waits for no other."""
        return self.call(self.cudart.cudaStreamCreateWithFlags, self.cudart.cudaStreamNonBlocking)

    def wait(self, stream: Any) -> None:
        """Wait until all that was put into the stream is done."""
        self.call(self.cudart.cudaStreamSynchronize, stream)

    def memory(self, n_bytes: int) -> int:
        """Memory of the card; its address."""
        return int(self.call(self.cudart.cudaMalloc, n_bytes))

    def pinned(self, shape: tuple[int, ...]) -> Pinned:
        """Memory of the host for an array of float32."""
        n_values = int(np.prod(shape))
        address = int(self.call(self.cudart.cudaHostAlloc, 4 * n_values, self.cudart.cudaHostAllocDefault))
        view = np.ctypeslib.as_array((ctypes.c_float * n_values).from_address(address))
        return Pinned(address, view.reshape(shape))

    def put(self, address: int, host: Pinned, stream: Any) -> None:
        """Copy from the host to the card, in the stream."""
        kind = self.cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self.call(self.cudart.cudaMemcpyAsync, address, host.address, host.array.nbytes, kind, stream)

    def get(self, host: Pinned, address: int, stream: Any) -> None:
        """Copy from the card to the host, in the stream."""
        kind = self.cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self.call(self.cudart.cudaMemcpyAsync, host.address, address, host.array.nbytes, kind, stream)

    def graph(self, stream: Any, work: Callable[[], None]) -> Any | None:
        """What `work` puts into the stream, as one thing to launch; None where it cannot be recorded."""
        # In this thread alone: another may allocate memory meanwhile.
        mode = self.cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call(self.cudart.cudaStreamBeginCapture, stream, mode)
        try:
            work()
        except (DeviceUnavailable, OutOfMemory):
            self._ended(stream)
            return None
        except BaseException:
            self._ended(stream)
            raise
        recorded = self._ended(stream)
        if recorded is None:
            return None
        code, launchable = self.cudart.cudaGraphInstantiate(recorded, 0)
        self.cudart.cudaGraphDestroy(recorded)
        if code != self.cudart.cudaError_t.cudaSuccess:
            self.cudart.cudaGetLastError()
            return None
        return launchable

    def launch(self, graph: Any, stream: Any) -> None:
        """Put a graph into the stream."""
        self.call(self.cudart.cudaGraphLaunch, graph, stream)

    def mark(self) -> Any:
        """A mark to set in a stream, which tells when the card came to it."""
        return self.call(self.cudart.cudaEventCreate)

    def set_mark(self, mark: Any, stream: Any, *, recording: bool = False) -> None:
        """Set a mark in the stream.  recording: in a graph of it, which then sets the mark whenever it is launched."""
        flags = self.cudart.cudaEventRecordExternal if recording else self.cudart.cudaEventRecordDefault
        self.call(self.cudart.cudaEventRecordWithFlags, mark, stream, flags)

    def between(self, marks: tuple[Any, ...]) -> tuple[float, ...]:
        """Seconds from each of the marks to the next, all of which the card has passed."""
        elapsed = self.cudart.cudaEventElapsedTime  # in ms
        return tuple(self.call(elapsed, first, last) / 1000 for first, last in pairwise(marks))

    def free(
        self,
        *,
        stream: Any = None,
        graph: Any = None,
        memory: tuple[int, ...] = (),
        pinned: Any = (),
        marks: tuple[Any, ...] = (),
    ) -> None:
        """Give back what there is of these; what fails now has failed before, and was told then."""
        if graph is not None:
            self.cudart.cudaGraphExecDestroy(graph)
        for address in memory:
            self.cudart.cudaFree(address)
        for host in pinned:
            self.cudart.cudaFreeHost(host.address)
        if stream is not None:
            self.cudart.cudaStreamDestroy(stream)
        for mark in marks:
            self.cudart.cudaEventDestroy(mark)

    def _ended(self, stream: Any) -> Any | None:
        code, recorded = self.cudart.cudaStreamEndCapture(stream)
        if code == self.cudart.cudaError_t.cudaSuccess:
            return recorded
        self.cudart.cudaGetLastError()
        return None

    def _words(self, code: Any) -> str:
        _, words = self.cudart.cudaGetErrorString(code)
        return f"{words.decode(errors='replace')} ({code.name})"


def _cudart() -> Any:
    try:
        from cuda.bindings import runtime
    except ModuleNotFoundError as error:
        raise MissingDependency("cuda-bindings", "trt", "device tensorrt") from error
    except ImportError as error:
        cure = 'run: pip install --force-reinstall "semrt[trt]"'
        raise DeviceUnavailable("tensorrt", f"cuda-bindings does not load, {error}", cure) from error
    return runtime
