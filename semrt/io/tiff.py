"""TIFF: plain, ImageJ, OME and instrument makers' dialects in; ImageJ's dialect (or OME's, for *.ome.tif) out.

Written files state pixel size and slice thickness where ImageJ and Bio-Formats look, and in Gatan's tags, where
rosettasciio and HyperSpy do; metadata and provenance travel as JSON in ImageJ's Info (Image > Show Info) or OME's
Description.
"""

from __future__ import annotations

import logging
import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import LabelVolume, SparseVolume, Volume
from semrt.errors import UnreadableFile, UnsupportedFormat
from semrt.io.description import acquisition, describe, plain, understand
from semrt.io.opencv import decoded, decoded_pages
from semrt.io.pixels import check_pixels, grey, image_or_stack, with_gaps
from semrt.io.tiff_calibration import DIGITAL_MICROGRAPH, axes, ome_image, pixel_size, slice_thickness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from tifffile import TiffFile, TiffPage, TiffPageSeries

    from semrt.data import Micrograph
    from semrt.io.formats import Image

__all__ = ["SUFFIXES", "read", "write"]

SUFFIXES = (".tif", ".tiff")

_MAGIC = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
_LARGEST_IMAGEJ = 2**32 - 2**25  # [bytes]; ImageJ's dialect counts them in 32 bit
_FATAL = {  # of tifffile's complaints
    "invalid value offset": "a tag of it lies beyond its end",
    "metadata invalid or corrupted file": "it ends before its images do",
    "<tifffile.TiffPages": "it ends before its pages do",
}
_MAKERS = ("fei_metadata", "sem_metadata", "tvips_metadata", "sis_metadata")


def read(path: Path) -> Micrograph | Volume:
    """Read the largest image or stack of the file, of equals the one with more bits, of equals the first.

    Pages of one kind are a stack, also those that tifffile was told to write one by one.
    Raises UnreadableFile, UnsupportedFormat (colour, an unknown compression), InvalidShape, InvalidValue.
    """
    import tifffile

    with path.open("rb") as file:
        if file.read(4) not in _MAGIC:
            raise UnsupportedFormat(path, "is not a TIFF file; is its suffix right?")
    with _quiet() as lines, tifffile.TiffFile(path) as tiff:
        parts = _largest(tiff)
        if not parts:
            raise UnreadableFile(path, "it holds no image")
        _check_whole(path, tiff, lines)
        pixels = _pixels(path, tiff, parts)
        page = parts[0].keyframe
        facts = _facts(tiff, parts[0], stack=pixels.size > math.prod(pixels.shape[-2:]))
        lengths = pixel_size(tiff, page), slice_thickness(tiff, page)
        return image_or_stack(path, pixels, *lengths, **acquisition(facts, _description(tiff)))


def write(path: Path, data: Image | LabelVolume) -> None:
    """Write float32, with NaN where the probe did not go; labels as uint8. Raises UnsupportedFormat."""
    import tifffile

    image, text = with_gaps(path, data), describe(data)
    common: dict[str, Any] = {"photometric": "minisblack", "software": "semrt"}
    told: dict[str, Any] = {"axes": "ZYX"[-image.ndim :]}
    lengths: dict[str, float] = {}
    ome = path.name.lower().endswith((".ome.tif", ".ome.tiff")) or image.nbytes > _LARGEST_IMAGEJ
    ome |= image.ndim > 2 and image.shape[-1] == 1  # tifffile takes the slices of an ImageJ stack so narrow for rows
    if data.pixel_size is not None:
        lengths["y"], lengths["x"] = data.pixel_size
        if not ome:
            told["unit"] = "nm"
            common["resolution"] = (1 / lengths["x"], 1 / lengths["y"])
    if isinstance(data, Volume | SparseVolume | LabelVolume) and data.slice_thickness is not None:
        lengths["z"] = data.slice_thickness
        if not ome:
            told |= {"spacing": lengths["z"], "zunit": "nm"}  # not unit, from which x and y would be guessed
    if ome:
        for axis, length in lengths.items():
            told |= {f"PhysicalSize{axis.upper()}": length, f"PhysicalSize{axis.upper()}Unit": "nm"}
    common["extratags"] = [
        tag
        for axis, (unit, _, scale) in DIGITAL_MICROGRAPH.items()
        if axis in lengths
        for tag in ((unit, "s", 0, "nm", True), (scale, "d", 1, lengths[axis], True))
    ]
    told["Description" if ome else "Info"] = text
    tifffile.imwrite(path, image, ome=ome, imagej=not ome, metadata=told, **common)


def _worth(page: TiffPage) -> tuple[int, int]:
    return page.imagelength * page.imagewidth, page.bitspersample


def _check_whole(path: Path, tiff: TiffFile, complaints: list[str]) -> None:
    """Refuse a file that breaks off within its directories: its calibration, or slices, would be lost in silence."""
    end = tiff.pages.next_page_offset or 0  # walks through all directories, and complains of those beyond the end
    if end + tiff.tiff.offsetsize > tiff.filehandle.size:
        raise UnreadableFile(path, "it ends within a directory")
    for complaint, why in _FATAL.items():
        if any(complaint in line for line in complaints):
            raise UnreadableFile(path, why)


def _largest(tiff: TiffFile) -> list[TiffPageSeries]:
    """The largest image or stack; several where pages of the same kind were written one by one."""
    # Thumbnails are smaller; a JEOL file's 8-bit twin of its 16-bit image has a scale bar burnt in.
    largest = max(tiff.series, key=lambda series: _worth(series.keyframe), default=None)
    if largest is None:
        return []
    if largest.kind != "shaped" or largest.axes != "YX":
        return [largest]
    return [series for series in tiff.series if (series.shape, series.dtype) == (largest.shape, largest.dtype)]


def _pixels(path: Path, tiff: TiffFile, parts: list[TiffPageSeries]) -> NDArray[Any]:
    """The pixels of an image or a stack, perhaps with further axes of length one, in the file's dtype."""
    first = parts[0]
    # An array of three slices tifffile writes as red, green and blue unless told otherwise; no colours are of floats.
    slices = first.kind == "shaped" and first.axes == "SYX" and first.dtype.kind == "f"
    samples = -1 if slices else first.axes.find("S")
    shape = tuple(length for axis, length in enumerate(first.shape) if axis != samples)
    check_pixels(path, shape if len(parts) == 1 else (len(parts), *shape), first.dtype)
    pages = [page for series in parts for page in series.pages if page is not None]
    whole = len(pages) == sum(len(series.pages) for series in parts)
    ends = [series.dataoffset + series.nbytes for series in parts if series.dataoffset is not None]
    ends += [sum(bytes_) for page in pages for bytes_ in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not whole or max(ends, default=0) > tiff.filehandle.size:
        raise UnreadableFile(path, "it ends before its image does")
    if not _decodes(first.keyframe):
        return _decoded_by_opencv(path, first.keyframe, [page.index for page in pages])
    try:
        images = [series.asarray() for series in parts]
    except ImportError as why:
        raise _cannot_decode(path, first.keyframe) from why
    image = images[0] if len(images) == 1 else np.stack(images)
    return image if samples < 0 else grey(path, np.moveaxis(image, samples, -1))


def _decodes(page: TiffPage) -> bool:
    """Whether tifffile knows the compression without imagecodecs, which semrt does not require."""
    from tifffile import TIFF

    return page.compression in TIFF.DECOMPRESSORS and (page.predictor == 1 or page.predictor in TIFF.UNPREDICTORS)


def _decoded_by_opencv(path: Path, page: TiffPage, wanted: list[int]) -> NDArray[Any]:
    """The image or stack of a file compressed by LZW (what OpenCV itself writes) or the like.

    page: the first, which tells what the others are like.  wanted: numbers of the pages.
    """
    from tifffile import PHOTOMETRIC

    content = np.fromfile(path, np.uint8)
    found = dict(enumerate([decoded(content)] if wanted == [0] else decoded_pages(content)))
    pages = [image for number in wanted if (image := found.get(number)) is not None]
    # OpenCV turns white-is-zero round, and knows not every kind of pixel.
    plain_colours = page.photometric in {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB}
    kinds = {(image.dtype, image.shape[:2]) for image in pages}
    if len(pages) < len(wanted) or not plain_colours or kinds != {(page.dtype, (page.imagelength, page.imagewidth))}:
        raise _cannot_decode(path, page)
    image = pages[0] if len(pages) == 1 else np.stack(pages)
    return grey(path, image) if pages[0].ndim == 3 else image


def _cannot_decode(path: Path, page: TiffPage) -> UnsupportedFormat:
    name = getattr(page.compression, "name", page.compression)
    return UnsupportedFormat(path, f"its compression ({name}, {page.dtype}) is not supported; save it uncompressed")


def _description(tiff: TiffFile) -> dict[str, Any] | None:
    """What semrt wrote into the file, if it did."""
    image = ome_image(tiff)
    texts = (tiff.imagej_metadata or {}).get("Info"), None if image is None else image.findtext("{*}Description")
    return next(filter(None, map(understand, texts)), None)


def _facts(tiff: TiffFile, series: TiffPageSeries, *, stack: bool) -> dict[str, Any]:
    """What the file itself says of the image or stack."""
    from tifffile import PHOTOMETRIC, TIFF

    page = series.keyframe
    told = {
        name: page.tags.valueof(tag) for name, tag in (("software", 305), ("date", 306), ("make", 271), ("model", 272))
    }
    imagej = tiff.imagej_metadata or {}
    told["description"] = imagej.get("Info") if imagej else page.description
    if tiff.is_ome or told["description"] == page.shaped_description:
        del told["description"]
    told["axes"] = axes(tiff, page, "xyz" if stack else "xy")
    if stack and series.axes[0] not in "ZIQYX":
        told["stacked_along"] = TIFF.AXES_NAMES.get(series.axes[0], series.axes[0])  # frames in time, say
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        told["photometric"] = "white is zero"  # as the counts are, which stay as they are
    told |= {name: getattr(tiff, name) for name in _MAKERS}
    return {"format": "TIFF", "dtype": str(page.dtype), **{name: plain(fact) for name, fact in told.items() if fact}}


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """Take this thread's lines out of tifffile's log and into a list; what matters in them becomes an error."""
    thread = threading.get_ident()
    lines: list[str] = []

    def from_elsewhere(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        lines.append(record.getMessage())
        return False

    with _listening:
        logger = logging.getLogger("tifffile")
        logger.addFilter(from_elsewhere)
        try:
            yield lines
        finally:
            logger.removeFilter(from_elsewhere)


class _Listening:
    """While any thread reads, tifffile's log tells what is wrong with a file, even where an application silenced it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._before = (False, logging.NOTSET)

    def __enter__(self) -> None:
        logger = logging.getLogger("tifffile")
        with self._lock:
            if self._readers == 0:
                self._before = logger.disabled, logger.level
                logger.disabled = False
                logger.setLevel(logging.WARNING)
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("tifffile")
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                logger.disabled = self._before[0]
                logger.setLevel(self._before[1])


_listening = _Listening()
