"""What an interrupted run leaves of finished slabs, so that the next one goes on where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import OutputNotWritable
from semrt.io.atomic import write_json
from semrt.io.description import plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Ledger", "fingerprint"]

LEDGER = "ledger.json"
_FREE = ("metadata", "provenance", "notes")  # of a measurement: what no result depends on


@dataclass(frozen=True)
class Ledger:
    """A folder with the slabs that are finished, in one file for each array of the result, and a list of them.

    key: of `fingerprint`; what bears another is begun anew.
    """

    folder: Path
    key: str

    def resume(self) -> list[dict[str, Any]]:
        """What was told of each finished slab, from the first; none where nothing fits or all is damaged."""
        try:
            held = json.loads((self.folder / LEDGER).read_text(encoding="utf-8"))
            if held["key"] != self.key:
                return []
            for name, shape in held["shapes"].items():
                if list(self.load(name).shape) != shape:
                    return []
            return list(held["slabs"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return []

    def keep(self, slabs: list[dict[str, Any]]) -> None:
        """List the finished slabs; after they are stored, so that the list never tells of one too many.

        Raises OutputNotWritable.
        """
        shapes = {path.stem: list(self.load(path.stem).shape) for path in self.folder.glob("*.npy")}
        write_json(self.folder / LEDGER, {"key": self.key, "slabs": slabs, "shapes": shapes}, overwrite=True)

    def store(self, name: str, values: NDArray[np.float32], first: int, n_slices: int) -> None:
        """Store slices (nz, m, nx) of an array (nz, n_slices, nx), from the slice `first` on.

        Written rather than mapped: a full disk is then an error, and no end of the process.  Raises OutputNotWritable.
        """
        nz, _m, nx = values.shape
        path = self.folder / f"{name}.npy"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if first == 0:
                path.unlink(missing_ok=True)
                np.lib.format.open_memmap(path, "w+", np.float32, (nz, n_slices, nx))  # a header, and room behind it
            size = path.stat().st_size - 4 * nz * n_slices * nx
            with path.open("r+b") as file:
                for z in range(nz):
                    file.seek(size + 4 * (z * n_slices + first) * nx)
                    file.write(np.ascontiguousarray(values[z], np.float32).data)
        except OSError as why:
            raise OutputNotWritable(path, why.strerror or why) from why

    def load(self, name: str) -> NDArray[np.float32]:
        """An array, as it lies in its file: parts of it are read when they are looked at."""
        mapped: NDArray[np.float32] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return mapped


def fingerprint(measured: Any, settings: Mapping[str, Any]) -> str:
    """Hash everything that a result depends on: the measurement, plane by plane, and settings that JSON can tell."""
    key = hashlib.sha256(json.dumps(plain(settings), sort_keys=True).encode())
    one = measured.slab(slice(0, 1))
    for field in dataclasses.fields(one):
        if field.name in _FREE:
            continue
        value = getattr(one, field.name)
        sliced = isinstance(value, np.ndarray) and value.ndim == 3
        key.update(f"{field.name} {None if sliced else plain(value)}".encode())
    for planes in measured.planes():
        key.update(np.ascontiguousarray(planes).data)
    return key.hexdigest()
