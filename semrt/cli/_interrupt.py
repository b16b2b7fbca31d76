"""Ctrl-C: the first asks, the second insists."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["asking_first"]


@contextmanager
def asking_first(ask: Callable[[], None]) -> Iterator[None]:
    """Call `ask` on the first Ctrl-C, in the main thread; from the second on it is as before.

    Where Ctrl-C is ignored, as in what a shell runs in the background, it stays so.
    """
    numbers = {signal.SIGINT, getattr(signal, "SIGBREAK", signal.SIGINT)}  # SIGBREAK: on Windows
    before = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}

    def first(number: int, frame: FrameType | None) -> None:
        as_before()
        ask()

    def as_before() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is not threading.main_thread():  # which alone hears signals
        yield
        return
    try:
        for number in before:
            signal.signal(number, first)
        yield
    finally:
        as_before()
