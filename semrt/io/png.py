"""PNG: 8- or 16-bit grey.

Whole numbers up to 65535 are written as they are; any other image as 16 bit, with the scale and offset that undo it in
the file. That, the pixel size and the metadata travel as JSON in a tEXt chunk `semrt`; pixels of 0.47 nm and larger
also in pHYs, where other programs look.
W3C, Portable Network Graphics, https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import Micrograph
from semrt.errors import UnreadableFile, UnsupportedFormat
from semrt.io.calibration import believable
from semrt.io.description import acquisition, describe, understand
from semrt.io.opencv import decoded
from semrt.io.pixels import grey, intensities

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.data import PixelSize
    from semrt.io.formats import Image

__all__ = ["SUFFIXES", "read", "write"]

SUFFIXES = (".png",)

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What it takes to decode; the rest (colour profiles, for one) only makes the decoder complain on stderr.
_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_KEYWORD = b"semrt"
_LARGEST = 2**31 - 1  # of PNG's four-byte integers

Chunk = tuple[bytes, bytes]


def read(path: Path) -> Micrograph:
    """Read a grey image. Raises UnreadableFile, UnsupportedFormat (colour, transparency), InvalidShape."""
    chunks = list(_parsed(path, path.read_bytes()))
    needed = _assembled(chunk for chunk in chunks if chunk[0] in _NEEDED)
    image = decoded(np.frombuffer(needed, np.uint8))
    if image is None:
        raise UnreadableFile(path, "its image data cannot be decoded")
    facts: dict[str, Any] = {"format": "PNG", "dtype": str(image.dtype)}
    counts = grey(path, image) if image.ndim == 3 else image
    intensity = intensities(path, counts)

    texts = dict(_texts(chunks))
    known = understand(texts.pop(_KEYWORD.decode(), None))
    facts |= {name.lower(): text for name, text in texts.items()}
    if known is None:
        return Micrograph(intensity, believable(_physical_pixel_size(chunks)), **acquisition(facts, known))
    if "scale" in known:
        intensity *= np.float32(known["scale"])
        intensity += np.float32(known["offset"])
    return Micrograph(intensity, known.get("pixel_size"), **acquisition(facts, known))


def write(path: Path, data: Image) -> None:
    """Write a whole image. Raises UnsupportedFormat for gaps, since PNG has no word for unvisited."""
    import cv2

    if not isinstance(data, Micrograph):
        raise UnsupportedFormat(path, "a PNG cannot tell unvisited pixels from dark ones; write .npz or .tif")
    counts, undo = _counts(data.intensity)
    encoded, buffer = cv2.imencode(".png", counts)
    if not encoded:
        raise UnsupportedFormat(path, f"OpenCV cannot write an image of shape {counts.shape} as PNG")
    first, *rest = _parsed(path, buffer.tobytes())
    text = describe(data, pixel_size=data.pixel_size, **undo).encode("ascii")
    told = [(b"tEXt", _KEYWORD + b"\0" + text)]
    if data.pixel_size is not None:
        per_metre = [round(1e9 / size) for size in data.pixel_size]
        if min(per_metre) >= 1 and max(per_metre) <= _LARGEST:
            told.append((b"pHYs", struct.pack(">IIB", per_metre[1], per_metre[0], 1)))
    path.write_bytes(_assembled([first, *told, *rest]))


def _counts(intensity: NDArray[np.float32]) -> tuple[NDArray[Any], dict[str, float]]:
    """The integers to store, and the scale and offset that turn them back, if any."""
    low, high = float(intensity.min()), float(intensity.max())
    if low >= 0 and high <= 65535 and np.array_equal(intensity, np.rint(intensity)):
        return intensity.astype(np.uint8 if high <= 255 else np.uint16), {}
    scale = (high - low) / 65535 or 1.0
    counts = np.rint((intensity.astype(np.float64) - low) / scale).astype(np.uint16)
    return counts, {"scale": scale, "offset": low}


def _parsed(path: Path, content: bytes) -> Iterator[Chunk]:
    """Every chunk as (type, content), its checksum verified. Raises UnsupportedFormat, UnreadableFile."""
    if not content.startswith(_SIGNATURE):
        raise UnsupportedFormat(path, "is not a PNG file; is its suffix right?")
    at, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        if at + 12 > len(content):
            raise UnreadableFile(path, "it ends before its last chunk")
        (length,) = struct.unpack_from(">I", content, at)
        kind = content[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(content):
            raise UnreadableFile(path, "it ends within a chunk")
        (checksum,) = struct.unpack_from(">I", content, end)
        if zlib.crc32(content[at + 4 : end]) != checksum:
            raise UnreadableFile(path, f"the checksum of its {kind.decode('latin-1')} chunk is wrong")
        yield kind, content[at + 8 : end]
        at = end + 4


def _assembled(chunks: Iterable[Chunk]) -> bytes:
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _texts(chunks: Iterable[Chunk]) -> Iterator[tuple[str, str]]:
    for kind, content in chunks:
        if kind == b"tEXt":
            name, _, text = content.partition(b"\0")
            yield name.decode("latin-1"), text.decode("latin-1")


def _physical_pixel_size(chunks: Iterable[Chunk]) -> PixelSize | None:
    for kind, content in chunks:
        if kind == b"pHYs" and len(content) == 9:
            per_metre_x, per_metre_y, unit = struct.unpack(">IIB", content)
            if unit == 1 and per_metre_x and per_metre_y:
                return 1e9 / per_metre_y, 1e9 / per_metre_x
    return None
