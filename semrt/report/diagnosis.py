"""Whether this computer is ready: each thing that semrt needs is tried, not only looked up."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Literal

import semrt
from semrt.errors import CacheUnusable, DeviceUnavailable, MissingDependency, ModelUnsuitable, OutOfMemory, SemrtError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Finding", "diagnose"]

REQUIRED = ("numpy", "click", "rich", "tifffile", "mrcfile")
EXTRAS = {
    "h5py": "formats",
    "matplotlib": "report",
    "torch": "dip",
    "onnx": "export",
    "tensorrt": "trt",
    "zarr": "scale",
}
RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
OPENCVS = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
REINSTALL = "pip install --force-reinstall --no-deps semrt"
TENSORRT = 'pip install --extra-index-url https://pypi.nvidia.com "semrt[trt]"'
GPU = 'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "semrt[gpu]"'


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried.

    state: "ok"; "note" where something is missing that not everybody needs; "fault" where semrt cannot do its work.
    cure: the command that mends it.
    """

    what: str
    state: Literal["ok", "note", "fault"]
    detail: str
    cure: str = ""


def diagnose() -> Iterator[Finding]:
    """Try the core, the packages, the models and the devices; findings come as they are made."""
    yield Finding("system", "ok", f"{platform.platform()}, {platform.machine()}")
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield _core()
    yield _packages()
    yield _extras()
    yield _one_of("onnxruntime", "onnxruntime", RUNTIMES, GPU if _cards() else 'pip install "semrt[cpu]"')
    yield _one_of("opencv", "cv2", OPENCVS, "pip install --force-reinstall opencv-python-headless")
    yield _processor()
    cards = _cards()
    yield Finding("graphics", "ok", "; ".join(cards) or "no NVIDIA driver answers; networks run on the processor")
    yield from _tensorrt(has_card=bool(cards))
    yield from _models_and_devices(has_card=bool(cards))


def _core() -> Finding:
    try:
        import_module("semrt._core")
    except ImportError as error:
        return Finding("semrt", "fault", f"{semrt.__version__}, but its C++ core does not load: {error}", REINSTALL)
    return Finding("semrt", "ok", f"{semrt.__version__}, C++ core loaded")


def _packages() -> Finding:
    versions = {name: _version(name) for name in REQUIRED}
    missing = [name for name, version in versions.items() if version is None]
    found = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if missing:
        return Finding(
            "packages", "fault", f"{found}; missing: {', '.join(missing)}", f"pip install {' '.join(missing)}"
        )
    return Finding("packages", "ok", found)


def _extras() -> Finding:
    versions = {name: _version(name) for name in EXTRAS}
    here = [f"{name} {version}" for name, version in versions.items() if version]
    absent = [f"{name} (semrt[{EXTRAS[name]}])" for name, version in versions.items() if version is None]
    return Finding("extras", "ok", ", ".join(here + (["not installed: " + ", ".join(absent)] if absent else [])))


def _one_of(what: str, module: str, distributions: Sequence[str], cure: str) -> Finding:
    """Several distributions bring the same module: two of them overwrite each other, and pip does not see it."""
    versions = {name: version for name in distributions if (version := _version(name))}
    found = " and ".join(f"{name} {version}" for name, version in versions.items())
    if len(versions) > 1:
        remedy = f"pip uninstall -y {' '.join(versions)} && {cure.rpartition(' && ')[2]}"
        return Finding(what, "fault", f"{found} are both installed and overwrite each other", remedy)
    try:
        loaded = import_module(module)
    except ImportError as error:
        return Finding(what, "fault", f"{found or what} does not load: {error}", cure)
    return Finding(what, "ok", found or f"{loaded.__version__}, not installed by pip")


def _processor() -> Finding:
    from semrt.backends.cores import physical_cores
    from semrt.kernels import thread_count

    usable = thread_count(None)
    physical = physical_cores()
    cores = f", {physical} physical" if physical else ""
    detail = f"{os.cpu_count()} logical cores, {usable} of them for semrt{cores}"
    return Finding("processor", "ok", detail)


def _cards() -> list[str]:
    """Name, driver and memory of each NVIDIA card, by the driver's own tool."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []  # the tool is there, but no driver answers it: the same as no card
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def _tensorrt(*, has_card: bool) -> Iterator[Finding]:
    """What of TensorRT is there; of use only with a card, and needed by nobody."""
    from semrt.backends import Device, tensorrt
    from semrt.backends.engine_cache import EngineCache
    from semrt.backends.tensorrt_toolchain import toolchain_for

    if not tensorrt.installed():
        if has_card:
            yield Finding("tensorrt", "note", "not installed; it would make networks faster on the card", TENSORRT)
        return
    try:
        there = toolchain_for(Device("tensorrt"))
        cache = EngineCache()
        engines = sum(entry.meta.get("kind") == "engine" for entry in cache.entries())
    except DeviceUnavailable as error:
        yield Finding("tensorrt", "note", error.cause, error.cure.removeprefix("run: "))
    except (MissingDependency, CacheUnusable) as error:
        yield Finding("tensorrt", "note", str(error), TENSORRT if isinstance(error, MissingDependency) else "")
    else:
        cure = "" if engines else "semrt build MODEL"
        detail = f"{there.version} on {there.gpu}, compute capability {there.capability}; engines built: {engines}"
        yield Finding("tensorrt", "ok" if engines else "note", f"{detail}, in {cache.folder}", cure)


def _models_and_devices(*, has_card: bool) -> Iterator[Finding]:
    from semrt.models import Manifest, available

    whole: list[Path] = []
    for name, folder in available().items():
        try:
            manifest = Manifest.read(folder)
            manifest.verify(folder)
        except SemrtError as error:
            yield Finding(f"model {name}", "fault", str(error), f"semrt models verify {name}")
        else:
            whole.append(folder)
            yield Finding(f"model {name}", "ok", f"{manifest.version}, every file as its manifest describes it")
    if not whole:
        yield Finding("devices", "note", "no model to try them with; kriging needs none")
        return
    yield _tried("cpu", whole[0], without="fault")
    if has_card:
        yield _tried("cuda:0", whole[0], without="note")
    if _version("torch") and _version("onnx"):
        yield _tried("torch:cuda" if has_card else "torch:cpu", whole[0], without="note")


def _tried(device: str, folder: Path, *, without: Literal["note", "fault"]) -> Finding:
    """Open a model there and run it once: what is compiled in is not yet what works."""
    from semrt.backends import warm_up
    from semrt.engine import open_session

    what = device if device.startswith("torch") else f"device {device}"
    try:
        with open_session(folder, device) as session:
            seconds = warm_up(session)
            detail = f"{session.runtime} ran {session.manifest.name} on {session.device}, first tile {seconds:.2f} s"
    except (DeviceUnavailable, MissingDependency, ModelUnsuitable, OutOfMemory) as error:
        cure = {"cpu": 'pip install "semrt[cpu]"', "cuda:0": GPU}.get(device, 'pip install "semrt[torch]"')
        return Finding(what, without, str(error), cure)
    return Finding(what, "ok", detail)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
