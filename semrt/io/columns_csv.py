"""Atomic columns as CSV, a line a column, under one line of names: for pandas, spreadsheets, Fiji, and atomap.

index; y_px, x_px [px, (0, 0) the centre of the top-left pixel]; sigma_y_px, sigma_x_px; intensity, background, score;
where the pixel size is known, y_nm and x_nm. `nan` stands where nothing is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.data import AtomColumns

__all__ = ["write"]

_LINES = 2**14  # written at a time: text takes ten times the memory of numbers
_FORMS = {
    "index": "{:d}",
    "y_px": "{:.5f}",
    "x_px": "{:.5f}",
    "sigma_y_px": "{:.3g}",
    "sigma_x_px": "{:.3g}",
    "score": "{:.4f}",
}
_FORM = "{:.7g}"  # as many digits as a float32 holds


def write(path: Path, data: AtomColumns) -> None:
    """Write columns to a new file."""
    table = data.table()
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(table) + "\n")
        for start in range(0, len(data), _LINES):
            texts = [_texts(name, values[start : start + _LINES]) for name, values in table.items()]
            file.writelines(line + "\n" for line in map(",".join, zip(*texts, strict=True)))


def _texts(name: str, values: NDArray[Any]) -> list[str]:
    return [*map(_FORMS.get(name, _FORM).format, np.asarray(values).tolist())]
