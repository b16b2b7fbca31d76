"""semrt build: make a model's TensorRT engine for this computer's card."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["build"]


@click.command(short_help="Build a model's TensorRT engine for this computer.")
@click.argument("model")
@click.option("--precision", default="fp32", show_default=True, help="fp32, or one of the model's variants.")
@click.option("--device", default="tensorrt", show_default=True, help="tensorrt, or tensorrt:N for another card.")
@click.option("--tile", type=click.IntRange(min=1), metavar="PX", help="Side of its tiles; the model's own by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def build(model: str, precision: str, device: str, tile: int | None, as_json: bool) -> None:
    """Build a model's TensorRT engine for this computer, and compare it with the reference.

    It takes minutes, once; --device tensorrt and auto use it from then on. An engine that computes other numbers than
    the model should is not kept. Where the card's memory is short, it is built for fewer tiles at a time. With --tile,
    it serves where infer is given the same --tile. Ctrl-C ends the build and leaves nothing behind.
    """
    from semrt import engine
    from semrt.backends import BACKENDS, parse_device
    from semrt.backends.engine_cache import EngineCache
    from semrt.cli._progress import progress
    from semrt.errors import InvalidOption
    from semrt.models import Manifest, find

    place = parse_device(device, BACKENDS)
    if place.kind != "tensorrt":
        raise InvalidOption(f"device {device!r}: engines are for tensorrt, or tensorrt:N; {place.kind} needs none")
    folder = find(model)
    manifest = Manifest.read(folder)
    manifest.file(precision)
    engine.check_tile(manifest, tile)
    cache = EngineCache()
    what = f"{manifest.name} {manifest.version} in {precision}" + (f" and tiles of {tile} px" if tile else "")
    header = f"building {what} for {place}, to be kept in {cache.folder}"
    with progress(1, "") as shown:
        shown.say(header)  # at once: TensorRT takes seconds to load, and minutes to build

        def within(done: int, total: int, what: str) -> None:
            shown.within(manifest.name, done, total, what)

        built = engine.build_engine(
            folder, manifest, place, precision=precision, tile=tile, progress=within, cache=cache
        )
    if as_json:
        told = {"key": built.key, "path": str(built.path), "new": built.new, **built.meta}
        click.echo(json.dumps(told))
    else:
        click.echo(_line(built.meta, new=built.new, path=built.path))


def _line(meta: Mapping[str, Any], *, new: bool, path: object) -> str:
    what = f"{meta['model']} {meta['version']} in {meta['precision']} on {meta['gpu']}"
    when = f"built in {meta['seconds']:.0f} s" if new else f"there since {meta['when']}"
    short = ", ".join(map(str, meta.get("without_batches", [])))
    left_out = f", without batches of {short} for which memory was short" if short else ""
    return f"{what}: {when}{left_out}, {meta['gate']['why']}; {path}"
