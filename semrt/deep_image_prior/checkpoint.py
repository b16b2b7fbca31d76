"""What an interrupted volume leaves, so that the next run goes on at the slice where it stopped."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch

from semrt.deep_image_prior.members import Member
from semrt.io.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Checkpoint"]

STATE = "networks.pt"
DAMAGED = (
    *(OSError, EOFError, BadZipFile, pickle.UnpicklingError),
    *(ValueError, TypeError, AttributeError, LookupError, RuntimeError),
)
"""What reading a file that is missing, broken off, or something else may raise."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder with the finished slices and the networks after the last of them.

    key: hash of the measurement and of everything that the result depends on; what bears another is left alone.
    """

    folder: Path
    key: str

    def resume(self, device: torch.device) -> tuple[list[dict[str, Any]], list[list[Member]] | None]:
        """The finished slices from the first, and the networks; none of either where nothing fits or all is damaged."""
        try:
            with ZipFile(self.folder / STATE) as archive:  # its checksums, which torch does not look at
                if archive.testzip() is not None:
                    return [], None
            state = torch.load(self.folder / STATE, map_location=device, weights_only=True)
            if state["key"] != self.key:
                return [], None
            slices = [self._slice(z) for z in range(state["slices"])]
            members = [[Member.restored(member, device) for member in piece] for piece in state["members"]]
        except DAMAGED:
            return [], None
        return slices, members or None

    def keep(self, z: int, planes: dict[str, NDArray[np.float32]], members: list[list[Member]] | None) -> None:
        """Keep slice z and the networks after it; the networks come last, so that they never tell of a slice too many.

        Raises OutputNotWritable.
        """
        with replacing(self._path(z), overwrite=True) as temporary, temporary.open("wb") as file:
            np.savez(file, **planes)  # type: ignore[arg-type]
        state = {
            "key": self.key,
            "slices": z + 1,
            "members": [[member.state() for member in piece] for piece in members or []],
        }
        with replacing(self.folder / STATE, overwrite=True) as temporary:
            torch.save(state, temporary)

    def _path(self, z: int) -> Path:
        return self.folder / f"slice-{z:05d}.npz"

    def _slice(self, z: int) -> dict[str, Any]:
        with self._path(z).open("rb") as file, np.load(file) as stored:  # NumPy leaves open what is damaged
            return dict(stored)
