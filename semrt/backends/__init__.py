"""The software that runs networks, and the devices it runs them on.

To add a backend: a module with a function like open_onnxruntime, and its line in BACKENDS.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from semrt import models
from semrt.backends import tensorrt
from semrt.backends.base import Device, Session, parse_device, warm_up
from semrt.backends.gate import admit, decibels_lost
from semrt.errors import DeviceUnavailable, InvalidOption, MissingDependency, OutOfMemory

if TYPE_CHECKING:
    from pathlib import Path

    from semrt.backends.gate import Measure

__all__ = ["AUTO", "BACKENDS", "LIMITED", "Device", "Session", "open_session", "parse_device", "warm_up"]

BACKENDS = {
    "cpu": "semrt.backends.onnxruntime:open_onnxruntime",
    "cuda": "semrt.backends.onnxruntime:open_onnxruntime",
    "tensorrt": "semrt.backends.tensorrt:open_tensorrt",
    "torch:cpu": "semrt.backends.torch_session:open_torch",
    "torch:cuda": "semrt.backends.torch_session:open_torch",
}
LIMITED = ("cuda",)
"""Devices whose memory can be limited."""
AUTO = ("cuda", "cpu")  # fastest first; the last one is always there. TensorRT before them, where an engine is built


def open_session(
    model: str | Path,
    device: str = "auto",
    *,
    threads: int | None = None,
    precision: str = "fp32",
    tile: int | None = None,
    gpu_memory: int | None = None,
    measure: Measure = decibels_lost,
) -> Session:
    """Open a model on a device; what the session says of its device is what was checked, not what was asked.

    A session that does not give the numbers that it should, see semrt.backends.gate, counts as unavailable.
    model: a name or a folder.
    device: "cpu", "cuda", "cuda:1", "tensorrt", or "auto" for the fastest that really opens; no session builds engines.
        "torch:cpu", "torch:cuda", "torch:cuda:1": by torch, to check the others by.
    threads: CPU threads; one for each physical core when None.  precision: "fp32" or one of the model's variants.
    tile [px]: side of the tiles to come, where an engine was built for others than the model's.
    gpu_memory: bytes of a card that the network may take; "auto" then takes no device that knows no limit, see LIMITED.
    measure: of what other numbers mean, the task's own.
    Raises ModelNotFound, ModelDamaged, InvalidOption, DeviceUnavailable, MissingDependency, OutOfMemory.
    """
    if threads is not None and threads < 1:
        raise InvalidOption(f"threads: expected 1 or more, got {threads}")
    folder = models.find(model)
    manifest = models.Manifest.read(folder)
    wanted = _places(manifest, precision) if device == "auto" else [parse_device(device, BACKENDS)]
    if gpu_memory is not None:
        wanted = _within(gpu_memory, wanted, device)
    reason = "as asked" if device != "auto" else "the fastest there is"
    for place in wanted:
        module, function = BACKENDS[place.kind].split(":")
        opener = getattr(import_module(module), function)
        how = {"tile": tile} if place.kind == "tensorrt" else {}  # others take any
        how |= {"gpu_memory": gpu_memory} if place.kind in LIMITED else {}
        why = f"{place}, {reason}"
        try:
            session = opener(folder, manifest, place, threads=threads, precision=precision, reason=why, **how)
            compared = _admitted(session, folder, measure)
        except (DeviceUnavailable, MissingDependency, OutOfMemory) as error:
            if place is wanted[-1]:
                raise
            reason = f"because {error.cause if isinstance(error, DeviceUnavailable) else error}"
        else:
            session.reason += f"; {compared}" if compared else ""
            if device == "auto" and place.kind in AUTO:
                session.reason += _advice(folder, manifest, precision)
            break
    return cast("Session", session)


def _places(manifest: models.Manifest, precision: str) -> list[Device]:
    built = tensorrt.has_engine(manifest, precision)
    return [Device(kind) for kind in (("tensorrt", *AUTO) if built else AUTO)]


def _within(gpu_memory: int, wanted: list[Device], device: str) -> list[Device]:
    """Those places that take no more memory of a card.  Raises InvalidOption where somebody asked for another."""
    if gpu_memory < 1:
        raise InvalidOption(f"gpu memory: expected 1 byte or more, got {gpu_memory}")
    if device == "auto":
        return [place for place in wanted if place.kind in (*LIMITED, "cpu")]
    if wanted[0].kind not in LIMITED:
        known = ", ".join(LIMITED)
        raise InvalidOption(f"gpu memory: device {device} knows no limit of it; leave it out, or choose from: {known}")
    return wanted


def _advice(folder: Path, manifest: models.Manifest, precision: str) -> str:
    """Which command makes it faster, where one does."""
    if tensorrt.has_engine(manifest, precision) or not tensorrt.could_build():
        return ""
    return f"; TensorRT is installed: {tensorrt.build_command(folder, manifest, precision)} builds its engine"


def _admitted(session: Session, folder: Path, measure: Measure) -> str:
    """What the comparison with the model's test tensors says; a session that fails it is closed."""
    try:
        return admit(session, folder, measure)
    except BaseException:
        session.close()
        raise
