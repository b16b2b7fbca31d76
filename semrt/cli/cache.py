"""semrt cache: the engines that semrt build made on this computer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cache"]

MEBIBYTE = 2**20


@click.group(short_help="List and clear the engines that semrt build made.")
def cache() -> None:
    """List and clear the engines that `semrt build` made.

    They lie in the folder that SEMRT_CACHE names, or where the system keeps what can be made again.
    """


@cache.command("list", short_help="List what is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(as_json: bool) -> None:
    """List what is kept: for which model and card, since when, and what the comparison with the reference said."""
    from semrt.backends.engine_cache import EngineCache

    kept = EngineCache()
    entries = kept.entries()
    if as_json:
        told = [{"key": entry.key, "bytes": entry.size, **entry.meta} for entry in entries]
        click.echo(json.dumps({"folder": str(kept.folder), "entries": told}))
        return
    for entry in entries:
        click.echo(f"{entry.key[:12]}  {entry.size / MEBIBYTE:8.1f} MiB  {_what(entry.meta)}")
    click.echo(f"{len(entries) or 'nothing'} kept in {kept.folder}")


@cache.command(short_help="Remove all that is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def clear(as_json: bool) -> None:
    """Remove all that is kept; what another semrt is building stays."""
    from semrt.backends.engine_cache import EngineCache

    kept = EngineCache()
    removed, held = kept.clear()
    if as_json:
        click.echo(json.dumps({"folder": str(kept.folder), "removed": removed, "held": held}))
        return
    more = f", {held} being built by another semrt" if held else ""
    click.echo(f"{removed} removed from {kept.folder}{more}")


def _what(meta: Mapping[str, object]) -> str:
    if meta.get("kind") != "engine":
        return f"timings of TensorRT {meta.get('tensorrt', '?')}, {meta.get('gpu', '?')}"
    gate = meta.get("gate")
    why = gate.get("why", "") if isinstance(gate, dict) else ""
    names = ("model", "version", "precision", "gpu", "tensorrt", "when")
    model, version, precision, gpu, tensorrt, when = (meta.get(name, "?") for name in names)
    profiles = meta.get("profiles")
    tile = f", tiles of {profiles[-1][-1][-1]} px" if isinstance(profiles, list) and profiles else ""
    return f"{model} {version} in {precision}{tile}, {gpu}, TensorRT {tensorrt}, {when}; {why}"
