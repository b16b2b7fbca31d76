"""Beam energies as people type them, and the stack of images that they belong to."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from semrt.cli._values import file_named
from semrt.errors import InvalidShape, InvalidValue, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from semrt.tasks import NetworkTask, Solver

__all__ = ["energies", "energy_stack", "takes_energies"]

MOST = 10_000  # energies; more is a slip of the fingers
NUMBER = r"\d+(?:\.\d*)?|\.\d+"


def energies(typed: str) -> tuple[float, ...]:
    """Beam energies [keV] from 5,6,8 or 5:35 or 5:35:0.5 (both ends are meant), or from a text file with one a line.

    Raises BadParameter, UnreadableFile.
    """
    words = typed.strip()
    if re.fullmatch(rf"(?:{NUMBER})(?::(?:{NUMBER})){{1,2}}", plain := _bare(words)):
        found = _range(typed, *map(float, plain.split(":")))
    elif (path := file_named(words)) is not None:
        found = _numbers(f"{typed}", _lines(path))
    else:
        found = _numbers(typed, words)
    if any(later <= earlier for earlier, later in pairwise(found)):
        raise click.BadParameter(f"{typed!r}: expected rising energies; sort energies and images alike")
    if found[0] <= 0:
        raise click.BadParameter(f"{typed!r}: expected energies above zero keV")
    return tuple(found)


def energy_stack(source: Path, measured: Any, given: Sequence[float] | None) -> Any:
    """Images at beam energies, from a stack of slices and the energies given, or else those that its file tells of.

    What is neither comes back as it is.  Raises InvalidShape, InvalidValue, which name the file.
    """
    import numpy as np

    from semrt.data import EnergyStack, SparseVolume, Volume

    if isinstance(measured, SparseVolume):  # NaN in the file, unless a mask was given
        number = int((~measured.visited).any(0).sum())
        pixels = measured.visited[0].size
        raise InvalidValue(
            f"{source}: intensity", "finite values", f"NaN in {number} of {pixels} pixels", "crop or fill them"
        )
    if not isinstance(measured, Volume | EnergyStack):
        return measured
    try:
        if isinstance(measured, EnergyStack):
            return measured if given is None else replace(measured, energies=np.array(given))
        if given is None and measured.metadata.get("energies_keV") is None:
            from semrt.data.layers import turned_axes

            n = measured.shape[0]
            hint = turned_axes(measured.shape) or f"name all {n} with --energies, such as 5:{4 + n} or a text file"
            raise InvalidValue("energies", "one for each image [keV]", "none", hint)
        return EnergyStack.from_volume(measured, given)
    except (InvalidShape, InvalidValue) as why:
        why.args = (f"{source}: {why}",)
        raise


def takes_energies(task: NetworkTask | Solver) -> bool:
    """Whether a task is for images at several beam energies."""
    from semrt.data import EnergyStack

    return EnergyStack in (task.accepts if isinstance(task.accepts, tuple) else (task.accepts,))


def _range(typed: str, first: float, last: float, step: float = 1.0) -> list[float]:
    """All from the first to the last, which is one of them where steps lead to it."""
    if step <= 0 or last < first or (last - first) / step > MOST:
        raise click.BadParameter(f"{typed!r}: expected FIRST:LAST:STEP in keV, rising, such as 5:35 or 5:35:0.5")
    return [round(first + k * step, 9) for k in range(int((last - first) / step + 1e-9) + 1)]


def _numbers(typed: str, words: str) -> list[float]:
    """Numbers between commas or blanks."""
    pieces = [_bare(piece) for piece in re.split(r"[,;\s]+", words) if _bare(piece)]
    if not pieces or not all(re.fullmatch(NUMBER, piece) for piece in pieces):
        wanted = "expected energies in keV as 5,6,8 or 5:35 or 5:35:0.5, or a text file with one a line"
        raise click.BadParameter(f"{typed!r}: {wanted}")
    return [float(piece) for piece in pieces]


def _lines(path: Path) -> str:
    """What a text file says, without its comments."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as why:
        raise UnreadableFile(path, why) from why
    return "\n".join(line.partition("#")[0] for line in lines)


def _bare(words: str) -> str:
    return re.sub(r"\s*kev", "", words.strip(), flags=re.IGNORECASE).replace(" ", "")
