"""NVIDIA's part of a computer: its cards, their driver, and the libraries that ONNX Runtime needs of CUDA."""

from __future__ import annotations

import contextlib
import ctypes
import io
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CUDA", "Libraries", "cards", "libraries"]

CUDA = 13
"""The generation that onnxruntime-gpu is built for."""
OLDEST_DRIVER = 580
"""The first that knows it."""
QUERIES = ("name,driver_version,memory.total,compute_cap", "name,driver_version,memory.total")
"""What the driver's tool is asked for; old ones do not know of compute capabilities and then answer nothing."""

_BY_THOUSAND = (1000, 10)  # 13010 is 13.1
_BY_HUNDRED = (1000, 100)  # 12100 is 12.1
_BY_TEN_THOUSAND = (10000, 100)  # 91002 is 9.10, 130100 is 13.1


@dataclass(frozen=True)
class Libraries:
    """What of CUDA loads here.

    found: name -> version, such as "CUDA" -> "13.1".  missing: those that do not load, by their file's name.
    driver: the newest CUDA that the driver knows, as (13, 1); None where there is no driver.
    """

    found: dict[str, str]
    missing: tuple[str, ...]
    driver: tuple[int, int] | None

    @property
    def too_old(self) -> bool:
        """Whether the driver knows nothing of the CUDA that is needed."""
        return self.driver is not None and self.driver[0] < CUDA

    def __str__(self) -> str:
        told = [f"{name} {version}" for name, version in self.found.items()]
        told += [f"{name} does not load" for name in self.missing]
        if self.driver is not None:
            told.append("driver for CUDA up to {}.{}".format(*self.driver))
        return ", ".join(told)


def cards() -> list[str]:
    """Name, driver, memory and compute capability of each NVIDIA card, by the driver's own tool."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    for query in QUERIES:
        command = [tool, f"--query-gpu={query}", "--format=csv,noheader"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            continue  # the tool is there, but no driver answers it: the same as no card
        return [_labelled(line) for line in answer.stdout.splitlines() if line.strip()]
    return []


def libraries(load: Callable[[str], Any] = ctypes.CDLL) -> Libraries:
    """Load each library of CUDA that ONNX Runtime needs, from where its packages or the system have it."""
    _preload()
    found: dict[str, str] = {}
    missing: list[str] = []
    for name, file, function, digits in _files():
        try:
            found[name] = _version(load(file), function, digits)
        except (OSError, AttributeError):
            missing.append(file)
    driver = None
    with contextlib.suppress(OSError, AttributeError):
        number = ctypes.c_int()
        asked = load("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1").cuDriverGetVersion
        if asked(ctypes.byref(number)) == 0 and number.value:
            driver = number.value // 1000, number.value % 1000 // 10
    return Libraries(found, tuple(missing), driver)


def _files() -> list[tuple[str, str, str, tuple[int, int]]]:
    """What each is called, its file, the function that tells its version, and how that is written as a number."""
    windows = sys.platform == "win32"
    return [
        ("CUDA", f"cudart64_{CUDA}.dll" if windows else f"libcudart.so.{CUDA}", "cudaRuntimeGetVersion", _BY_THOUSAND),
        (
            "cuBLAS",
            f"cublasLt64_{CUDA}.dll" if windows else f"libcublasLt.so.{CUDA}",
            "cublasLtGetVersion",
            _BY_TEN_THOUSAND,
        ),
        ("cuFFT", "cufft64_12.dll" if windows else "libcufft.so.12", "cufftGetVersion", _BY_HUNDRED),
        ("cuDNN", "cudnn64_9.dll" if windows else "libcudnn.so.9", "cudnnGetVersion", _BY_TEN_THOUSAND),
    ]


def _version(library: Any, function: str, digits: tuple[int, int]) -> str:
    """Ask a library; those of CUDA's own functions that return a code write the number where they are told to."""
    asked = getattr(library, function)
    if function in ("cudnnGetVersion", "cublasLtGetVersion"):
        asked.restype = ctypes.c_size_t
        number = int(asked())
    else:
        told = ctypes.c_int()
        if asked(ctypes.byref(told)) != 0:
            raise OSError(f"{function} fails")
        number = told.value
    major, minor = digits
    return f"{number // major}.{number % major // minor}"


def _preload() -> None:
    """Have ONNX Runtime load what pip has installed beside it; it prints there what it misses, which is told here."""
    with contextlib.suppress(ImportError), contextlib.redirect_stdout(io.StringIO()):
        import onnxruntime

        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()


def _labelled(line: str) -> str:
    """A line of the tool's answer, its numbers named."""
    name, driver, memory, *capability = (part.strip() for part in line.split(","))
    told = [name, f"driver {driver}", memory, *(f"compute capability {number}" for number in capability)]
    return ", ".join(told)
