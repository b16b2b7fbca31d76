"""Engines: built once, compared, kept; by a stand-in for TensorRT that runs the graph with ONNX Runtime."""

import _thread
import threading

import numpy as np
import pytest

from semrt.backends import open_session
from semrt.backends.tensorrt_native import listening
from semrt.backends.tensorrt_progress import Phases
from semrt.backends.tensorrt_toolchain import MOST_PIXELS, profiles_of
from semrt.engine.network_road import PIXELS_AT_ONCE
from semrt.errors import (
    DeviceUnavailable,
    Interrupted,
    ModelUnsuitable,
)
from semrt.models import Manifest
from standin_toolchain import Standin, box_model, build, install, nothing_is_kept
from tiny_models import box_graph, manifest_for

pytestmark = pytest.mark.usefixtures("engine_cache")


@pytest.fixture
def box(tmp_path):
    return box_model(tmp_path / "box µ")


def test_an_engine_is_built_once_and_says_what_it_is(box, standin, engine_cache):
    built = build(box)
    assert built.new
    assert built.path == engine_cache.path(built.key)
    assert built.path.exists()
    manifest = Manifest.read(box)
    told = engine_cache.load(built.key).meta
    assert told["model"] == "box"
    assert told["precision"] == "fp32"
    assert told["onnx"] == manifest.sha256
    assert told["tensorrt"] == "11.4.0.106"
    assert told["gate"]["passed"] is True
    assert told["gate"]["relative_rms"] < 1e-6
    again = build(box)
    assert not again.new
    assert again.key == built.key
    assert again.meta["when"] == told["when"]
    assert standin.builds == 1


def test_the_engine_is_compared_at_every_batch_and_at_the_size_of_its_tiles(box, standin):
    build(box)
    (opened,) = standin.opened
    # Two test tensors of 16 px: two batches of one, one of two, two of them in one of four; a tile of 32 px beside.
    small = [(n, 1, 16, 16) for n in (1, 1, 2, 4, 8)]
    large = [(n, 1, 32, 32) for n in (1, 2, 4, 8)]
    assert sorted(opened.shapes) == sorted(small + large)
    assert opened.closed


@pytest.mark.parametrize("batch", [1, 2, 4, 8])
def test_an_engine_with_wrong_numbers_in_one_batch_alone_is_not_kept(box, monkeypatch, engine_cache, batch):
    standin = install(monkeypatch, Standin({batch: 1.01}))
    with pytest.raises(
        ModelUnsuitable, match=rf"other numbers.*relative RMS 0\.01, at most 0\.0001 \(batch {batch}, .*not kept"
    ) as caught:
        build(box)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert nothing_is_kept(engine_cache)
    assert standin.opened[0].closed
    with pytest.raises(DeviceUnavailable, match="no engine is built"):
        open_session(box, "tensorrt")


def test_an_engine_that_is_wrong_only_on_large_tiles_is_not_kept(tmp_path, monkeypatch, engine_cache):
    class WrongWhereLarge(Standin):
        def open(self, plan, graph):
            opened = super().open(plan, graph)
            right = opened.run
            opened.run = lambda tiles, spans: right(tiles) * np.float32(1 if tiles.shape[-1] < 32 else 1.01)
            return opened

    install(monkeypatch, WrongWhereLarge())
    with pytest.raises(ModelUnsuitable, match=r"\(batch \d, 32 x 32 px\)"):
        build(box_model(tmp_path / "box"))
    assert nothing_is_kept(engine_cache)


def test_an_engine_that_gives_nan_is_not_kept(box, monkeypatch, engine_cache):
    install(monkeypatch, Standin({4: float("nan")}))
    with pytest.raises(ModelUnsuitable, match=r"NaN or infinity \(batch 4"):
        build(box)
    assert nothing_is_kept(engine_cache)


def test_a_model_without_test_tensors_is_refused_before_anything_is_built(tmp_path, standin, engine_cache):
    with pytest.raises(ModelUnsuitable, match="box: has no test tensors to compare an engine with; export it again"):
        build(box_model(tmp_path / "box", reference={}))
    assert standin.builds == 0
    assert nothing_is_kept(engine_cache)


@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt])
def test_an_interrupted_build_leaves_nothing_behind_and_the_next_one_is_whole(box, standin, engine_cache, error):
    def interrupt():
        raise error

    standin.at = interrupt
    with pytest.raises(error):
        build(box)
    assert nothing_is_kept(engine_cache)
    standin.at = lambda: None
    assert build(box).new
    assert standin.timings == [b"", b""]


def test_what_the_progress_call_raises_ends_the_build(box, standin, engine_cache):
    told = []

    def progress(done, total, what):
        told.append((done, total, what))
        if len(told) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        build(box, progress=progress)
    assert told == [(0, 3, "step"), (1, 3, "step")]
    assert nothing_is_kept(engine_cache)


def test_what_one_build_timed_is_given_to_the_next(tmp_path, standin, engine_cache):
    build(box_model(tmp_path / "a"))
    build(box_model(tmp_path / "b", tile=64))
    assert standin.timings == [b"", b"timed"]
    assert sorted(entry.meta["kind"] for entry in engine_cache.entries()) == ["engine", "engine", "timings"]


def test_timings_that_are_damaged_are_measured_again(tmp_path, standin, engine_cache):
    build(box_model(tmp_path / "a"))
    (timings,) = (entry.key for entry in engine_cache.entries() if entry.meta["kind"] == "timings")
    engine_cache.path(timings).write_bytes(b"other")
    assert build(box_model(tmp_path / "b", tile=64)).new
    assert standin.timings == [b"", b""]


def test_of_two_builds_at_once_one_waits_and_takes_what_the_other_made(box, standin):
    entered, go_on, waited = threading.Event(), threading.Event(), threading.Event()

    def hold():
        entered.set()
        assert go_on.wait(30)

    standin.at = hold
    results = {}
    first = threading.Thread(target=lambda: results.update(first=build(box)))
    first.start()
    assert entered.wait(30)

    def progress(done, total, what):
        if "another" in what:
            waited.set()

    second = threading.Thread(target=lambda: results.update(second=build(box, progress=progress)))
    second.start()
    assert waited.wait(30)
    go_on.set()
    first.join()
    second.join()
    assert (results["first"].new, results["second"].new) == (True, False)
    assert standin.builds == 1


def test_an_engine_that_was_damaged_is_built_again(box, standin, engine_cache):
    key = build(box).key
    engine_cache.path(key).write_bytes(engine_cache.path(key).read_bytes()[:-1])
    with pytest.raises(DeviceUnavailable, match=r'no engine is built for box 1\.0 in fp32; run: semrt build ".*box µ"'):
        open_session(box, "tensorrt")
    assert build(box).new
    assert standin.builds == 2


def test_profiles_are_tuned_for_the_tile_and_open_to_smaller_ones():
    manifest = manifest_for(box_graph(), tile=1344, multiple=32, batch=[1, 2, 4, 8])
    # Eight tiles of 1344² are 14.5 Mpx, more than are ever run at once.
    assert profiles_of(manifest) == tuple(((n, 1, 32, 32), (n, 1, 1344, 1344), (n, 1, 1344, 1344)) for n in (1, 2, 4))
    assert profiles_of(manifest_for(box_graph(), tile=8192))[-1][0][0] == 1
    assert PIXELS_AT_ONCE["accelerator"] == MOST_PIXELS


def test_phases_within_phases_are_one_share_that_never_falls():
    phases = Phases()
    phases.start("Build", None, 4)
    assert phases.told() == (0, "build")
    phases.step("Build", 0)
    assert phases.told() == (25, "build")
    phases.start("Tactics", "Build", 2)
    phases.step("Tactics", 0)
    # One of four steps, and half of the second.
    assert phases.told() == (37, "tactics")
    phases.finish("Tactics")
    assert phases.told() == (37, "build")
    phases.step("Build", 3)
    phases.finish("Build")
    assert phases.told()[0] <= 99
    phases.start("Serialise", None, 2)
    assert phases.told()[0] >= 37


def test_native_work_is_done_in_a_thread_of_its_own_and_its_failure_is_told_where_it_is_waited_for():
    assert listening(lambda: threading.current_thread() is not threading.main_thread(), lambda: None)

    def fail():
        raise DeviceUnavailable("tensorrt:0", "no", "none")

    with pytest.raises(DeviceUnavailable):
        listening(fail, lambda: None)


def test_ctrl_c_asks_native_work_to_end_and_waits_for_it():
    asked, ended = threading.Event(), []

    def work():
        _thread.interrupt_main()
        assert asked.wait(30)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        listening(work, asked.set)
    assert ended == [True]
