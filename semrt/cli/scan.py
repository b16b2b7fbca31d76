"""semrt scan: a scan path for an instrument, or the sparse scan of an image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli import _values
from semrt.errors import InvalidOption, InvalidValue, OutputExists

if TYPE_CHECKING:
    from collections.abc import Sequence

    from semrt.data import Micrograph, PixelSize
    from semrt.scan import ScanPath

__all__ = ["scan", "whole_micrograph"]


PLAN = "plan"  # what comes first is a pattern's name, and this is none


class _Scan(click.Command):
    """Its help ends with the patterns, which are only imported for it; `plan` in the place of one is a command."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == [PLAN]:
            from semrt.cli.scan_plan import plan

            return plan.make_context(f"{info_name} {PLAN}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from semrt.scan import PATTERNS

        with formatter.section("Patterns"):
            formatter.write_dl([(name, pattern.summary) for name, pattern in PATTERNS.items()])


def _list(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from semrt.scan import PATTERNS

    for pattern in PATTERNS.values():
        click.echo(f"{pattern.name:<14} {pattern.summary}" + (f" ({pattern.source})" if pattern.source else ""))
        for name, (default, meaning) in pattern.parameters.items():
            click.echo(f"{'':<14}   --set {name}={'' if default is None else default}  {meaning}")
    ctx.exit()


MICROSECONDS = click.FloatRange(min=0)
SHORT = {"obi": "open-beam-interface", "freescan": "de-freescan", "fei": "fei-stream"}


@click.command(cls=_Scan, short_help="Draw a scan path, or take the sparse scan of an image.")
@click.argument("pattern")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the patterns.")
@click.option("--shape", type=_values.shape, metavar="ROWSxCOLUMNS", help="Of the field.  [default: 512x512]")
@click.option("--coverage", type=_values.coverage, help="Fraction of the pixels, such as 1/20; all of them by default.")
@click.option("--seed", type=_values.SEED, default=0, show_default=True, help="Of patterns that draw at random.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter of the pattern; repeatable.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="CSV of the path.  [default: PATTERN.csv]")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--dwell-time", type=MICROSECONDS, default=1.0, show_default=True, help="At each sample [µs].")
@click.option("--settle-time", type=MICROSECONDS, default=0.0, help="Waited after a step of more than 2 px [µs].")
@click.option("--flyback-time", type=MICROSECONDS, default=0.0, help="Waited after one over half the field [µs].")
@click.option("--order", metavar="NAME", help="Visit the samples in another order: nearest or serpentine.")
@click.option(
    "--lag", type=MICROSECONDS, metavar="TAU", help="Time constant of the scan coils [µs]: adds true positions."
)
@click.option("--pixel-size", type=_values.pixel_size, metavar="LENGTH", help="Such as 0.02nm.")
@click.option("--probe-current", type=float, metavar="PA", help="For the dose [pA].")
@click.option(
    "--export",
    "instruments",
    multiple=True,
    metavar="NAME",
    help="Write for an instrument too: obi, freescan, fei, npy.",
)
@click.option("--sample", "image", type=click.Path(path_type=Path), help="Record this image along the path.")
@click.option("--probe-sigma", type=click.FloatRange(min=0), default=0.0, help="Width of the probe that records [px].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def scan(
    pattern: str,
    output: Path | None,
    overwrite: bool,
    probe_current: float | None,
    instruments: tuple[str, ...],
    image: Path | None,
    probe_sigma: float,
    as_json: bool,
    **drawn: Any,
) -> None:
    """Draw a scan path, or take the sparse scan of an image.

    Written are the samples in order (.csv), what the instrument must know (.json) and the visited pixels (_mask.tif).
    With --sample, the CSV has the recorded intensities too, and the scan is also left as .npz; `semrt infer` reads
    both.

    Which pattern and coverage would serve an image best says `semrt scan plan`.
    """
    from semrt.io import scan_csv
    from semrt.scan import INSTRUMENTS

    micrograph = None if image is None else whole_micrograph(image)
    if probe_sigma and micrograph is None:
        raise InvalidOption("--probe-sigma: is of the probe that records an image; give one with --sample")
    instruments = tuple(SHORT.get(name, name) for name in instruments)
    for name in instruments:
        if name not in INSTRUMENTS:
            raise InvalidOption.unknown("--export", name, {*INSTRUMENTS, *SHORT})
    path = _drawn(pattern, micrograph, **drawn)
    told = scan_csv.sidecar(path, probe_current=probe_current)
    files = _files(output or Path(f"{pattern}.csv"), ["mask", *instruments], sampled=micrograph is not None)
    if not overwrite:
        for file in files.values():
            if file.exists():
                raise OutputExists(file)
    _write(path, files, micrograph, probe_sigma, probe_current, overwrite=overwrite)
    if warning := path.displacement_warning():
        click.echo(f"semrt: note: {warning}", err=True)
    _print(path, files, told, as_json=as_json)


def whole_micrograph(image: Path) -> Micrograph:
    """Read an image of which every pixel was measured.  Raises InvalidValue, and what reading does."""
    from semrt import io
    from semrt.data import Micrograph

    held = io.read(image)
    if not isinstance(held, Micrograph):
        raise InvalidValue(f"{image}", "an image in which every pixel was visited", "another kind of data")
    return held


def _drawn(
    pattern: str,
    micrograph: Micrograph | None,
    *,
    shape: tuple[int, int] | None,
    coverage: float | None,
    seed: int,
    pairs: Sequence[str],
    dwell_time: float,
    settle_time: float,
    flyback_time: float,
    order: str | None,
    lag: float | None,
    pixel_size: PixelSize | None,
) -> ScanPath:
    from semrt.scan import generate

    if micrograph is not None:
        shape = shape or micrograph.shape
        pixel_size = pixel_size or micrograph.pixel_size
    parameters = _values.settings_of(pairs)
    if reserved := {"pattern", "shape", "coverage", "seed", "dwell_time"} & set(parameters):
        raise InvalidOption(f"--set {min(reserved)}: is no parameter of a pattern; see semrt scan --help")
    path = generate(pattern, shape or (512, 512), coverage, seed=seed, dwell_time=dwell_time, **parameters)
    path = replace(path, settle_time=settle_time, flyback_time=flyback_time, pixel_size=pixel_size)
    if order is not None:
        path = path.reordered(order)
    return path if lag is None else path.with_coil_lag(time_constant=lag)


def _files(output: Path, instruments: Sequence[str], *, sampled: bool) -> dict[str, Path]:
    """Name what will be written: role -> path."""
    from semrt.io.scan_csv import sidecar_path
    from semrt.scan import INSTRUMENTS

    if output.suffix.lower() != ".csv":
        raise InvalidOption(f"-o {output}: a scan path is written as .csv; name it {output.with_suffix('.csv').name}")
    files = {"path": output, "sidecar": sidecar_path(output)}
    if sampled:
        files["scan"] = output.with_suffix(".npz")
    for name in instruments:
        files[name] = output.with_name(f"{output.stem}_{name}{INSTRUMENTS[name].suffix}")
    return files


def _write(
    path: ScanPath,
    files: dict[str, Path],
    micrograph: Micrograph | None,
    probe_sigma: float,
    probe_current: float | None,
    *,
    overwrite: bool,
) -> None:
    from semrt import io
    from semrt.io import scan_csv
    from semrt.kernels.rasterise import record
    from semrt.scan import INSTRUMENTS

    # All that may fail comes before the first file.
    encoded = {name: INSTRUMENTS[name].encode(path) for name in files if name in INSTRUMENTS}
    recorded = None
    if micrograph is not None:
        measured = path.sample(micrograph, probe_sigma=probe_sigma)
        recorded = record(micrograph.intensity, path.positions, probe_sigma=probe_sigma)
        io.write(files["scan"], measured, overwrite=overwrite)
    for name, content in encoded.items():
        with io.replacing(files[name], overwrite=overwrite) as temporary:
            temporary.write_bytes(content)
    scan_csv.save(files["path"], path, intensities=recorded, probe_current=probe_current, overwrite=overwrite)


def _print(path: ScanPath, files: dict[str, Path], told: dict[str, Any], *, as_json: bool) -> None:
    from semrt.io.description import plain

    if as_json:
        report = {"files": {role: str(file) for role, file in files.items()}, **told}
        click.echo(json.dumps(plain(report)))
        return
    found = told["statistics"]
    summary = (
        f"{path.pattern}, {' x '.join(map(str, path.shape))} px: {found['samples']:.0f} samples, "
        f"coverage {_values.coverage_text(found['coverage'])}, {found['total_time_us'] / 1000:.4g} ms"
    )
    click.echo(summary, err=True)
    for file in files.values():
        click.echo(file)
