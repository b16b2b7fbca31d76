"""semrt infer: files in; results, and beside them how they were made, out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli._energies import energies
from semrt.cli._tilts import Angles, Tilts
from semrt.cli._values import pixel_size, settings_of, voxel
from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from semrt.backends import Session
    from semrt.cli._batch import Summary
    from semrt.cli._kinds import Kind
    from semrt.tasks import Solver

__all__ = ["infer"]

FILE = click.Path(path_type=Path)
FLAGS = ("denoise", "variant", "network", "max_iterations", "max_seconds", "seed", "thickness")
"""Options of a model that have a flag of their own."""


@click.command(short_help="Run a model on files.")
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, default=".", show_default="here", help="Folder, or file of a single result.")
@click.option("--format", "suffix", metavar="SUFFIX", help="Format of the results, such as tif, npz or mrc.")
@click.option("--recursive", is_flag=True, help="Look into the folders below those given.")
@click.option("--skip-existing", is_flag=True, help="Leave finished results: resumes an interrupted batch.")
@click.option("--overwrite", is_flag=True, help="Replace results that are there.")
@click.option("--mask", type=FILE, help="Image or scan path that says where the probe went (non-zero).")
@click.option("--unvisited", type=float, metavar="VALUE", help="Intensity where the probe did not go, such as 0.")
@click.option("--pixel-size", type=pixel_size, metavar="LENGTH", help="Such as 0.02nm; replaces what the file says.")
@click.option("--energies", type=energies, metavar="KEV", help='Of a stack\'s images: "5,6,8", 5:35, or a text file.')
@click.option("--angles", type=Angles(), metavar="DEG", help="Of a tilt series: a .tlt file, -60:60:2, or -60,-57,...")
@click.option("--tilt-range", type=float, nargs=2, metavar="LOW HIGH", help="Of the tilts of a tomogram, in degrees.")
@click.option("--axis-offset", type=float, metavar="PX", help="Where the tilt axis is, from a detector's middle.")
@click.option("--axes", type=click.Choice(["zyx", "yzx"]), help="Order in files of tomograms; yzx is that of IMOD.")
@click.option("--thickness", type=int, metavar="PX", help="Height of the tomogram of a tilt series.")
@click.option("--preview", is_flag=True, help="Draw what was measured and the result, beside each result.")
@click.option("--spectra", is_flag=True, help="Add power spectra to the preview.")
@click.option("--save", "saves", metavar="NAMES", help="What goes beside a result, see above; commas between.")
@click.option("--voxel", type=voxel, metavar="LENGTH", help="Height of the voxels of layers.  [default: 10nm]")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N; auto is the fastest that opens.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the processor; one for each core by default.")
@click.option("--precision", default="fp32", show_default=True, help="fp32, or one of the model's variants.")
@click.option("--tile", type=click.IntRange(min=1), metavar="PX", help="Side of a tile; the model's own by default.")
@click.option("--batch", type=click.IntRange(min=1), help="Tiles that run together; as suits the device by default.")
@click.option(
    "--fallback",
    type=click.Choice(["auto", "dip", "classical", "none"]),
    default="auto",
    show_default=True,
    help="For scans unlike those of the training: a Deep Image Prior, the classical method, or refuse them;"
    " auto is the first that is installed.",
)
@click.option("--solver", metavar="NAME", help="What does a model's work without its network, such as mrf of layers.")
@click.option("--denoise", is_flag=True, help="Estimate visited pixels too, instead of keeping what was measured.")
@click.option("--variant", metavar="NAME", help="Of layers: the physics, repo (as published) or phys.")
@click.option("--network", metavar="NAME", help="Of dip: conv-decoder, deep-decoder, hour-glass or skip.")
@click.option("--max-iterations", type=int, metavar="N", help="Of dip: where fitting ends at the latest.")
@click.option("--max-seconds", type=float, metavar="S", help="Of dip: time for a scan, or for each slice of a stack.")
@click.option("--seed", type=int, metavar="N", help="Of dip: of its random numbers.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Another option of the model; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def infer(model: str, inputs: tuple[str, ...], **given: Any) -> int:
    """Run a model on files.

    MODEL is a name that `semrt models list` shows, or a folder with a semrt.json. INPUTS are files, folders, or
    patterns such as "scans/*.tif".

    Each result is written as {input}_{model}.tif, and beside it the error map (_error.tif), how it was made
    (.semrt.json) and, if asked for, a preview (_preview.png). Atomic columns are written as {input}_{model}.csv, and
    beside it a map of them (_map.tif), the image without noise and background (_denoised.tif) and, if asked for, ROIs
    for Fiji (_rois.zip); --save chooses of csv, map, denoised, rois. The thickness of layers in nm is written as
    {input}_{model}.tif, a slice a material, and beside it how well it is known (_sigma.tif), the materials as voxels
    (_voxels.tif) and, if asked for, the deviation at each energy (_residual.csv); --save chooses of sigma, voxels,
    residual. Tomograms are written as {input}_{model}.mrc and beside it, with --save inferred, the part of them that
    no tilt measured (_inferred.mrc). Inputs are never touched. The names of the results go to stdout, all else to
    stderr.
    """
    from semrt import engine, io
    from semrt.cli import _results
    from semrt.cli._batch import Batch
    from semrt.cli._kinds import checked_making, checked_saves

    if given["skip_existing"] and given["overwrite"]:
        raise InvalidOption("--skip-existing and --overwrite contradict each other; give one of them")
    settings = {name: given[name] for name in ("tile", "batch", "fallback", "device", "threads")} | _task_options(given)
    name, kind = _name_and_kind(model, given["device"], given["precision"], given["solver"])
    saves = checked_saves(name, kind, given["saves"])
    making = checked_making(name, kind, {"voxel": given["voxel"]})
    sources = io.expand_inputs(inputs, recursive=given["recursive"])
    targets = io.output_paths(sources, name, given["output"], _suffix(given["suffix"]), kind.FORMATS)
    there = {source: target for source, target in targets.items() if given["skip_existing"] and target.exists()}
    skipped = [source for source, target in there.items() if not _results.was_interrupted(target)]
    targets = {source: target for source, target in targets.items() if source not in skipped}
    preview = given["preview"] or given["spectra"]
    if not (given["overwrite"] or given["skip_existing"]):
        _results.refuse_existing(targets.values(), preview=preview, kind=kind, saves=saves)
    how = {name: given[name] for name in ("threads", "precision", "solver")}
    with engine.open_model(model, given["device"], **how) as opened:
        batch = Batch(
            opened,
            header=_header(name, opened, kind.INPUT, len(targets), len(skipped)),
            reading={key: given[key] for key in ("mask", "unvisited", "pixel_size")},
            energies=given["energies"],
            tilts=Tilts(*(given[name] for name in ("angles", "tilt_range", "axis_offset", "axes"))),
            settings=settings,
            overwrite=given["overwrite"],
            preview=preview,
            spectra=given["spectra"],
            saves=saves,
            making=making,
            redone=set(there.values()),
        )
        summary = batch.run(targets)
    summary.skipped = [str(source) for source in skipped]
    _print(name, summary, as_json=given["as_json"])
    if summary.abandoned:
        sys.stdout.flush()
        os._exit(summary.exit_code)  # Python would wait for the stages, or fall over those that are in C++
    return summary.exit_code


def _task_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Take the options that the model's task knows; the engine refuses others."""
    import inspect

    from semrt import engine

    options = settings_of(given["pairs"])
    ours = {*inspect.signature(engine.infer).parameters, *inspect.signature(engine.infer_many).parameters, *FLAGS}
    for name in options:
        if name in ours:
            raise InvalidOption(f"--set {name}: is for further options of a model alone; see semrt infer --help")
    return options | {name: given[name] for name in FLAGS if given[name] is not None and given[name] is not False}


def _name_and_kind(model: str, device: str, precision: str, solver: str | None) -> tuple[str, Kind]:
    """Find the model before any work: what results are named after it, and of which kind they are."""
    from semrt import engine
    from semrt.cli._kinds import kind_of
    from semrt.engine.solver_road import name_of
    from semrt.models import Manifest
    from semrt.tasks import find_task, result_of

    found = engine.find_model(model, device, precision, solver)
    if not isinstance(found, Path):
        return name_of(found), kind_of(result_of(found))
    manifest = Manifest.read(found)
    return manifest.name, kind_of(result_of(find_task(manifest.task)))


def _suffix(given: str | None) -> str | None:
    return None if given is None else f".{given.removeprefix('.').lower()}"


def _header(name: str, opened: Session | Solver, what: str, todo: int, skipped: int) -> str:
    """Say what is to be done, and where; of a solver for several devices only its results know that."""
    from semrt.backends import Session
    from semrt.tasks import devices_of

    if isinstance(opened, Session):
        where = f" on {opened.reason}"
    else:
        where = " on the cpu" if devices_of(opened) == ("cpu",) else ""
    left = f" ({skipped} there already)" if skipped else ""
    return f"{todo} {what if todo == 1 else what + 's'}{left} with {name}{where}"


def _print(name: str, summary: Summary, *, as_json: bool) -> None:
    if summary.interrupted:
        click.echo("semrt: interrupted; finished results are whole, and --skip-existing goes on from there", err=True)
    if as_json:
        report = {
            "model": name,
            "results": summary.results,
            "failures": summary.failures,
            "skipped": summary.skipped,
            "interrupted": summary.interrupted,
        }
        click.echo(json.dumps(report))
    else:
        for result in summary.results:
            click.echo(result["output"])
