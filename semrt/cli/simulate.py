"""semrt simulate: libraries of synthetic images with the truth beside each."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli import _values
from semrt.errors import InvalidOption, OutputExists

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from semrt.simulate.columns import ColumnImage

    Recipe = Callable[[], "Made"]

__all__ = ["simulate"]

FOLDER = click.Path(path_type=Path, file_okay=False)
SEED = click.IntRange(min=0)
GOES_ON = "semrt: interrupted; finished images are whole, and --skip-existing goes on from there"


@dataclass(frozen=True)
class Made:
    """One image and its truth.

    intensity: (ny, nx) float32.  settings: what was drawn, ready for JSON.  columns: of the CSV, none without one.
    summary: what there is to say of it in a line.
    """

    intensity: Any
    settings: Mapping[str, Any]
    summary: str
    pixel_size: tuple[float, float] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


def _library_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that all libraries share."""
    for option in reversed(
        [
            click.option("-n", "--number", type=click.IntRange(min=1), help="Images to draw.  [default: 10]"),
            click.option(
                "--seed", type=SEED, default=0, show_default=True, help="The same seed gives the same images."
            ),
            click.option("-o", "--output", type=FOLDER, default=".", show_default="here", help="Folder."),
            click.option("--shape", type=_values.shape, metavar="ROWSxCOLUMNS", help="Of each.  [default: 256x256]"),
            click.option("--skip-existing", is_flag=True, help="Leave images that are there: resumes a library."),
            click.option("--overwrite", is_flag=True, help="Replace images that are there."),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        ]
    ):
        command = option(command)
    return command


@click.group(short_help="Draw synthetic images with exact truth.")
def simulate() -> None:
    """Draw synthetic images with exact truth, to train on and to judge by.

    Image number k of a library depends on the seed and k alone: a library can be resumed and enlarged.
    """


@simulate.command(short_help="ADF-STEM images of atomic columns, with every position.")
@_library_options
@click.option("--structure", metavar="NAME", help="Of this structure alone, such as perovskite-100.")
@click.option(
    "--cases", "as_cases", is_flag=True, help="The fixed test set instead: named images, one difficulty each."
)
@click.option("--bound/--no-bound", default=True, help="Compute how well each column can be located.  [default: bound]")
def columns(
    number: int | None,
    seed: int,
    shape: tuple[int, int] | None,
    structure: str | None,
    as_cases: bool,
    bound: bool,
    **given: Any,
) -> int:
    """Draw ADF-STEM images of atomic columns.

    Written are the image in counts (.tif), the truth of each column (.csv: y_px, x_px, intensity, species, snr and the
    Cramér–Rao bounds crlb_y_px, crlb_x_px) and all that was drawn (.json).
    """
    from semrt.simulate.columns import STRUCTURES, cases, draw

    if as_cases:
        if number is not None or shape is not None or structure is not None:
            raise InvalidOption("--cases: says number, shape and structures itself; leave out -n, --shape, --structure")
        wanted = {
            f"columns_{name}": partial(_column_image, partial(case.image, bound=bound), {"seed": seed, "case": name})
            for name, case in cases(seed).items()
        }
        return _write_library(wanted, **given)
    if structure is not None and structure not in STRUCTURES:
        raise InvalidOption.unknown("--structure", structure, STRUCTURES)

    def drawn(k: int) -> ColumnImage:
        return draw(_generator(seed, k), shape or (256, 256), structure=structure, bound=bound)

    return _write_library(
        {
            f"columns_{k:05d}": partial(_column_image, partial(drawn, k), {"seed": seed, "number": k})
            for k in range(10 if number is None else number)
        },
        **given,
    )


@simulate.command(short_help="Micrographs of all kinds, clean.")
@_library_options
@click.option("--kind", metavar="NAME", help="Of this kind alone, such as nanoparticles.")
def micrographs(number: int | None, seed: int, shape: tuple[int, int] | None, kind: str | None, **given: Any) -> int:
    """Draw clean micrographs of all kinds, from 0 to 1 (.tif), to be scanned with `semrt scan --sample`."""
    from semrt.simulate.micrographs import KINDS, draw

    if kind is not None and kind not in KINDS:
        raise InvalidOption.unknown("--kind", kind, KINDS)

    def made(k: int) -> Made:
        image = draw(_generator(seed, k), shape or (256, 256), kind)
        return Made(image, {"seed": seed, "number": k, "kind": kind}, kind or "any kind")

    wanted = {f"micrograph_{k:05d}": partial(made, k) for k in range(10 if number is None else number)}
    return _write_library(wanted, **given)


def _generator(seed: int, k: int) -> Any:
    import numpy as np

    return np.random.default_rng([seed, k])


def _column_image(draw: Callable[[], ColumnImage], source: Mapping[str, Any]) -> Made:
    image = draw()
    settings = {
        **source,
        "shape": image.shape,
        "columns": len(image.y),
        "spacing_px": image.spacing,
        "pixel_size_nm": image.pixel_size,
        **image.settings,
    }
    return Made(image.counts, settings, f"{len(image.y)} columns", image.pixel_size, image.table())


def _write_library(
    wanted: Mapping[str, Recipe], *, output: Path, skip_existing: bool, overwrite: bool, as_json: bool
) -> int:
    """Make and write the images that are wanted, name -> recipe, and say which there are."""
    from semrt.cli._failures import INTERRUPTED
    from semrt.cli._progress import progress

    if skip_existing and overwrite:
        raise InvalidOption("--skip-existing and --overwrite contradict each other; give one of them")
    images = {output / f"{name}.tif": recipe for name, recipe in wanted.items()}
    skipped = [path for path in images if skip_existing and path.exists()]
    todo = {path: recipe for path, recipe in images.items() if path not in set(skipped)}
    if not (overwrite or skip_existing):
        for path in todo:
            for suffix in (".tif", ".csv", ".json"):
                if path.with_suffix(suffix).exists():
                    raise OutputExists(path.with_suffix(suffix))
    written: list[str] = []
    interrupted = False
    left = f" ({len(skipped)} there already)" if skipped else ""
    with progress(len(todo), f"{len(todo)} {'image' if len(todo) == 1 else 'images'}{left}") as shown:
        try:
            for path, recipe in todo.items():
                start = time.perf_counter()
                made = recipe()
                _write(path, made, overwrite=overwrite)
                written.append(str(path))
                shown.ended(f"{path}: {made.summary}, {time.perf_counter() - start:.2f} s")
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        click.echo(GOES_ON, err=True)
    if as_json:
        report = {"written": written, "skipped": [str(path) for path in skipped], "interrupted": interrupted}
        click.echo(json.dumps(report))
    else:
        for line in written:
            click.echo(line)
    return INTERRUPTED if interrupted else 0


def _write(path: Path, made: Made, *, overwrite: bool) -> None:
    """Write an image and its truth, each file whole; the image comes last, so that where it is, all is."""
    from semrt import __version__, io
    from semrt.data import Micrograph
    from semrt.io.description import plain

    # What an interrupted run left beside an image that it never wrote is nobody's: replace it.
    if made.columns:
        with io.replacing(path.with_suffix(".csv"), overwrite=True) as temporary:
            temporary.write_text(_csv(made.columns), encoding="utf-8", newline="\n")
    io.write_json(path.with_suffix(".json"), {"semrt": __version__, **plain(made.settings)}, overwrite=True)
    source = {key: made.settings[key] for key in ("seed", "number", "case") if key in made.settings}
    image = Micrograph(made.intensity, pixel_size=made.pixel_size, metadata={"simulated": source})
    io.write(path, image, overwrite=overwrite)


def _csv(columns: Mapping[str, Any]) -> str:
    texts = [[_text(value) for value in values.tolist()] for values in columns.values()]
    return "\n".join([",".join(columns), *map(",".join, zip(*texts, strict=True)), ""])


def _text(value: object) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)
