"""semrt doctor on cards: what the driver's tool says of them, which of CUDA's libraries load, and what mends it.

Where there is no card, small libraries that tell a version stand in the place of NVIDIA's, and a script in that of the
driver's tool; how semrt finds, loads and asks them is as ever.
"""

import ctypes
import os
import shutil
import subprocess
import sys

import pytest

from command import run
from semrt.report import diagnosis
from semrt.report.graphics import Libraries, cards, libraries

COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stand-ins are made for Linux")

SOURCES = {
    "libcudart.so.13": "int cudaRuntimeGetVersion(int *v) { *v = 13010; return 0; }",
    "libcublasLt.so.13": "unsigned long cublasLtGetVersion(void) { return 130100; }",
    "libcufft.so.12": "int cufftGetVersion(int *v) { *v = 12100; return 0; }",
    "libcudnn.so.9": "unsigned long cudnnGetVersion(void) { return 91002; }",
    "libcuda.so.1": "int cuDriverGetVersion(int *v) { *v = 13000; return 0; }",
}
FOUND = {"CUDA": "13.1", "cuBLAS": "13.1", "cuFFT": "12.1", "cuDNN": "9.10"}


def loader(folder, **changed):
    """Loads from a folder alone.  changed: a file's name to its first dot, and what it is made of instead, or None."""
    for name, source in SOURCES.items():
        code = changed.get(name.split(".")[0], source)
        if code is None:
            continue
        (folder / "stub.c").write_text(code)
        command = [COMPILER, "-shared", "-fPIC", "-o", folder / name, folder / "stub.c"]
        subprocess.run(command, check=True, capture_output=True)
    return lambda name: ctypes.CDLL(str(folder / name))


@pytest.mark.skipif(COMPILER is None, reason="no C compiler for the stand-ins")
def test_the_versions_are_those_that_the_libraries_tell(tmp_path):
    told = libraries(loader(tmp_path))
    assert told == Libraries(FOUND, (), (13, 0))
    assert not told.too_old
    assert diagnosis._cuda(told).state == "ok"


@pytest.mark.skipif(COMPILER is None, reason="no C compiler for the stand-ins")
def test_a_library_that_does_not_load_is_named_with_what_installs_it(tmp_path):
    told = libraries(loader(tmp_path, libcudnn=None, libcublasLt="int other;"))
    assert told.missing == ("libcublasLt.so.13", "libcudnn.so.9")  # one is not there, the other something else
    found = diagnosis._cuda(told)
    assert found.state == "note"
    assert "libcudnn.so.9 does not load" in found.detail
    assert found.cure == 'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "semrt[gpu]"'


@pytest.mark.skipif(COMPILER is None, reason="no C compiler for the stand-ins")
def test_a_driver_that_knows_only_an_older_cuda_is_to_be_replaced(tmp_path):
    told = libraries(loader(tmp_path, libcuda="int cuDriverGetVersion(int *v) { *v = 12040; return 0; }"))
    assert told.driver == (12, 4)
    found = diagnosis._cuda(told)
    assert "driver for CUDA up to 12.4, and 13.0 is needed" in found.detail
    assert found.cure == "install the NVIDIA driver 580 or newer"


def test_without_a_driver_that_is_what_is_told():
    def nothing(name):
        raise OSError(name)

    told = libraries(nothing)
    assert (told.found, told.driver) == ({}, None)
    assert len(told.missing) == 4
    assert diagnosis._cuda(told).cure.startswith("install the NVIDIA driver")


def tool(folder, script):
    """In the place of nvidia-smi."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


CARD = "NVIDIA H200, 580.82.07, 143771 MiB"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (f'echo "{CARD}, 9.0"', ["NVIDIA H200, driver 580.82.07, 143771 MiB, compute capability 9.0"]),
        # An old tool does not know of compute capabilities, and answers with an error.
        (
            f'case "$1" in *compute_cap*) exit 2;; esac; echo "{CARD}"',
            ["NVIDIA H200, driver 580.82.07, 143771 MiB"],
        ),
        ("echo no devices were found; exit 6", []),
    ],
)
def test_the_drivers_tool_is_asked_for_the_cards(tmp_path, monkeypatch, script, told):
    tool(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert cards() == told


def test_a_shipped_model_that_is_damaged_is_mended_by_installing_again(tmp_path, monkeypatch):
    from semrt import models
    from tiny_models import write_model

    (write_model(tmp_path / "broken") / "box.onnx").write_bytes(b"changed")
    for shipped, cure in ((True, "pip install --force-reinstall"), (False, "semrt models verify broken")):
        there = {"broken": tmp_path / "broken"}
        monkeypatch.setattr(models, "shipped", lambda shipped=shipped, there=there: there if shipped else {})
        monkeypatch.setattr(models, "available", lambda there=there: there)
        (found,) = (one for one in diagnosis.diagnose() if one.what == "model broken")
        assert found.state == "fault"
        assert found.cure.startswith(cure)


@pytest.mark.usefixtures("engine_cache", "standin")
def test_an_engine_that_was_built_is_opened_and_run(tmp_path, monkeypatch):
    from semrt import models
    from standin_toolchain import box_model, build

    monkeypatch.setattr(models, "available", lambda: {"box": tmp_path / "box"})
    build(box_model(tmp_path / "box"))
    lines = run("doctor").stdout.splitlines()
    (line,) = (line for line in lines if "device tensorrt" in line)
    assert line.startswith("ok")
    assert "tensorrt 11.4.0.106 on Stand-in ran box on tensorrt:0" in line
