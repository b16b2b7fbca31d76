"""NumPy's NPY: one array, pixels alone; it has no place for a pixel size, a slice thickness or metadata."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import UnsupportedFormat
from semrt.io.pixels import image_or_stack, with_gaps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from semrt.data import Micrograph, Volume
    from semrt.io.formats import Image

__all__ = ["SUFFIXES", "read", "refusing_pickles", "write"]

SUFFIXES = (".npy",)

_MAGIC = b"\x93NUMPY"


def read(path: Path) -> Micrograph | Volume:
    """Read an image, (ny, nx), or a stack, (nz, ny, nx), of any real dtype.

    Raises UnsupportedFormat, InvalidShape, InvalidValue.
    """
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise UnsupportedFormat(path, "is not an NPY file; is its suffix right?")
    with refusing_pickles(path):
        array = np.load(path, allow_pickle=False)
    return image_or_stack(path, array, metadata={"format": "NPY", "dtype": str(array.dtype)})


def write(path: Path, data: Image) -> None:
    """Write the pixels as float32, with NaN where the probe did not go; labels as uint8. Raises UnsupportedFormat."""
    np.save(path, with_gaps(path, data), allow_pickle=False)


@contextmanager
def refusing_pickles(path: Path) -> Iterator[None]:
    """Turn NumPy's refusal of pickled objects into UnsupportedFormat."""
    try:
        yield
    except ValueError as why:
        if "allow_pickle" not in str(why):
            raise
        raise UnsupportedFormat(path, "holds Python objects, which could run code; save an array of numbers") from why
