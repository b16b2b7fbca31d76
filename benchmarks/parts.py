"""The command of a benchmark in parts: which of them run, on how large fields, and where their figures go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from environment import describe_machine
from stopwatch import Race

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["command"]


def command(doc: str | None, *functions: Callable[[bool], Iterable[Race | dict[str, Any]]]) -> click.Command:
    """Make the command of functions that print races or other figures as they come, and return or yield them.

    doc: its help.  Each function is a part by its own name, and is told whether to keep to small fields.
    """
    parts = {part.__name__: part for part in functions}

    @click.command(help=doc)
    @click.option("--part", "names", multiple=True, type=click.Choice(list(parts)), help="all of them by default")
    @click.option("--quick", is_flag=True, help="small fields alone")
    @click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
    def main(names: tuple[str, ...], quick: bool, path: Path | None) -> None:
        machine = describe_machine()
        click.echo(json.dumps(machine))
        figures = {
            name: [found.record() if isinstance(found, Race) else found for found in parts[name](quick)]
            for name in names or parts
        }
        if path:
            path.write_text(json.dumps({"machine": machine, "figures": figures}))

    return main
