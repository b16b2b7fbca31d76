"""A card that is a part of the host's memory, and an engine on it: as patient as CUDA, and as strict.

What is put into a stream is done when somebody waits for it, and not before; what is freed is gone.
"""

import ctypes
import itertools
import threading
from enum import IntEnum
from types import SimpleNamespace

import numpy as np


class Code(IntEnum):
    cudaSuccess = 0  # noqa: N815
    cudaErrorInvalidValue = 1  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorStreamCaptureInvalidated = 901  # noqa: N815


class ToyCuda:
    """The functions of cuda.bindings.runtime that semrt calls.

    memory: bytes that the card has.  failing: the name of a function that gives an error.
    """

    cudaError_t = Code  # noqa: N815
    cudaStreamNonBlocking = 1  # noqa: N815
    cudaHostAllocDefault = 0  # noqa: N815
    cudaEventRecordDefault, cudaEventRecordExternal = 0, 1  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815

    def __init__(self, memory=2**30, n_cards=1):
        self.free_bytes = memory
        self.n_cards = n_cards
        self.failing = None
        self.lock = threading.RLock()
        self.device, self.pinned = {}, {}
        self.streams, self.captures, self.graphs = {}, {}, {}
        self.events, self.now = {}, 0.0  # the card's own clock [ms], which only work moves on
        self.numbers = itertools.count(1)
        self.launches = 0
        self.cards = set()

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if not name.startswith("cuda") or not callable(value) or isinstance(value, type):
            return value

        def called(*arguments):
            with self.lock:
                if self.failing == name:
                    return (Code.cudaErrorInvalidValue, *((None,) if name in GIVES else ()))
                return value(*arguments)

        called.__name__ = name
        return called

    def nothing_is_left(self):
        return not (self.device or self.pinned or self.streams or self.graphs or self.events)

    def cudaGetDeviceCount(self):  # noqa: N802
        return Code.cudaSuccess, self.n_cards

    def cudaGetDeviceProperties(self, index):  # noqa: N802
        return Code.cudaSuccess, SimpleNamespace(name=b"Toy\0\0", major=9, minor=0)

    def cudaSetDevice(self, index):  # noqa: N802
        self.cards.add((threading.get_ident(), index))
        return (Code.cudaSuccess,)

    def cudaGetErrorString(self, code):  # noqa: N802
        return Code.cudaSuccess, b"invalid argument"

    def cudaGetLastError(self):  # noqa: N802
        return (Code.cudaSuccess,)

    def cudaMalloc(self, n_bytes):  # noqa: N802
        if n_bytes > self.free_bytes:
            return Code.cudaErrorMemoryAllocation, None
        self.free_bytes -= n_bytes
        return Code.cudaSuccess, self._allocated(self.device, n_bytes)

    def cudaFree(self, address):  # noqa: N802
        self.free_bytes += len(self.device.pop(address))
        return (Code.cudaSuccess,)

    def cudaHostAlloc(self, n_bytes, flags):  # noqa: N802
        return Code.cudaSuccess, self._allocated(self.pinned, n_bytes)

    def cudaFreeHost(self, address):  # noqa: N802
        del self.pinned[address]
        return (Code.cudaSuccess,)

    def cudaStreamCreateWithFlags(self, flags):  # noqa: N802
        number = next(self.numbers)
        self.streams[number] = []
        return Code.cudaSuccess, number

    def cudaStreamDestroy(self, stream):  # noqa: N802
        del self.streams[stream]
        return (Code.cudaSuccess,)

    def cudaStreamSynchronize(self, stream):  # noqa: N802
        assert stream not in self.captures
        work, self.streams[stream] = self.streams[stream], []
        for one in work:
            one()
        return (Code.cudaSuccess,)

    def cudaMemcpyAsync(self, to, of, n_bytes, kind, stream):  # noqa: N802
        card, host = (to, of) if kind == 1 else (of, to)
        assert len(self.device[card]) == len(self.pinned[host]) == n_bytes

        def copy():
            assert card in self.device
            assert host in self.pinned
            ctypes.memmove(to, of, n_bytes)
            self.now += 1.0 if kind == 1 else 2.0

        self.put(stream, copy)
        return (Code.cudaSuccess,)

    def cudaEventCreate(self):  # noqa: N802
        event = next(self.numbers)
        self.events[event] = None
        return Code.cudaSuccess, event

    def cudaEventRecordWithFlags(self, event, stream, flags):  # noqa: N802
        if (flags == self.cudaEventRecordExternal) != (stream in self.captures):
            return (Code.cudaErrorInvalidValue,)  # in a graph, an event of the other kind tells no time

        def passed():
            self.events[event] = self.now

        self.put(stream, passed)
        return (Code.cudaSuccess,)

    def cudaEventElapsedTime(self, first, last):  # noqa: N802
        return Code.cudaSuccess, self.events[last] - self.events[first]

    def cudaEventDestroy(self, event):  # noqa: N802
        del self.events[event]
        return (Code.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream, mode):  # noqa: N802
        assert not self.streams[stream]
        self.captures[stream] = []
        return (Code.cudaSuccess,)

    def cudaStreamEndCapture(self, stream):  # noqa: N802
        recorded = self.captures.pop(stream)
        if None in recorded:
            return Code.cudaErrorStreamCaptureInvalidated, None
        number = next(self.numbers)
        self.graphs[number] = recorded
        return Code.cudaSuccess, number

    def cudaGraphInstantiate(self, graph, flags):  # noqa: N802
        number = next(self.numbers)
        self.graphs[number] = self.graphs[graph]
        return Code.cudaSuccess, number

    def cudaGraphDestroy(self, graph):  # noqa: N802
        del self.graphs[graph]
        return (Code.cudaSuccess,)

    def cudaGraphExecDestroy(self, graph):  # noqa: N802
        del self.graphs[graph]
        return (Code.cudaSuccess,)

    def cudaGraphLaunch(self, graph, stream):  # noqa: N802
        self.launches += 1
        self.streams[stream] += self.graphs[graph]
        return (Code.cudaSuccess,)

    def put(self, stream, work):
        """Into a stream, or into what is recorded of it."""
        (self.captures if stream in self.captures else self.streams)[stream].append(work)

    def array(self, address, shape):
        """What lies at an address of the card."""
        assert len(self.device[address]) == 4 * np.prod(shape)
        return np.frombuffer(self.device[address], np.float32).reshape(shape)

    @staticmethod
    def _allocated(where, n_bytes):
        memory = (ctypes.c_char * n_bytes)()
        memory[:] = b"\xff" * n_bytes  # NaN, until somebody writes
        where[ctypes.addressof(memory)] = memory
        return ctypes.addressof(memory)


GIVES = {
    "cudaGetDeviceCount",
    "cudaGetDeviceProperties",
    "cudaMalloc",
    "cudaHostAlloc",
    "cudaStreamCreateWithFlags",
    "cudaStreamEndCapture",
    "cudaGraphInstantiate",
    "cudaEventCreate",
    "cudaEventElapsedTime",
}


def doubled(tiles):
    """What a toy engine computes: its first channel, twice."""
    return 2 * tiles[:, :1]


class ToyEngine:
    """Computes a function.  refuses: what of an execution context says no.  fixed: it tells of no profile."""

    def __init__(
        self, cuda, profiles, *, function=doubled, channels=1, records=True, refuses=None, shrinks=1, fixed=False
    ):
        self.cuda = cuda
        self.profiles = profiles
        self.function = function
        self.channels = channels
        self.records = records
        self.refuses = refuses
        self.shrinks = shrinks
        self.fixed = fixed
        self.num_optimization_profiles = len(profiles)
        self.strategies = []

    def get_tensor_profile_shape(self, name, index):
        assert name == "x"
        return [[]] * 3 if self.fixed else [list(sides) for sides in self.profiles[index]]

    def get_tensor_shape(self, name):
        assert self.fixed
        assert name == "x"
        return list(self.profiles[0][1])

    def create_execution_context(self, strategy):
        self.strategies.append(strategy)
        return None if self.refuses == "create_execution_context" else ToyContext(self)


class ToyContext:
    """At first without profile, shape and addresses, as a real one."""

    def __init__(self, engine):
        self.engine = engine
        self.profile = None
        self.shape = None
        self.addresses = {}
        self.thread = None

    def set_optimization_profile_async(self, profile, stream):
        self.profile = self.engine.profiles[profile]
        return self.engine.refuses != "set_optimization_profile_async"

    def set_input_shape(self, name, shape):
        low, _, high = self.profile
        self.shape = shape
        fits = all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))
        return name == "x" and fits and self.engine.refuses != "set_input_shape"

    def get_tensor_shape(self, name):
        n, _, h, w = self.shape
        return [n, self.engine.channels, h // self.engine.shrinks, w]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return self.engine.refuses != "set_tensor_address"

    def execute_async_v3(self, stream):
        cuda = self.engine.cuda
        recording = stream in cuda.captures
        if self.engine.refuses == "execute_async_v3" or (recording and not self.engine.records):
            if recording:
                cuda.put(stream, None)
            return False
        n, _, h, w = shape = self.shape
        there, back = self.addresses["x"], self.addresses["y"]

        def work():
            cuda.array(back, (n, self.engine.channels, h, w))[...] = self.engine.function(cuda.array(there, shape))
            cuda.now += 10.0

        cuda.put(stream, work)
        return True
