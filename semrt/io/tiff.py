"""TIFF: plain, ImageJ, OME and instrument makers' dialects in; ImageJ's dialect (or OME's, for *.ome.tif) out.

Written files state the pixel size where ImageJ and Bio-Formats look, and in Gatan's tags, where rosettasciio and
HyperSpy do; metadata and provenance travel as JSON in ImageJ's Info (Image > Show Info) or OME's Description.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import Micrograph
from semrt.errors import UnreadableFile, UnsupportedFormat
from semrt.io.description import acquisition, describe, plain, understand
from semrt.io.opencv import decoded
from semrt.io.pixels import check_plane, grey, plane, with_gaps
from semrt.io.tiff_calibration import DIGITAL_MICROGRAPH, axes, ome_image, pixel_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from tifffile import TiffFile, TiffPage, TiffPageSeries

    from semrt.data import SparseScan

__all__ = ["SUFFIXES", "read", "write"]

SUFFIXES = (".tif", ".tiff")

_MAGIC = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
_LARGEST_IMAGEJ = 2**32 - 2**25  # [bytes]; ImageJ's dialect counts them in 32 bit
_MAKERS = ("fei_metadata", "sem_metadata", "tvips_metadata", "sis_metadata")


def read(path: Path) -> Micrograph:
    """Read the largest image of the file, of equals the one with more bits, of equals the first.

    Raises UnreadableFile, UnsupportedFormat (colour, an unknown compression), InvalidShape (a stack), InvalidValue.
    """
    import tifffile

    with path.open("rb") as file:
        if file.read(4) not in _MAGIC:
            raise UnsupportedFormat(path, "is not a TIFF file; is its suffix right?")
    with _quiet() as lines, tifffile.TiffFile(path) as tiff:
        # Thumbnails are smaller; a JEOL file's 8-bit twin of its 16-bit image has a scale bar burnt in.
        series = max(tiff.series, key=lambda series: _worth(series.keyframe), default=None)
        if series is None:
            raise UnreadableFile(path, "it holds no image")
        if any("invalid value offset" in line for line in lines):  # else lost with the calibration in it
            raise UnreadableFile(path, "a tag of it lies beyond its end")
        image = _image(path, tiff, series)
        page = series.keyframe
        known = _description(tiff)
        return Micrograph(plane(path, image), pixel_size(tiff, page), **acquisition(_facts(tiff, page), known))


def write(path: Path, data: Micrograph | SparseScan) -> None:
    """Write float32, with NaN where the probe did not go. Raises UnsupportedFormat."""
    import tifffile

    image, text = with_gaps(path, data), describe(data)
    common: dict[str, Any] = {"photometric": "minisblack", "software": "semrt"}
    told: dict[str, Any] = {"axes": "YX"}
    ome = path.name.lower().endswith((".ome.tif", ".ome.tiff")) or image.nbytes > _LARGEST_IMAGEJ
    if data.pixel_size is not None:
        dy, dx = data.pixel_size
        if ome:
            told |= {"PhysicalSizeY": dy, "PhysicalSizeX": dx, "PhysicalSizeYUnit": "nm", "PhysicalSizeXUnit": "nm"}
        else:
            told["unit"] = "nm"
            common["resolution"] = (1 / dx, 1 / dy)
        common["extratags"] = [
            tag
            for (unit, _, scale), size in zip(DIGITAL_MICROGRAPH.values(), (dx, dy), strict=True)
            for tag in ((unit, "s", 0, "nm", True), (scale, "d", 1, size, True))
        ]
    told["Description" if ome else "Info"] = text
    tifffile.imwrite(path, image, ome=ome, imagej=not ome, metadata=told, **common)


def _worth(page: TiffPage) -> tuple[int, int]:
    return page.imagelength * page.imagewidth, page.bitspersample


def _image(path: Path, tiff: TiffFile, series: TiffPageSeries) -> NDArray[Any]:
    """The pixels of one image, (ny, nx) or with leading axes of length one, in the file's dtype."""
    samples = series.axes.find("S")
    check_plane(path, tuple(length for axis, length in enumerate(series.shape) if axis != samples), series.dtype)
    for page in series.pages:
        if page is None or any(
            start + length > tiff.filehandle.size
            for start, length in zip(page.dataoffsets, page.databytecounts, strict=True)
        ):
            raise UnreadableFile(path, "it ends before its image does")
    if not _decodes(series.keyframe):
        image = _decoded_by_opencv(path, series.keyframe)
        return grey(path, image) if image.ndim == 3 else image
    try:
        image = series.asarray()
    except ImportError as why:
        raise _cannot_decode(path, series.keyframe) from why
    return image if samples < 0 else grey(path, np.moveaxis(image, samples, -1))


def _decodes(page: TiffPage) -> bool:
    """Whether tifffile knows the compression without imagecodecs, which semrt does not require."""
    from tifffile import TIFF

    return page.compression in TIFF.DECOMPRESSORS and (page.predictor == 1 or page.predictor in TIFF.UNPREDICTORS)


def _decoded_by_opencv(path: Path, page: TiffPage) -> NDArray[Any]:
    """The first image of a file compressed by LZW (what OpenCV itself writes) or the like."""
    from tifffile import PHOTOMETRIC

    image = decoded(np.fromfile(path, np.uint8))
    # OpenCV takes the first page, turns white-is-zero round, and knows not every kind of pixel.
    alike = image is not None and image.dtype == page.dtype and image.shape[:2] == (page.imagelength, page.imagewidth)
    plain_colours = page.photometric in {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB}
    if image is None or not alike or not plain_colours or page.index != 0:
        raise _cannot_decode(path, page)
    return image


def _cannot_decode(path: Path, page: TiffPage) -> UnsupportedFormat:
    name = getattr(page.compression, "name", page.compression)
    return UnsupportedFormat(path, f"its compression ({name}, {page.dtype}) is not supported; save it uncompressed")


def _description(tiff: TiffFile) -> dict[str, Any] | None:
    """What semrt wrote into the file, if it did."""
    image = ome_image(tiff)
    texts = (tiff.imagej_metadata or {}).get("Info"), None if image is None else image.findtext("{*}Description")
    return next(filter(None, map(understand, texts)), None)


def _facts(tiff: TiffFile, page: TiffPage) -> dict[str, Any]:
    """What the file itself says of the image."""
    from tifffile import PHOTOMETRIC

    told = {
        name: page.tags.valueof(tag) for name, tag in (("software", 305), ("date", 306), ("make", 271), ("model", 272))
    }
    imagej = tiff.imagej_metadata or {}
    told["description"] = imagej.get("Info") if imagej else page.description
    if tiff.is_ome or told["description"] == page.shaped_description:
        del told["description"]
    told["axes"] = axes(tiff, page)
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
