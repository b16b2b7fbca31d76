"""Engines: built once, compared, kept, served; by a stand-in for TensorRT that runs the graph with ONNX Runtime."""

import _thread
import hashlib
import json
import sys
import threading
import time

import numpy as np
import pytest

from command import fails, run
from semrt.backends import Device, Session, open_session, tensorrt, tensorrt_toolchain
from semrt.backends.engine_cache import EngineCache
from semrt.backends.tensorrt_build import build_engine
from semrt.backends.tensorrt_native import listening
from semrt.backends.tensorrt_progress import Phases
from semrt.backends.tensorrt_toolchain import MOST_PIXELS, profiles_of
from semrt.engine.network_road import PIXELS_AT_ONCE
from semrt.errors import DeviceUnavailable, Interrupted, InvalidShape, InvalidValue, ModelUnsuitable, SemrtError
from semrt.models import REFERENCE, Manifest, Reference
from standin_toolchain import Standin
from tiny_models import box_graph, manifest_for

CARD = Device("tensorrt")


def box_model(folder, onnx=None, side=16, **changes):
    """A model of the mean of 3 x 3 px, with test tensors of a size that is not that of its tiles."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx = box_graph() if onnx is None else onnx
    channels = np.random.default_rng(0).random((2, 1, side, side)).astype(np.float16).astype(np.float32)
    padded = np.pad(channels, ((0, 0), (0, 0), (1, 1), (1, 1)))
    mean = sum(padded[..., i : i + side, j : j + side] for i in range(3) for j in range(3)) / np.float32(9)
    tensors = Reference(channels, mean).to_bytes()
    (folder / REFERENCE).write_bytes(tensors)
    (folder / "box.onnx").write_bytes(onnx)
    changes.setdefault("reference", {"file": REFERENCE, "sha256": hashlib.sha256(tensors).hexdigest()})
    manifest_for(onnx, **changes).write(folder)
    return folder


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMRT_CACHE", str(tmp_path / "cache"))
    return EngineCache()


@pytest.fixture
def box(tmp_path):
    return box_model(tmp_path / "box µ")


@pytest.fixture
def standin(monkeypatch):
    """TensorRT, as far as semrt can tell."""
    return install(monkeypatch, Standin())


def install(monkeypatch, toolchain):
    monkeypatch.setattr(tensorrt_toolchain, "toolchain_for", lambda device: toolchain)
    return toolchain


def build(folder, **how):
    return build_engine(folder, Manifest.read(folder), CARD, **how)


def tiles_of(n=2, h=32, w=32, seed=1):
    return np.random.default_rng(seed).random((n, 1, h, w), np.float32)


def nothing_is_kept(kept):
    left = sorted(kept.folder.glob("*")) if kept.folder.exists() else []
    assert [path.suffix for path in left if path.suffix != ".lock"] == []
    return True


# What is built


def test_an_engine_is_built_once_and_says_what_it_is(box, standin, kept):
    built = build(box)
    assert built.new
    assert built.path == kept.path(built.key)
    assert built.path.exists()
    manifest = Manifest.read(box)
    told = kept.load(built.key).meta
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
def test_an_engine_with_wrong_numbers_in_one_batch_alone_is_not_kept(box, monkeypatch, kept, batch):
    standin = install(monkeypatch, Standin({batch: 1.01}))
    with pytest.raises(
        ModelUnsuitable, match=rf"other numbers.*relative RMS 0\.01, at most 0\.0001 \(batch {batch}, .*not kept"
    ) as caught:
        build(box)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert nothing_is_kept(kept)
    assert standin.opened[0].closed
    with pytest.raises(DeviceUnavailable, match="no engine is built"):
        open_session(box, "tensorrt")


def test_an_engine_that_is_wrong_only_on_large_tiles_is_not_kept(tmp_path, monkeypatch, kept):
    class WrongWhereLarge(Standin):
        def open(self, plan, graph):
            opened = super().open(plan, graph)
            right = opened.run
            opened.run = lambda tiles: right(tiles) * np.float32(1 if tiles.shape[-1] < 32 else 1.01)
            return opened

    install(monkeypatch, WrongWhereLarge())
    with pytest.raises(ModelUnsuitable, match=r"\(batch \d, 32 x 32 px\)"):
        build(box_model(tmp_path / "box"))
    assert nothing_is_kept(kept)


def test_an_engine_that_gives_nan_is_not_kept(box, monkeypatch, kept):
    install(monkeypatch, Standin({4: float("nan")}))
    with pytest.raises(ModelUnsuitable, match=r"NaN or infinity \(batch 4"):
        build(box)
    assert nothing_is_kept(kept)


def test_a_model_without_test_tensors_is_refused_before_anything_is_built(tmp_path, standin, kept):
    with pytest.raises(ModelUnsuitable, match="box: has no test tensors to compare an engine with; export it again"):
        build(box_model(tmp_path / "box", reference={}))
    assert standin.builds == 0
    assert nothing_is_kept(kept)


@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt])
def test_an_interrupted_build_leaves_nothing_behind_and_the_next_one_is_whole(box, standin, kept, error):
    def interrupt():
        raise error

    standin.at = interrupt
    with pytest.raises(error):
        build(box)
    assert nothing_is_kept(kept)
    standin.at = lambda: None
    assert build(box).new
    assert standin.timings == [b"", b""]


def test_what_the_progress_call_raises_ends_the_build(box, standin, kept):
    told = []

    def progress(done, total, what):
        told.append((done, total, what))
        if len(told) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        build(box, progress=progress)
    assert told == [(0, 3, "step"), (1, 3, "step")]
    assert nothing_is_kept(kept)


def test_what_one_build_timed_is_given_to_the_next(tmp_path, standin, kept):
    build(box_model(tmp_path / "a"))
    build(box_model(tmp_path / "b", tile=64))
    assert standin.timings == [b"", b"timed"]
    assert sorted(entry.meta["kind"] for entry in kept.entries()) == ["engine", "engine", "timings"]


def test_timings_that_are_damaged_are_measured_again(tmp_path, standin, kept):
    build(box_model(tmp_path / "a"))
    (timings,) = (entry.key for entry in kept.entries() if entry.meta["kind"] == "timings")
    kept.path(timings).write_bytes(b"other")
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


def test_an_engine_that_was_damaged_is_built_again(box, standin, kept):
    key = build(box).key
    kept.path(key).write_bytes(kept.path(key).read_bytes()[:-1])
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


# What serves


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


def test_an_engine_that_did_not_pass_is_never_served(box, standin, kept):
    built = build(box)
    meta = dict(built.meta) | {"gate": {"passed": False}}
    with kept.lock(built.key):
        kept.store(built.key, built.path.read_bytes(), meta)
    with pytest.raises(DeviceUnavailable, match="no engine is built"):
        open_session(box, "tensorrt")


def test_an_engine_that_no_longer_gives_the_numbers_is_refused_when_opened(box, standin, kept):
    built = build(box)
    head, _, onnx = built.path.read_bytes().partition(b"\n")
    with kept.lock(built.key):
        kept.store(built.key, json.dumps(json.loads(head) | {"gains": {2: 1.5}}).encode() + b"\n" + onnx, built.meta)
    with pytest.raises(DeviceUnavailable, match=r"gives other numbers than it should: relative RMS 0\.5"):
        open_session(box, "tensorrt")


def test_an_engine_that_does_not_load_is_removed_and_the_cure_told(box, standin, kept):
    built = build(box)
    with kept.lock(built.key):
        kept.store(built.key, b"{}\nother", built.meta)
    with pytest.raises(DeviceUnavailable, match=r"cannot be used: TensorRT does not load the engine; run: semrt build"):
        open_session(box, "tensorrt")
    assert kept.load(built.key) is None


@pytest.mark.parametrize("change", ["version", "gpu", "capability"])
def test_an_engine_of_another_version_or_card_is_not_loaded(box, standin, change):
    build(box)
    setattr(standin, change, "0.1")
    with pytest.raises(DeviceUnavailable, match="no engine is built"):
        open_session(box, "tensorrt")


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
def test_auto_serves_elsewhere_where_the_folder_of_engines_is_not_the_users_alone(box, standin, kept):
    build(box)
    kept.folder.chmod(0o777)
    with open_session(box) as session:
        assert session.device != "tensorrt:0"


# Commands


def test_build_says_at_once_what_and_where_and_then_how_it_went(box, standin, kept):
    spoke = []
    standin.at = lambda: spoke.append(1)
    result = run("build", box)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(f"building box 1.0 in fp32 for tensorrt:0, to be kept in {kept.folder}\n")
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


def test_ctrl_c_ends_a_build_with_its_own_exit_code_and_nothing_left(box, standin, kept):
    def interrupt():
        _thread.interrupt_main()
        time.sleep(5)  # where it is heard

    standin.at = interrupt
    result = run("build", box)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "semrt: interrupted"
    assert nothing_is_kept(kept)


def test_wrong_options_are_told_before_anything_is_built(box, standin):
    assert fails(run("build", box, "--device", "cuda"), 2, "engines are for tensorrt, or tensorrt:N")
    assert fails(run("build", box, "--precision", "fp8"), 2, "precision 'fp8' is unknown")
    assert fails(run("build", "nothing here"), 4, "not found")
    assert standin.builds == 0


def test_cache_lists_and_clears(box, standin, kept):
    empty = run("cache", "list")
    assert empty.stdout == f"nothing kept in {kept.folder}\n"
    build(box)
    *entries, summary = run("cache", "list").stdout.splitlines()
    timings, engine = sorted(entries, key=len)
    assert "box 1.0 in fp32, Stand-in, TensorRT 11.4.0.106" in engine
    assert "relative RMS" in engine
    assert "timings of TensorRT 11.4.0.106, Stand-in" in timings
    assert summary == f"2 kept in {kept.folder}"
    assert run("cache", "clear").stdout == f"2 removed from {kept.folder}\n"
    assert json.loads(run("cache", "clear", "--json").stdout) == {
        "folder": str(kept.folder),
        "removed": 0,
        "held": 0,
    }


# How far it is


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
