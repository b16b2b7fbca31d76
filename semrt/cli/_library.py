"""Libraries of simulated images: the options that all share, and writing each image with its truth beside it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli import _values
from semrt.errors import InvalidOption, OutputExists

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Recipe = Callable[[], "Made"]

__all__ = ["Made", "generator", "library_options", "write_library"]

FOLDER = click.Path(path_type=Path, file_okay=False)
GOES_ON = "semrt: interrupted; finished images are whole, and --skip-existing goes on from there"


@dataclass(frozen=True)
class Made:
    """One image, or one stack, and its truth.

    intensity: (ny, nx) or (n, ny, nx) float32.  settings: what was drawn, ready for JSON.
    summary: what there is to say of it in a line.  metadata: what the file itself must tell.
    columns: of a CSV of the truth, none without one.  truth: (m, ny, nx) in a file of its own, None without one.
    truth_metadata: what that file must tell; None for the same.
    angles: tilts [deg] for a file .tlt, one a line; none without one.
    """

    intensity: Any
    settings: Mapping[str, Any]
    summary: str
    pixel_size: tuple[float, float] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    truth: Any = None
    truth_metadata: Mapping[str, Any] | None = None
    angles: Sequence[float] = ()


def library_options(shape: str = "256x256") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options that all libraries share; shape: what its help says of the default."""
    options = [
        click.option("-n", "--number", type=click.IntRange(min=1), help="Images to draw.  [default: 10]"),
        click.option(
            "--seed", type=_values.SEED, default=0, show_default=True, help="The same seed gives the same images."
        ),
        click.option("-o", "--output", type=FOLDER, default=".", show_default="here", help="Folder."),
        click.option("--shape", type=_values.shape, metavar="ROWSxCOLUMNS", help=f"Of each.  [default: {shape}]"),
        click.option("--skip-existing", is_flag=True, help="Leave images that are there: resumes a library."),
        click.option("--overwrite", is_flag=True, help="Replace images that are there."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    ]

    def given(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return given


def generator(seed: int, k: int) -> Any:
    """Random numbers of image k, which depend on the seed and k alone."""
    import numpy as np

    return np.random.default_rng([seed, k])


def write_library(
    wanted: Mapping[str, Recipe],
    *,
    output: Path,
    skip_existing: bool,
    overwrite: bool,
    as_json: bool,
    suffix: str = ".tif",
) -> int:
    """Make and write the images that are wanted, name -> recipe, and say which there are."""
    from semrt.cli._failures import INTERRUPTED, KEEPING
    from semrt.cli._progress import progress

    if skip_existing and overwrite:
        raise InvalidOption("--skip-existing and --overwrite contradict each other; give one of them")
    images = {output / f"{name}{suffix}": recipe for name, recipe in wanted.items()}
    skipped = [path for path in images if skip_existing and path.exists()]
    todo = {path: recipe for path, recipe in images.items() if path not in set(skipped)}
    if not (overwrite or skip_existing):
        for path in todo:
            for file in (path, *map(path.with_suffix, (".csv", ".json", ".tlt")), _truth_of(path)):
                if file.exists():
                    raise OutputExists(file, KEEPING)
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
    from semrt.data import Micrograph, Volume
    from semrt.io.description import plain

    source = {key: made.settings[key] for key in ("seed", "number", "case") if key in made.settings}
    told = {"simulated": source, **made.metadata}
    # What an interrupted run left beside an image that it never wrote is nobody's: replace it.
    if made.columns:
        with io.replacing(path.with_suffix(".csv"), overwrite=True) as temporary:
            temporary.write_text(_csv(made.columns), encoding="utf-8", newline="\n")
    if made.angles:
        with io.replacing(path.with_suffix(".tlt"), overwrite=True) as temporary:
            temporary.write_text("".join(f"{angle:.3f}\n" for angle in made.angles), encoding="utf-8", newline="\n")
    if made.truth is not None:
        of_truth = {"simulated": source, **(made.metadata if made.truth_metadata is None else made.truth_metadata)}
        io.write(_truth_of(path), Volume(made.truth, pixel_size=made.pixel_size, metadata=of_truth), overwrite=True)
    io.write_json(path.with_suffix(".json"), {"semrt": __version__, **plain(made.settings)}, overwrite=True)
    kind = Micrograph if made.intensity.ndim == 2 else Volume
    io.write(path, kind(made.intensity, pixel_size=made.pixel_size, metadata=told), overwrite=overwrite)


def _truth_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}_truth{path.suffix}")


def _csv(columns: Mapping[str, Any]) -> str:
    texts = [[_text(value) for value in values.tolist()] for values in columns.values()]
    return "\n".join([",".join(columns), *map(",".join, zip(*texts, strict=True)), ""])


def _text(value: object) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)
