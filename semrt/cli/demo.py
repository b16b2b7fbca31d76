"""semrt demo: a micrograph, a sparse scan of it, and what a model makes of that, against the truth."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli import _values
from semrt.cli._failures import INTERRUPTED
from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from semrt.cli._simulated import SimulatedScan
    from semrt.data import Micrograph
    from semrt.report.sheet import Score

__all__ = ["demo"]

FOLDER = "semrt-demo"
NOISE = 0.02


@click.command(short_help="Infer a simulated scan and compare with the truth.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help=f"Folder of the files.  [default: {FOLDER}]")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier demo in that folder.")
@click.option("--image", type=click.Path(path_type=Path), help="Scan this micrograph instead of a simulated one.")
@click.option("--size", "shape", type=_values.shape, default="512", show_default=True, help="Shape, if simulated.")
@click.option("--kind", metavar="NAME", help="Kind of simulated micrograph, such as grains or lattice.")
@click.option(
    "--noise",
    type=click.FloatRange(0, 1),
    help=f"Of the detector, as a fraction of the range.  [default: {NOISE}, or 0 with --image]",
)
@click.option("--pattern", default="clv", show_default=True, help="As `semrt scan --list` shows them.")
@click.option("--coverage", type=_values.coverage, default="1/20", show_default=True, help="Fraction of the pixels.")
@click.option("--seed", type=_values.SEED, default=2, show_default=True, help="Of micrograph, noise and scan.")
@click.option("--model", default="infill", show_default=True, help="A model for sparse scans.")
@click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, tensorrt, cuda:N; auto is the fastest that opens."
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the processor; one for each core by default.")
@click.option("--spectra", is_flag=True, help="Add power spectra to the preview.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(output: Path | None, as_json: bool, **given: Any) -> int:
    """Simulate a micrograph and a sparse scan of it, infer the micrograph from the scan, and compare with the truth.

    Everything is left in a folder: the truth, the scan (an input for `semrt infer`), the result with its error map,
    how it was made, and a preview to look at. The model stands beside kriging and smoothed natural neighbours.
    A simulated micrograph is like those of the training; --image shows how the model does on yours.
    """
    from semrt.io.description import plain

    report = _run(output or _free_folder(), **given)
    code = INTERRUPTED if report["interrupted"] else 0
    if as_json:
        click.echo(json.dumps(plain(report)))  # a perfect result has an infinite PSNR
        return code
    scan = report["scan"]
    click.echo(f"{scan['pattern']} scan, coverage {_values.coverage_text(scan['coverage'])}, seed {scan['seed']}")
    click.echo(f"{'against the truth':<34} {'PSNR [dB]':>9} {'SSIM':>7}")
    for name, score in report["scores"].items():
        click.echo(f"{name:<34} {score['psnr']:>9.2f} {score['ssim']:>7.3f}")
    click.echo(f"look at {report['files']['preview']}")
    return code


def _run(
    folder: Path,
    *,
    overwrite: bool,
    model: str,
    device: str,
    threads: int | None,
    spectra: bool,
    noise: float | None,
    pattern: str,
    coverage: float,
    seed: int,
    **drawn: Any,
) -> dict[str, Any]:
    from semrt import engine, io, provenance
    from semrt.cli import _results
    from semrt.cli._inputs import check_takes_scans
    from semrt.cli._simulated import KIND, simulated_scan
    from semrt.report.sheet import Card

    engine.find_model(model, device)  # before anything is written
    target = folder / f"scan_{Path(model).name}.tif"
    files = {"truth": folder / "truth.tif", "path": folder / "scan.csv", "scan": folder / "scan.npz"}
    if not overwrite:
        _results.refuse_existing([*files.values(), target], preview=True)
    if noise is None:
        noise = NOISE if drawn["image"] is None else 0.0
    simulated = simulated_scan(pattern, coverage, seed, noise=noise, **drawn)
    _check_size(simulated.truth.shape, drawn["image"])
    with engine.open_model(model, device, threads=threads) as opened:
        check_takes_scans(model, opened)
        for role, data in (("truth", simulated.truth), ("path", simulated.path), ("scan", simulated.measured)):
            io.write(files[role], data, overwrite=overwrite)
        scan = io.read(files["scan"])  # from here the whole road, as for the scan of an instrument
        origin = provenance.input_of(files["scan"])
        result = engine.infer(scan, opened, device=device, threads=threads, fallback="classical")
    scores = _scores(result, simulated, threads)
    source = drawn["image"].name if drawn["image"] else f"simulated {drawn['kind'] or KIND}"
    picture = _results.preview_of(
        simulated.measured,
        result,
        f"{source}, {pattern}, seed {seed}",
        truth=simulated.truth.intensity,
        card=Card(scores, _facts(simulated)),
        spectra=spectra,
    )
    files |= _results.save(target, result, simulated.measured, origin, overwrite=overwrite, picture=picture)
    report = _results.record_of(result, simulated.measured)
    report["scan"] |= {"source": source, "pattern": pattern, "seed": seed, "noise": noise}
    report["scores"] = {score.method: {"psnr": score.psnr, "ssim": score.ssim} for score in scores}
    report["files"] = {role: str(file) for role, file in files.items()}
    io.write_json(folder / "demo.json", report, overwrite=overwrite)
    return report


def _check_size(shape: tuple[int, int], image: Path | None) -> None:
    """Raise InvalidOption for a field that is too small to be compared with its truth."""
    from semrt.metrics import SSIM_WINDOW

    if min(shape) < SSIM_WINDOW:
        option = "--size" if image is None else f"--image {image}"
        wanted = f"at least {SSIM_WINDOW} x {SSIM_WINDOW} px, which SSIM needs"
        raise InvalidOption(f"{option}: expected {wanted}, got {shape[0]} x {shape[1]}")


def _scores(result: Micrograph, simulated: SimulatedScan, threads: int | None) -> list[Score]:
    """Compare with what needs no network, on the same scan; the range of the truth counts as 1."""
    import numpy as np

    from semrt import engine, metrics
    from semrt.kernels import natural_neighbour
    from semrt.report.sheet import Score
    from semrt.tasks.kriging import SMOOTHING

    scan, truth = simulated.measured, simulated.truth.intensity
    made = result.provenance["model"]
    estimates = {" ".join(made[key] for key in ("name", "version") if key in made): result.intensity}
    if "kriging" not in estimates:
        with engine.open_model("kriging") as kriging:
            estimates["kriging"] = engine.infer(scan, kriging, threads=threads).intensity
    smooth = natural_neighbour(scan.intensity, scan.visited, smooth=SMOOTHING, n_threads=threads)
    estimates[f"natural neighbour, σ {SMOOTHING} px"] = smooth
    span = float(np.ptp(truth)) or 1.0
    return [
        Score(name, metrics.psnr(image, truth, span), metrics.ssim(image, truth, span))
        for name, image in estimates.items()
    ]


def _facts(simulated: SimulatedScan) -> list[tuple[str, str]]:
    from semrt.kernels import mask_statistics
    from semrt.scan import PATTERNS

    pixels = simulated.measured.visited.size
    told = simulated.path.statistics()
    full = pixels * told["exposure_time_us"] / told["samples"]
    return [
        ("Scan", PATTERNS[simulated.path.pattern].summary.partition(",")[0]),
        ("Largest gap", f"{mask_statistics(simulated.measured.visited).largest_gap:.1f} px"),
        ("Beam time and dose", f"1/{full / told['exposure_time_us']:.3g} of a full scan"),
    ]


def _free_folder() -> Path:
    """Name the first folder of the series semrt-demo, semrt-demo-2, ... that is not there."""
    names = (FOLDER if number == 1 else f"{FOLDER}-{number}" for number in count(1))
    return next(folder for name in names if not (folder := Path(name)).exists())
