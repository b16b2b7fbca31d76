"""Files in and out: read what a microscope saved, write what was inferred, keep the calibration on the way.

To add a format: a module with SUFFIXES, read(path) and write(path, data), and its line in FORMATS.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

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
from semrt.errors import (
    EmptyScan,
    InputNotFound,
    InvalidOption,
    InvalidShape,
    InvalidValue,
    OutOfMemory,
    SemrtError,
    UnreadableFile,
    UnsupportedFormat,
)
from semrt.io.atomic import check_writable, replacing, write_json
from semrt.io.calibration import parse_pixel_size
from semrt.io.formats import (
    FORMATS,
    PLANE_BY_PLANE,
    RESIDUAL_TABLES,
    SCAN_PATHS,
    SINGLE_IMAGES,
    Format,
    format_of,
    suffix_of,
    table_of,
)
from semrt.io.paths import expand_inputs, output_path, output_paths, stem_of
from semrt.io.pixels import went

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

    from semrt.data import PixelSize
    from semrt.io.formats import Measured, Written

Whole = TypeVar("Whole", bound=Micrograph | Volume)
Parsed = TypeVar("Parsed")

__all__ = [
    "FORMATS",
    "Format",
    "check_fits",
    "check_writable",
    "companions",
    "error_path",
    "expand_inputs",
    "mapped",
    "output_path",
    "output_paths",
    "parse_pixel_size",
    "read",
    "replacing",
    "stem_of",
    "write",
    "write_json",
]


MAPPED_FROM = 2**28
"""Bytes of a file from which on a stack need not be in memory as a whole."""


def read(
    path: str | Path,
    *,
    mask: str | Path | ArrayLike | None = None,
    exposure: str | Path | ArrayLike | None = None,
    unvisited: float | None = None,
    pixel_size: PixelSize | float | str | None = None,
) -> Measured:
    """Read a file of any format in FORMATS, intensities in its own counts.

    An image is a Micrograph, a stack of several slices a Volume. They become a SparseScan and a SparseVolume where
    something says that the probe did not go everywhere: NaN in them, mask, exposure, the value `unvisited`, or the file
    itself (NPZ). An NPZ with energies_keV is an EnergyStack, one with thickness a LayerMap; one with tilt_angles is a
    TiltSeries, one with density a Tomogram.

    mask: where the probe went, of the image's shape: non-zero (NaN counts as zero), as an array or a file of any
        format, a scan path's CSV included. For a stack also (ny, nx), which then holds for every slice.
    exposure: how long the probe was at each pixel of an image, relative to a full exposure, zero where it did not go;
        as an array or a file of an image. Where it exceeds 1, as in 8 bits, its largest value counts as full.
    unvisited: the value that stands where the probe did not go, such as 0.
    pixel_size: (dy, dx) or one number for both [nm], or text with a unit such as "0.02nm"; replaces the file's own.

    Raises InputNotFound, UnreadableFile, UnsupportedFormat, InvalidShape, InvalidValue, EmptyScan, InvalidOption.
    """
    path = Path(path)
    given = [
        name for name, value in (("mask", mask), ("exposure", exposure), ("unvisited", unvisited)) if value is not None
    ]
    if len(given) > 1:
        raise InvalidOption(f"{' and '.join(given)}: each says where the probe went; give one of them")
    if isinstance(pixel_size, str):
        pixel_size = parse_pixel_size(pixel_size)
    elif isinstance(pixel_size, int | float):
        pixel_size = (pixel_size, pixel_size)
    measured = _load(path)
    with _naming(path):
        if given:
            if not isinstance(measured, Micrograph | Volume):
                raise InvalidOption(f"{path}: says itself where the probe went; leave out {given[0]}")
            if exposure is not None:
                measured = _exposed(measured, exposure, path)
            else:
                measured = _sparse(measured, unvisited) if unvisited is not None else _masked(measured, mask, path)
        elif isinstance(measured, Micrograph | Volume) and not np.isfinite(measured.intensity).all():
            measured = _sparse(measured, float("nan"))
        if pixel_size is not None:
            if isinstance(measured, Tomogram):
                measured = replace(measured, voxel_size=(pixel_size[1], *pixel_size))
            else:
                measured = replace(measured, pixel_size=pixel_size)
    return measured


def mapped(path: str | Path) -> tuple[NDArray[Any], Callable[[NDArray[np.float32]], Volume]] | None:
    """The pixels of a stack where they lie in its file, and what makes a Volume of a part of them.

    None for other formats than MRC, for files that are small, and for single images; read those.
    Raises InputNotFound, UnreadableFile, UnsupportedFormat, InvalidShape, InvalidValue.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size < MAPPED_FROM or suffix_of(path) not in PLANE_BY_PLANE:
        return None
    from semrt.io import mrc

    return _parsed(path, mrc.mapped)


def write(path: str | Path, data: Written, *, overwrite: bool = False) -> None:
    """Write one file, atomically, with pixel size, slice thickness, metadata and provenance as far as it can hold them.

    NPY and PNG hold less, PNG no stack: see their modules. An error map is in NPZ alone; for the other formats write
    the `companions` too. Atomic columns go to .csv, or to .zip for the ROI manager of ImageJ. Images at beam energies
    and maps of layers are whole in NPZ; elsewhere they are a stack of the images, or of the two thicknesses, whose
    metadata say what they are; the .csv of a map is of its residual. So are tilt series and tomograms, whose metadata
    say at which tilts: `TiltSeries.from_volume` and `Tomogram.from_volume` make of the stack what it was.

    Raises UnsupportedFormat, InvalidValue, OutputExists, OutputNotWritable.
    """
    path = Path(path)
    if isinstance(data, AtomColumns):
        table = table_of(path)
    elif isinstance(data, LayerMap) and suffix_of(path) in RESIDUAL_TABLES:
        table = table_of(path, RESIDUAL_TABLES, "LayerMap")
    else:
        _write_image(path, data, overwrite)
        return
    with replacing(path, overwrite=overwrite) as temporary:
        table.write(temporary, data)


def _write_image(path: Path, data: Any, overwrite: bool) -> None:
    target = format_of(path)
    if isinstance(data, EnergyStack | LayerMap | TiltSeries | Tomogram) and suffix_of(path) != ".npz":
        check_fits(path, data)
        if not (isinstance(data, Tomogram) and suffix_of(path) in PLANE_BY_PLANE):
            data = _volume_of(data)
    check_fits(path, data)
    # Plane by plane, as a volume may be larger than memory.
    if isinstance(data, Micrograph | Volume) and not all(np.isfinite(plane).all() for plane in data.intensity):
        sparse = "SparseScan" if isinstance(data, Micrograph) else "SparseVolume"
        raise InvalidValue(f"{path}: intensity", "finite values", "NaN or infinite ones", f"write a {sparse} instead")
    if suffix_of(path) in SCAN_PATHS:
        from semrt.io import scan_csv

        scan_csv.save(path, data, overwrite=overwrite)  # two files: the samples, and what they are of
        return
    with replacing(path, overwrite=overwrite) as temporary:
        target.write(temporary, data)


def check_fits(path: str | Path, data: Measured | LabelVolume) -> None:
    """Refuse a stack in a format of single images; also before the work of which the result would not fit there.

    Raises UnsupportedFormat.
    """
    path = Path(path)
    stacks = Volume | SparseVolume | LabelVolume | EnergyStack | LayerMap | TiltSeries | Tomogram
    if isinstance(data, stacks) and suffix_of(path) in SINGLE_IMAGES:
        raise UnsupportedFormat(path, f"a {path.suffix} holds one image, not a stack; write .tif, .mrc or .npz")


def companions(path: str | Path, inferred: Whole) -> dict[Path, Whole]:
    """What belongs beside `path`: the error map, where there is one."""
    beside = error_path(path)
    if inferred.error is None or beside is None:
        return {}
    return {beside: replace(inferred, intensity=inferred.error, error=None)}


def error_path(path: str | Path) -> Path | None:
    """Where the error map of what is written to `path` goes, `{stem}_error{suffix}`; None of NPZ, which holds it."""
    path = Path(path)
    if suffix_of(path) == ".npz":
        return None
    stem = stem_of(path)
    return path.with_name(f"{stem}_error{path.name.removeprefix(stem)}")


def _volume_of(data: EnergyStack | LayerMap | TiltSeries | Tomogram) -> Volume:
    """The stack that other formats hold of it; what a slice is stands in the metadata."""
    told: dict[str, Any]
    if isinstance(data, Tomogram):
        return data.as_volume()
    if isinstance(data, TiltSeries):
        slices, told = data.intensity, {"tilt_angles": data.angles.tolist(), "axis_offset_px": data.axis_offset}
    elif isinstance(data, EnergyStack):
        slices, told = data.intensity, {"energies_keV": data.energies.tolist()}
    else:
        slices = data.thickness
        told = {"slices": list(data.names), "quantity": "thickness, nm", "notes": list(data.notes)}
    return Volume(slices, data.pixel_size, metadata={**data.metadata, **told}, provenance=data.provenance)


def _load(path: Path) -> Measured:
    try:
        size = None if path.is_dir() else path.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as why:
        raise InputNotFound(path) from why
    except OSError as why:
        raise UnreadableFile(path, why.strerror or why) from why
    if size is None:
        raise UnsupportedFormat(path, "is a folder, not a file")
    source = format_of(path)
    if size == 0:
        raise UnreadableFile(path, "it is empty")
    return _parsed(path, source.read)


def _parsed(path: Path, parse: Callable[[Path], Parsed]) -> Parsed:
    """What a parser makes of a file; what it raises becomes an error of semrt that names the file."""
    with _naming(path):
        try:
            return parse(path)
        except (SemrtError, ImportError):
            raise
        except MemoryError as why:
            raise OutOfMemory(f"the host while reading {path}", "close other programs or crop the image") from why
        except Exception as why:  # what a parser may raise over a damaged file has no bounds
            raise UnreadableFile(path, getattr(why, "strerror", None) or why) from why


def _sparse(whole: Micrograph | Volume, unvisited: float) -> SparseScan | SparseVolume:
    if isinstance(whole, Micrograph):
        return SparseScan.from_image(whole, unvisited)
    return SparseVolume.from_volume(whole, unvisited)


def _masked(whole: Micrograph | Volume, mask: Any, path: Path) -> SparseScan | SparseVolume:
    visited = _visited(mask, whole.shape, path)
    if isinstance(whole, Micrograph):
        return SparseScan(whole.intensity, visited, whole.pixel_size, metadata=whole.metadata)
    return SparseVolume(whole.intensity, visited, whole.pixel_size, whole.slice_thickness, whole.metadata)


def _visited(mask: Any, shape: tuple[int, ...], path: Path) -> NDArray[np.bool_]:
    if isinstance(mask, str | Path):
        name = f"mask {mask}"
        held = _load(Path(mask))
        if isinstance(held, EnergyStack | LayerMap | TiltSeries | Tomogram):
            raise InvalidValue(name, "an image, a stack or a scan path", f"a {type(held).__name__}")
        visited = went(name, held.intensity) if isinstance(held, Micrograph | Volume) else held.visited
    else:
        name = "mask"
        visited = went(name, np.asarray(mask))
    if visited.shape not in {shape, shape[-2:]}:
        either = f", or {shape[-2:]} for every slice" if len(shape) > 2 else ""
        raise InvalidShape(name, f"{shape}, as {path} has{either}", visited.shape)
    if not visited.any():
        raise EmptyScan(name)
    for z, in_slice in enumerate(visited if visited.ndim > 2 else []):
        if not in_slice.any():
            raise EmptyScan(f"{name}: slice z={z}")
    return visited


def _exposed(whole: Micrograph | Volume, exposure: Any, path: Path) -> SparseScan:
    if not isinstance(whole, Micrograph):
        raise InvalidOption(f"{path}: a stack; exposure is for single images, give mask instead")
    if isinstance(exposure, str | Path):
        name, held = f"exposure {exposure}", _load(Path(exposure))
        if not isinstance(held, Micrograph):
            raise InvalidValue(name, "an image", f"a {type(held).__name__}")
        exposure = held.intensity
    else:
        name, exposure = "exposure", np.asarray(exposure, np.float32)
    if exposure.shape != whole.shape:
        raise InvalidShape(name, f"{whole.shape}, as {path} has", exposure.shape)
    if not (np.isfinite(exposure).all() and exposure.min() >= 0):
        raise InvalidValue(name, "finite values, zero or above", "others")
    visited = exposure > 0
    if not visited.any():
        raise EmptyScan(name)
    full = max(1.0, float(exposure.max()))
    return SparseScan(
        whole.intensity,
        visited,
        whole.pixel_size,
        (exposure / np.float32(full)).astype(np.float32),
        metadata=whole.metadata,
    )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with its contents."""
    try:
        yield
    except (InvalidShape, InvalidValue) as why:
        if str(path) not in str(why):
            why.args = (f"{path}: {why}",)
        raise
