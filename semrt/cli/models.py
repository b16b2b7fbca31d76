"""semrt models: what is installed, what each says of itself, and whether its files are whole."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from semrt.errors import ModelDamaged, SemrtError

__all__ = ["models"]


@click.group(short_help="List, show and verify models.")
def models() -> None:
    """List, show and verify models.

    Beside the shipped ones, models are found in the folders that SEMRT_MODELS names.
    """


@models.command("list", short_help="List the models that have a name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(as_json: bool) -> None:
    """List the models that have a name, and the methods that need none."""
    entries = _entries()
    if as_json:
        click.echo(json.dumps(entries))
        return
    width = max(len(name) for name in entries)
    for name, entry in entries.items():
        click.echo(f"{name:<{width}}  {entry['summary']}")


@models.command(short_help="Show what a model says of itself.")
@click.argument("name", metavar="MODEL")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as one JSON object.")
def show(name: str, as_json: bool) -> None:
    """Show what a model says of itself: task, tiles, trained domain, figures on held-out data.

    MODEL is a name that `semrt models list` shows, or a folder with a semrt.json.
    """
    from semrt.models import Manifest, find

    folder = find(name)
    manifest = asdict(Manifest.read(folder))
    if as_json:
        click.echo(json.dumps(manifest | {"folder": str(folder)}))
        return
    for line in _lines({"folder": str(folder)} | manifest):
        click.echo(line)


@models.command(short_help="Compare a model's files with their hashes.")
@click.argument("names", metavar="[MODEL]...", nargs=-1)
def verify(names: tuple[str, ...]) -> int:
    """Compare the files of the models with the hashes in their manifests; without a name, of all that have one."""
    from semrt.models import Manifest, available, find

    folders = {name: find(name) for name in names or available()}
    damaged = 0
    for name, folder in folders.items():
        try:
            Manifest.read(folder).verify(folder)
        except SemrtError as error:
            click.echo(f"semrt: {error}", err=True)
            damaged += 1
        else:
            click.echo(f"{name}: every file is the one that its manifest describes")
    return ModelDamaged.exit_code if damaged else 0


def _entries() -> dict[str, dict[str, Any]]:
    from semrt.models import Manifest, available
    from semrt.tasks import TASKS, Solver, find_task

    entries: dict[str, dict[str, Any]] = {
        name: {"task": name, "summary": "no network"} for name in TASKS if isinstance(find_task(name), Solver)
    }
    for name, folder in available().items():
        try:
            manifest = Manifest.read(folder)
        except SemrtError as error:
            entries[name] = {"folder": str(folder), "summary": str(error)}
            continue
        summary = f"{manifest.version}, task {manifest.task}, {', '.join(['fp32', *manifest.variants])}"
        entries[name] = {"version": manifest.version, "task": manifest.task, "folder": str(folder), "summary": summary}
    return entries


def _lines(entries: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in entries.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")] if value else []
        elif isinstance(value, list | tuple):
            lines.append(f"{indent}{name}: {', '.join(map(str, value))}")
        elif value != "":
            lines.append(f"{indent}{name}: {value}")
    return lines
