"""What a file must hold for a model, and in words what it holds instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from semrt.data import (
    EnergyStack,
    LayerMap,
    Micrograph,
    OnDisk,
    SparseScan,
    SparseVolume,
    TiltSeries,
    Tomogram,
    Volume,
)
from semrt.errors import InvalidOption, InvalidValue
from semrt.scan import ScanPath

if TYPE_CHECKING:
    from pathlib import Path

    from semrt.backends import Session
    from semrt.tasks import Solver

__all__ = ["check_accepted", "check_takes_scans"]

_STACKS = (Volume, SparseVolume)
_WANTED = {
    SparseScan: "a sparse scan",
    Micrograph: "an image in which every pixel was measured",
    Volume: "a stack in which every pixel was measured",
    EnergyStack: "a stack of images at several beam energies",
    TiltSeries: "a tilt series or a tomogram",
}
_VISITED = "in which every pixel was visited"
_MASK = "say where the probe went with --mask FILE, or --unvisited 0"
_HELD = {  # type -> what it is, and what to do where a sparse scan is wanted
    Micrograph: (f"an image {_VISITED}", _MASK),
    Volume: (f"a stack {_VISITED}", _MASK),
    ScanPath: ("positions without intensities", "simulate its scan of an image with: semrt scan --sample"),
}
_INSTEAD = {  # the same, where an image is wanted
    SparseScan: ("a scan with gaps", "fill them first with: semrt infer infill"),
    ScanPath: ("positions of a probe", "give the image itself"),
}

_OF_LAYERS = {  # the same, where such images are wanted
    Micrograph: ("a single image", "save the images of all energies as one stack"),
    SparseScan: ("a single scan with gaps", "save the images of all energies, without gaps, as one stack"),
    ScanPath: ("positions of a probe", "give the stack itself"),
}
_OF_TILTS = {  # the same, where projections are wanted
    Micrograph: ("a single image", "save all projections, or all slices, as one stack"),
    SparseScan: ("a single scan with gaps", "save all projections, without gaps, as one stack"),
    ScanPath: ("positions of a probe", "give the stack itself"),
}
_ELSEWHERE = {  # the same, where neither is
    EnergyStack: (
        "images at several beam energies",
        "give them to semrt infer layers, or save one of them as an image",
    ),
    LayerMap: ("thickness of layers", "give what it was found from"),
    TiltSeries: ("a tilt series", "give it to semrt infer wedge"),
    Tomogram: ("a tomogram", "give it to semrt infer wedge"),
}


def check_accepted(source: Path, measured: Any, accepts: type | tuple[type, ...], name: str) -> None:
    """Raise InvalidValue for what the model called `name` does not accept, saying what would do."""
    kinds = accepts if isinstance(accepts, tuple) else (accepts,)
    if isinstance(measured, OnDisk):
        measured = measured.slab(slice(0, 1))
    if isinstance(measured, kinds):
        return
    wanted = next((words for kind, words in _WANTED.items() if kind in kinds), f"a {kinds[0].__name__}")
    sparse = SparseScan in kinds
    if isinstance(measured, _STACKS) and not set(_STACKS) & set(kinds):
        slices = f"a stack of {measured.shape[0]} slices"
        if sparse:
            hint = f"{name} takes single scans; semrt infer dip reconstructs stacks"
            raise InvalidValue(f"{source}", "a single sparse scan", slices, hint)
        raise InvalidValue(f"{source}", "a single image", slices, f"{name} takes one image; save the slices as files")
    told = _OF_TILTS if TiltSeries in kinds else _OF_LAYERS if EnergyStack in kinds else _HELD if sparse else _INSTEAD
    held, hint = (told | _ELSEWHERE).get(type(measured), (f"a {type(measured).__name__}", ""))
    raise InvalidValue(f"{source}", wanted, held, hint)


def check_takes_scans(model: str, opened: Session | Solver) -> None:
    """Raise InvalidOption for a model that takes no sparse scans, where one is made for it."""
    from semrt import engine

    if SparseScan not in engine.accepted_by(opened):
        raise InvalidOption(f"--model {model}: takes no sparse scans; choose a model that does, such as infill")
