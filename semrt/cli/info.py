"""semrt info: what a file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli._values import coverage_text, length_text, pixel_size

if TYPE_CHECKING:
    from semrt.data import EnergyStack, SparseScan, SparseVolume, TiltSeries
    from semrt.io.formats import Image, Measured

__all__ = ["info"]

UNITS = {
    "_px_per_us2": "px/µs²",
    "_px_per_us": "px/µs",
    "_px": "px",
    "_us": "µs",
    "_nm": "",  # a length brings its own
    "_nm3": "nm³",
    "_keV": "keV",
}


@click.command(short_help="Show what a file holds: shape, pixel size, coverage.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--mask", type=click.Path(path_type=Path), help="Image, stack or scan path that says where the probe went."
)
@click.option("--unvisited", type=float, metavar="VALUE", help="Intensity where the probe did not go, such as 0.")
@click.option("--pixel-size", type=pixel_size, metavar="LENGTH", help="Such as 0.02nm; replaces what the file says.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(file: Path, as_json: bool, **reading: Any) -> None:
    """Show what a file holds: shape, pixel size, intensities, and of a sparse scan or stack its coverage and gaps.

    Options say what the file leaves open, as in `semrt infer`.
    """
    from semrt import io
    from semrt.io.description import plain

    held = io.read(file, **reading)
    described = {"file": str(file), **_described(held)}
    if as_json:
        click.echo(json.dumps(plain(described)))
        return
    for name, value in described.items():
        _print(name, value)


def _print(name: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, entry in value.items():
            _print(f"{name}.{key}", entry)
        return
    ending, unit = next(((ending, unit) for ending, unit in UNITS.items() if name.endswith(ending)), ("", ""))
    words = name.removesuffix(ending).replace("_", " ")
    click.echo(f"{words:<28} {_text(name, value)} {unit}".rstrip())


def _described(held: Measured) -> dict[str, Any]:
    from semrt.data import EnergyStack, LayerMap, Micrograph, SparseScan, SparseVolume, TiltSeries, Tomogram, Volume
    from semrt.report.layers_summary import summary_of
    from semrt.scan import ScanPath

    if isinstance(held, ScanPath):
        return {"kind": "scan path", "shape": held.shape, "coverage": held.coverage, **held.statistics()}
    if isinstance(held, EnergyStack):
        return {"kind": "images at beam energies", "energies_keV": held.energies.tolist(), **_of_image(held)}
    if isinstance(held, TiltSeries):
        told = {"tilts": len(held.angles), "tilt_range_degrees": held.tilt_range, "axis_offset_px": held.axis_offset}
        return {"kind": "tilt series", **_of_image(held), **told}
    if isinstance(held, Tomogram):
        stack = held.as_volume()
        return {"kind": "tomogram", **_of_image(stack), "tilt_range_degrees": held.tilt_range, "notes": held.notes}
    if isinstance(held, LayerMap):
        return {"kind": "layers", "shape": held.shape, "pixel_size_nm": held.pixel_size, **summary_of(held)}
    kinds = {Micrograph: "micrograph", SparseScan: "sparse scan", Volume: "volume", SparseVolume: "sparse volume"}
    return {"kind": kinds[type(held)], **_of_image(held)}


def _of_image(held: Image | EnergyStack | TiltSeries) -> dict[str, Any]:
    from semrt.data import SparseScan, SparseVolume, Volume

    described: dict[str, Any] = {"shape": held.shape, "pixel_size_nm": held.pixel_size}
    if isinstance(held, Volume | SparseVolume):
        described["slice_thickness_nm"] = held.slice_thickness
    seen = held.intensity
    if isinstance(held, SparseScan | SparseVolume):
        seen = held.intensity[held.visited]
        described |= _gaps(held)
    described["intensity"] = {
        "min": float(seen.min()),
        "max": float(seen.max()),
        "mean": float(seen.mean(dtype=float)),
        "std": float(seen.std(dtype=float)),
    }
    described["metadata"] = dict(held.metadata)
    if not isinstance(held, SparseScan | SparseVolume) and held.provenance:
        described["provenance"] = dict(held.provenance)
    return described


def _gaps(held: SparseScan | SparseVolume) -> dict[str, Any]:
    """How much was visited, and how far what was not is from it; of a stack, gaps within the slices."""
    from semrt.data import SparseScan
    from semrt.kernels import mask_statistics

    if isinstance(held, SparseScan):
        statistics = mask_statistics(held.visited)
        return {
            "coverage": statistics.coverage,
            "largest_gap_px": statistics.largest_gap,
            "mean_gap_px": statistics.mean_gap,
            "exposure": held.exposure is not None,
        }
    same = held.visited.strides[0] == 0  # one mask for every slice
    of_slices = [mask_statistics(visited) for visited in (held.visited[:1] if same else held.visited)]
    coverages = held.coverage_of_slices
    return {
        "coverage": held.coverage,
        "coverage_of_slices": {"min": float(coverages.min()), "max": float(coverages.max())},
        "largest_gap_px": max(statistics.largest_gap for statistics in of_slices),
        "mean_gap_px": sum(statistics.mean_gap for statistics in of_slices) / len(of_slices),
    }


def _text(name: str, value: Any) -> str:
    if name == "shape":
        return " x ".join(map(str, value))
    if name == "pixel_size_nm":
        return "unknown" if value is None else " x ".join(length_text(length) for length in dict.fromkeys(value))
    if name.endswith("_nm"):
        return "unknown" if value is None else length_text(value)
    if name.startswith("coverage"):
        return coverage_text(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
