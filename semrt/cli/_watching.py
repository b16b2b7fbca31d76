"""Which files of a watched folder are due, and what becomes of each."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from semrt.cli._results import was_interrupted
from semrt.errors import InputNotFound, OutputNotWritable, SemrtError, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from semrt.cli._job import Job
    from semrt.cli._journal import How, Journal
    from semrt.io.arrivals import Arrivals, State

__all__ = ["Watching"]

REST = 4  # times as long as a look took: thousands of files on a slow share are not looked at without end


class Watching:
    """Files of a folder for a batch, as they come: those that are new, that changed, or that an earlier watch left.

    journal: what was done, before and now.  tell: is given the record of each result and failure.
    poll: how long [s] to wait between looks.  once: end where all that is there is done.
    """

    def __init__(
        self,
        job: Job,
        arrivals: Arrivals,
        journal: Journal,
        tell: Callable[[Mapping[str, Any]], None],
        *,
        poll: float,
        once: bool,
    ) -> None:
        self.targets: dict[Path, Path] = {}
        self.redone: set[Path] = set()
        self._job, self._arrivals, self._journal, self._tell = job, arrivals, journal, tell
        self._poll, self._once = poll, once
        self._working: dict[Path, State] = {}
        self._tried: set[Path] = set()  # in this watch: what was left of an earlier one is looked at anew
        self._owners: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._say: Callable[[str], None] = lambda line: None

    def sources(self, stop: threading.Event, say: Callable[[str], None]) -> Iterator[Path]:
        """Each file as it is due."""
        self._say = say
        lost = ""
        while not stop.is_set():
            started = time.monotonic()
            try:
                found = self._arrivals.look(started)
            except (InputNotFound, UnreadableFile) as why:  # a share that is away for a while
                if str(why) != lost:
                    say(f"semrt: {why}; waiting for it")
                lost = str(why)
                stop.wait(self._poll)
                continue
            if lost:
                say(f"semrt: {self._arrivals.folder} is there again")
            lost = ""
            took = time.monotonic() - started
            open_ones = found.changing
            for source, state in found.settled.items():
                with self._lock:
                    begun_as = self._working.get(source)
                if begun_as is not None:
                    open_ones += begun_as != state  # it changed since, and will be due
                elif self._is_due(source, state):
                    with self._lock:
                        self._working[source] = state
                    yield source
                    if stop.is_set():
                        return
            if self._once and not open_ones:
                return
            stop.wait(max(self._poll, REST * took))

    @contextmanager
    def begun(self, source: Path) -> Iterator[None]:
        """Find a target that no other file has, and that is free or of this file; once it is read, it counts as begun.

        Raises InvalidOption, OutputExists, OutputNotWritable.
        """
        target = self._job.targets([source])[source]
        owner = self._owners.setdefault(target.stem.casefold(), source)
        if owner != source:
            self._job.targets([owner, source])  # says that both would become the same
        try:
            known = self._journal.of(source)
            if known is not None and known.ours:
                self.redone.add(target)
            elif not (self._job.given["overwrite"] or target in self.redone):
                self._job.refuse_existing([target])
            self.targets[source] = target
            yield
            self._journal.note(source, self._working[source], "begun")
        except BaseException:
            self._release(source, target)  # a table beside an image, of its name, is not in its way
            raise

    def ended(self, source: Path, record: Mapping[str, Any]) -> None:
        """Note what became of a file, and tell."""
        failed = "exit_code" in record
        if failed and source in self.targets:
            self._release(source, self.targets[source])
        with self._lock:
            state = self._working.pop(source)
        try:
            self._journal.note(
                source, state, "failed" if failed else "interrupted" if record["interrupted"] else "done"
            )
        except OutputNotWritable as why:
            self._say(f"semrt: note: {why}")
        self._tell(record)

    def _release(self, source: Path, target: Path) -> None:
        """Leave the target to whoever else would have it."""
        with self._lock:
            if self._owners.get(target.stem.casefold()) == source:
                del self._owners[target.stem.casefold()]

    def _is_due(self, source: Path, state: State) -> bool:
        """Whether a settled file is to be done: in this watch when it has changed, at its start what is left to do."""
        known = self._journal.of(source)
        if source in self._tried:
            return known is None or known.state != state
        self._tried.add(source)
        given = self._job.given
        if given["overwrite"]:
            return True
        if known is not None:
            finished = known.how == "done" and known.state == state
            return not (finished and (target := self._target(source)) is not None and target.exists())
        return not (given["skip_existing"] and self._adopted(source, state))

    def _adopted(self, source: Path, state: State) -> bool:
        """Whether there is a result that no watch made and that counts as done."""
        target = self._target(source)
        if target is None or not target.exists():
            return False
        if was_interrupted(target):
            self.redone.add(target)
            return False
        self._owners.setdefault(target.stem.casefold(), source)
        self._note(source, state, "done")
        return True

    def _target(self, source: Path) -> Path | None:
        """Where the result goes; None where that is refused, of which `begun` tells."""
        try:
            return self._job.targets([source])[source]
        except SemrtError:
            return None

    def _note(self, source: Path, state: State, how: How) -> None:
        """Add to the journal; where that fails, the file is done again by the next watch, and no worse."""
        try:
            self._journal.note(source, state, how)
        except OutputNotWritable as why:
            self._say(f"semrt: note: {why}")
