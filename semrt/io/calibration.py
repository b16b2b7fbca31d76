"""Lengths as files and people write them, in nm."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from semrt.data import PixelSize

__all__ = ["believable", "nanometres", "parse_pixel_size", "pixel_size_from"]

_NM = {
    "pm": 1e-3,
    "å": 0.1,
    "a": 0.1,
    "ang": 0.1,
    "angstrom": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "um": 1e3,
    "µm": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "mm": 1e6,
    "cm": 1e7,
    "inch": 2.54e7,
    "m": 1e9,
}
# Å also as the Ångström sign, µ also as the Greek letter and as ImageJ escapes it.
_SPELLINGS = str.maketrans({"\u212b": "å", "Å": "å", "\u03bc": "µ"})

_COARSEST_PIXEL = 1e4  # [nm]: 2540 dots an inch; no electron micrograph is coarser, most printers are


def nanometres(value: object, unit: object) -> float | None:
    """A length in nm; None when it is no positive number or the unit is no length (pixel, 1/nm, counts)."""
    if not isinstance(unit, str) or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    name = unit.strip().replace("\\u00B5", "µ").translate(_SPELLINGS).lower()
    scale = _NM.get(name) or _NM.get(name.removesuffix("s"))
    try:
        length = float(value)
    except ValueError:  # files from instruments hold such things as 'notafloat'
        return None
    return length * scale if scale and math.isfinite(length) and length > 0 else None


def pixel_size_from(dy: object, dx: object, unit_y: object, unit_x: object) -> PixelSize | None:
    """(dy, dx) [nm]; None unless both are known."""
    sizes = nanometres(dy, unit_y), nanometres(dx, unit_x)
    return None if sizes[0] is None or sizes[1] is None else (sizes[0], sizes[1])


def believable(pixel_size: PixelSize | None) -> PixelSize | None:
    """The same, or None where dots per inch of a printer or screen stand in for a calibration."""
    return pixel_size if pixel_size is not None and max(pixel_size) < _COARSEST_PIXEL else None


def parse_pixel_size(text: str) -> PixelSize:
    """(dy, dx) [nm] from `0.02nm`, `1.5 µm` or, for pixels that are not square, `0.02x0.03nm` (y, then x).

    Raises InvalidOption.
    """
    number = r"([\d.]+(?:e[+-]?\d+)?)"
    found = re.fullmatch(rf"{number}(?:\s*[x×]\s*{number})?\s*(\D+)", text.strip(), re.IGNORECASE)
    size = found and pixel_size_from(found[1], found[2] or found[1], found[3], found[3])
    if not size:
        raise InvalidOption(f"pixel size {text!r}: expected a length with its unit, such as 0.02nm or 1.5um")
    return size
