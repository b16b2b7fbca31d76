"""A camera that does not wait: frames come at a fixed period, whoever is ready or not."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption
from semrt.report.timing import Latency

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CameraRun", "film"]


@dataclass(frozen=True, eq=False)
class CameraRun:
    """What became of the frames of a camera.

    period: from frame to frame [s].  frames: that came.  dropped: that found the buffer full.
    late: whose result came after the next frame had.  latency: of the others and of these, from when a frame was due.
    """

    period: float
    frames: int
    dropped: int
    late: int
    latency: Latency

    def summary(self) -> dict[str, float | int]:
        """All figures, for JSON; times in ms."""
        counts = {"period_ms": 1000 * self.period, "frames": self.frames, "dropped": self.dropped, "late": self.late}
        return counts | self.latency.summary()


def film(
    call: Callable[[], object],
    *,
    period: float,
    frames: int,
    buffer: int = 2,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> CameraRun:
    """Work through frames that come every `period` [s], one at a time, and count what is too late or lost.

    call: infers one frame.  buffer: frames that may wait while one is worked on; a further one is dropped.
    A latency begins when the frame was due, not when it was begun, so a stall counts against all that wait for it.
    Raises InvalidOption.
    """
    if not period > 0:
        raise InvalidOption(f"period: expected above 0 s, got {period:g}")
    if frames < 1 or buffer < 1:
        raise InvalidOption(f"frames, buffer: expected one or more, got {frames} and {buffer}")
    start = clock()
    waiting: deque[int] = deque()
    came = dropped = 0
    seconds: list[float] = []

    def arrive(now: float) -> None:
        nonlocal came, dropped
        while came < frames and start + came * period <= now:
            if len(waiting) < buffer:
                waiting.append(came)
            else:
                dropped += 1
            came += 1

    while came < frames or waiting:
        arrive(clock())
        if not waiting:
            sleep(max(0.0, start + came * period - clock()))
            continue
        due = start + waiting.popleft() * period
        call()
        done = clock()
        seconds.append(done - due)
        arrive(done)
    durations = np.asarray(seconds)
    return CameraRun(period, frames, dropped, int((durations > period).sum()), Latency(durations))
