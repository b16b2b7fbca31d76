"""Whether this computer is ready: each thing that semrt needs is tried, not only looked up."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Literal

import semrt
from semrt.errors import CacheUnusable, DeviceUnavailable, MissingDependency, ModelUnsuitable, OutOfMemory, SemrtError
from semrt.report.graphics import CUDA, OLDEST_DRIVER, cards, libraries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from semrt.report.graphics import Libraries

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
RUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-training",
    "ort-nightly",
    "ort-nightly-gpu",
)
OPENCVS = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
REINSTALL = "pip install --force-reinstall --no-deps semrt"
TENSORRT = 'pip install --extra-index-url https://pypi.nvidia.com "semrt[trt]"'
CPU = 'pip install "semrt[cpu]"'
OWN_CACHE = "semrt cache clear, or set SEMRT_CACHE to a folder of your own"
DRIVER = "install the NVIDIA driver"
FULL = "close what else uses the card"
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
    there = cards()
    yield _one_of("onnxruntime", "onnxruntime", RUNTIMES, GPU if there else CPU)
    yield _one_of("opencv", "cv2", OPENCVS, "pip install --force-reinstall opencv-python-headless")
    yield _processor()
    yield Finding("graphics", "ok", "; ".join(there) or "no NVIDIA driver answers; networks run on the processor")
    if there or _version("onnxruntime-gpu"):
        yield _cuda(libraries())
    yield from _tensorrt(has_card=bool(there))
    yield from _models_and_devices(has_card=bool(there))


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
    from semrt.kernels import cpu_quota, thread_count

    usable = thread_count(None)
    physical = physical_cores()
    cores = f", {physical} physical" if physical else ""
    quota = cpu_quota()
    limit = f", time for {quota} by the quota of its container" if quota else ""
    detail = f"{os.cpu_count()} logical cores, {usable} of them for semrt{cores}{limit}"
    return Finding("processor", "ok", detail)


def _cuda(found: Libraries) -> Finding:
    """What ONNX Runtime needs of CUDA; of use with a card alone, and needed by nobody."""
    if found.too_old:
        return Finding("cuda", "note", f"{found}, and {CUDA}.0 is needed", f"{DRIVER} {OLDEST_DRIVER} or newer")
    if found.driver is None:
        return Finding("cuda", "note", f"{found}, and no driver", f"{DRIVER} {OLDEST_DRIVER} or newer")
    return Finding("cuda", "note" if found.missing else "ok", str(found), GPU if found.missing else "")


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
    except OutOfMemory as error:  # of a card so full that not even a look at it fits
        yield Finding("tensorrt", "note", error.cause, FULL)
    except (MissingDependency, CacheUnusable) as error:
        yield Finding("tensorrt", "note", str(error), TENSORRT if isinstance(error, MissingDependency) else OWN_CACHE)
    else:
        cure = "" if engines else "semrt build MODEL"
        detail = f"{there.version} on {there.gpu}, compute capability {there.capability}; engines built: {engines}"
        yield Finding("tensorrt", "ok" if engines else "note", f"{detail}, in {cache.folder}", cure)


def _models_and_devices(*, has_card: bool) -> Iterator[Finding]:
    from semrt.backends import tensorrt
    from semrt.models import Manifest, available, shipped

    whole: list[Path] = []
    ours = shipped()
    for name, folder in available().items():
        try:
            manifest = Manifest.read(folder)
            manifest.verify(folder)
        except SemrtError as error:
            cure = REINSTALL if name in ours else f"semrt models verify {name}, which names what to copy again"
            yield Finding(f"model {name}", "fault", str(error), cure)
        else:
            whole.append(folder)
            yield Finding(f"model {name}", "ok", f"{manifest.version}, every file as its manifest describes it")
    if not whole:
        yield Finding("devices", "note", "no model to try them with; kriging needs none")
        return
    yield _tried("cpu", whole[0], without="fault")
    if has_card:
        yield _tried("cuda:0", whole[0], without="note")
    built = [folder for folder in whole if tensorrt.has_engine(Manifest.read(folder), "fp32")]
    if built:
        yield _tried("tensorrt", built[0], without="note")
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
        cures = {"cpu": CPU, "cuda:0": GPU, "tensorrt": f"semrt build {folder.name}"}
        cure = cures.get(device, 'pip install "semrt[torch]"')
        return Finding(what, without, str(error), cure)
    return Finding(what, "ok", detail)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
