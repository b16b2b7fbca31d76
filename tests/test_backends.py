"""Backends: the numbers that the network means, on the device that the session names, or one line that says why not."""

import subprocess
import sys
import threading
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from scipy.ndimage import uniform_filter

from semrt.backends import BACKENDS, Session, open_session, parse_device, warm_up
from semrt.backends import onnxruntime_cuda as cuda
from semrt.backends.cores import physical_cores
from semrt.errors import (
    DeviceUnavailable,
    InvalidOption,
    InvalidShape,
    InvalidValue,
    ModelDamaged,
    ModelNotFound,
    OutOfMemory,
    SemrtError,
)
from tiny_models import box_graph, graph, write_model


def cuda_works():
    try:
        cuda.require_provider(onnxruntime, "cuda")
    except DeviceUnavailable:
        return False
    return True


CUDA = cuda_works()
no_cuda = pytest.mark.skipif(CUDA, reason="CUDA works here")
needs_cuda = pytest.mark.skipif(not CUDA, reason="no CUDA here")


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """A model that averages 3 × 3 pixels."""
    return write_model(tmp_path_factory.mktemp("box µ"))


@pytest.fixture(scope="module")
def session(box):
    with open_session(box, "cpu") as session:
        yield session


def tiles_of(n=2, channels=1, h=32, w=32, seed=0):
    return np.random.default_rng(seed).random((n, channels, h, w), np.float32)


def test_a_session_computes_what_the_graph_says(session):
    tiles = tiles_of()
    wanted = [[uniform_filter(plane.astype(float), 3, mode="constant") for plane in tile] for tile in tiles]
    np.testing.assert_allclose(session.run(tiles), wanted, atol=1e-6)


@settings(deadline=None, max_examples=15)
@given(n=st.integers(1, 20), h=st.integers(1, 6), w=st.integers(1, 6))
def test_any_number_of_tiles_gives_what_each_gives_alone(session, n, h, w):
    tiles = tiles_of(n, h=4 * h, w=4 * w)
    alone = np.concatenate([session.run(tile[np.newaxis]) for tile in tiles])
    np.testing.assert_allclose(session.run(tiles), alone, rtol=0, atol=1e-6)


def test_a_graph_for_single_tiles_takes_many(tmp_path):
    with open_session(write_model(tmp_path, box_graph(batch=1, side=32)), "cpu") as session:
        assert session.run(tiles_of(3)).shape == (3, 1, 32, 32)


def test_the_batches_have_no_other_sizes_than_the_manifest_allows(tmp_path):
    # The graph adds to each tile how many tiles came with it.
    nodes = [
        helper.make_node("Shape", ["x"], ["n"], start=0, end=1),
        helper.make_node("Cast", ["n"], ["count"], to=1),
        helper.make_node("Mul", ["x", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "count"], ["y"]),
    ]
    onnx = graph(nodes, {"zero": np.float32(0)})
    with open_session(write_model(tmp_path, onnx, batch=[1, 2, 4, 8]), "cpu") as session:
        assert session.run(tiles_of(15))[:, 0, 0, 0].tolist() == [8] * 8 + [4] * 4 + [2] * 2 + [1]


def test_a_session_says_where_it_runs_and_what(session, box):
    assert isinstance(session, Session)
    assert session.device == "cpu"
    assert session.reason == "cpu, as asked"
    assert session.runtime == f"onnxruntime {onnxruntime.__version__}"
    assert session.precision == "fp32"
    assert session.sha256 == session.manifest.sha256
    assert session.threads == physical_cores()


def test_tiles_in_any_memory_order_give_the_same(session):
    tiles = tiles_of(2, h=8, w=12)
    turned = np.ascontiguousarray(tiles.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    assert not turned.flags.c_contiguous
    np.testing.assert_array_equal(session.run(turned), session.run(tiles))


@pytest.mark.parametrize(
    "shape", [(32, 32), (1, 32, 32), (0, 1, 32, 32), (1, 2, 32, 32), (1, 1, 30, 32), (1, 1, 32, 0)]
)
def test_tiles_of_another_shape_are_refused_before_the_network_sees_them(session, shape):
    with pytest.raises(InvalidShape, match=r"tiles: expected shape \(n, 1, a multiple of 4, a multiple of 4\), got"):
        session.run(np.zeros(shape, np.float32))


def test_a_graph_of_one_size_refuses_others(tmp_path):
    with (
        open_session(write_model(tmp_path, box_graph(side=32)), "cpu") as session,
        pytest.raises(InvalidShape, match=r"\(n, 1, 32, 32\), got \(1, 1, 64, 64\)"),
    ):
        session.run(tiles_of(1, h=64, w=64))


def test_tiles_of_another_dtype_are_refused(session):
    with pytest.raises(InvalidValue, match="expected float32, got float64"):
        session.run(np.zeros((1, 1, 32, 32)))


def test_several_threads_may_run_one_session(session):
    tiles = tiles_of(4)
    wanted = session.run(tiles)
    results = {}
    threads = [threading.Thread(target=lambda k=k: results.update({k: session.run(tiles)})) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results.values():
        np.testing.assert_array_equal(result, wanted)


def test_the_number_of_threads_is_the_one_asked_for_and_changes_no_number(box, session):
    with open_session(box, "cpu", threads=1) as single:
        assert single.threads == 1
        np.testing.assert_allclose(single.run(tiles_of(8)), session.run(tiles_of(8)), rtol=0, atol=1e-6)


def test_a_closed_session_says_so(box):
    with open_session(box, "cpu") as session:
        session.run(tiles_of())
    session.close()
    with pytest.raises(SemrtError, match="box: the session is closed"):
        session.run(tiles_of())


def test_warming_up_takes_the_time_of_one_call(session):
    assert 0 < warm_up(session, batch=2) < 60
    with pytest.raises(InvalidShape):
        warm_up(session, tile=30)


def test_a_file_that_changed_by_one_bit_is_never_run(tmp_path):
    folder = write_model(tmp_path)
    content = bytearray((folder / "box.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "box.onnx").write_bytes(content)
    with pytest.raises(ModelDamaged, match=r"box\.onnx: the model is damaged \(expected sha256"):
        open_session(folder, "cpu")


@pytest.mark.parametrize("length", [0, 40, 150])
def test_a_truncated_graph_is_a_damaged_model_even_with_its_own_hash(tmp_path, length):
    folder = write_model(tmp_path, box_graph()[:length])
    with pytest.raises(ModelDamaged, match=r"box\.onnx") as caught:
        open_session(folder, "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("onnx", "changes", "message"),
    [
        (box_graph(), {"input": "image"}, "expected input 'image', got 'x'"),
        (box_graph(), {"output": "image"}, "expected output 'image', got 'y'"),
        (box_graph(channels=2), {}, r"input 'x': expected \(n, 1, h, w\) of float, got \('n', 2, 'h', 'w'\)"),
        (box_graph(out_channels=2), {}, r"output 'y': expected \(n, 1, h, w\)"),
        (box_graph(batch=4), {}, r"input 'x': expected \(n, 1, h, w\) of float, got \(4, 1"),
    ],
)
def test_a_graph_that_is_not_the_one_described_is_refused_when_opened(tmp_path, onnx, changes, message):
    with pytest.raises(ModelDamaged, match=message):
        open_session(write_model(tmp_path, onnx, **changes), "cpu")


def test_a_network_that_changes_the_size_of_its_tiles_is_refused(tmp_path):
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    with (
        open_session(write_model(tmp_path, graph([node], {})), "cpu") as session,
        pytest.raises(ModelDamaged, match=r"y: expected shape \(2, 1, 32, 32\), got \(2, 1, 16, 16\)"),
    ):
        session.run(tiles_of())


def test_too_little_memory_is_told_with_the_cure(tmp_path):
    nodes = [
        helper.make_node("Expand", ["x", "to"], ["wide"]),  # to a thousand tebibytes
        helper.make_node("ReduceSum", ["wide", "channels"], ["y"], keepdims=1),
    ]
    onnx = graph(nodes, {"to": np.array([1, 1 << 38, 1, 1]), "channels": np.array([1])})
    with (
        open_session(write_model(tmp_path, onnx), "cpu") as session,
        pytest.raises(OutOfMemory, match="out of memory on cpu; use a smaller --tile or --batch") as caught,
    ):
        session.run(tiles_of())
    assert caught.value.exit_code == 6


def test_a_variant_runs_when_asked_for(tmp_path):
    doubled = box_graph(gain=2.0)
    folder = write_model(tmp_path / "doubled", doubled)
    whole = write_model(
        tmp_path / "model",
        variants={"fp16": {"onnx": "double.onnx", "sha256": open_session(folder, "cpu").sha256}},
    )
    (whole / "double.onnx").write_bytes(doubled)
    tiles = tiles_of()
    with open_session(whole, "cpu") as single, open_session(whole, "cpu", precision="fp16") as variant:
        assert variant.precision == "fp16"
        assert variant.sha256 != single.sha256
        np.testing.assert_allclose(variant.run(tiles), 2 * single.run(tiles), rtol=1e-6)


def test_a_model_that_is_not_there_is_not_found():
    with pytest.raises(ModelNotFound):
        open_session("no such model", "cpu")


@pytest.mark.parametrize("device", ["gpu", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "", "trt"])
def test_a_device_that_nobody_knows_is_a_wrong_option(box, device):
    with pytest.raises(InvalidOption, match="is unknown; choose from: auto, cpu, cuda, cuda:N"):
        open_session(box, device)


def test_devices_are_read_with_their_number():
    assert str(parse_device("cpu", BACKENDS)) == "cpu"
    assert str(parse_device("cuda", BACKENDS)) == "cuda:0"
    assert str(parse_device("cuda:1", BACKENDS)) == "cuda:1"


@pytest.mark.parametrize("threads", [0, -2])
def test_no_threads_are_a_wrong_option(box, threads):
    with pytest.raises(InvalidOption, match="threads: expected 1 or more"):
        open_session(box, "cpu", threads=threads)


@no_cuda
def test_cuda_where_there_is_none_is_refused_with_cause_and_cure(box):
    with pytest.raises(
        DeviceUnavailable, match=r"device 'cuda:1' cannot be used: .*CUDA.*semrt\[gpu\].*--device cpu"
    ) as caught:
        open_session(box, "cuda:1")
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("installed", "why"),
    [
        (("onnxruntime-1.25.0",), "this onnxruntime is the one for CPUs"),
        (("onnxruntime-1.25.0", "onnxruntime_gpu-1.24.1"), "onnxruntime was installed over onnxruntime-gpu"),
    ],
)
def test_an_onnxruntime_that_was_installed_over_the_one_for_gpus_is_told_from_one_for_cpus(tmp_path, installed, why):
    (tmp_path / "onnxruntime").mkdir()
    module = ModuleType("onnxruntime")  # as it lies there after both were installed: the last one wins
    module.__file__ = str(tmp_path / "onnxruntime" / "__init__.py")
    module.get_available_providers = lambda: ["CPUExecutionProvider"]
    for distribution in installed:
        (tmp_path / f"{distribution}.dist-info").mkdir()
    with pytest.raises(DeviceUnavailable, match=why):
        cuda.require_provider(module, "cuda:0")


@no_cuda
def test_auto_takes_the_cpu_where_there_is_no_cuda_and_says_why(box):
    with open_session(box) as session:
        assert session.device == "cpu"
        assert session.reason.startswith("cpu, because device 'cuda:0' cannot be used: ")
        assert "pip" not in session.reason  # nobody who asked for `auto` need install anything


@needs_cuda
@pytest.mark.gpu
def test_cuda_gives_the_numbers_of_the_cpu(box):
    tiles = tiles_of(11, h=64, w=64)
    with open_session(box) as device, open_session(box, "cpu") as cpu:
        assert device.device == "cuda:0"
        np.testing.assert_allclose(device.run(tiles), cpu.run(tiles), rtol=0, atol=1e-5)


def cpu_graph(onnx):
    recording = onnxruntime.SessionOptions()
    recording.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return onnxruntime.InferenceSession(onnx, recording, providers=["CPUExecutionProvider"])


def test_a_graph_that_fell_back_to_the_cpu_is_noticed():
    opened = cpu_graph(box_graph())
    with pytest.raises(DeviceUnavailable, match="ONNX Runtime opened CPUExecutionProvider instead"):
        cuda.require_placement(opened, "CUDAExecutionProvider", "cuda:0")


def test_where_each_node_runs_is_read_from_the_runtime():
    opened = cpu_graph(box_graph())
    assert cuda.placement(opened) == [("Conv", "CPUExecutionProvider")]
    cuda.require_placement(opened, "CPUExecutionProvider", "cpu")


def test_the_telling_phrase_is_cut_out_of_the_runtimes_message():
    message = (
        "/onnxruntime_src/cuda_execution_provider_info.cc:63 FromProviderOptions [ONNXRuntimeError] : 1 : FAIL : CUDA "
        "failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ; hostname=microscope"
    )
    wanted = "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"
    assert cuda.telling_phrase(RuntimeError(message)) == wanted
    assert cuda.telling_phrase(RuntimeError("other")) == "other"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /sys")
def test_cores_are_counted_not_their_hyperthreads(tmp_path):
    import os

    for logical in os.sched_getaffinity(0):
        topology = tmp_path / f"cpu{logical}" / "topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text("0\n")
        (topology / "core_id").write_text("5\n")  # all of them on one core
    assert physical_cores(tmp_path) == 1
    assert physical_cores(tmp_path / "hidden") == len(os.sched_getaffinity(0))


def in_a_process_of_its_own(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr == "", done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("device", ["cpu", "cuda", "auto"])
def test_without_onnxruntime_one_line_names_the_extras(box, device):
    code = """
import sys
sys.modules["onnxruntime"] = None  # what import finds where it is not installed
from semrt.backends import open_session
from semrt.errors import MissingDependency
try:
    open_session(sys.argv[1], sys.argv[2])
except MissingDependency as error:
    print(error)
"""
    told = in_a_process_of_its_own(code, str(box), device)
    assert "onnxruntime, which is not installed" in told
    assert 'pip install "semrt[' in told
    assert "extra cpu, or gpu" in told
    assert len(told.splitlines()) == 1


def test_nothing_leaks_to_stderr_or_stdout_when_sessions_open_and_fail(box, tmp_path):
    broken = write_model(tmp_path, box_graph()[:60])
    code = """
import sys
from semrt.backends import open_session
from semrt.errors import SemrtError
for model, device in ((sys.argv[1], "auto"), (sys.argv[1], "cuda:7"), (sys.argv[2], "cpu")):
    try:
        open_session(model, device).close()
    except SemrtError:
        pass
"""
    assert in_a_process_of_its_own(code, str(box), str(broken)) == ""
