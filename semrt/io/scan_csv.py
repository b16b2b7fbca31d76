"""Scan paths as CSV, one line a sample in the order of the scan, with a JSON file of the same name beside it.

Columns: index, x_px, y_px [px, (0, 0) the centre of the top-left pixel], dwell_us, blank (0 or 1); where the probe
lags, x_nominal_px and y_nominal_px, what was asked for; where it measured, intensity. Only x_px and y_px must be there.
The JSON file says the shape of the field, without which a path cannot be read, and what the instrument must know.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import SparseScan
from semrt.errors import InvalidShape, UnreadableFile, UnsupportedFormat
from semrt.io.atomic import replacing, write_json
from semrt.scan.scan_path import ScanPath

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from semrt.data import PixelSize
    from semrt.io.formats import Measured

__all__ = ["SUFFIXES", "read", "save", "sidecar", "sidecar_path", "write"]

SUFFIXES = (".csv",)

_COLUMNS = ("index", "x_px", "y_px", "dwell_us", "blank", "x_nominal_px", "y_nominal_px", "intensity")
_LAYOUT = 1  # of the JSON file; raised when its keys change meaning
_LINES = 2**14  # written at a time
_NUMBER = (int, float)
_KINDS: dict[str, type | tuple[type, ...]] = {
    "pattern": str,
    "seed": int,
    "parameters": dict,
    "flyback_time_us": _NUMBER,
    "settle_time_us": _NUMBER,
    "rotation_deg": _NUMBER,
}
_NAMES = {str: "text", int: "a whole number", dict: "a mapping", _NUMBER: "a number"}


def read(path: Path) -> ScanPath | SparseScan:
    """Read a scan path, or, where the samples have intensities, the scan that they make: see SparseScan.from_positions.

    Raises UnreadableFile, UnsupportedFormat, InvalidShape, InvalidValue, EmptyScan.
    """
    path = Path(path)
    columns = _columns(path)
    known = _known(path)
    n = len(columns["x_px"])
    if "index" in columns and not (np.diff(columns["index"]) > 0).all():
        raise UnsupportedFormat(path, "its lines are out of order; sort them by index")
    blank = columns.get("blank", np.zeros(n))
    if not np.isin(blank, (0, 1)).all():
        raise UnsupportedFormat(path, "blank must be 0 or 1")
    nominal = None
    if "x_nominal_px" in columns:
        nominal = np.column_stack([columns["y_nominal_px"], columns["x_nominal_px"]])
    scan_path = ScanPath(
        positions=np.column_stack([columns["y_px"], columns["x_px"]]),
        shape=known["shape"],
        dwell_time=columns.get("dwell_us", np.ones(n)),
        blank=blank != 0,
        pattern=known.get("pattern", ""),
        seed=known.get("seed", 0),
        parameters=known.get("parameters", {}),
        nominal=nominal,
        flyback_time=known.get("flyback_time_us", 0.0),
        settle_time=known.get("settle_time_us", 0.0),
        pixel_size=tuple(known["pixel_size_nm"]) if "pixel_size_nm" in known else None,
        rotation=known.get("rotation_deg", 0.0),
    )
    if "intensity" not in columns:
        return scan_path
    on = ~scan_path.blank
    return SparseScan.from_positions(
        scan_path.positions[on],
        columns["intensity"][on],
        scan_path.shape,
        dwell_time=scan_path.dwell_time[on],
        pixel_size=scan_path.pixel_size,
        metadata={"format": "CSV", **{key: value for key, value in known.items() if key != "semrt"}},
    )


def write(path: Path, data: Measured, *, intensities: ArrayLike | None = None) -> None:
    """Write the CSV file alone; a path is read again only beside its `sidecar`, which `save` writes too.

    intensities: (n,), what was measured at each sample.  Raises UnsupportedFormat, InvalidShape.
    """
    scan_path = _scan_path(path, data)
    n = len(scan_path.positions)
    columns: dict[str, NDArray[Any]] = {
        "index": np.arange(n),
        "x_px": scan_path.positions[:, 1],
        "y_px": scan_path.positions[:, 0],
        "dwell_us": scan_path.dwell_time,
        "blank": scan_path.blank.astype(np.uint8),
    }
    if scan_path.nominal is not None:
        columns |= {"x_nominal_px": scan_path.nominal[:, 1], "y_nominal_px": scan_path.nominal[:, 0]}
    if intensities is not None:
        measured = np.asarray(intensities)
        if measured.shape != (n,):
            raise InvalidShape("intensities", f"({n},), one a sample", measured.shape)
        columns["intensity"] = measured
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(columns) + "\n")
        for start in range(0, n, _LINES):  # text takes ten times the memory of numbers
            texts = [_text(column[start : start + _LINES]) for column in columns.values()]
            file.writelines(line + "\n" for line in map(",".join, zip(*texts, strict=True)))


def sidecar_path(path: Path) -> Path:
    """The JSON file that belongs beside a CSV file."""
    return path.with_suffix(".json")


def sidecar(data: ScanPath, *, probe_current: float | None = None) -> dict[str, Any]:
    """What the JSON file says: how to set the instrument, where the path comes from, and its statistics.

    probe_current: for the dose [pA].  Raises InvalidOption.
    """
    field_of_view = None
    if data.pixel_size is not None:
        field_of_view = [length * size for length, size in zip(data.shape, data.pixel_size, strict=True)]
    return {
        "semrt": _LAYOUT,
        "shape": data.shape,
        "pixel_size_nm": data.pixel_size,
        "field_of_view_nm": field_of_view,
        "rotation_deg": data.rotation,
        "origin": "centre of the top-left pixel",
        "flyback_time_us": data.flyback_time,
        "settle_time_us": data.settle_time,
        "pattern": data.pattern,
        "seed": data.seed,
        "parameters": data.parameters,
        "probe_current_pA": probe_current,
        "statistics": data.statistics(probe_current=probe_current),
    }


def save(
    path: str | Path,
    data: Measured,
    *,
    intensities: ArrayLike | None = None,
    pixel_size: PixelSize | None = None,
    probe_current: float | None = None,
    overwrite: bool = False,
) -> None:
    """Write the CSV file and the JSON file beside it, each atomically.

    intensities: (n,), what was measured at each sample.  pixel_size: (dy, dx) [nm], replaces the path's own.
    probe_current: for the dose [pA].
    Raises InvalidShape, InvalidValue, InvalidOption, OutputExists, OutputNotWritable.
    """
    path = Path(path)
    scan_path = _scan_path(path, data)
    if pixel_size is not None:
        scan_path = replace(scan_path, pixel_size=pixel_size)
    with replacing(path, overwrite=overwrite) as temporary:
        write(temporary, scan_path, intensities=intensities)
        write_json(sidecar_path(path), sidecar(scan_path, probe_current=probe_current), overwrite=overwrite)


def _scan_path(path: Path, data: Measured) -> ScanPath:
    if not isinstance(data, ScanPath):
        raise UnsupportedFormat(path, f"holds scan paths, not a {type(data).__name__}; write a .tif")
    return data


def _columns(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            names = [name.strip() for name in file.readline().split(",")]
            for name in names:
                if name not in _COLUMNS:
                    raise UnsupportedFormat(path, f"column {name[:40]!r} is unknown; known: {', '.join(_COLUMNS)}")
            if len(set(names)) < len(names) or not {"x_px", "y_px"} <= set(names):
                raise UnsupportedFormat(path, "expected the columns x_px and y_px, and none twice")
            if ("x_nominal_px" in names) != ("y_nominal_px" in names):
                raise UnsupportedFormat(path, "expected both x_nominal_px and y_nominal_px, or neither")
            first = next((line for line in file if line.strip()), None)
            if first is None:
                raise UnreadableFile(path, "it holds no samples")
            values = np.loadtxt(chain([first], file), delimiter=",", ndmin=2, comments=None)
    except UnicodeDecodeError as why:
        raise UnsupportedFormat(path, "is not text; is its suffix right?") from why
    except UnsupportedFormat:
        raise
    except ValueError as why:
        raise UnreadableFile(path, why) from why
    if values.shape[1] != len(names):
        raise UnreadableFile(path, f"{len(names)} columns are named, its lines hold {values.shape[1]}")
    return {name: np.ascontiguousarray(column) for name, column in zip(names, values.T, strict=True)}


def _known(path: Path) -> dict[str, Any]:
    beside = sidecar_path(path)
    try:
        text = beside.read_text(encoding="utf-8-sig")
    except FileNotFoundError as why:
        hint = f'needs {beside.name} beside it, which says the shape of the field: {{"shape": [ny, nx]}}'
        raise UnsupportedFormat(path, hint) from why
    try:
        known = json.loads(text)
    except ValueError as why:
        raise UnreadableFile(beside, why) from why
    match known:
        case {"shape": [int(ny), int(nx)]} if ny > 0 and nx > 0:
            known["shape"] = (ny, nx)
        case _:
            raise UnsupportedFormat(beside, 'expected the shape of the field: {"shape": [ny, nx]}')
    known = {key: value for key, value in known.items() if value is not None}
    for key, wanted in _KINDS.items():
        if key in known and not isinstance(known[key], wanted):
            raise UnsupportedFormat(beside, f"{key}: expected {_NAMES[wanted]}, got {known[key]!r}")
    match known.get("pixel_size_nm"):
        case None | [int() | float(), int() | float()]:
            return known
    raise UnsupportedFormat(beside, f"pixel_size_nm: expected [dy, dx] in nm, got {known['pixel_size_nm']!r}")


def _text(values: NDArray[Any]) -> list[str]:
    """Each number in the fewest digits that give it back."""
    if values.dtype == np.float32:
        return [f"{value:.9g}" for value in values.tolist()]
    return list(map(repr, values.tolist()))
