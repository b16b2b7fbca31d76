"""The kernels' tests once more, with AddressSanitizer and UndefinedBehaviorSanitizer watching."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11
import pytest

ROOT = Path(__file__).parents[1]
KERNEL_TESTS = ["scan_path", "scan_motion", "rasterise", "fill", "kriging", "hough", "column_fit", "blend"]
KERNEL_TESTS += ["tilt", "tilt_solvers", "layer_kernels", "layer_sharpening"]


def gcc_library(name):
    """Where gcc keeps a runtime library, or None."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        return None
    found = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return found if Path(found).is_absolute() else None


@pytest.mark.slow
@pytest.mark.skipif(gcc_library("libasan.so") is None, reason="needs gcc's AddressSanitizer")
def test_no_kernel_steps_out_of_bounds_or_relies_on_undefined_behaviour(tmp_path):
    package = tmp_path / "site" / "semrt"
    shutil.copytree(ROOT / "semrt", package, ignore=shutil.ignore_patterns("_core*.so", "__pycache__", "*.onnx"))
    subprocess.run(
        [
            *("cmake", "-S", str(ROOT), "-B", str(tmp_path / "build"), "-DSEMRT_SANITIZE=ON", "-DSEMRT_WERROR=ON"),
            *("-DCMAKE_BUILD_TYPE=RelWithDebInfo", f"-DPython_EXECUTABLE={sys.executable}"),
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
        ],
        check=True,
        capture_output=True,
    )
    subprocess.run(["cmake", "--build", str(tmp_path / "build"), "--parallel", "2"], check=True, capture_output=True)
    (core,) = (tmp_path / "build").glob("_core*.so")
    shutil.copy(core, package)

    environment = os.environ | {
        "PYTHONPATH": str(package.parent),
        "LD_PRELOAD": f"{gcc_library('libasan.so')} {gcc_library('libstdc++.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter's own, at exit
    }
    tests = [str(ROOT / "tests" / f"test_{name}.py") for name in KERNEL_TESTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *tests],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
