"""The semrt command: parses, calls, prints; it decides nothing."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from semrt import __version__
from semrt.cli._failures import tell
from semrt.errors import InvalidOption, MissingDependency

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "infer": "semrt.cli.infer:infer",
    "watch": "semrt.cli.watch:watch",
    "scan": "semrt.cli.scan:scan",
    "simulate": "semrt.cli.simulate:simulate",
    "info": "semrt.cli.info:info",
    "models": "semrt.cli.models:models",
    "demo": "semrt.cli.demo:demo",
    "bench": "semrt.cli.bench:bench",
    "build": "semrt.cli.build:build",
    "cache": "semrt.cli.cache:cache",
    "doctor": "semrt.cli.doctor:doctor",
}
ENTRY_POINTS = "semrt.commands"  # where an installed distribution adds commands: semrt_export adds train and export


class _Commands(click.Group):
    """Commands that are imported when they are asked for, and errors that are told in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(set(_added()) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, function = COMMANDS[cmd_name].split(":")
            command: click.Command = getattr(importlib.import_module(module), function)
            return command
        if cmd_name in (added := _added()):
            return _loaded(cmd_name, added[cmd_name])
        return None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in COMMANDS and args[0] not in _added() and not args[0].startswith("-"):
            raise InvalidOption.unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        _prepare_terminal()
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except Exception as error:
            sys.exit(tell(error))
        sys.exit(code if isinstance(code, int) else 0)


@click.group("semrt", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="semrt %(version)s")
def main() -> None:
    """Run trained networks on electron-microscope data, at the instrument.

    First steps: `semrt demo` shows what it does, `semrt doctor` whether this computer is ready, and
    `semrt infer infill scan.tif -o out` fills a sparse scan.
    """


def _added() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _loaded(name: str, entry: Any) -> click.Command:
    """Return the command of an entry point, or one that says which package it lacks: the others must stay listed."""
    try:
        command: click.Command = entry.load()
    except ImportError as error:
        return _unavailable(name, MissingDependency(error.name or entry.value, "export", f"semrt {name}"))
    return command


def _unavailable(name: str, why: MissingDependency) -> click.Command:
    @click.command(name, context_settings={"ignore_unknown_options": True}, short_help="Not installed: semrt[export].")
    @click.argument("arguments", nargs=-1)
    def unavailable(arguments: tuple[str, ...]) -> None:
        raise why

    return unavailable


def _prepare_terminal() -> None:
    if hasattr(signal, "SIGBREAK"):  # on Windows the only signal that reaches one process of a group
        signal.signal(signal.SIGBREAK, signal.default_int_handler)
    # A console with an old code page lacks σ and µ: write a question mark rather than fail.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
