"""Scan paths as instruments and other programs read them; semrt.io.scan_export writes the files.

All but the mask hold the positions asked for (those of a lagging probe are what comes of them), in the order of the
scan, without the blanked samples. To add an instrument, write its function and its entry in INSTRUMENTS.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption, InvalidValue
from semrt.scan.scan_path import inside

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from semrt.scan.scan_path import ScanPath

__all__ = ["INSTRUMENTS", "Instrument", "de_freescan", "fei_stream", "mask_tiff", "npy", "open_beam_interface"]


@dataclass(frozen=True)
class Instrument:
    """A file that some instrument or program reads.

    encode: (path, **options) -> the bytes of the file.
    """

    name: str
    summary: str
    suffix: str
    encode: Callable[..., bytes]


def open_beam_interface(path: ScanPath) -> bytes:
    """CSV of whole numbers x,y,dwell for the Open Beam Interface: 14-bit DAC codes, dwell in counts of 125 ns.

    The longer side of the field spans the DAC, the other the middle of it.
    Raises InvalidValue (outside the field, dwell times that are not 0.125 to 8192 µs).
    github.com/nanographs/Open-Beam-Interface
    """
    x, y = _codes(path, (16384, 16384))
    dwell = _counts(path, 0.125, 65536)
    return _rows([x, y, dwell], ",")


def fei_stream(path: ScanPath, *, repeats: int = 1) -> bytes:
    """FEI (Thermo Fisher) stream file of 16 bit: s16, repeats, number of points, then `dwell x y`, dwell in 0.1 µs.

    The field fits into 65536 × 56576 codes around the middle of the range, which is what the patterning engine takes.
    Raises InvalidValue (outside the field, dwell times below 0.1 µs), InvalidOption.
    """
    if repeats < 1:
        raise InvalidOption(f"repeats: expected 1 or more, got {repeats}")
    x, y = _codes(path, (56576, 65536))
    dwell = _counts(path, 0.1, 2**31)
    return f"s16\n{repeats}\n{len(x)}\n".encode() + _rows([dwell, x, y], " ")


def de_freescan(path: ScanPath, *, subdivision: int = 1) -> bytes:
    """NPY of (n, 2) int32 points, x then y, for set_xy_array of Direct Electron's DE-Freescan.

    subdivision: points to a pixel; width and height of the scan are this times the field's.
    Raises InvalidValue (outside the field, dwell times that differ: the camera's frame rate sets one), InvalidOption.
    """
    if subdivision < 1:
        raise InvalidOption(f"subdivision: expected 1 or more, got {subdivision}")
    dwell = path.dwell_time[~path.blank]
    if np.ptp(dwell) > 0:
        raise InvalidValue("dwell_time", "one time for all samples", f"{dwell.min():g} to {dwell.max():g} µs")
    points = np.floor((_in_field(path) + 0.5) * subdivision).astype(np.int32)
    return _npy(points[:, ::-1])


def npy(path: ScanPath) -> bytes:
    """NPY of (n, 2) float64 positions (y, x) [px], (0, 0) the centre of the top-left pixel."""
    return _npy(path.asked[~path.blank])


def mask_tiff(path: ScanPath) -> bytes:
    """TIFF of the pixels visited, 255, and not, 0, with the pixel size as ImageJ states it."""
    import tifffile

    image = path.visited * np.uint8(255)
    file = BytesIO()
    if path.pixel_size is None:
        tifffile.imwrite(file, image, imagej=True)
    else:
        dy, dx = path.pixel_size
        tifffile.imwrite(file, image, imagej=True, resolution=(1 / dx, 1 / dy), metadata={"unit": "nm"})
    return file.getvalue()


INSTRUMENTS: dict[str, Instrument] = {
    instrument.name: instrument
    for instrument in (
        Instrument("open-beam-interface", "CSV x,y,dwell in DAC codes and 125 ns", ".csv", open_beam_interface),
        Instrument("fei-stream", "FEI stream file, 16 bit", ".str", fei_stream),
        Instrument("de-freescan", "NPY of int32 points x, y for set_xy_array", ".npy", de_freescan),
        Instrument("npy", "NPY of float64 positions y, x in pixels", ".npy", npy),
        Instrument("mask", "TIFF of the visited pixels", ".tif", mask_tiff),
    )
}


def _in_field(path: ScanPath) -> NDArray[np.float64]:
    asked = path.asked[~path.blank]
    outside = np.count_nonzero(~inside(asked, path.shape))
    if outside:
        raise InvalidValue("positions", "all in the field", f"{outside} of {len(asked)} outside", "leave them out")
    return asked


def _codes(path: ScanPath, available: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """DAC codes (x, y) with square pixels; the middle of the field is that of the longer range."""
    ny, nx = path.shape
    scale = min(available[0] / ny, available[1] / nx)  # [codes / px]
    middle = (max(available) - 1) / 2
    codes = np.floor((_in_field(path) - [(ny - 1) / 2, (nx - 1) / 2]) * scale + middle + 0.5).astype(np.int64)
    return codes[:, 1], codes[:, 0]


def _counts(path: ScanPath, unit: float, most: int) -> NDArray[np.int64]:
    dwell = path.dwell_time[~path.blank]
    counts = np.floor(dwell / unit + 0.5)
    if not ((counts >= 1) & (counts <= most)).all():
        raise InvalidValue(
            "dwell_time", f"{unit:g} to {most * unit:g} µs", f"{dwell.min():g} to {dwell.max():g} µs", "change it"
        )
    return counts.astype(np.int64)


def _rows(columns: list[NDArray[np.int64]], separator: str) -> bytes:
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return "".join(f"{a}{separator}{b}{separator}{c}\n" for a, b, c in rows).encode()


def _npy(array: NDArray[np.generic]) -> bytes:
    file = BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()
