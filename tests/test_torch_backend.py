"""torch as a third opinion: the same graphs by other kernels, and the numbers of ONNX Runtime."""

import dataclasses
import json
import subprocess
import sys
import threading

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from command import fails, run, written
from semrt import engine, io, models
from semrt.backends import AUTO, Session, open_session
from semrt.backends.torch_graph import TorchGraph
from semrt.backends.torch_operators import OPERATORS
from semrt.engine.choice import choose_road
from semrt.errors import (
    DeviceUnavailable,
    InvalidShape,
    InvalidValue,
    ModelDamaged,
    ModelUnsuitable,
    OutOfMemory,
    SemrtError,
)
from semrt.models import Manifest, Reference
from semrt.report.diagnosis import diagnose
from test_gate import model, tensors
from tiny_models import box_graph, graph, manifest_for, write_model
from toy_tasks import box_model, micrograph, register

CUDA = torch.cuda.is_available()
no_cuda = pytest.mark.skipif(CUDA, reason="CUDA works here")


def rms(values):
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def tiles_of(n=2, channels=1, h=32, w=32, seed=0):
    return np.random.default_rng(seed).random((n, channels, h, w), np.float32)


@pytest.fixture
def box(tmp_path):
    """A model that averages 3 × 3 pixels."""
    return write_model(tmp_path / "box")


@pytest.mark.parametrize("name", sorted(models.available()))
def test_every_shipped_model_gives_by_torch_what_it_gives_by_onnx_runtime(name):
    folder = models.find(name)
    channels = Reference.read(folder, Manifest.read(folder)).channels
    with open_session(name, "torch:cpu", threads=1) as session, open_session(name, "cpu", threads=1) as other:
        wanted = other.run(channels)
        assert rms(session.run(channels) - wanted) <= 1e-5 * rms(wanted)
        assert "compared with the reference: relative RMS" in session.reason


@pytest.mark.parametrize(
    ("name", "precision"),
    [(name, of) for name in sorted(models.available()) for of in sorted(Manifest.read(models.find(name)).variants)],
)
def test_every_variant_that_ships_passes_the_same_comparison(name, precision):
    with open_session(name, "torch:cpu", threads=1, precision=precision) as session:
        assert session.precision == precision
        assert "compared with the reference: relative RMS" in session.reason


RANDOM = np.random.default_rng(1)
KERNEL = {"k": RANDOM.standard_normal((4, 2, 3, 3)).astype(np.float32), "b": RANDOM.standard_normal(4).astype("f4")}
SINGLE = {"k": RANDOM.standard_normal((4, 1, 3, 2)).astype(np.float32)}


EIGHT = RANDOM.integers(-128, 128, (3, 2, 4, 5)).astype(np.int8)
SCALES, ZEROS = np.float32([0.01, 0.2, 0.03]), np.int8([0, -7, 100])
HALVES = np.arange(-24, 24, dtype=np.float32).reshape(1, 2, 4, 6) / 2


def whole(*values):
    return np.array(values, np.int64)


CASES = {
    "Add": ("x c", {"c": np.float32(3)}, {}),
    "Add, itself": ("x x", {}, {}),
    "Cast": ("x", {}, {"to": 10}),
    "Clip": ("x lo hi", {"lo": np.float32(-0.25), "hi": np.float32(0.5)}, {}),
    "Clip, below": ("x lo", {"lo": np.float32(-0.25)}, {}),
    "Concat": ("x c x", {"c": np.ones((2, 3, 8, 12), np.float32)}, {"axis": 1}),
    "Conv": ("x k b", KERNEL, {"pads": [1, 1, 1, 1]}),
    "Conv, in steps, farther apart, padded to one side": (
        "x k b",
        KERNEL,
        {"pads": [0, 2, 3, 1], "strides": [2, 3], "dilations": [2, 1]},
    ),
    "Conv, each channel alone": ("x k", SINGLE, {"group": 2}),
    "DepthToSpace": ("c4", {"c4": RANDOM.random((2, 8, 3, 5)).astype(np.float32)}, {"blocksize": 2}),
    "DepthToSpace, by columns": (
        "c4",
        {"c4": RANDOM.random((2, 8, 3, 5)).astype(np.float32)},
        {"blocksize": 2, "mode": "CRD"},
    ),
    "DequantizeLinear": ("i s z", {"i": EIGHT, "s": np.float32(0.1), "z": np.int8(-3)}, {}),
    "DequantizeLinear, for each of the first": ("i s z", {"i": EIGHT, "s": SCALES, "z": ZEROS}, {"axis": 0}),
    "DequantizeLinear, of sums": ("i s", {"i": EIGHT.astype(np.int32) << 22, "s": np.float32(1e-6)}, {}),
    "Exp": ("x", {}, {}),
    "Gather": ("x i", {"i": whole(1, -2, 1)}, {"axis": 1}),
    "Gather, from the last axis": ("x i", {"i": whole(3)}, {"axis": -1}),
    "LeakyRelu": ("x", {}, {"alpha": 0.2}),
    "LeakyRelu, as usual": ("x", {}, {}),
    "Mul": ("x c", {"c": RANDOM.standard_normal((2, 1, 1)).astype(np.float32)}, {}),
    "QuantizeLinear": ("x s z", {"s": np.float32(0.01), "z": np.int8(5)}, {}),
    "QuantizeLinear, halves": ("x4 s z", {"x4": HALVES, "s": np.float32(1), "z": np.uint8(9)}, {}),
    "QuantizeLinear, from zero": ("x s", {"s": np.float32(0.02)}, {}),
    "QuantizeLinear, for each channel": ("x s z", {"s": SCALES[:2], "z": ZEROS[:2]}, {"axis": 1}),
    "Relu": ("x", {}, {}),
    "Sigmoid": ("x", {}, {}),
    "Slice": ("x s e a t", {"s": whole(-9, 1), "e": whole(1 << 60, -2), "a": whole(3, 2), "t": whole(2, 3)}, {}),
    "Slice, from the first axis": ("x s e", {"s": whole(0, 1), "e": whole(1, 2)}, {}),
    "SpaceToDepth": ("x", {}, {"blocksize": 2}),
    "Split": ("x", {}, {"axis": 3, "num_outputs": 2}),
    "Split, as told": ("x z", {"z": whole(3, 5)}, {"axis": 2}),
}


def single(operator, inputs, constants, attributes):
    """The bytes of a graph of one node, whose result goes on as float32 of whatever shape."""
    gives = ["first", "last"] if operator == "Split" else ["last"]
    nodes = [
        helper.make_node(operator, inputs.split(" "), gives, **attributes),
        helper.make_node("Cast", gives[-1:], ["y"], to=1),
    ]
    body = helper.make_graph(
        nodes,
        "single",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list("nchw"))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list("abcd"))],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


def opened(onnx, tmp_path):
    return TorchGraph.read(onnx, manifest_for(onnx), tmp_path / "single.onnx", torch.device("cpu"))


@pytest.mark.parametrize("case", CASES)
def test_each_operator_gives_what_onnx_runtime_gives(case, tmp_path):
    onnx = single(case.partition(",")[0], *CASES[case])
    x = RANDOM.standard_normal((2, 2, 8, 12)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    got = opened(onnx, tmp_path)(torch.from_numpy(x)).numpy()
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


def test_every_operator_has_been_compared():
    assert {case.partition(",")[0] for case in CASES} == set(OPERATORS)


@pytest.mark.parametrize(
    ("operator", "inputs", "constants", "attributes", "why"),
    [
        ("Erf", "x", {}, {}, "operator Erf is unknown here"),
        ("Cast", "x", {}, {"to": 7}, "operator Cast to type 7"),
        ("Conv", "x k b", KERNEL, {"auto_pad": "SAME_UPPER"}, "operator Conv with auto_pad"),
        ("Slice", "x s e a t", dict(zip("seat", map(whole, (7, 0, 3, -1)), strict=True)), {}, "Slice backwards"),
        ("QuantizeLinear", "x s", {"s": np.float32(1)}, {"saturate": 0}, "operator QuantizeLinear with saturate"),
        ("Clip", "x x", {}, {}, "operator Clip with parameters that the graph computes"),
        ("Clip", "x  hi", {"hi": np.float32(1)}, {}, "operator Clip with an input left out"),
    ],
)
def test_what_torch_is_not_told_how_to_compute_is_named_in_a_line(
    operator, inputs, constants, attributes, why, tmp_path
):
    onnx = single(operator, inputs, constants, attributes)
    folder = write_model(tmp_path, onnx)
    with pytest.raises(ModelUnsuitable, match=why) as caught:
        open_session(folder, "torch:cpu")
    assert "box.onnx: torch cannot take this graph" in str(caught.value)
    assert "choose --device cpu" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_session_says_where_it_runs_and_what(box):
    with open_session(box, "torch:cpu", threads=1) as session:
        assert isinstance(session, Session)
        assert session.device == "torch:cpu"
        assert session.reason.startswith("torch:cpu, as asked")
        assert session.runtime == f"torch {torch.__version__}"
        assert (session.threads, session.precision) == (1, "fp32")
        assert session.sha256 == session.manifest.sha256


def test_the_provenance_of_a_result_names_torch(tmp_path, monkeypatch):
    register(monkeypatch)
    measured = micrograph()
    with open_session(box_model(tmp_path), "torch:cpu") as session, open_session(tmp_path, "cpu") as other:
        result, wanted = (engine.infer(measured, model, tile=32) for model in (session, other))
    np.testing.assert_allclose(result.intensity, wanted.intensity, atol=1e-6)
    assert result.provenance["device"]["used"] == "torch:cpu"
    assert result.provenance["software"]["runtime"].startswith("torch ")


def test_a_batch_is_as_large_as_suits_the_processor(tmp_path, monkeypatch):
    register(monkeypatch)
    with open_session(box_model(tmp_path, tile=1024), "torch:cpu") as session:
        assert choose_road(session).batch == 1  # a thousand by a thousand px at once, as ONNX Runtime there


def test_auto_never_takes_torch():
    assert not any(kind.startswith("torch") for kind in AUTO)


def test_wrong_numbers_are_refused_as_those_of_any_other(tmp_path):
    right = tensors()
    folder = model(tmp_path, box_graph(), dataclasses.replace(right, estimate=right.estimate * np.float32(1.02)))
    with pytest.raises(DeviceUnavailable, match=r"box in fp32 gives other numbers.*at most 0\.0001.*--device cpu"):
        open_session(folder, "torch:cpu")


def test_any_number_of_tiles_and_any_thread_gets_its_own_numbers(box):
    tiles = tiles_of(11, h=24)
    with open_session(box, "torch:cpu", threads=1) as session:
        wanted = np.concatenate([session.run(tile[np.newaxis]) for tile in tiles])
        results = {}
        threads = [threading.Thread(target=lambda k=k: results.update({k: session.run(tiles)})) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for k in range(4):
        np.testing.assert_allclose(results[k], wanted, rtol=0, atol=1e-6)


def test_a_session_leaves_the_threads_of_torch_as_they_were(box):
    before = torch.get_num_threads()
    with open_session(box, "torch:cpu", threads=before + 1) as session:
        session.run(tiles_of())
    assert torch.get_num_threads() == before


def test_tiles_of_another_shape_or_kind_and_closed_sessions_are_refused(box):
    with open_session(box, "torch:cpu") as session:
        with pytest.raises(
            InvalidShape, match=r"tiles: expected shape \(n, 1, a multiple of 4, a multiple of 4\), got"
        ):
            session.run(tiles_of(h=30))
        with pytest.raises(InvalidValue, match="expected float32, got float64"):
            session.run(tiles_of().astype(float))
    with pytest.raises(SemrtError, match="box: the session is closed"):
        session.run(tiles_of())


@pytest.mark.parametrize(
    ("onnx", "changes", "message"),
    [
        (box_graph()[:60], {}, r"box\.onnx: the model is damaged"),
        (box_graph(), {"input": "image"}, "expected input 'image', got 'x'"),
        (box_graph(), {"output": "image"}, "expected output 'image', got 'y'"),
    ],
)
def test_a_graph_that_is_not_the_one_described_is_damaged(tmp_path, onnx, changes, message):
    with pytest.raises(ModelDamaged, match=message):
        open_session(write_model(tmp_path, onnx, **changes), "torch:cpu")


def test_a_network_that_changes_the_size_of_its_tiles_is_refused(tmp_path):
    node = helper.make_node("Slice", ["x", "s", "e"], ["y"])
    folder = write_model(tmp_path, graph([node], {"s": whole(0, 0, 0), "e": whole(9, 9, 8)}))
    with (
        open_session(folder, "torch:cpu") as session,
        pytest.raises(ModelDamaged, match=r"y: expected shape \(2, 1, 32, 32\), got \(2, 1, 8, 32\)"),
    ):
        session.run(tiles_of())


def test_too_little_memory_is_told_with_the_cure(tmp_path):
    far = 1 << 22  # sixteen tebibytes of padding, to one side so that it is made at all
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[far, far, 0, 0])]
    folder = write_model(tmp_path, graph(nodes, {"w": np.ones((1, 1, 1, 1), np.float32)}))
    with (
        open_session(folder, "torch:cpu") as session,
        pytest.raises(OutOfMemory, match="out of memory on torch:cpu; use a smaller --tile or --batch"),
    ):
        session.run(tiles_of(1))


@no_cuda
@pytest.mark.parametrize("device", ["torch:cuda", "torch:cuda:3"])
def test_a_card_that_torch_does_not_see_is_refused_in_a_line(box, device):
    with pytest.raises(DeviceUnavailable, match=r"sees 0 CUDA devices; install .*--device torch:cpu") as caught:
        open_session(box, device)
    assert f"device '{device if device[-1] == '3' else device + ':0'}' cannot be used" in str(caught.value)


@pytest.mark.parametrize("package", ["torch", "onnx"])
def test_without_a_package_one_line_names_the_extra(box, package):
    code = """
import sys
sys.modules[sys.argv[2]] = None  # what import finds where it is not installed
from semrt.backends import open_session
from semrt.errors import MissingDependency
try:
    open_session(sys.argv[1], "torch:cpu")
except MissingDependency as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(box), package], capture_output=True, text=True, check=True)
    wanted = f'device torch:cpu needs {package}, which is not installed; run: pip install "semrt[torch]"'
    assert done.stdout.strip() == wanted


def test_a_processor_session_loads_neither_torch_nor_onnx(box):
    code = """
import sys
from semrt.backends import open_session
open_session(sys.argv[1], "cpu").close()
print([name for name in ("torch", "onnx") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code, str(box)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_knows_the_device(tmp_path):
    scan = written(tmp_path / "s.npz")
    image = tmp_path / "image.tif"
    io.write(image, micrograph(64, 64))
    done = run("infer", "columns", image, "-o", tmp_path, "--device", "torch:cpu", "--threads", 1, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["results"][0]["device"]["used"] == "torch:cpu"
    assert "with columns on torch:cpu, as asked; compared with the reference" in done.stderr
    for wrong in ("torch", "torch:cpu:0", "torch:tpu"):
        assert fails(run("infer", "infill", scan, "--device", wrong), 2, "choose from: auto, cpu", "torch:cuda:N")
    refused = run("infer", "kriging", scan, "--device", "torch:cpu")
    assert fails(refused, 2, "kriging is no network and runs on the cpu")


def test_doctor_tries_torch_where_it_is_installed():
    (found,) = (finding for finding in diagnose() if finding.what.startswith("torch:"))
    if not CUDA:
        assert (found.what, found.state) == ("torch:cpu", "ok")
        assert found.detail.startswith(f"torch {torch.__version__} ran ")
        assert " on torch:cpu, first tile" in found.detail
