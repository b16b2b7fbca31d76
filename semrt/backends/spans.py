"""How long a card takes to fetch a batch, to compute and to send the result.

By its own clock, where its runtime marks the time there (TensorRT, torch); else by that of the host, which waits for
each step (ONNX Runtime).
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SPANS", "KeepsTime", "add_spans", "device_spans"]

SPANS = ("h2d", "compute", "d2h")
"""From the host to the device, computing, and back."""
_adding = threading.Lock()


@runtime_checkable
class KeepsTime(Protocol):
    """What a session has besides, whose device can be clocked.

    spans: None; or where each run adds the seconds of each of SPANS that it knows of. Runs at the same time add up too.
    """

    spans: dict[str, float] | None


@contextmanager
def device_spans(session: Any) -> Iterator[dict[str, float]]:
    """Seconds of each of SPANS, added up over the runs within; what the session cannot tell of stays away."""
    told: dict[str, float] = {}
    if not isinstance(session, KeepsTime):
        yield told
        return
    session.spans = told
    try:
        yield told
    finally:
        session.spans = None


def add_spans(spans: dict[str, float], seconds: Iterable[float]) -> None:
    """Add those of one batch, in the order of SPANS; from any thread."""
    with _adding:
        for name, spent in zip(SPANS, seconds, strict=True):
            spans[name] = spans.get(name, 0.0) + spent
