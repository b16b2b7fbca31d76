"""Engines that were built: served, chosen, listed, and told of where they cannot be; by a stand-in for TensorRT."""

import _thread
import json
import sys
import threading
import time
from types import ModuleType

import numpy as np
import pytest

import semrt
from command import fails, run
from semrt.backends import Session, open_session, tensorrt
from semrt.backends.spans import device_spans
from semrt.backends.tensorrt_native import import_tensorrt
from semrt.errors import (
    DeviceUnavailable,
    InvalidShape,
    InvalidValue,
    MissingDependency,
    SemrtError,
)
from semrt.models import Manifest
from semrt.report.diagnosis import diagnose
from standin_toolchain import Standin, box_model, build, install, nothing_is_kept, tiles_of
from tiny_models import box_graph
from toy_tasks import micrograph, register

pytestmark = pytest.mark.usefixtures("engine_cache")


@pytest.fixture
def box(tmp_path):
    return box_model(tmp_path / "box µ")


@pytest.fixture
def served(box, standin):
    build(box)
    with open_session(box, "tensorrt") as session:
        yield session


def test_an_engine_that_was_built_serves_and_says_where_and_by_what(served, box, standin):
    assert isinstance(served, Session)
    assert served.device == "tensorrt:0"
    assert served.runtime == "tensorrt 11.4.0.106 on Stand-in"
    assert served.reason.startswith("tensorrt:0, as asked; engine ")
    assert "compared with the reference: relative RMS" in served.reason  # again, now, on this card
    assert (served.precision, served.sha256, served.threads) == ("fp32", Manifest.read(box).sha256, None)
    assert standin.builds == 1


def test_a_session_tells_how_long_its_engine_took_to_build_and_no_times_of_a_card_that_keeps_none(served):
    assert served.build_seconds is not None
    assert served.build_seconds >= 0
    with device_spans(served) as spans:
        served.run(tiles_of(3))
    assert spans == {}
    assert served.spans is None  # nobody listens any more


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 13])
def test_any_number_of_tiles_gives_the_numbers_of_the_cpu(served, box, n):
    with open_session(box, "cpu") as cpu:
        for h, w in ((32, 32), (4, 28)):
            tiles = tiles_of(n, h, w)
            np.testing.assert_allclose(served.run(tiles), cpu.run(tiles), rtol=0, atol=1e-6)


def test_the_batches_are_those_the_engine_was_built_for(served, standin):
    served.run(tiles_of(15))
    assert [shape[0] for shape in standin.opened[-1].shapes[-4:]] == [8, 4, 2, 1]


def test_tiles_in_any_memory_order_give_the_same(served):
    tiles = tiles_of(3, 8, 12)
    turned = np.ascontiguousarray(tiles.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    np.testing.assert_array_equal(served.run(turned), served.run(tiles))


@pytest.mark.parametrize(
    "shape", [(32, 32), (1, 32, 32), (0, 1, 32, 32), (1, 2, 32, 32), (1, 1, 30, 32), (1, 1, 32, 0), (1, 1, 36, 32)]
)
def test_tiles_that_the_engine_does_not_take_are_refused(served, shape):
    with pytest.raises(
        InvalidShape, match=r"expected shape \(n, 1, a multiple of 4 up to 32, a multiple of 4 up to 32\), got .*--tile"
    ):
        served.run(np.zeros(shape, np.float32))
    with pytest.raises(InvalidValue, match="expected float32, got float64"):
        served.run(np.zeros((1, 1, 32, 32)))


def test_a_graph_of_one_size_and_batch_takes_many_tiles_of_that_size(tmp_path, standin):
    folder = box_model(tmp_path / "fixed", box_graph(batch=1, side=32), side=32)
    build(folder)
    with open_session(folder, "tensorrt") as session:
        assert session.run(tiles_of(3)).shape == (3, 1, 32, 32)
        with pytest.raises(InvalidShape, match=r"\(n, 1, 32, 32\), got \(1, 1, 16, 32\)"):
            session.run(np.zeros((1, 1, 16, 32), np.float32))


def test_a_closed_session_says_so_and_gives_the_card_back(served, standin):
    served.close()
    served.close()
    assert standin.opened[-1].closed
    with pytest.raises(SemrtError, match="box: the session is closed"):
        served.run(tiles_of())


def test_without_an_engine_the_command_that_builds_it_is_told_and_nothing_is_built(box, standin):
    with pytest.raises(DeviceUnavailable) as caught:
        open_session(box, "tensorrt:1")
    told = str(caught.value)
    assert "no engine is built for box 1.0 in fp32" in told
    assert f'run: semrt build "{box}" --device tensorrt:1, or choose --device cuda' in told
    assert caught.value.exit_code == 5
    assert standin.builds == 0


def test_an_engine_that_did_not_pass_is_never_served(box, standin, engine_cache):
    built = build(box)
    meta = dict(built.meta) | {"gate": {"passed": False}}
    with engine_cache.lock(built.key):
        engine_cache.store(built.key, built.path.read_bytes(), meta)
    with pytest.raises(DeviceUnavailable, match="no engine is built"):
        open_session(box, "tensorrt")


def test_an_engine_that_no_longer_gives_the_numbers_is_refused_when_opened(box, standin, engine_cache):
    built = build(box)
    head, _, onnx = built.path.read_bytes().partition(b"\n")
    with engine_cache.lock(built.key):
        engine_cache.store(
            built.key, json.dumps(json.loads(head) | {"gains": {2: 1.5}}).encode() + b"\n" + onnx, built.meta
        )
    with pytest.raises(DeviceUnavailable, match=r"gives other numbers than it should: relative RMS 0\.5"):
        open_session(box, "tensorrt")


def test_an_engine_that_does_not_load_is_removed_and_the_cure_told(box, standin, engine_cache):
    built = build(box)
    with engine_cache.lock(built.key):
        engine_cache.store(built.key, b"{}\nother", built.meta)
    with pytest.raises(DeviceUnavailable, match=r"cannot be used: TensorRT does not load the engine; run: semrt build"):
        open_session(box, "tensorrt")
    assert engine_cache.load(built.key) is None


def test_a_fault_of_the_driver_costs_no_engine_and_its_own_cure_is_told(box, standin, engine_cache, monkeypatch):
    built = build(box)

    def unable(plan, graph):
        raise DeviceUnavailable("tensorrt:0", "TensorRT 11 does not start on it", "update the NVIDIA driver")

    monkeypatch.setattr(standin, "open", unable)
    with pytest.raises(DeviceUnavailable, match=r"does not start on it; update the NVIDIA driver$"):
        open_session(box, "tensorrt")
    assert engine_cache.load(built.key) is not None


@pytest.mark.parametrize("change", ["version", "gpu", "capability"])
def test_an_engine_of_another_version_or_card_is_not_loaded(box, standin, change):
    build(box)
    setattr(standin, change, "0.1")
    with pytest.raises(DeviceUnavailable, match="no engine is built"):
        open_session(box, "tensorrt")


def test_an_image_goes_the_whole_road_and_its_record_says_by_which_engine(tmp_path, standin, monkeypatch):
    register(monkeypatch)
    folder = box_model(tmp_path / "box", task="deviation", domain={"mean": 1.0})
    key = build(folder).key
    measured = micrograph(70, 53)
    by_card, by_cpu = (semrt.infer(folder, measured, device=device) for device in ("tensorrt", "cpu"))
    np.testing.assert_allclose(by_card.intensity, by_cpu.intensity, rtol=0, atol=1e-6)
    device = by_card.provenance["device"]
    assert device["used"] == "tensorrt:0"
    assert key[:12] in device["why"]
    assert "compared with the reference: relative RMS" in device["why"]
    assert by_card.provenance["software"]["runtime"] == "tensorrt 11.4.0.106 on Stand-in"


def test_several_threads_may_run_one_session(served):
    tiles = tiles_of(4)
    wanted, results = served.run(tiles), {}
    threads = [threading.Thread(target=lambda k=k: results.update({k: served.run(tiles)})) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results.values():
        np.testing.assert_array_equal(result, wanted)


# auto


def test_auto_takes_tensorrt_as_soon_as_an_engine_is_there(box, standin, monkeypatch):
    with open_session(box) as session:
        assert session.device != "tensorrt:0"
    build(box)
    with open_session(box) as session:
        assert session.device == "tensorrt:0"
        assert session.reason.startswith("tensorrt:0, the fastest there is; engine ")
    assert standin.builds == 1


def test_auto_says_which_command_would_make_it_faster_where_one_would(box, standin, monkeypatch):
    monkeypatch.setattr(tensorrt, "could_build", lambda: True)
    with open_session(box) as session:
        assert session.reason.endswith(f'; TensorRT is installed: semrt build "{box}" builds its engine')
    with open_session(box, "cpu") as session:
        assert "TensorRT" not in session.reason  # which was not asked
    monkeypatch.setattr(tensorrt, "could_build", lambda: False)
    with open_session(box) as session:
        assert "TensorRT" not in session.reason


def test_auto_serves_elsewhere_where_the_engine_is_of_another_card(box, standin):
    build(box)
    standin.gpu = "Another"
    with open_session(box) as session:
        assert session.device != "tensorrt:0"


@pytest.mark.skipif(sys.platform == "win32", reason="access lists there, no modes")
def test_auto_serves_elsewhere_where_the_folder_of_engines_is_not_the_users_alone(box, standin, engine_cache):
    build(box)
    engine_cache.folder.chmod(0o777)
    with open_session(box) as session:
        assert session.device != "tensorrt:0"


# Commands


def test_build_says_at_once_what_and_where_and_then_how_it_went(box, standin, engine_cache):
    spoke = []
    standin.at = lambda: spoke.append(1)
    result = run("build", box)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(f"building box 1.0 in fp32 for tensorrt:0, to be kept in {engine_cache.folder}\n")
    assert "box 1.0 in fp32 on Stand-in: built in 0 s, relative RMS" in result.stdout
    again = run("build", box)
    assert "there since" in again.stdout
    assert spoke == [1]


def test_build_tells_a_program_all_there_is_to_know(box, standin):
    told = json.loads(run("build", box, "--json").stdout)
    assert told["new"] is True
    assert told["gate"]["passed"] is True
    listed = json.loads(run("cache", "list", "--json").stdout)
    assert told["key"] in {entry["key"] for entry in listed["entries"]}


def test_a_failed_comparison_is_one_line_and_an_exit_code(box, monkeypatch):
    install(monkeypatch, Standin({1: 2.0}))
    result = run("build", box)
    assert result.exit_code == 4
    building, refused = result.stderr.splitlines()
    assert building.startswith("building")
    assert refused.startswith("semrt: box in fp32: the engine that TensorRT 11.4.0.106 built gives other numbers")
    assert result.stdout == ""


def test_ctrl_c_ends_a_build_with_its_own_exit_code_and_nothing_left(box, standin, engine_cache):
    def interrupt():
        _thread.interrupt_main()
        time.sleep(5)  # where it is heard

    standin.at = interrupt
    result = run("build", box)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "semrt: interrupted"
    assert nothing_is_kept(engine_cache)


def test_wrong_options_are_told_before_anything_is_built(box, standin):
    assert fails(run("build", box, "--device", "cuda"), 2, "engines are for tensorrt, or tensorrt:N")
    assert fails(run("build", box, "--precision", "fp8"), 2, "precision 'fp8' is unknown")
    assert fails(run("build", "nothing here"), 4, "not found")
    assert standin.builds == 0


def test_cache_lists_and_clears(box, standin, engine_cache):
    empty = run("cache", "list")
    assert empty.stdout == f"nothing kept in {engine_cache.folder}\n"
    build(box)
    *entries, summary = run("cache", "list").stdout.splitlines()
    timings, engine = sorted(entries, key=len)
    assert "box 1.0 in fp32, tiles of 32 px, Stand-in, TensorRT 11.4.0.106" in engine
    assert "relative RMS" in engine
    assert "timings of TensorRT 11.4.0.106, Stand-in" in timings
    assert summary == f"2 kept in {engine_cache.folder}"
    assert run("cache", "clear").stdout == f"2 removed from {engine_cache.folder}\n"
    assert json.loads(run("cache", "clear", "--json").stdout) == {
        "folder": str(engine_cache.folder),
        "removed": 0,
        "held": 0,
    }


def test_doctor_counts_the_engines_and_says_how_to_build_one(box, standin, monkeypatch):
    monkeypatch.setattr(tensorrt, "installed", lambda: True)

    def found():
        return next(finding for finding in diagnose() if finding.what == "tensorrt")

    assert found().state == "note"
    assert found().cure == "semrt build MODEL"
    build(box)
    assert found().state == "ok"
    assert "11.4.0.106 on Stand-in, compute capability 9.0; engines built: 1" in found().detail


# What is installed


def test_without_tensorrt_one_line_names_the_extra(box, monkeypatch):
    for name in ("tensorrt", "tensorrt_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        MissingDependency, match=r'device tensorrt needs tensorrt.*pip install "semrt\[trt\]"'
    ) as caught:
        open_session(box, "tensorrt")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("version", ["8.6.1", "10.16.0.5", "12.0.0"])
def test_a_tensorrt_of_another_generation_is_refused(version, monkeypatch):
    module = ModuleType("tensorrt")
    module.__version__ = version
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    with pytest.raises(
        DeviceUnavailable, match=rf"TensorRT {version} is installed, and 11 is needed; run: pip install"
    ):
        import_tensorrt("tensorrt:0")
    module.__version__ = "11.4.0.106"
    assert import_tensorrt("tensorrt:0") is module


def test_the_bindings_alone_will_do(monkeypatch):
    module = ModuleType("tensorrt_bindings")
    module.__version__ = "11.0.0"
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", module)
    assert import_tensorrt("tensorrt:0") is module


def test_a_library_that_windows_does_not_find_is_told_like_any_other(monkeypatch, tmp_path):
    (tmp_path / "tensorrt.py").write_text(
        "raise FileNotFoundError('Could not find: nvinfer_11.dll. Is it on your PATH?')"
    )
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceUnavailable, match=r"does not load, Could not find: nvinfer_11\.dll.*pip install"):
        import_tensorrt("tensorrt:0")


def test_nothing_is_advised_where_tensorrt_or_the_driver_is_missing(monkeypatch):
    monkeypatch.setattr(tensorrt, "find_spec", lambda name: None)
    assert not tensorrt.installed()
    assert not tensorrt.could_build()
    monkeypatch.setattr(tensorrt, "find_spec", lambda name: name == "tensorrt_bindings" or None)
    assert tensorrt.installed()
    drivers = []

    def load(name):
        drivers.append(name)
        if len(drivers) == 1:
            raise OSError("no such library")

    monkeypatch.setattr(tensorrt.ctypes, "CDLL", load)
    assert not tensorrt.could_build()
    assert tensorrt.could_build()
    assert set(drivers) == {"nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"}
