"""semrt simulate: libraries of synthetic images with the truth beside each."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from semrt.cli._library import Made, generator, library_options, write_library
from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from semrt.simulate.columns import ColumnImage
    from semrt.simulate.layers import LayerSample
    from semrt.simulate.tomograms import TomogramSample

__all__ = ["simulate"]

NOT_NEGATIVE = click.FloatRange(min=0)
TILT = click.FloatRange(-90, 90)


@click.group(short_help="Draw synthetic images with exact truth.")
def simulate() -> None:
    """Draw synthetic images with exact truth, to train on and to judge by.

    Image number k of a library depends on the seed and k alone: a library can be resumed and enlarged.
    """


@simulate.command(short_help="ADF-STEM images of atomic columns, with every position.")
@library_options()
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
        return write_library(wanted, **given)
    if structure is not None and structure not in STRUCTURES:
        raise InvalidOption.unknown("--structure", structure, STRUCTURES)

    def drawn(k: int) -> ColumnImage:
        return draw(generator(seed, k), shape or (256, 256), structure=structure, bound=bound)

    return write_library(
        {
            f"columns_{k:05d}": partial(_column_image, partial(drawn, k), {"seed": seed, "number": k})
            for k in range(10 if number is None else number)
        },
        **given,
    )


@simulate.command(short_help="Micrographs of all kinds, clean.")
@library_options()
@click.option("--kind", metavar="NAME", help="Of this kind alone, such as nanoparticles.")
def micrographs(number: int | None, seed: int, shape: tuple[int, int] | None, kind: str | None, **given: Any) -> int:
    """Draw clean micrographs of all kinds, from 0 to 1 (.tif), to be scanned with `semrt scan --sample`."""
    from semrt.simulate.micrographs import KINDS, draw

    if kind is not None and kind not in KINDS:
        raise InvalidOption.unknown("--kind", kind, KINDS)

    def made(k: int) -> Made:
        image = draw(generator(seed, k), shape or (256, 256), kind)
        return Made(image, {"seed": seed, "number": k, "kind": kind}, kind or "any kind")

    wanted = {f"micrograph_{k:05d}": partial(made, k) for k in range(10 if number is None else number)}
    return write_library(wanted, **given)


@simulate.command(short_help="Backscatter images of thin layers at 31 energies, with their thickness.")
@library_options("128x128")
@click.option("--kind", metavar="NAME", help="Of this kind alone: perlin, strips or varied.")
@click.option("--variant", metavar="NAME", default="repo", show_default=True, help="Of the physics: repo or phys.")
@click.option("--noise", type=NOT_NEGATIVE, default=0.02, show_default=True, help="Relative to the signal.")
@click.option("--offset", type=float, default=0.0, show_default=True, help="Of the detector, a fraction of the beam.")
@click.option("--gain", type=NOT_NEGATIVE, default=0.0, show_default=True, help="Its deviation between energies.")
@click.option("--blur", type=NOT_NEGATIVE, default=0.0, show_default=True, help="Sigma of the probe, px.")
@click.option("--drift", type=NOT_NEGATIVE, default=0.0, show_default=True, help="Between energies, px.")
@click.option(
    "--format", "suffix", type=click.Choice(["tif", "npz"]), default="tif", show_default=True, help="Of both."
)
def layers(
    number: int | None,
    seed: int,
    shape: tuple[int, int] | None,
    kind: str | None,
    variant: str,
    suffix: str,
    noise: float,
    offset: float,
    gain: float,
    blur: float,
    drift: float,
    **given: Any,
) -> int:
    """Draw backscatter images of gold under aluminium on silicon, at beam energies of 5 to 35 keV.

    Written are the stack of images as fractions of the beam, the true thickness of gold and aluminium in nm as a stack
    of two (_truth), and all else that was drawn (.json).
    """
    from semrt.physics.backscatter import VARIANTS
    from semrt.simulate.layers import KINDS, Recording, draw

    if kind is not None and kind not in KINDS:
        raise InvalidOption.unknown("--kind", kind, KINDS)
    if variant not in VARIANTS:
        raise InvalidOption.unknown("--variant", variant, VARIANTS)
    recording = Recording(noise, offset, gain, blur, drift)

    def drawn(k: int) -> LayerSample:
        return draw(generator(seed, k), shape or (128, 128), kind, recording=recording, variant=variant)

    wanted = {
        f"layers_{k:05d}": partial(_layer_stack, partial(drawn, k), {"seed": seed, "number": k})
        for k in range(10 if number is None else number)
    }
    return write_library(wanted, suffix=f".{suffix}", **given)


@simulate.command(short_help="Tilt series of materials, with the true volume.")
@library_options()
@click.option("--slices", type=click.IntRange(min=1), help="Along the tilt axis.  [default: 1]")
@click.option("--kind", metavar="NAME", help="Of this kind alone, such as shells.")
@click.option("--cases", "as_cases", is_flag=True, help="The fixed test set instead: named series.")
@click.option("--first", type=TILT, default=-60, show_default=True, help="Tilt, degrees.")
@click.option("--last", type=TILT, default=60, show_default=True, help="Tilt, degrees.")
@click.option("--step", type=click.FloatRange(min=0.1), default=2, show_default=True, help="Between tilts, degrees.")
@click.option("--peak-counts", type=float, default=1000, show_default=True, help="Where a series is brightest.")
@click.option("--misalignment", type=NOT_NEGATIVE, default=0.0, show_default=True, help="Of each projection, px.")
@click.option("--drift", type=NOT_NEGATIVE, default=0.0, show_default=True, help="Slow, between projections, px.")
@click.option("--axis-offset", type=float, default=0.0, show_default=True, help="Of the tilt axis, px.")
@click.option("--tilt-error", type=NOT_NEGATIVE, default=0.0, show_default=True, help="Of the stage, degrees.")
@click.option("--gain", type=NOT_NEGATIVE, default=0.0, show_default=True, help="Deviation between projections.")
@click.option("--read-noise", type=NOT_NEGATIVE, default=0.0, show_default=True, help="Of the detector, counts.")
@click.option(
    "--format", "suffix", type=click.Choice(["mrc", "tif"]), default="mrc", show_default=True, help="Of both."
)
def tomograms(
    number: int | None,
    seed: int,
    shape: tuple[int, int] | None,
    slices: int | None,
    kind: str | None,
    as_cases: bool,
    first: float,
    last: float,
    step: float,
    suffix: str,
    peak_counts: float,
    misalignment: float,
    drift: float,
    axis_offset: float,
    tilt_error: float,
    gain: float,
    read_noise: float,
    **given: Any,
) -> int:
    """Draw tilt series of particles, shells, porous bodies, crystals, films and mixtures of them.

    Written are the series over (tilt, y, s) in density × px, its angles (.tlt), the true density over (z, y, x)
    (_truth) and all that was drawn (.json). Rows and columns of --shape are z, along the beam at 0°, and x.
    """
    import numpy as np

    from semrt.simulate.tomograms import KINDS, Recording, cases, draw

    if as_cases:
        _refuse_other_than({"as_cases", "seed", "suffix", *given})
        wanted = {
            f"tomogram_{name}": partial(_tilt_series, case.sample, {"seed": seed, "case": name})
            for name, case in cases(seed).items()
        }
        return write_library(wanted, suffix=f".{suffix}", **given)
    if kind is not None and kind not in KINDS:
        raise InvalidOption.unknown("--kind", kind, KINDS)
    if not step < math.inf:
        raise InvalidOption(f"--step: expected degrees, got {step}")
    if not last >= first:
        raise InvalidOption(f"--last: expected at least --first of {first} degrees, got {last}")
    recording = Recording(peak_counts, misalignment, drift, axis_offset, tilt_error, gain, read_noise)
    angles = first + step * np.arange(int((last - first) / step + 1e-6) + 1)
    nz, nx = shape or (256, 256)

    def drawn(k: int) -> TomogramSample:
        rng = generator(seed, k)
        return draw(rng, (nz, slices or 1, nx), kind, angles=angles, recording=recording, margin=0)

    wanted = {
        f"tomogram_{k:05d}": partial(_tilt_series, partial(drawn, k), {"seed": seed, "number": k})
        for k in range(10 if number is None else number)
    }
    return write_library(wanted, suffix=f".{suffix}", **given)


def _refuse_other_than(allowed: set[str]) -> None:
    """Refuse what was typed beside --cases but says what the cases say themselves."""
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        if name not in allowed and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise InvalidOption(f"--cases: says itself how series are drawn and recorded; leave out {option.opts[-1]}")


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
    return Made(image.counts, settings, f"{len(image.y)} columns", image.pixel_size, columns=image.table())


def _layer_stack(draw: Callable[[], LayerSample], source: Mapping[str, Any]) -> Made:
    sample = draw()
    metadata = {"energies_keV": sample.energies.tolist(), "layers": sample.settings["layers"]}
    gold, aluminium = (100 * (sample.thickness > 0).mean((1, 2))).tolist()
    summary = f"gold on {gold:.0f} %, aluminium on {aluminium:.0f} %"
    return Made(sample.intensity, {**source, **sample.settings}, summary, None, metadata, truth=sample.thickness)


def _tilt_series(draw: Callable[[], TomogramSample], source: Mapping[str, Any]) -> Made:
    sample = draw()
    angles = sample.angles.tolist()
    summary = f"{sample.settings['kind']}, {len(angles)} tilts"
    settings = {**source, **sample.settings}
    told = {"tilt_angles": angles}  # of the series alone: whoever reads the truth must not take it for one
    return Made(sample.series, settings, summary, None, told, truth=sample.truth, truth_metadata={}, angles=angles)
