"""semrt infer: files in; results, and beside them how they were made, out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli._energies import energies
from semrt.cli._tilts import Angles
from semrt.cli._values import memory, pixel_size, voxel

if TYPE_CHECKING:
    from semrt.backends import Session
    from semrt.cli._batch import Summary
    from semrt.cli._job import Job
    from semrt.tasks import Solver

__all__ = ["infer"]

FILE = click.Path(path_type=Path)


@click.command(short_help="Run a model on files.")
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, default=".", show_default="here", help="Folder, or file of a single result.")
@click.option("--format", "suffix", metavar="SUFFIX", help="Format of the results, such as tif, npz or mrc.")
@click.option("--recursive", is_flag=True, help="Look into the folders below those given.")
@click.option("--skip-existing", is_flag=True, help="Leave finished results: resumes an interrupted batch.")
@click.option("--overwrite", is_flag=True, help="Replace results that are there.")
@click.option("--mask", type=FILE, help="Image or scan path that says where the probe went (non-zero).")
@click.option(
    "--exposure", type=FILE, help="Image of the relative exposure of each pixel, 0 where the probe did not go."
)
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
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda, tensorrt, cuda:N, torch:cpu, torch:cuda; auto is the fastest that opens.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the processor; one for each core by default.")
@click.option("--precision", default="fp32", show_default=True, help="fp32, or one of the model's variants.")
@click.option(
    "--gpu-mem", "gpu_memory", type=memory, metavar="SIZE", help="Of cuda: memory for the network, such as 4GiB."
)
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
@click.option(
    "--solver", metavar="NAME", help="What does a model's work, such as mrf of layers or tv of wedge; auto, network."
)
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
    from semrt import io
    from semrt.cli import _results
    from semrt.cli._job import Job, leave

    job = Job.of(model, given)
    targets = job.targets(io.expand_inputs(inputs, recursive=given["recursive"], without=job.read_with))
    there = {source: target for source, target in targets.items() if given["skip_existing"] and target.exists()}
    skipped = [source for source, target in there.items() if not _results.was_interrupted(target)]
    targets = {source: target for source, target in targets.items() if source not in skipped}
    if not (given["overwrite"] or given["skip_existing"]):
        job.refuse_existing(targets.values())
    for folder in {target.parent for target in targets.values()}:
        io.check_writable(folder)  # not after an hour of work
    with job.batch(lambda opened: _header(job, opened, len(targets), len(skipped)), set(there.values())) as batch:
        summary = batch.run(targets)
    summary.skipped = [str(source) for source in skipped]
    _print(job.name, summary, as_json=given["as_json"])
    return leave(summary)


def _header(job: Job, opened: Session | Solver, todo: int, skipped: int) -> str:
    """Say what is to be done, and where."""
    from semrt.cli._job import where_text

    what = job.kind.INPUT if todo == 1 else f"{job.kind.INPUT}s"
    left = f" ({skipped} there already)" if skipped else ""
    return f"{todo} {what}{left} with {job.name}{where_text(opened)}"


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
