"""Tilt angles in the extended header of an MRC, as microscopes and SerialEM write them, a record for each image."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["tilt_angles"]

_FEI = (b"FEI1", b"FEI2")
_FEI_ALPHA = 100  # bytes from the begin of a record, which begins with its length
_SERIAL_EM, _HAS_TILT = b"SERI", 1  # the first of the flags: a tilt stands first in each record [degrees / 100]


def tilt_angles(header: Any, extended: bytes) -> list[float] | None:
    """Tilts [degrees] of the images, one for each; None where the file does not tell them.

    header: as mrcfile reads it.  extended: the bytes of the extended header.
    """
    n, order = int(header.nz), header.mode.dtype.byteorder
    order = "<" if order == "=" and np.little_endian else order
    kind = bytes(header.exttyp)
    try:
        if kind in _FEI:
            length = int(np.frombuffer(extended, f"{order}i4", 1)[0])
            angles = _column(extended, f"{order}f8", n, length, _FEI_ALPHA)
        elif kind == _SERIAL_EM:
            length, flags = np.frombuffer(bytes(header.extra2)[16:20], f"{order}i2").tolist()
            angles = _column(extended, f"{order}i2", n, length, 0) / 100 if flags & _HAS_TILT else None
        else:
            return None
    except (ValueError, IndexError):  # a header that is shorter than it says
        return None
    if angles is None or not np.isfinite(angles).all() or np.abs(angles).max() > 90 or len(np.unique(angles)) < 2:
        return None  # a stack of another kind: its records hold no tilts worth the name
    return [float(angle) for angle in angles]


def _column(extended: bytes, dtype: str, n: int, length: int, at: int) -> Any:
    """One number of each of n records.  Raises ValueError."""
    size = np.dtype(dtype).itemsize
    if length < at + size:
        raise ValueError("records are too short")
    return np.array([np.frombuffer(extended, dtype, 1, i * length + at)[0] for i in range(n)], np.float64)
