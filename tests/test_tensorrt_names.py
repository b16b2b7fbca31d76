"""What semrt calls in TensorRT 11 and cuda-bindings is there; and where there is no card, one line says so.

The real modules, without a card: the libraries under TensorRT's bindings are stubs that start nothing.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [ROOT / "semrt" / "backends" / f"tensorrt_{part}.py" for part in ("native", "runner", "cuda")]
USAGE = Path(__file__).with_name("tensorrt_usage.py")
COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)

STUB = """
void *createInferBuilder_INTERNAL(void *logger, int version) { return 0; }
void *createInferRefitter_INTERNAL(void *engine, void *logger, int version) { return 0; }
void *createInferRuntime_INTERNAL(void *logger, int version) { return 0; }
void *getBuilderPluginRegistry(int capability) { return 0; }
void *getPluginRegistry(void) { return 0; }
int initLibNvInferPlugins(void *logger, char const *name) { return 1; }
void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version) { return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *logger, int version) { return 0; }
int getNvOnnxParserVersion(void) { return 0; }
"""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the stubs are Linux libraries"),
    pytest.mark.skipif(COMPILER is None, reason="no C compiler for the stubs"),
    pytest.mark.skipif(
        find_spec("tensorrt_bindings") is None or find_spec("cuda") is None,
        reason=f"tensorrt-cu13-bindings and cuda-bindings are not installed ({platform.machine()})",
    ),
    pytest.mark.skipif(find_spec("tensorrt_libs") is not None, reason="TensorRT's own libraries would be loaded"),
]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """The folder of the libraries that TensorRT's bindings are linked with."""
    folder = tmp_path_factory.mktemp("stubs")
    (folder / "stub.c").write_text(STUB)
    for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        library = folder / f"lib{name}.so.11"
        command = [COMPILER, "-shared", "-fPIC", "-o", library, folder / "stub.c"]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def python(*arguments, libraries=None, **variables):
    """A process of its own: what is loaded there stays there, and it sees no card, whatever this computer has."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "SEMRT_DEBUG": "0"} | variables
    if libraries is not None:
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, [str(libraries), os.getenv("LD_LIBRARY_PATH")]))
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def usage(libraries, *paths):
    done = python(USAGE, *paths, libraries=libraries)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_everything_that_semrt_uses_of_tensorrt_and_cuda_is_there_and_takes_what_it_is_given(stubs):
    told = usage(stubs, *MODULES)
    assert told["versions"]["tensorrt"].startswith("11.")
    assert told["faults"] == []
    # What an inference that has lost its way would no longer see.
    assert {
        "Builder.build_serialized_network",
        "Builder.create_optimization_profile",
        "BuilderFlag.TF32",
        "IBuilderConfig.add_optimization_profile",
        "IBuilderConfig.clear_flag",
        "IBuilderConfig.progress_monitor set",
        "IBuilderConfig.set_timing_cache",
        "ICudaEngine.create_execution_context",
        "ICudaEngine.get_tensor_profile_shape",
        "IErrorRecorder.report_error overridden",
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.get_tensor_shape",
        "IExecutionContext.set_input_shape",
        "IExecutionContext.set_optimization_profile_async",
        "IExecutionContext.set_tensor_address",
        "INetworkDefinition.unmark_output",
        "IOptimizationProfile.set_shape",
        "IProgressMonitor.step_complete overridden",
        "ITensor.dtype",
        "ITimingCache.serialize",
        "OnnxParser.parse",
        "ParserError.desc",
        "Runtime.deserialize_cuda_engine",
        "cudaEventElapsedTime",
        "cudaEventRecordWithFlags",
        "cudaGraphInstantiate",
        "cudaGraphLaunch",
        "cudaHostAlloc",
        "cudaMemcpyAsync",
        "cudaStreamBeginCapture",
        "cudaStreamEndCapture",
    } <= set(told["found"])


FAULTY = {
    "a flag of TensorRT 10": ("flag = trt.BuilderFlag.FP16", "no FP16"),
    "a method of TensorRT 9": ("trt.Builder(log).build_engine(1)", "Builder has no build_engine"),
    "a method of what a call returns": ("trt.Builder(log).create_network(0).add_pooling(1)", "has no add_pooling"),
    "a property that is gone": ("def f(engine: trt.ICudaEngine): engine.device_memory_size", "no device_memory_size"),
    "too many arguments": ("trt.Builder(log).create_network(0, 1)", "fits none"),
    "too few arguments": ("trt.OnnxParser(network)", "fits none"),
    "a keyword of another name": (
        "def f(p: trt.IOptimizationProfile): p.set_shape('x', minimum=1, opt=2, max=3)",
        "fits none",
    ),
    "what cannot be set": ("def f(engine: trt.ICudaEngine): engine.num_layers = 3", "cannot be set"),
    "a monitor with a method too few": (
        "class M(trt.IProgressMonitor):\n    def phase_finish(self, phase_name): pass\n"
        "    def phase_start(self, phase_name, parent_phase, num_steps): pass",
        "does not override IProgressMonitor.step_complete",
    ),
    "a logger that takes one argument": (
        "class L(trt.ILogger):\n    def log(self, message): pass",
        "TensorRT passes 2",
    ),
    "a function that CUDA has not": ("cudart.cudaMemcpyAsink(1, 2, 3, 4, 5)", "no cudart.cudaMemcpyAsink"),
    "an argument that CUDA has not": ("card.call(cudart.cudaStreamSynchronize, 1, 2)", "2 arguments for"),
    "a member that CUDA has not": ("cudart.cudaMemcpyKind.cudaMemcpyUpwards", "no cudart.cudaMemcpyKind"),
}


def test_each_kind_of_fault_would_be_found(stubs, tmp_path):
    paths = []
    for number, (code, _) in enumerate(FAULTY.values()):
        paths.append(tmp_path / f"faulty{number}.py")
        paths[-1].write_text(code)
    faults = usage(stubs, *paths)["faults"]
    for number, (name, (_, told)) in enumerate(FAULTY.items()):
        assert any(f"faulty{number}.py" in fault and told in fault for fault in faults), (name, faults)


@pytest.fixture
def cache(tmp_path):
    return {"SEMRT_CACHE": str(tmp_path / "cache")}


def one_line_says(done, code, *words):
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    *before, told = done.stderr.splitlines()
    assert all(line.startswith("building infill") for line in before), done.stderr
    assert told.startswith("semrt: device 'tensorrt:0' cannot be used: ")
    for word in words:
        assert word in told
    return True


def test_without_a_card_a_build_ends_with_one_line_and_nothing_is_left(stubs, cache, tmp_path):
    done = python("-m", "semrt.cli", "build", "infill", libraries=stubs, **cache)
    assert one_line_says(done, 5, "cudaGetDeviceCount: ", "install the NVIDIA driver, or choose --device cpu")
    assert "building infill" in done.stderr  # said before TensorRT was loaded
    assert not (tmp_path / "cache").exists()


def test_without_a_card_the_device_is_refused_with_one_line(stubs, cache):
    done = python(
        "-m", "semrt.cli", "bench", "infill", "--size", "64", "--device", "tensorrt", libraries=stubs, **cache
    )
    assert one_line_says(done, 5, "cudaGetDeviceCount: ", "install the NVIDIA driver")


def test_without_its_libraries_tensorrt_is_told_to_be_incomplete_and_the_command_that_mends_it(tmp_path, cache):
    done = python("-m", "semrt.cli", "build", "infill", libraries=tmp_path, **cache)
    assert one_line_says(
        done, 5, "TensorRT does not load, lib", ".so.11", "pip install", "pypi.nvidia.com", "semrt[trt]"
    )


DOCTOR = """
import json
from dataclasses import asdict
from semrt.report.diagnosis import diagnose
print(json.dumps(asdict(next(finding for finding in diagnose() if finding.what == "tensorrt"))))
"""


def test_doctor_says_of_tensorrt_what_is_missing(stubs, tmp_path, cache):
    for libraries, words in (
        (tmp_path, ("TensorRT does not load", "pip install")),
        (stubs, ("cudaGetDeviceCount", "install the NVIDIA driver")),
    ):
        found = json.loads(python("-c", DOCTOR, libraries=libraries, **cache).stdout)
        assert found["state"] == "note"  # nobody needs it
        assert words[0] in found["detail"]
        assert words[1] in found["cure"]


START = """
import sys
import tensorrt_bindings as trt
from semrt.backends.tensorrt_native import started
from semrt.errors import DeviceUnavailable
for kind in (trt.Builder, trt.Runtime):
    try:
        started(trt, kind, "tensorrt:0")
    except DeviceUnavailable as error:
        print(error)
"""


def test_a_builder_that_does_not_start_is_told_in_words(stubs):
    done = python("-c", START, libraries=stubs)
    assert done.stderr == ""
    for line in done.stdout.splitlines():
        assert line.startswith("device 'tensorrt:0' cannot be used: TensorRT 11.")
        assert "does not start on it; update the NVIDIA driver" in line
    assert done.stdout.count("\n") == 2


CALLBACKS = """
import tensorrt_bindings as trt
from semrt.backends.tensorrt_errors import failure
from semrt.backends.tensorrt_native import _logger, _monitor, _recorder
from semrt.errors import Interrupted

recorder = _recorder(trt)
recorder.report_error(trt.ErrorCodeTRT.FAILED_ALLOCATION, "12 GiB")
assert (recorder.num_errors(), recorder.get_error_code(0).name) == (1, "FAILED_ALLOCATION")
print(failure("tensorrt:0", recorder, "no engine"), recorder.num_errors())
recorder.report_error(trt.ErrorCodeTRT.INTERNAL_ERROR, "first")
recorder.report_error(trt.ErrorCodeTRT.INTERNAL_ERROR, "then")
print(failure("tensorrt:0", recorder, "no engine"))
for number in range(1000):  # no session that goes on for weeks fills the memory with them
    recorder.report_error(trt.ErrorCodeTRT.INTERNAL_ERROR, str(number))
assert recorder.has_overflowed() and recorder.num_errors() == 64 and recorder.get_error_desc(0) == "0"
recorder.clear()
assert not recorder.has_overflowed()
_logger(trt).log(trt.ILogger.Severity.ERROR, "loud")

def progress(done, total, what):
    print(done, total, what)
    if done == 50:
        raise Interrupted

monitor = _monitor(trt, progress)
monitor.phase_start("Building", None, 2)
monitor.phase_start("Timing", "Building", 4)
print([monitor.step_complete("Timing", step) for step in range(4)])
monitor.phase_finish("Timing")
print(monitor.step_complete("Building", 1), repr(monitor.error))
assert _logger(trt) is _logger(trt)
"""


def test_what_tensorrt_calls_back_keeps_its_errors_and_ends_it_when_progress_raises(stubs):
    done = python("-c", CALLBACKS, libraries=stubs)
    assert done.returncode == 0, done.stderr
    # Four steps within the first of two: an eighth of the whole each, and half at the end, where Ctrl-C comes.
    assert done.stdout.splitlines() == [
        "out of memory on tensorrt:0; use a smaller --tile or --batch 0",
        "device 'tensorrt:0' cannot be used: no engine: first; choose --device cuda or cpu",
        *(f"{percent} 100 percent, timing" for percent in (12, 25, 37, 50)),
        "[True, True, True, False]",
        "False Interrupted('interrupted')",
    ]
