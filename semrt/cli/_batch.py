"""A batch of files through the engine: what became of each, told as it happens and summed up at the end."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from semrt import engine, io
from semrt.cli import _results
from semrt.cli._failures import INTERRUPTED, exit_code, log_traceback, message
from semrt.cli._progress import progress
from semrt.data import Micrograph, SparseScan
from semrt.errors import InvalidValue
from semrt.tasks import Solver, devices_of

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from semrt.backends import Session
    from semrt.pipeline import Outcome

__all__ = ["Batch", "Summary"]

SOME_FAILED = 1


@dataclass
class Summary:
    """What became of a batch: records of the results, of the failures, and the sources that were left alone."""

    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 fine, 1 some inputs failed; where all failed alike, the code of that failure; 130 interrupted."""
        if self.interrupted:
            return INTERRUPTED
        codes = {failure["exit_code"] for failure in self.failures}
        if not codes:
            return 0
        return codes.pop() if len(codes) == 1 and not self.results and not self.skipped else SOME_FAILED


@dataclass(frozen=True)
class Batch:
    """One model, and how to read, infer and write each file.

    header: what is said before the first result.
    reading: keywords of io.read.  settings: keywords of engine.infer_many.
    preview: draw one beside each result; spectra: with power spectra.
    """

    model: Session | Solver
    header: str
    reading: Mapping[str, Any]
    settings: Mapping[str, Any]
    overwrite: bool = False
    preview: bool = False
    spectra: bool = False

    def run(self, targets: Mapping[Path, Path]) -> Summary:
        """Infer each source into its target; one that fails, or Ctrl-C, leaves the finished ones whole."""
        summary = Summary()
        scans: dict[Path, SparseScan] = {}

        def read(source: Path) -> SparseScan:
            scans[source] = self._read(source)
            return scans[source]

        def write(source: Path, result: Micrograph) -> dict[str, Any]:
            return self._write(source, targets[source], scans[source], result)

        with progress(len(targets), self.header) as shown:

            def within(source: Path, done: int, total: int, what: str) -> None:
                shown.within(source.name, done, total, what)

            outcomes = engine.infer_many(targets, self.model, read, write, progress=within, **self.settings)
            with closing(cast("Generator[Outcome]", outcomes)):  # so that no stage outlives an interruption
                try:
                    for outcome in outcomes:
                        scans.pop(outcome.item, None)
                        if outcome.error is None:
                            summary.results.append(_record(outcome))
                            shown.ended(f"{outcome.item}: {_spent(outcome):.2f} s{self._where(outcome)}")
                            if fallback := _results.fallback_text(outcome.result["fallback"]):
                                shown.say(f"semrt: note: {outcome.item}: {fallback}")
                        else:
                            log_traceback(outcome.error)
                            failure = _failure(outcome)
                            summary.failures.append(failure)
                            shown.failed(f"semrt: {failure['error']}")
                except KeyboardInterrupt:
                    summary.interrupted = True
        return summary

    def _where(self, outcome: Outcome) -> str:
        """Name the device, where the header could not know it."""
        chosen = isinstance(self.model, Solver) and len(devices_of(self.model)) > 1
        return f" on {outcome.result['device']['used']}" if chosen else ""

    def _read(self, source: Path) -> SparseScan:
        measured = io.read(source, **self.reading)
        if isinstance(measured, SparseScan):
            return measured
        if isinstance(measured, Micrograph):
            hint = "say where the probe went with --mask FILE, or --unvisited 0"
            raise InvalidValue(f"{source}", "a sparse scan", "an image in which every pixel was visited", hint)
        hint = "simulate its scan of an image with: semrt scan --sample"
        raise InvalidValue(f"{source}", "a sparse scan", "positions without intensities", hint)

    def _write(self, source: Path, target: Path, measured: SparseScan, result: Micrograph) -> dict[str, Any]:
        picture = None
        if self.preview:
            picture = _results.preview_of(measured, result, source.name, spectra=self.spectra)
        paths = _results.save(target, result, measured, source, overwrite=self.overwrite, picture=picture)
        return (
            _results.record_of(result, measured)
            | {"error_map": None, "preview": None}
            | {role: str(path) for role, path in paths.items()}
        )


def _record(outcome: Outcome) -> dict[str, Any]:
    """Add to a result's record what only the batch knows: its source, and the time in files."""
    made = outcome.result["seconds"]
    files = {
        "read": outcome.seconds["read"] - made.get("prepare", 0.0),
        "write": outcome.seconds["write"] - made.get("finish", 0.0),
    }
    return {"input": str(outcome.item), **outcome.result, "seconds": {**made, **files}}


def _failure(outcome: Outcome) -> dict[str, Any]:
    assert outcome.error is not None
    words = message(outcome.error)
    named = words if str(outcome.item) in words else f"{outcome.item}: {words}"
    return {"input": str(outcome.item), "error": named, "exit_code": exit_code(outcome.error)}


def _spent(outcome: Outcome) -> float:
    return float(sum(outcome.seconds.values()))
