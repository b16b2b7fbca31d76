"""What TensorRT says, in semrt's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from semrt.errors import DeviceUnavailable, ModelUnsuitable, OutOfMemory, SemrtError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["INDEX", "MENDING", "failure", "foreign_graph", "unloadable"]

INDEX = "https://pypi.nvidia.com"  # TensorRT's libraries are in no other
MENDING = f'run: pip install --extra-index-url {INDEX} "semrt[trt]"; or choose --device cuda'
_FULL = re.compile(r"out ?of ?memory|FAILED_ALLOCATION|MemoryAllocation|insufficient workspace", re.IGNORECASE)


def failure(
    device: str,
    recorder: Any,
    why: str,
    cure_of_full: str = "use a smaller --tile or --batch",
    *,
    silence_is_full: bool = False,
    otherwise: type[DeviceUnavailable] = DeviceUnavailable,
) -> SemrtError:
    """The error that a recorder holds, taken out of it.

    cure_of_full: what to do where memory is short.  silence_is_full: which it is where nothing was recorded, as a rule.
    otherwise: the class of what is no lack of memory.
    """
    errors = list(recorder.errors)
    recorder.clear()
    if any(_FULL.search(f"{getattr(code, 'name', code)} {description}") for code, description in errors):
        return OutOfMemory(device, cure_of_full)
    if not errors and silence_is_full:
        return OutOfMemory(device, f"{why}, and says no cause; {cure_of_full}")
    said = f": {errors[0][1]}" if errors else ""  # the first is the cause, the others follow from it
    return otherwise(device, f"{why}{said}", "choose --device cuda or cpu")


def foreign_graph(path: Path, errors: list[str]) -> SemrtError:
    """A graph that TensorRT cannot read; it may well be whole, as its hash says."""
    said = " ".join((errors or ["no reason given"])[0].split())
    return ModelUnsuitable(f"{path}: TensorRT cannot take this graph ({said}); choose --device cuda or cpu")


def unloadable(device: str, error: BaseException) -> SemrtError:
    """TensorRT is installed, and does not load: mostly its libraries are missing."""
    return DeviceUnavailable(device, f"TensorRT does not load, {error}", MENDING)
