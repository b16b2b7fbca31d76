"""How a model folder is written: whole, or not to be taken for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semrt.errors import OutputNotWritable
from semrt.models import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["CARD", "write_model"]

CARD = "CARD.md"


def write_model(target: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write files and manifest, which comes last: until it is there, the folder is no model, or refuses by its hash.

    files: name -> content.  Raises OutputNotWritable, ModelDamaged (what the manifest names is not among them).
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            partial = target / f".{name}.partial"
            partial.write_bytes(content)
            partial.replace(target / name)
    except OSError as error:
        raise OutputNotWritable(target, error) from error
    manifest.write(target)
    Manifest.read(target).verify(target)
