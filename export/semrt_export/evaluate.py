"""How good a network is on data that it never saw, whatever runs it: torch in training, ONNX Runtime once exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Evaluation", "Run", "gain_db", "onnx_run", "summary"]

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A network: (n, c, h, w) float32 -> (n, k, h, w) float32."""


@dataclass(frozen=True)
class Evaluation:
    """What held-out data say of a network.

    score: the one number that decides which weights are kept; higher is better.
    figures: named numbers, for the curves.  table: the rows that a model card shows.
    """

    score: float
    figures: Mapping[str, float]
    table: Sequence[Mapping[str, Any]]

    def __str__(self) -> str:
        return f"score {self.score:.3f}, " + ", ".join(f"{name} {value:.3f}" for name, value in self.figures.items())


def gain_db(estimate: NDArray[np.floating], reference: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """By how much the estimate's PSNR exceeds the reference's [dB]; any one shape."""
    errors = [float(np.mean(np.square(np.subtract(image, truth, dtype=np.float64)))) for image in (reference, estimate)]
    before, after = np.maximum(errors, np.finfo(np.float32).tiny)
    return 10 * float(np.log10(before / after))


def summary(values: Iterable[float]) -> dict[str, float]:
    """Mean, median and worst, rounded as a table shows them."""
    array = np.fromiter(values, float)
    return {
        name: round(float(f(array)), 3) for name, f in (("mean", np.mean), ("median", np.median), ("worst", np.min))
    }


def onnx_run(graph: bytes, *, threads: int = 0) -> Run:
    """Run an exported graph on the CPU, as the runtime does; one input and one output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (channels,) = session.get_inputs()
    return lambda batch: session.run(None, {channels.name: batch})[0]
