"""Where models are: shipped with semrt, in the folders of $SEMRT_MODELS, or wherever a path points."""

from __future__ import annotations

import os
from pathlib import Path

from semrt.errors import ModelNotFound
from semrt.models.manifest import MANIFEST

__all__ = ["SEARCH_PATH", "available", "find", "shipped"]

SEARCH_PATH = "SEMRT_MODELS"  # like PATH: folders of model folders, separated by os.pathsep


def find(name_or_path: str | Path) -> Path:
    """Find the folder of a model: a shipped name, a name in $SEMRT_MODELS, or a path to a folder with a semrt.json.

    A shipped name stands for the shipped model whatever lies in the working directory; `./name` is the folder there.
    Raises ModelNotFound.
    """
    if isinstance(name_or_path, str):
        models = available()
        if name_or_path in models:
            return models[name_or_path]
    folder = Path(name_or_path).expanduser()
    if folder.name == MANIFEST:
        folder = folder.parent
    if (folder / MANIFEST).is_file():
        return folder.resolve()
    raise ModelNotFound(name_or_path, available())


def available() -> dict[str, Path]:
    """List the models that have a name: shipped, then those of $SEMRT_MODELS; of two with one name the first counts."""
    models = shipped()
    for root in filter(None, os.environ.get(SEARCH_PATH, "").split(os.pathsep)):
        for name, folder in _models_in(Path(root).expanduser()).items():
            models.setdefault(name, folder)
    return models


def shipped() -> dict[str, Path]:
    """List the models that came with semrt: name -> folder."""
    return _models_in(Path(__file__).parent)


def _models_in(root: Path) -> dict[str, Path]:
    return {manifest.parent.name: manifest.parent for manifest in sorted(root.resolve().glob(f"*/{MANIFEST}"))}
