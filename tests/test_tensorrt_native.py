"""What semrt asks of TensorRT, from the graph to the numbers, with TensorRT and its card as toys."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from semrt.backends import Device, open_session, tensorrt, tensorrt_cuda
from semrt.backends.tensorrt_native import NativeToolchain
from semrt.backends.tensorrt_toolchain import Graph, profiles_of
from semrt.errors import DeviceUnavailable, EngineUnusable, Interrupted, ModelDamaged, ModelUnsuitable, OutOfMemory
from semrt.models import Manifest
from semrt.report.diagnosis import diagnose
from standin_toolchain import box_model, build, nothing_is_kept, tiles_of
from tiny_models import box_graph, graph, manifest_for
from toy_card import Code, ToyCuda
from toy_tensorrt import module

CARD = Device("tensorrt")


pytestmark = pytest.mark.usefixtures("engine_cache")


@pytest.fixture
def install(monkeypatch):
    """Install a toy TensorRT; what goes wrong in it is given."""

    def installed(memory=2**30, **how):
        cuda = ToyCuda(memory=memory)
        monkeypatch.setattr(tensorrt_cuda, "_cudart", lambda: cuda)
        monkeypatch.setitem(sys.modules, "tensorrt", module(cuda, **how))
        return sys.modules["tensorrt"].toy

    return installed


def made(content, manifest=None, timings=b"", progress=lambda *told: None):
    """The engine and the timings of a graph."""
    manifest = manifest or manifest_for(content)
    source = Graph("box.onnx", content, "x", "y", (len(manifest.input_channels), len(manifest.output_channels)))
    return NativeToolchain(CARD).build(source, profiles_of(manifest), timings, progress)


def test_an_engine_is_built_judged_kept_and_served_from_many_threads(tmp_path, install):
    toy = install()
    folder = box_model(tmp_path / "box")
    told = []
    built = build(folder, progress=lambda *how_far: told.append(how_far))
    assert built.new
    assert built.meta["gate"]["relative_rms"] < 1e-6
    assert (built.meta["gpu"], built.meta["capability"], built.meta["tensorrt"]) == ("Toy", "9.0", "11.4.0.106")
    assert told == [
        *((percent, 100, "percent, building engine") for percent in (25, 50, 75, 99)),
        (99, 100, "percent, comparing with the reference"),
    ]
    assert toy.cuda.nothing_is_left()
    with open_session(folder, "tensorrt") as session, open_session(folder, "cpu") as cpu:
        assert session.runtime == "tensorrt 11.4.0.106 on Toy"
        results = {}

        def work(k):
            for turn in range(5):
                tiles = tiles_of(k + turn + 1, 32, 16, seed=k)
                results[k, turn] = np.abs(session.run(tiles) - cpu.run(tiles)).max()

        threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == 15
    assert max(results.values()) < 1e-6
    assert toy.cuda.launches > 0
    assert toy.cuda.nothing_is_left()


def test_each_batch_has_a_profile_and_float32_stays_float32(install):
    toy = install()
    made(box_graph())
    (config,) = toy.configs
    assert [profile.shapes for profile in config.profiles] == [
        [(n, 1, 4, 4), (n, 1, 32, 32), (n, 1, 32, 32)] for n in (1, 2, 4, 8)
    ]
    assert {profile.name for profile in config.profiles} == {"x"}
    assert config.flags == set()  # no TF32


def test_a_graph_of_one_shape_has_one_profile_of_that_shape(install):
    toy = install()
    made(box_graph(batch=1, side=32))
    assert [profile.shapes for profile in toy.configs[0].profiles] == [[(1, 1, 32, 32)] * 3]


def test_outputs_that_nobody_asks_for_are_left_out(install):
    content = graph([helper.make_node("Identity", ["x"], ["y"])], {})
    model = onnx.load_from_string(content)
    model.graph.node.append(helper.make_node("Neg", ["x"], ["z"]))
    model.graph.output.insert(0, helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 1, "h", "w"]))
    install()
    plan, _ = made(model.SerializeToString(), manifest_for(content))
    assert b'"x", ["y", 1]' in plan.partition(b"\n")[0]


def test_timings_are_kept_from_build_to_build_and_measured_anew_where_they_are_stale(install):
    install()
    _, timed = made(box_graph())
    assert timed == b"timed"
    assert made(box_graph(), timings=timed)[1] == b"timedtimed"
    assert made(box_graph(), timings=b"no timings at all")[1] == b"timed"
    install(stale=True)
    assert made(box_graph(), timings=timed)[1] == b"timed"


def test_the_build_runs_beside_the_main_thread_which_hears_ctrl_c(install):
    toy = install()
    made(box_graph())
    assert toy.threads[0] is not threading.main_thread()


def test_a_build_that_is_interrupted_ends_with_its_next_step(tmp_path, install, engine_cache):
    install(pause=0.05)

    def interrupt(done, total, what):
        if done >= 50:
            raise Interrupted

    started = time.monotonic()
    with pytest.raises(Interrupted):
        build(box_model(tmp_path / "box"), progress=interrupt)
    assert time.monotonic() - started < 10
    assert nothing_is_kept(engine_cache)


def test_an_engine_of_other_numbers_is_not_kept(tmp_path, install, engine_cache):
    toy = install(gain=1.001)
    with pytest.raises(ModelUnsuitable, match=r"relative RMS 0\.001, at most 0\.0001"):
        build(box_model(tmp_path / "box"))
    assert nothing_is_kept(engine_cache)
    assert toy.cuda.nothing_is_left()


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (("INTERNAL_ERROR", "Could not find any implementation\nfor node Conv_0."), DeviceUnavailable, "Conv_0"),
        (("FAILED_ALLOCATION", "Requested size was 12 GiB"), OutOfMemory, "close what else uses the card"),
        (("INTERNAL_ERROR", "[defaultAllocator] Cuda Runtime (out of memory)"), OutOfMemory, "on tensorrt:0"),
    ],
)
def test_a_build_that_fails_is_told_by_its_first_error_in_one_line(install, error, kind, told):
    install(error=error)
    with pytest.raises(kind, match=told) as caught:
        made(box_graph())
    assert "\n" not in str(caught.value)
    assert "follows" not in str(caught.value)


def test_a_graph_that_tensorrt_does_not_know_is_refused_and_called_so_not_damaged(install):
    install()
    content = graph([helper.make_node("Det", ["x"], ["d"]), helper.make_node("Add", ["x", "d"], ["y"])], {})
    with pytest.raises(ModelUnsuitable, match=r"box\.onnx: TensorRT cannot take this graph \(No importer .* Det\)"):
        made(content)
    with pytest.raises(ModelUnsuitable, match=r"\(Failed to parse the ONNX model\)"):
        made(b"no graph", manifest_for(box_graph()))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (box_graph(channels=2), r"'x': expected \(n, 1, h, w\) of float, got \(-1, 2, -1, -1\)"),
        (box_graph(out_channels=2), r"'y': expected \(n, 1, h, w\) of float, got \(-1, 2, -1, -1\)"),
    ],
)
def test_a_graph_that_is_not_the_one_described_is_damaged(install, content, told):
    install()
    with pytest.raises(ModelDamaged, match=told):
        made(content)


def test_a_graph_of_other_names_or_types_is_damaged(install):
    install()
    for source, told in (
        (Graph("box.onnx", box_graph(), "image", "y", (1, 1)), "expected input 'image', got 'x'"),
        (Graph("box.onnx", box_graph(), "x", "image", (1, 1)), "expected output 'image', got 'y'"),
    ):
        with pytest.raises(ModelDamaged, match=told):
            NativeToolchain(CARD).build(source, profiles_of(manifest_for(box_graph())), b"", lambda *told: None)
    model = onnx.load_from_string(box_graph())
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    with pytest.raises(ModelDamaged, match=r"'x': expected \(n, 1, h, w\) of float, got .* of DataType\.HALF"):
        made(model.SerializeToString())


def test_an_engine_that_does_not_load_is_told_with_tensorrts_words(install):
    install()
    source = Graph("box.onnx", box_graph(), "x", "y", (1, 1))
    with pytest.raises(EngineUnusable, match="TensorRT does not load the engine: magic tag does not match"):
        NativeToolchain(CARD).open(b"rubbish", source)


def test_a_tensorrt_that_does_not_start_is_told(install):
    install(starts=False)
    with pytest.raises(
        DeviceUnavailable, match=r"TensorRT 11\.4\.0\.106 does not start on it; update the NVIDIA driver"
    ):
        made(box_graph())


def test_an_engine_outlasts_a_tensorrt_that_does_not_start(tmp_path, install, engine_cache):
    install()
    folder = box_model(tmp_path / "box")
    built = build(folder)
    install(starts=False)
    with pytest.raises(DeviceUnavailable, match="does not start on it; update the NVIDIA driver"):
        open_session(folder, "tensorrt")
    assert engine_cache.load(built.key) is not None


def test_doctor_notes_a_full_card_and_goes_on_to_the_models(install, monkeypatch):
    toy = install()
    toy.cuda.cudaSetDevice = lambda index: (Code.cudaErrorMemoryAllocation,)  # which makes the context
    monkeypatch.setattr(tensorrt, "installed", lambda: True)
    findings = {found.what: found for found in diagnose()}
    found = findings["tensorrt"]
    assert (found.state, found.detail) == ("note", "out of memory on tensorrt:0")
    assert found.cure == "close what else uses the card"
    assert "device cpu" in findings


def test_a_card_too_small_for_the_largest_batch_gets_an_engine_without_it(tmp_path, install):
    # Eight tiles of 32 x 32 px in and out: 64 KiB; four of them: 32 KiB.
    toy = install(memory=40 * 1024)
    folder = box_model(tmp_path / "box")
    assert Manifest.read(folder).batch[-1] == 8
    assert build(folder).meta["without_batches"] == [8]
    assert toy.cuda.nothing_is_left()


def test_a_card_too_small_for_a_single_tile_is_told_and_nothing_is_kept(tmp_path, install, engine_cache):
    toy = install(memory=6 * 1024)  # one tile of 32 x 32 px in and out: 8 KiB
    with pytest.raises(OutOfMemory, match="out of memory on tensorrt:0; close what else uses the card, build with a"):
        build(box_model(tmp_path / "box"))
    assert nothing_is_kept(engine_cache)
    assert toy.cuda.nothing_is_left()


BUILD = """
import sys
sys.path.append(sys.argv[1])
from semrt.backends import tensorrt_cuda
from toy_card import ToyCuda
from toy_tensorrt import module
cuda = ToyCuda()
tensorrt_cuda._cudart = lambda: cuda
sys.modules["tensorrt"] = module(cuda, pause=20)

class Told(list):
    def append(self, thread):
        print("in native code", file=sys.stderr, flush=True)

sys.modules["tensorrt"].toy.threads = Told()
from semrt.cli import main
main(["build", sys.argv[2]])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to one process")
def test_ctrl_c_in_a_terminal_is_heard_while_native_code_runs(tmp_path, engine_cache):
    folder = box_model(tmp_path / "box")
    command = [sys.executable, "-W", "error", "-c", BUILD, str(Path(__file__).parent), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as building:
        assert building.stderr.readline().startswith("building box 1.0 in fp32 for tensorrt:0")
        assert building.stderr.readline() == "in native code\n"
        building.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert building.poll() is None  # it waits for TensorRT to end its step
        building.send_signal(signal.SIGINT)  # and no longer when asked again
        stdout, stderr = building.communicate(timeout=15)
    assert building.returncode == 130, stderr
    assert stdout == ""
    assert stderr.split("\n")[-2] == "semrt: interrupted"
    assert "Traceback" not in stderr
    assert nothing_is_kept(engine_cache)
