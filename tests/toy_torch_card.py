"""A card for torch that is the host: its graphs record what torch does, and do it again in the same memory."""

from contextlib import contextmanager, nullcontext

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from semrt.backends import torch_runners

HOST = torch.device("cpu")


class Stream:
    """Does all at once, and knows how much it was asked to wait."""

    def __init__(self, place):
        assert place == HOST
        self.waited = 0

    def synchronize(self):
        self.waited += 1

    def wait_stream(self, other):
        assert other is not self


class Event:
    """A mark in a stream; from one to the next the card's clock goes on by 1 ms."""

    now = 0.0

    def __init__(self, enable_timing=False):
        assert enable_timing, "only a clocked run needs a mark"

    def record(self):
        Event.now += 1.0
        self.at = Event.now

    def elapsed_time(self, other):
        return other.at - self.at


class Recording(TorchDispatchMode):
    """Notes each operation with its tensors, whose memory is then as fixed as that of a graph."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def __torch_dispatch__(self, operation, types, given=(), named=None):
        made = operation(*given, **(named or {}))
        self.steps.append((operation, given, named or {}, made))
        return made


class CUDAGraph:
    """What was recorded; a replay computes it anew from the same memory into the same memory."""

    replays = 0
    kept: list = []  # noqa: RUF012

    def __init__(self):
        self.steps = []
        CUDAGraph.kept.append(self)

    def replay(self):
        CUDAGraph.replays += 1
        for operation, given, named, made in self.steps:
            for old, new in zip(_several(made), _several(operation(*given, **named)), strict=True):
                old.copy_(new)


def _several(made):
    return made if isinstance(made, tuple | list) else (made,)


@contextmanager
def capturing(graph, *, stream, capture_error_mode):
    """Record; what a capture leaves in memory is no result, as on a card."""
    assert stream.waited == 1, "the first call must have ended"
    assert capture_error_mode == "thread_local"
    assert torch.backends.cudnn.allow_tf32 is False
    with Recording(graph.steps):
        yield
    for _, _, _, made in graph.steps:
        for tensor in _several(made):
            if tensor._base is None and tensor.is_floating_point():
                tensor.fill_(float("nan"))


def install(monkeypatch):
    """Put it in the place of torch's own."""
    CUDAGraph.replays = 0
    CUDAGraph.kept = []
    for name, value in {
        "Stream": Stream,
        "CUDAGraph": CUDAGraph,
        "Event": Event,
        "graph": capturing,
        "stream": lambda stream: nullcontext(),
        "device": lambda place: nullcontext(),
        "current_stream": Stream,
        "empty_cache": lambda: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch_runners, "_page_locked", torch.empty)
