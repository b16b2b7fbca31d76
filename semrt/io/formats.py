"""Which module reads and writes which suffix, and what every such module offers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from semrt.errors import UnsupportedFormat

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from semrt.data import (
        AtomColumns,
        EnergyStack,
        LabelVolume,
        LayerMap,
        Micrograph,
        SparseScan,
        SparseVolume,
        TiltSeries,
        Tomogram,
        Volume,
    )
    from semrt.scan import ScanPath

    Image: TypeAlias = Micrograph | SparseScan | Volume | SparseVolume
    Measured: TypeAlias = Image | ScanPath | EnergyStack | LayerMap | TiltSeries | Tomogram
    Written: TypeAlias = Measured | LabelVolume | AtomColumns

__all__ = [
    "COLUMN_TABLES",
    "FORMATS",
    "LOSSLESS",
    "PLANE_BY_PLANE",
    "RESIDUAL_TABLES",
    "SCAN_PATHS",
    "SINGLE_IMAGES",
    "Format",
    "format_of",
    "suffix_of",
    "table_of",
]

# Module paths, not modules: a format's libraries are loaded when a file of it is met.
FORMATS: dict[str, str] = {
    ".tif": "semrt.io.tiff",
    ".tiff": "semrt.io.tiff",
    ".mrc": "semrt.io.mrc",
    ".rec": "semrt.io.mrc",
    ".ali": "semrt.io.mrc",
    ".st": "semrt.io.mrc",
    ".npy": "semrt.io.npy",
    ".npz": "semrt.io.npz",
    ".png": "semrt.io.png",
    ".csv": "semrt.io.scan_csv",
}

# Those of scan paths; all others hold images.
SCAN_PATHS = frozenset({".csv"})

# Those that atomic columns are written to; nothing is read from them.
COLUMN_TABLES: dict[str, str] = {
    ".csv": "semrt.io.columns_csv",
    ".zip": "semrt.io.imagej_rois",
}

# Those that the residual of a map of layers is written to, likewise.
RESIDUAL_TABLES: dict[str, str] = {".csv": "semrt.io.residual_csv"}

# Those of single images; all others hold stacks too.
SINGLE_IMAGES = frozenset({".png"})

# Formats whose stacks need not be in memory as a whole, neither to be read nor to be written.
PLANE_BY_PLANE = frozenset({".mrc", ".rec", ".ali", ".st"})

# Formats that keep float32 images and stacks and all that is known of it: what was measured stays measured.
LOSSLESS = frozenset({".tif", ".tiff", ".mrc", ".rec", ".ali", ".st", ".npz"})


class Format(Protocol):
    """What a format's module offers; `SUFFIXES` are its keys in `FORMATS`."""

    SUFFIXES: tuple[str, ...]

    def read(self, path: Path) -> Measured:
        """What the file holds, as the file says it; NaN stands where nothing was measured."""

    def write(self, path: Path, data: Any) -> None:
        """Write `data` to a new file. Raises UnsupportedFormat for what the format cannot hold."""


class Table(Protocol):
    """What a module that writes a table of a result offers."""

    def write(self, path: Path, data: Any) -> None:
        """Write `data` to a new file."""


def suffix_of(path: Path) -> str:
    """The suffix as it stands in FORMATS: lower case, with its dot."""
    return path.suffix.lower()


def format_of(path: Path) -> Format:
    """The module for a path's suffix. Raises UnsupportedFormat, which lists those known."""
    module = FORMATS.get(suffix_of(path))
    if module is None:
        named = f"unknown format {path.suffix!r}" if path.suffix else "no suffix tells the format"
        raise UnsupportedFormat(path, f"{named}; known: {', '.join(sorted(FORMATS))}")
    return cast("Format", import_module(module))


def table_of(path: Path, tables: Mapping[str, str] = COLUMN_TABLES, what: str = "AtomColumns") -> Table:
    """The module of `tables` that writes to a path's suffix. Raises UnsupportedFormat, which lists those known."""
    module = tables.get(suffix_of(path))
    if module is None:
        raise UnsupportedFormat(path, f"holds no {what}; known: {', '.join(sorted(tables))}")
    return cast("Table", import_module(module))
