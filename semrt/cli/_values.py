"""Values as people type and read them: 0.02nm, 512x512, 1/20, name=value."""

from __future__ import annotations

import math
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from semrt.data import PixelSize

__all__ = [
    "SEED",
    "Finite",
    "coverage",
    "coverage_text",
    "duration",
    "file_named",
    "length_text",
    "memory",
    "pixel_size",
    "settings_of",
    "shape",
    "voxel",
]


SEED = click.IntRange(min=0)
FLATTEST = 0.1  # [nm]; no voxel is flatter than atoms


class Finite(click.FloatRange):
    """A finite number in a range; click's own takes NaN for one in any."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"expected a finite number, got {value}", param, ctx)
        return number


def pixel_size(typed: str) -> PixelSize:
    """(dy, dx) [nm] from 0.02nm or 0.02x0.03nm.  Raises InvalidOption."""
    from semrt.io import parse_pixel_size

    try:
        return parse_pixel_size(typed)
    except InvalidOption as error:
        raise click.BadParameter(str(error)) from error


def voxel(typed: str) -> float:
    """Height of a voxel [nm] from 10nm or 10.  Raises BadParameter."""
    from semrt.io import parse_pixel_size

    words = typed.strip()
    try:
        dy, dx = parse_pixel_size(words + "nm" if words[-1:].isdecimal() else words)
    except InvalidOption as error:
        raise click.BadParameter(f"{typed!r}: expected a length with its unit, such as 10nm") from error
    if dy != dx or dy < FLATTEST:
        raise click.BadParameter(f"{typed!r}: expected one height of {FLATTEST:g} nm or more, such as 10nm")
    return dy


def shape(typed: str) -> tuple[int, int]:
    """(ny, nx) from 512x256, or from 512 for a square.  Raises BadParameter."""
    sides = re.fullmatch(r"(\d{1,6})(?:[x×,](\d{1,6}))?", typed.replace(" ", "").lower())
    if sides is None or (ny := int(sides[1])) == 0 or (nx := int(sides[2] or ny)) == 0:
        raise click.BadParameter(f"{typed!r}: expected rows x columns, such as 512x512")
    return ny, nx


def coverage(typed: str) -> float:
    """Fraction of the pixels, above 0 and at most 1, from 1/20, 0.05 or 5%.  Raises BadParameter."""
    words = typed.replace(" ", "")
    try:
        share = float(Fraction(words[:-1]) / 100 if words.endswith("%") else Fraction(words))
    except (ValueError, ArithmeticError):  # such as by zero, or too large for a float
        share = 0.0
    if not 0 < share <= 1:
        raise click.BadParameter(f"{typed!r}: expected a fraction of the pixels, such as 1/20, 0.05 or 5%")
    return share


def duration(typed: str) -> float:
    """Seconds, above zero, from 2s, 0.5 or 100ms.  Raises BadParameter."""
    words = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|min|)", typed.replace(" ", "").lower())
    if words is None or float(words[1]) == 0:
        raise click.BadParameter(f"{typed!r}: expected a time above zero, such as 2s or 100ms")
    return float(words[1]) * {"ms": 1e-3, "s": 1.0, "min": 60.0, "": 1.0}[words[2]]


def file_named(typed: str) -> Path | None:
    """The file of that name; None where there is none, also of a list that is longer than a name may be."""
    return Path(typed) if os.path.isfile(typed) else None  # noqa: PTH113  # Path raises there, until Python 3.14


def memory(typed: str) -> int:
    """Bytes, above zero, from 4GiB, 1.5GB or 4096MB.  Raises BadParameter."""
    words = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)([mg])(i?)b", typed.replace(" ", "").lower())
    n_bytes = int(float(words[1]) * (1024 if words[3] else 1000) ** {"m": 2, "g": 3}[words[2]]) if words else 0
    if n_bytes == 0:
        raise click.BadParameter(f"{typed!r}: expected memory with its unit, such as 4GiB or 4096MB")
    return n_bytes


def settings_of(pairs: Iterable[str]) -> dict[str, Any]:
    """Read NAME=VALUE pairs: true and false, numbers, several with commas, else words.  Raises InvalidOption."""
    settings = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise InvalidOption(f"--set {pair}: expected NAME=VALUE")
        settings[name.strip().replace("-", "_")] = _as_given(value.strip())
    return settings


def coverage_text(share: float) -> str:
    """Write a coverage both ways: 5.00 % (1/20.0)."""
    return f"{100 * share:.2f} % (1/{1 / share:.1f})"


def length_text(nanometres: float) -> str:
    """Write a length in the unit that people would use: 20 pm, 0.2 nm, 1.5 µm."""
    for unit, size in (("mm", 1e6), ("µm", 1e3), ("nm", 0.1)):
        if nanometres >= size:
            return f"{nanometres / max(size, 1 if unit == 'nm' else size):.4g} {unit}"
    return f"{1000 * nanometres:.4g} pm"


def _as_given(words: str) -> Any:
    if "," in words:
        return tuple(_as_given(part.strip()) for part in words.split(","))
    if words.lower() in ("true", "false", "on", "off", "yes", "no"):
        return words.lower() in ("true", "on", "yes")
    for kind in (int, float):
        try:
            return kind(words)
        except ValueError:
            continue
    return words
