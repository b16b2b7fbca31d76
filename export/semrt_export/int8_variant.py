"""A graph in int8 that is near enough: which convolutions stay float32 is found by measuring what each costs."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from semrt.backends.gate import LIMITS, compare
from semrt.errors import SemrtError
from semrt.tasks import TASKS, find_task, measure_of
from semrt_export.eight_bits import convolutions, eight_bits, tensor_ranges, weight_shares
from semrt_export.evaluate import onnx_run
from semrt_export.unseen import FIRST_UNSEEN, reference_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from semrt.backends.gate import Verdict
    from semrt.models import Reference
    from semrt_export.train import Recipe

__all__ = ["SAMPLES", "Int8Variant", "int8_variant"]

SAMPLES = 24  # that tell the ranges, unless the user says another number
FIRST_SAMPLE, FIRST_JUDGED = 1000, 500  # counted from FIRST_UNSEEN; apart from each other and from the test tensors
JUDGED = 8  # samples by which graphs are compared
MARGIN = 0.9  # of the limit: other processors round in other places
MOST_LEFT_OUT = 0.5  # of the convolutions; with more of them in float32, nothing is gained
TIMED_SIDE, TIMES = 512, 5


@dataclass(frozen=True)
class Int8Variant:
    """The graph, and what the manifest says of it."""

    onnx: bytes
    entry: dict[str, Any]


def int8_variant(
    recipe: Recipe,
    full: bytes,
    multiple: int,
    reference: Reference,
    *,
    signed: bool = False,
    samples: int = SAMPLES,
    report: Callable[[str], None] = print,
) -> Int8Variant:
    """Make the int8 variant of an exported graph, calibrated with samples that no training drew.

    full: the graph in single precision.  multiple [px]: of its sides.  reference: the model's test tensors.
    signed: see eight_bits.
    Raises SemrtError where it is too far from the graph with half of the convolutions in float32.
    """
    graph = onnx.load_from_string(full)
    make = recipe.sample_maker()
    tiles = [_cut(make(FIRST_UNSEEN + FIRST_SAMPLE + number).inputs, multiple) for number in range(samples)]
    judged = reference_of(recipe, onnx_run(full), multiple, count=JUDGED, first=FIRST_JUDGED)
    search = _Search(graph, [judged, reference], _task_of(recipe), signed)
    found = {name: both[signed] for name, both in tensor_ranges(graph, tiles).items()}
    errors = {name: search.error(ranges, ()) for name, ranges in found.items()}
    method = min(errors, key=errors.__getitem__)
    report(f"relative RMS by the range of tensors: {', '.join(f'{name} {of:.2g}' for name, of in errors.items())}")
    made, left_out, verdict = search.near_enough(found[method], report)
    named = f"{recipe.name}.int8.onnx"
    graph_bytes = made.SerializeToString()
    report(f"int8: {verdict.why}; {_timed(full, graph_bytes, tiles[0])}")
    return Int8Variant(
        graph_bytes,
        {
            "onnx": named,
            "sha256": hashlib.sha256(graph_bytes).hexdigest(),
            "relative_rms": verdict.relative_rms,
            "dtypes": weight_shares(made),
            "calibration": {
                "samples": samples,
                "first_sample": FIRST_UNSEEN + FIRST_SAMPLE,
                "method": method,
                "activations": "int8" if signed else "uint8",
                "weight_bits": 8 if signed else 7,
                "left_in_float32": list(left_out),
            },
        },
    )


@dataclass(frozen=True)
class _Search:
    """What graphs are compared by."""

    graph: onnx.ModelProto
    references: Sequence[Reference]
    task: str
    signed: bool

    def error(self, ranges: Any, left_out: Sequence[str]) -> float:
        """The worst relative RMS."""
        return max(of.relative_rms for of in self._verdicts(self._made(ranges, left_out)))

    def near_enough(
        self, ranges: Any, report: Callable[[str], None]
    ) -> tuple[onnx.ModelProto, tuple[str, ...], Verdict]:
        """The graph with as few convolutions in float32 as pass, those that cost most.  Raises SemrtError."""
        names = convolutions(self.graph)
        costly: list[str] = []
        for number in range(int(MOST_LEFT_OUT * len(names)) + 1):
            made = self._made(ranges, left_out := tuple(costly[:number]))
            worst = max(self._verdicts(made), key=lambda of: (not of.passed, of.relative_rms))
            if worst.passed:
                return made, left_out, worst
            if not costly:
                report(f"int8 throughout: {worst.why}; looking for the convolutions that cost most")
                costly = sorted(names, key=lambda name: self.error(ranges, (name,)))
        raise SemrtError(f"int8 is too far from the graph with half of its convolutions in float32: {worst.why}")

    def _made(self, ranges: Any, left_out: Sequence[str]) -> onnx.ModelProto:
        return eight_bits(self.graph, ranges, signed=self.signed, left_out=left_out)

    def _verdicts(self, made: onnx.ModelProto) -> list[Verdict]:
        measure = {"measure": measure_of(find_task(self.task))} if self.task in TASKS else {}
        run = onnx_run(made.SerializeToString())
        limit = MARGIN * LIMITS["int8"]
        return [compare(run(of.channels), of, limit, **measure) for of in self.references]


def _task_of(recipe: Recipe) -> str:
    task: str = getattr(recipe, "task", recipe.name)
    return task


def _cut(inputs: np.ndarray[Any, Any], multiple: int) -> np.ndarray[Any, Any]:
    h, w = (side // multiple * multiple for side in inputs.shape[-2:])
    return np.ascontiguousarray(inputs[np.newaxis, :, :h, :w], np.float32)


def _timed(full: bytes, made: bytes, tile: np.ndarray[Any, Any]) -> str:
    """How long both take on this processor, one thread, turn by turn."""
    repeats = (1, 1, *(-(-TIMED_SIDE // side) for side in tile.shape[-2:]))
    large = np.ascontiguousarray(np.tile(tile, repeats)[..., :TIMED_SIDE, :TIMED_SIDE])
    runs = {"fp32": onnx_run(full, threads=1), "int8": onnx_run(made, threads=1)}
    seconds = {name: [] for name in runs}
    for _ in range(TIMES + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run(large)
            seconds[name].append(time.perf_counter() - started)
    median = {name: float(np.median(each[1:])) for name, each in seconds.items()}  # the first one warms up
    ratio = median["fp32"] / median["int8"]
    times = f"{1e3 * median['int8']:.0f} ms for {TIMED_SIDE} px, fp32 {1e3 * median['fp32']:.0f} ms"
    return f"{ratio:.2g} times as fast as fp32 on this processor ({times}, one thread)"
