"""How far images are from what a map of layers explains, as CSV: a line an energy, under one line of names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidValue

if TYPE_CHECKING:
    from pathlib import Path

    from semrt.data import LayerMap

__all__ = ["write"]


def write(path: Path, data: LayerMap) -> None:
    """Write energy_keV and rms_relative_residual to a new file; `nan` for energies that nobody said.

    Raises InvalidValue where there is no residual.
    """
    if data.residual is None:
        raise InvalidValue(f"{path}: residual", "one for each energy", "none", "write a .tif for the thickness")
    energies = np.full(len(data.residual), np.nan) if data.energies is None else data.energies
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("energy_keV,rms_relative_residual\n")
        for energy, residual in zip(energies.tolist(), data.residual.tolist(), strict=True):
            file.write(f"{energy:.7g},{residual:.6g}\n")
