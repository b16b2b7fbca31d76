"""semrt scan plan: which way of scanning is likely to give the best image of a dose."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli import _values
from semrt.errors import OutputExists

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from semrt.report.scan_plan import Dose, Forecast, Trial

__all__ = ["plan"]

COVERAGES = (1 / 5, 1 / 10, 1 / 20, 1 / 40)
MICROSECONDS = click.FloatRange(min=0)
POSITIVE = click.FloatRange(min=0, min_open=True)
FILE = click.Path(path_type=Path)


@click.command("plan", short_help="Compare patterns and coverages at one dose, by the error to expect.")
@click.option("--image-like", "image", type=FILE, required=True, help="An image like the one to be scanned.")
@click.option(
    "--dose",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="Detected electrons per pixel of a frame.",
)
@click.option("--pattern", "patterns", multiple=True, metavar="NAME", help="Repeatable; all of --list by default.")
@click.option(
    "--coverage",
    "coverages",
    type=_values.coverage,
    multiple=True,
    help="Fraction of the pixels; repeatable.  [default: 1/5, 1/10, 1/20, 1/40]",
)
@click.option(
    "--size", "shape", type=_values.shape, metavar="PX", default="256", show_default=True, help="Of the part looked at."
)
@click.option("--clean", is_flag=True, help="The image has no noise: take it for the truth as it is.")
@click.option("--dark", type=float, metavar="VALUE", help="Intensity without electrons.  [default: 0, or the lowest]")
@click.option("--model", default="infill", show_default=True, help="A model for sparse scans.")
@click.option("--keep-measured", is_flag=True, help="Keep visited pixels with their noise, as infer does unasked.")
@click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True, help="Scans to average over.")
@click.option("--seed", type=_values.SEED, default=0, show_default=True, help="Of noise and patterns.")
@click.option("--dwell-time", type=POSITIVE, default=1.0, show_default=True, help="On a pixel of a full frame [µs].")
@click.option("--settle-time", type=MICROSECONDS, default=0.0, help="Waited after a step of more than 2 px [µs].")
@click.option("--flyback-time", type=MICROSECONDS, default=0.0, help="Waited after one over half the field [µs].")
@click.option("-o", "--output", type=FILE, default="scan-plan.png", show_default=True, help="PNG of the plan.")
@click.option("--overwrite", is_flag=True, help="Replace a plot that is there.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N; auto is the fastest that opens.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the processor; one for each core by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def plan(
    image: Path,
    dose: float,
    patterns: tuple[str, ...],
    coverages: tuple[float, ...],
    shape: tuple[int, int],
    clean: bool,
    dark: float | None,
    model: str,
    keep_measured: bool,
    output: Path,
    overwrite: bool,
    device: str,
    threads: int | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Compare scan patterns and coverages at one dose, by the error to expect.

    The middle of an image like the one to be scanned, less its noise, is taken for the truth. Each pattern scans it,
    electrons are counted, the model infers the image, and that is compared with the truth. All scans take the same
    dose: fewer pixels are each seen longer, and with less noise. The best comes first. Detail that is lost in the noise
    of the image does not count, and noise that is left in it counts as detail; a scan of all pixels is judged by what
    the model makes of it, which is no denoiser of full frames.
    """
    from semrt import engine
    from semrt.cli._inputs import check_takes_scans
    from semrt.cli._progress import progress
    from semrt.cli._results import write_preview
    from semrt.cli.scan import whole_micrograph
    from semrt.io.description import plain
    from semrt.report import scan_plan
    from semrt.report.scan_plan_preview import plan_preview
    from semrt.report.sheet import Caption

    wanted = scan_plan.candidates(patterns, coverages or COVERAGES)
    if output.suffix.lower() != ".png":
        raise click.BadParameter(f"{output}: the plan is drawn as .png", param_hint="-o")
    if output.exists() and not overwrite:
        raise OutputExists(output)
    truth = scan_plan.stand_in(whole_micrograph(image), shape=shape, clean=clean, threads=threads)
    lit = scan_plan.Dose.of(truth, dose, dark)
    settings = {"device": device, "threads": threads, "denoise": not keep_measured, **how}
    forecasts: list[Forecast] = []
    best: Trial | None = None
    with engine.open_model(model, device, threads=threads) as opened:
        check_takes_scans(model, opened)
        header = (
            f"{len(wanted)} scans of {image} with {model}, {lit.electrons:g} electrons per pixel; {_gain_text(lit)}"
        )
        with progress(len(wanted), header) as shown:
            for one in wanted:
                trial = scan_plan.forecast(truth, lit, one, opened, **settings)
                forecasts.append(found := trial.forecast)
                if best is None or found.rmse < best.forecast.rmse:
                    best = trial
                shown.ended(f"{one.pattern} {_values.coverage_text(found.coverage)}: {100 * found.rmse:.2f} %")
    assert best is not None
    forecasts.sort(key=lambda one: one.rmse)
    told = {
        "image": str(image),
        "shape": list(truth.shape),
        "clean": clean,
        "model": model,
        "dose": asdict(lit),
        "denoise": not keep_measured,
        **how,
    }
    part = f"{' x '.join(map(str, truth.shape))} px"
    title = f"Plan for {model}, {lit.electrons:g} electrons a pixel"
    caption = Caption(source=f"{image.name}, {part}", model=title, coverage=None, told=_verdict(best.forecast, lit))
    write_preview(output, plan_preview(truth, best, forecasts, caption), overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(plain({**told, "plans": [asdict(one) for one in forecasts], "plot": str(output)})))
        return
    for line in _table(forecasts, model):
        click.echo(line)
    click.echo(f"look at {output}")


def _gain_text(lit: Dose) -> str:
    return f"one electron on a pixel is {lit.gain:.3g} of intensity, above {lit.dark:g}"


def _verdict(best: Forecast, lit: Dose) -> str:
    found = f"{best.pattern} over {_values.coverage_text(best.coverage)}, error {100 * best.rmse:.2f} % of the range"
    return f"Best: {found}, {best.psnr:.1f} dB; {_gain_text(lit)}"


def _table(forecasts: Sequence[Forecast], model: str) -> Iterator[str]:
    """The best first; what is not told of an instrument, such as its flyback, is left out."""
    waits = any(one.wait_us > 0 for one in forecasts)
    width = max(len("pattern"), *(len(one.pattern) for one in forecasts))
    head = f"{'pattern':<{width}}  {'coverage':<16} {'RMSE %':>7} {'PSNR dB':>8} {'e/sample':>9} {'dwell us':>9}"
    yield f"{head} {'path px':>10} {'waits ms' if waits else '':>9} {'time ms':>9}".rstrip()
    for one in forecasts:
        instead = "" if one.ran == model else f"   by {one.ran}"
        yield (
            f"{one.pattern:<{width}}  {_values.coverage_text(one.coverage):<16} {100 * one.rmse:7.2f} {one.psnr:8.2f} "
            f"{one.electrons_per_sample:9.3g} {one.dwell_time_us:9.3g} {one.path_length_px:10.0f} "
            f"{f'{one.wait_us / 1000:.3g}' if waits else '':>9} {one.total_time_us / 1000:9.4g}{instead}"
        )
