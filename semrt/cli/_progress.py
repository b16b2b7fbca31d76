"""Progress on stderr: a bar on a terminal, plain lines elsewhere; stdout is for results."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as RichProgress

__all__ = ["Progress", "progress"]

QUIET = 10.0  # seconds without a line, after which one says how far a long inference is


class Progress(ABC):
    """Where a batch says how far it is; from any thread.

    header: said once, before the first line that is no failure: where all fail, the failures are all there is to say.
    """

    def __init__(self, total: int, header: str) -> None:
        self._total = total
        self._header = header
        self._ended = 0

    @abstractmethod
    def within(self, name: str, done: int, total: int, what: str) -> None:
        """Say how far the one is that is being worked on.  what: "tile", or "iteration, loss 0.0123"."""

    def ended(self, line: str) -> None:
        """Count one more as done, and say so."""
        self._ended += 1
        self.say(line)

    def failed(self, line: str) -> None:
        """Count one more as failed, and say why."""
        self._ended += 1
        self._print(line)

    def say(self, line: str) -> None:
        """Say a line that stays."""
        if self._header:
            self._print(self._header)
            self._header = ""
        self._print(line)

    @abstractmethod
    def _print(self, line: str) -> None: ...


@contextmanager
def progress(total: int | None, header: str, *, quiet: bool = False) -> Iterator[Progress]:
    """Report on `total` pieces of work; None where nobody knows how many, and no bar could tell.

    quiet: say nothing, as nobody asked for the work itself.
    """
    if quiet:
        yield _Nothing(total or 0, "")
    elif total is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _rich() as shown:
            yield _Bar(total, header, shown)
    else:
        yield _Lines(total or 0, header)


class _Nothing(Progress):
    def within(self, name: str, done: int, total: int, what: str) -> None:
        pass

    def _print(self, line: str) -> None:
        pass


class _Lines(Progress):
    """A line for each piece that ended, and now and then one of a long piece: for logs, and who reads them later."""

    def __init__(self, total: int, header: str) -> None:
        super().__init__(total, header)
        self._spoke = time.monotonic()

    def within(self, name: str, done: int, total: int, what: str) -> None:
        if time.monotonic() - self._spoke >= QUIET:
            self.say(_how_far(name, done, total, what))

    def ended(self, line: str) -> None:
        super().ended(f"[{self._ended + 1}/{self._total}] {line}" if self._total > 1 else line)

    def _print(self, line: str) -> None:
        self._spoke = time.monotonic()
        click.echo(line, err=True)


class _Bar(Progress):
    def __init__(self, total: int, header: str, shown: RichProgress) -> None:
        super().__init__(total, header)
        self._shown = shown
        self._task = shown.add_task("", total=total)
        self._at = 0.0

    def within(self, name: str, done: int, total: int, what: str) -> None:
        self._move(done / max(total, 1), _how_far(name, done, total, what))

    def ended(self, line: str) -> None:
        super().ended(line)
        self._move()

    def failed(self, line: str) -> None:
        super().failed(line)
        self._move()

    def _move(self, part: float = 0.0, description: str = "") -> None:
        self._at = max(self._at, self._ended + part)  # the next may run while this one is written: never back
        self._shown.update(self._task, completed=self._at, description=description)

    def _print(self, line: str) -> None:
        self._shown.console.print(line, markup=False, soft_wrap=True)


def _rich() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")) or None, highlight=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    # Rich would send what is printed on stdout to stderr.
    return Progress(*columns, console=console, transient=True, redirect_stdout=False)


def _how_far(name: str, done: int, total: int, what: str) -> str:
    unit, comma, more = what.partition(",")
    return f"{name}, {unit} {done} of {total}{comma}{more}"
