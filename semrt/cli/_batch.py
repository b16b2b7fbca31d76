"""A batch of files through the engine: what became of each, told as it happens and summed up at the end."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from semrt import engine, io, provenance
from semrt.cli import _results
from semrt.cli._energies import energy_stack, takes_energies
from semrt.cli._failures import INTERRUPTED, exit_code, log_traceback, message
from semrt.cli._inputs import check_accepted
from semrt.cli._interrupt import asking_first
from semrt.cli._kinds import beside, kind_of
from semrt.cli._progress import Progress, progress
from semrt.cli._tilts import Tilts, read_tilted, takes_tilts
from semrt.engine.solver_road import name_of
from semrt.errors import InvalidOption, OutputNotWritable
from semrt.tasks import Solver, devices_of, find_task, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from semrt.backends import Session
    from semrt.cli._kinds import Kind
    from semrt.pipeline import Outcome
    from semrt.tasks import NetworkTask

__all__ = ["Arriving", "Batch", "Summary"]

SOME_FAILED = 1


@dataclass
class Summary:
    """What became of a batch: records of the results, of the failures, and the sources that were left alone.

    done: how many results there are.  codes: exit codes of the failures.
    interrupted: by Ctrl-C.  abandoned: by a second one, before the stages had come to an end.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    done: int = 0
    codes: set[int] = field(default_factory=set)
    interrupted: bool = False
    abandoned: bool = False

    @property
    def exit_code(self) -> int:
        """0 fine, 1 some inputs failed; where all failed alike, the code of that failure; 130 interrupted."""
        if self.interrupted:
            return INTERRUPTED
        if not self.codes:
            return 0
        return min(self.codes) if len(self.codes) == 1 and not self.done and not self.skipped else SOME_FAILED

    def count(self, record: dict[str, Any], *, keep: bool) -> None:
        """Count a result or a failure.  keep: its record too, which an endless batch has no room for."""
        failed = "exit_code" in record
        if failed:
            self.codes.add(record["exit_code"])
        else:
            self.done += 1
        if keep:
            (self.failures if failed else self.results).append(record)


class Arriving(Protocol):
    """Files that come while a batch runs."""

    @property
    def targets(self) -> Mapping[Path, Path]:
        """Of all that were begun, where their results go."""
        ...

    def sources(self, stop: threading.Event, say: Callable[[str], None]) -> Iterator[Path]:
        """Each file as it is due, never one that is still being worked on; ends at the latest when told to stop."""
        ...

    def begun(self, source: Path) -> AbstractContextManager[None]:
        """Around reading a file: a target is found for it first; raises what keeps it from being begun."""
        ...

    def ended(self, source: Path, record: Mapping[str, Any]) -> None:
        """Hear what became of a file: the record of its result, or that of its failure, which has an exit_code."""
        ...


@dataclass(frozen=True)
class Batch:
    """One model, and how to read, infer and write each file.

    header: what is said before the first result.
    reading: keywords of io.read.  settings: keywords of engine.infer_many.
    energies: of the images of each stack [keV]; those that its file tells of when None.
    tilts: of the projections, or what a tomogram was made of; what is not given, the file tells.
    preview: draw one beside each result; spectra: with power spectra.  saves: what else, of what the kind offers, and
    making: how.
    redone: results that are replaced in any case.
    quiet: say nothing of it while it runs.
    """

    model: Session | Solver
    header: str
    reading: Mapping[str, Any]
    settings: Mapping[str, Any]
    energies: Sequence[float] | None = None
    tilts: Tilts = field(default_factory=Tilts)
    overwrite: bool = False
    preview: bool = False
    spectra: bool = False
    saves: Collection[str] = ()
    making: Mapping[str, Any] = field(default_factory=dict)
    redone: Collection[Path] = ()
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.energies is not None and not takes_energies(self._task):
            raise InvalidOption(f"--energies: {self._name} takes no images at several beam energies; leave it out")
        if self.tilts.given and not takes_tilts(self._task):
            raise InvalidOption(f"{self.tilts.given[0]}: {self._name} takes no tilt series or tomograms; leave it out")

    def run(self, targets: Mapping[Path, Path] | Arriving) -> Summary:
        """Infer each source into its target; one that fails, or Ctrl-C, leaves the finished ones whole.

        After Ctrl-C nothing more is begun, and what runs hands in what it has; a second one ends all at once.
        Of files that are still to come, the records are told as they end, and not kept.
        """
        arriving = None if isinstance(targets, Mapping) else targets
        targets = targets if isinstance(targets, Mapping) else targets.targets
        summary = Summary()
        stop = threading.Event()
        inputs: dict[Path, tuple[Any, Mapping[str, str]]] = {}
        partial: dict[Path, Path] = {}

        def read(source: Path) -> Any:
            with nullcontext() if arriving is None else arriving.begun(source):
                inputs[source] = self._read(source, targets[source])
            return inputs[source][0]

        def write(source: Path, result: Any) -> dict[str, Any]:
            return self._write(source, targets[source], *inputs[source], result)

        def checkpoint(source: Path) -> Path:
            partial[source] = beside(targets[source], ".partial")
            return partial[source]

        with progress(None if arriving else len(targets), self.header, quiet=self.quiet) as shown:

            def within(source: Path, done: int, total: int, what: str) -> None:
                shown.within(source.name, done, total, what)

            def fell_back(source: Path, fallback: Mapping[str, Any]) -> None:
                shown.say(f"semrt: note: {source}: {engine.fallback_line(fallback, '--fallback {}')}")

            def ask_to_stop() -> None:
                summary.interrupted = True
                stop.set()
                with suppress(RuntimeError):  # stderr may be in the middle of a line
                    shown.say("semrt: stopping: what runs hands in what it has; Ctrl-C once more ends it at once")

            outcomes = engine.infer_many(
                targets if arriving is None else arriving.sources(stop, shown.say),
                self.model,
                read,
                write,
                progress=within,
                fell_back=fell_back,
                checkpoint=checkpoint,
                stop=stop,
                **self.settings,
            )
            try:
                with asking_first(ask_to_stop), closing(cast("Generator[Outcome]", outcomes)):
                    for outcome in outcomes:
                        inputs.pop(outcome.item, None)
                        checkpointed = partial.pop(outcome.item, None)
                        if checkpointed and outcome.error is None and not outcome.result["interrupted"]:
                            # Not while the result is there, which may map its files: Windows removes none that is.
                            shutil.rmtree(checkpointed, ignore_errors=True)
                        summary.count(record := self._tell(outcome, shown), keep=arriving is None)
                        if arriving is not None:
                            arriving.ended(outcome.item, record)
            except KeyboardInterrupt:
                summary.interrupted = summary.abandoned = True
        return summary

    def _tell(self, outcome: Outcome, shown: Progress) -> dict[str, Any]:
        """Say what became of one input, and return the record of it."""
        if outcome.error is not None:
            log_traceback(outcome.error)
            failure = _failure(outcome)
            shown.failed(f"semrt: {failure['error']}")
            return failure
        record = _record(outcome)
        shown.ended(f"{outcome.item}: {_spent(outcome):.2f} s{self._where(outcome)}")
        for note in record["notes"]:
            shown.say(f"semrt: note: {outcome.item}: {note}")
        if record["interrupted"]:
            shown.say(f"semrt: note: {outcome.item}: interrupted, the best so far; --skip-existing will redo it")
        return record

    def _where(self, outcome: Outcome) -> str:
        """Name the device, where the header could not know it."""
        chosen = isinstance(self.model, Solver) and len(devices_of(self.model)) > 1
        return f" on {outcome.result['device']['used']}" if chosen else ""

    def _read(self, source: Path, target: Path) -> tuple[Any, Mapping[str, str]]:
        """What a file holds, and which file that was."""
        if takes_tilts(self._task):
            measured = read_tilted(source, self.tilts, self.reading)
        else:
            measured = io.read(source, **self.reading)
        if takes_energies(self._task):
            measured = energy_stack(source, measured, self.energies)
        check_accepted(source, measured, self._task.accepts, self._name)
        if not self._kind.FORMATS:
            io.check_fits(target, measured)  # not after an hour of work
        return measured, provenance.input_of(source)

    @property
    def _task(self) -> NetworkTask | Solver:
        return self.model if isinstance(self.model, Solver) else find_task(self.model.manifest.task)

    @property
    def _name(self) -> str:
        return name_of(self.model) if isinstance(self.model, Solver) else self.model.manifest.name

    @property
    def _kind(self) -> Kind:
        return kind_of(result_of(self._task))

    def _write(
        self, source: Path, target: Path, measured: Any, origin: Mapping[str, str], result: Any
    ) -> dict[str, Any]:
        picture = None
        if self.preview:
            picture = _results.preview_of(measured, result, source.name, spectra=self.spectra)
        if target in self.redone:
            try:
                target.unlink(missing_ok=True)  # before what lies beside it no longer says that it is to be redone
            except OSError as why:  # such as one that is open in another program, on Windows
                raise OutputNotWritable(target, why.strerror or why) from why
        paths = _results.save(
            target,
            result,
            measured,
            origin,
            overwrite=self.overwrite,
            picture=picture,
            saves=self.saves,
            making=self.making,
        )
        return (
            _results.record_of(result, measured)
            | dict.fromkeys((*kind_of(type(result)).ROLES, "preview"))
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
