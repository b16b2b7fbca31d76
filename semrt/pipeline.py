"""Many inputs through the same stages, each stage in a thread of its own, so that they overlap.

While one image is in the network the next is being read and the last one written: kernels, files and the runtime all
let go of the interpreter.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from semrt.errors import Interrupted

__all__ = ["Outcome", "run"]

_POLL = 0.1  # seconds between looks at a flag while a queue is full or empty; items themselves never wait for it
_GRACE = 1.0  # seconds for what is being written to get whole, where somebody who has asked to stop asks again

Stage = Callable[[Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one input: the last stage's result, or the error that ended its way.

    seconds: stage -> time [s] it took.
    """

    item: Any
    result: Any = None
    error: Exception | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _End:
    error: Exception | None = None


def run(
    items: Iterable[Any], stages: Mapping[str, Stage], *, depth: int = 2, stop: threading.Event | None = None
) -> Iterator[Outcome]:
    """Send every item through all stages; outcomes come in the order of the items.

    stages: name -> stage(item, what the stage before returned; None for the first) -> what the next one takes.
    depth: how many items may wait before each stage, which bounds the memory.
    stop: set it, and no further item is taken; a stage that looks at it may raise Interrupted, which drops its item and
        sets it too. What the stages still return goes on to the end and comes out.

    Closing or interrupting the iterator waits for what the stages are at, and drops it; not for long, where stop was
    set before.

    An error ends the way of its own item only. What the iterable `items` raises is raised here.
    """
    stop, left = stop or threading.Event(), threading.Event()
    channels: list[queue.Queue[Any]] = [queue.Queue(depth) for _ in stages]
    sources: list[Iterator[Any]] = [_fed(items, stop), *(_received(channel, left) for channel in channels[:-1])]
    threads = [
        threading.Thread(
            target=_work, args=(name, stage, source, channel, stop, left), name=f"semrt-{name}", daemon=True
        )
        for (name, stage), source, channel in zip(stages.items(), sources, channels, strict=True)
    ]
    patience = float("inf")
    try:
        for thread in threads:
            thread.start()
        for outcome in _received(channels[-1], left):
            if isinstance(outcome, _End):
                if outcome.error is not None:
                    raise outcome.error
                return
            yield outcome
    except (GeneratorExit, KeyboardInterrupt):
        patience = _GRACE if stop.is_set() else patience
        raise
    finally:
        stop.set()
        left.set()
        end = time.monotonic() + patience
        for thread in threads:
            while thread.is_alive() and time.monotonic() < end:  # in short waits, so that Ctrl-C gets through
                thread.join(_POLL)


def _fed(items: Iterable[Any], stop: threading.Event) -> Iterator[Outcome | _End]:
    try:
        for item in items:
            if stop.is_set():
                break
            yield Outcome(item)
    except Exception as error:
        yield _End(error)
    else:
        yield _End()


def _received(channel: queue.Queue[Any], left: threading.Event) -> Iterator[Any]:
    while not left.is_set():
        try:
            yield channel.get(timeout=_POLL)
        except queue.Empty:
            continue


def _work(
    name: str,
    stage: Stage,
    source: Iterator[Outcome | _End],
    channel: queue.Queue[Any],
    stop: threading.Event,
    left: threading.Event,
) -> None:
    for arrived in source:
        passed_on = arrived if isinstance(arrived, _End) or arrived.error else _through(name, stage, arrived)
        del arrived  # before the outcome is out: whoever gets it may count on it that what made it is gone
        if isinstance(passed_on, Outcome) and isinstance(passed_on.error, Interrupted):
            stop.set()
            continue
        while not left.is_set():
            try:
                channel.put(passed_on, timeout=_POLL)
                break
            except queue.Full:
                continue
        if left.is_set() or isinstance(passed_on, _End):
            return
        del passed_on  # else this thread would hold one more image while it waits


def _through(name: str, stage: Stage, outcome: Outcome) -> Outcome:
    started = time.perf_counter()
    result, failure = None, None
    try:
        result = stage(outcome.item, outcome.result)
    except Exception as error:
        failure = error
        _release(error)
    return Outcome(outcome.item, result, failure, {**outcome.seconds, name: time.perf_counter() - started})


def _release(error: BaseException | None) -> None:
    """Let go of the images that the frames of a kept error hold; its traceback can still be printed."""
    seen: set[int] = set()  # errors may be each other's cause
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
