"""semrt info: what a file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli._values import coverage_text, length_text, pixel_size

if TYPE_CHECKING:
    from semrt.data import Micrograph, SparseScan
    from semrt.scan import ScanPath

__all__ = ["info"]

UNITS = {"_px_per_us2": "px/µs²", "_px_per_us": "px/µs", "_px": "px", "_us": "µs", "_nm": ""}  # a length brings its own


@click.command(short_help="Show what a file holds: shape, pixel size, coverage.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--mask", type=click.Path(path_type=Path), help="Image or scan path that says where the probe went.")
@click.option("--unvisited", type=float, metavar="VALUE", help="Intensity where the probe did not go, such as 0.")
@click.option("--pixel-size", type=pixel_size, metavar="LENGTH", help="Such as 0.02nm; replaces what the file says.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(file: Path, as_json: bool, **reading: Any) -> None:
    """Show what a file holds: shape, pixel size, intensities, and of a sparse scan its coverage and gaps.

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


def _described(held: Micrograph | SparseScan | ScanPath) -> dict[str, Any]:
    from semrt.data import Micrograph, SparseScan

    if isinstance(held, Micrograph | SparseScan):
        return _of_image(held)
    return {"kind": "scan path", "shape": held.shape, "coverage": held.coverage, **held.statistics()}


def _of_image(held: Micrograph | SparseScan) -> dict[str, Any]:
    from semrt.data import Micrograph, SparseScan
    from semrt.kernels import mask_statistics

    described: dict[str, Any] = {"shape": held.shape, "pixel_size_nm": held.pixel_size}
    seen = held.intensity
    if isinstance(held, SparseScan):
        statistics = mask_statistics(held.visited)
        seen = held.intensity[held.visited]
        described |= {
            "coverage": statistics.coverage,
            "largest_gap_px": statistics.largest_gap,
            "mean_gap_px": statistics.mean_gap,
            "exposure": held.exposure is not None,
        }
    described["intensity"] = {
        "min": float(seen.min()),
        "max": float(seen.max()),
        "mean": float(seen.mean(dtype=float)),
        "std": float(seen.std(dtype=float)),
    }
    described["metadata"] = dict(held.metadata)
    if isinstance(held, Micrograph) and held.provenance:
        described["provenance"] = dict(held.provenance)
    return {"kind": "sparse scan" if isinstance(held, SparseScan) else "micrograph", **described}


def _text(name: str, value: Any) -> str:
    if name == "shape":
        return " x ".join(map(str, value))
    if name == "pixel_size_nm":
        return "unknown" if value is None else " x ".join(length_text(length) for length in dict.fromkeys(value))
    if name == "coverage":
        return coverage_text(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
