"""Progress on stderr: a bar on a terminal, plain lines elsewhere; stdout is for results."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Progress", "progress"]


class Progress(Protocol):
    """Where a batch says how far it is."""

    def tiles(self, name: str, done: int, total: int) -> None:
        """Say how many tiles of the one that is being worked on are done; from any thread."""

    def ended(self, line: str) -> None:
        """Count one more as done, and say so."""

    def failed(self, line: str) -> None:
        """Count one more as failed, and say why."""

    def say(self, line: str) -> None:
        """Say a line that stays."""


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """Report on `total` pieces of work."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(total) as bar:
            yield bar
    else:
        yield _Lines(total)


class _Lines:
    """A line for each piece that ended: for logs, and for people who read them later."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._ended = 0

    def tiles(self, name: str, done: int, total: int) -> None:
        return

    def ended(self, line: str) -> None:
        self._ended += 1
        self.say(f"[{self._ended}/{self._total}] {line}" if self._total > 1 else line)

    def failed(self, line: str) -> None:
        self._ended += 1
        self.say(line)

    def say(self, line: str) -> None:
        click.echo(line, err=True)


@contextmanager
def _bar(total: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")) or None, highlight=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    # Rich would send what is printed on stdout to stderr.
    with RichProgress(*columns, console=console, transient=True, redirect_stdout=False) as shown:
        batch = shown.add_task("", total=total)

        class Bar:
            def tiles(self, name: str, done: int, total: int) -> None:
                shown.update(batch, description=f"{name}, tile {done} of {total}")

            def ended(self, line: str) -> None:
                shown.update(batch, advance=1, description="")
                self.say(line)

            failed = ended

            def say(self, line: str) -> None:
                console.print(line, markup=False, soft_wrap=True)

        yield Bar()
