"""Test tensors that are kept with a model: what goes in, and what comes out where it is computed exactly."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from semrt.errors import ModelDamaged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.models.manifest import Manifest

__all__ = ["REFERENCE", "Reference"]

REFERENCE = "reference.npz"


@dataclass(frozen=True, eq=False)
class Reference:
    """Tiles that training never saw, and what the network makes of them in single precision on a processor.

    channels: (n, c, h, w) float32, the network's input; of values that float16 holds exactly.
    estimate: (n, k, h, w) float32, its output.
    target: (n, k, h, w) float32, the truth; None where it has not the form of the output.
    """

    channels: NDArray[np.float32]
    estimate: NDArray[np.float32]
    target: NDArray[np.float32] | None = None

    @classmethod
    def read(cls, folder: str | Path, manifest: Manifest) -> Reference | None:
        """Read the tensors of a model, checked by their hash; None where its manifest names none.

        Raises ModelDamaged.
        """
        if not manifest.reference:
            return None
        path = Path(folder) / manifest.reference["file"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelDamaged(path, error.strerror or error) from error
        if (got := hashlib.sha256(content).hexdigest()) != manifest.reference["sha256"]:
            raise ModelDamaged(path, f"expected sha256 {manifest.reference['sha256'][:12]}…, got {got[:12]}…")
        try:
            with np.load(io.BytesIO(content)) as arrays:
                parts = {name: arrays[name].astype(np.float32) for name in arrays.files}
                return cls(**parts)
        except (ValueError, TypeError, BadZipFile) as error:
            raise ModelDamaged(path, error) from error

    def to_bytes(self) -> bytes:
        """The file of these tensors, to be kept beside the graphs."""
        stream = io.BytesIO()
        halves = {"channels": self.channels, **({} if self.target is None else {"target": self.target})}
        packed: dict[str, Any] = {name: part.astype(np.float16) for name, part in halves.items()}
        np.savez_compressed(stream, estimate=self.estimate, **packed)
        return stream.getvalue()
