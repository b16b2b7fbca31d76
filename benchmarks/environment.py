"""What a figure was measured on: printed at the head of every benchmark."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["describe_machine"]

PACKAGES = (
    "semrt",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "opencv-python-headless",
    "scipy",
    "scikit-image",
    "trackpy",
    "photutils",
    "atomap",
    "torch",
)


def describe_machine() -> dict[str, object]:
    """Processor, cores this process may use, how busy they are, system, Python and package versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
