"""Latencies as a picture: how many runs took how long, and where the percentiles lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.report.canvas import AMBER, FAINT, GROUND, INK, QUIET, RAISED, TEAL, blank, box, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.report.timing import Latency

__all__ = ["latency_plot"]

WIDTH, ROW, BARS = 960, 150, 90  # px: of the picture, of a contender, of its histogram
LEFT, RIGHT, TOP, FOOT = 24, 24, 64, 44
BINS = 120
BEYOND = 1.25  # times the largest 95th percentile; what took longer is counted in the last bin


def latency_plot(title: str, latencies: Mapping[str, Latency]) -> NDArray[np.uint8]:
    """Draw a histogram for each name, (ny, nx, 3) uint8, over one axis of milliseconds from 0."""
    ms = {name: 1000 * latency.seconds for name, latency in latencies.items()}
    end = BEYOND * max(float(np.percentile(times, 95)) for times in ms.values())
    picture = blank(TOP + ROW * len(ms) + FOOT, WIDTH, GROUND)
    text(picture, title, (38, LEFT), 20, INK, bold=True)
    for at, (name, times) in enumerate(ms.items()):
        _histogram(picture, TOP + at * ROW, name, times, end)
    bottom = TOP + ROW * len(ms)
    for tick in _ticks(end):
        text(picture, f"{tick:g} ms", (bottom + 20, _column(tick, end)), 13, QUIET, align="centre")
    return picture


def _histogram(picture: NDArray[np.uint8], top: int, name: str, times: NDArray[np.float64], end: float) -> None:
    text(picture, name, (top + 18, LEFT), 15, INK)
    p50, p95 = np.percentile(times, (50, 95))
    told = f"p50 {p50:.1f}   p95 {p95:.1f}   max {times.max():.1f} ms   {len(times)} runs"
    text(picture, told, (top + 18, WIDTH - RIGHT), 14, QUIET, align="right")
    floor = top + 30 + BARS
    box(picture, (top + 30, LEFT), (BARS, WIDTH - LEFT - RIGHT), RAISED, radius=6)
    counts, _ = np.histogram(np.minimum(times, end * (1 - 1e-9)), BINS, (0, end))
    step = (WIDTH - LEFT - RIGHT) / BINS
    for k, count in enumerate(counts):
        if count:
            height = max(2, round(BARS * 0.9 * count / counts.max()))
            box(picture, (floor - height, LEFT + round(k * step)), (height, max(1, round(step) - 1)), TEAL)
    for at, colour in ((p50, INK), (p95, AMBER)):
        box(picture, (top + 30, _column(at, end)), (BARS, 2), colour)
    box(picture, (floor, LEFT), (1, WIDTH - LEFT - RIGHT), FAINT)


def _column(ms: float, end: float) -> int:
    return LEFT + round((WIDTH - LEFT - RIGHT - 2) * min(ms / end, 1.0))


def _ticks(end: float) -> list[float]:
    """Round numbers from 0, about six of them."""
    rough = end / 6
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda factor: abs(factor * power - rough))
    return [float(k * step) for k in range(int(end / step) + 1)]
