"""Whether ONNX Runtime can use an NVIDIA card, asked before and checked after: it falls back to the CPU in silence."""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from semrt.backends.onnxruntime_memory import Memory, PinnedMemory, loaded_runtime
from semrt.errors import DeviceUnavailable

__all__ = [
    "PROVIDER",
    "host_memory",
    "placement",
    "provider_options",
    "require_placement",
    "require_provider",
    "telling_phrase",
]

PROVIDER = "CUDAExecutionProvider"
HEAVY = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Resize"})  # nodes that decide how fast a network is

_REINSTALL = 'run: pip uninstall -y onnxruntime onnxruntime-gpu, then: pip install "semrt[gpu]"; or choose --device cpu'
_DRIVER = "install the NVIDIA driver, or choose --device cpu"
_ON_CPU = "choose --device cpu"


def require_provider(onnxruntime: Any, device: str) -> None:
    """Load CUDA's libraries and the provider; raises DeviceUnavailable with the library that is missing.

    onnxruntime: the module.  get_available_providers() alone names what was compiled in, not what works.
    """
    if PROVIDER not in onnxruntime.get_available_providers():
        raise DeviceUnavailable(device, _why_no_provider(onnxruntime), _REINSTALL)
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints there what it misses; the loader below says it too
            onnxruntime.preload_dlls()
    folder = Path(onnxruntime.__file__).parent / "capi"
    prefix, suffix = ("", ".dll") if sys.platform == "win32" else ("lib", ".so")
    try:
        for name in ("shared", "cuda"):
            library = folder / f"{prefix}onnxruntime_providers_{name}{suffix}"
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL if name == "shared" else ctypes.DEFAULT_MODE)
    except OSError as error:
        missing_driver = "libcuda.so" in str(error) or "nvcuda.dll" in str(error)
        raise DeviceUnavailable(device, error, _DRIVER if missing_driver else _REINSTALL) from error


def provider_options(index: int, gpu_memory: int | None = None) -> dict[str, str]:
    """Give the options of the CUDA provider for fixed tile shapes, with float32 that is float32.

    gpu_memory: bytes of the card that weights and tiles may take; what CUDA's own libraries take comes on top.
    """
    limit = {} if gpu_memory is None else {"gpu_mem_limit": str(gpu_memory)}
    return limit | {
        "device_id": str(index),
        "cudnn_conv_algo_search": "HEURISTIC",  # the exhaustive default costs half a second for each new shape
        "arena_extend_strategy": "kSameAsRequested",  # powers of two would waste up to half of a small card
        "use_tf32": "0",  # else ten bits of mantissa, and other results than on the CPU
    }


def host_memory(index: int) -> Memory:
    """Memory for what is copied to and from a card; page-locked where CUDA's runtime can be found."""
    library = loaded_runtime()
    return Memory() if library is None else PinnedMemory(library, index)


def require_placement(graph: Any, provider: str, device: str) -> None:
    """Check that the opened graph runs where it was asked to; raises DeviceUnavailable when it fell back.

    graph: an InferenceSession, opened with session.record_ep_graph_assignment_info = 1.
    """
    if provider not in graph.get_providers():
        raise DeviceUnavailable(device, f"ONNX Runtime opened {', '.join(graph.get_providers())} instead", _ON_CPU)
    elsewhere = Counter(op for op, used in placement(graph) if op in HEAVY and used != provider)
    if elsewhere:
        nodes = ", ".join(f"{count} {op}" for op, count in sorted(elsewhere.items()))
        raise DeviceUnavailable(device, f"ONNX Runtime would run {nodes} on the CPU", _ON_CPU)


def placement(graph: Any) -> list[tuple[str, str]]:
    """List operator and provider of each node; empty where this ONNX Runtime is too old to tell."""
    if not hasattr(graph, "get_provider_graph_assignment_info"):
        return []
    return [
        (node.op_type, part.ep_name) for part in graph.get_provider_graph_assignment_info() for node in part.get_nodes()
    ]


def telling_phrase(error: Exception) -> str:
    """Cut the one telling phrase out of ONNX Runtime's message."""
    found = re.search(r"(?:CUDA|CUDNN|CUBLAS) failure [^;]*", str(error))
    return found[0].strip() if found else str(error)


def _why_no_provider(onnxruntime: Any) -> str:
    """Tell the two distributions of one module apart by what pip left beside it: importlib.metadata takes 15 ms."""
    beside = Path(onnxruntime.__file__).parents[1]
    both = all(any(beside.glob(f"{name}-*.dist-info")) for name in ("onnxruntime", "onnxruntime_gpu"))
    why = "onnxruntime was installed over onnxruntime-gpu" if both else "this onnxruntime is the one for CPUs"
    return f"{why}, without a CUDA provider"
