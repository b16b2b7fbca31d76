"""The engine: tiled or whole, alone or one of many, a result is the same, and it says what made it."""

import _thread
import dataclasses
import json
import threading

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

import semrt
from semrt import api, engine, provenance
from semrt.backends import open_session
from semrt.data import Micrograph, SparseScan
from semrt.errors import (
    InvalidOption,
    InvalidValue,
    ModelDamaged,
    ModelNotFound,
    ModelUnsuitable,
    SemrtError,
    UnreadableFile,
)
from semrt.models.manifest import sha256_of
from semrt.tasks import TASKS
from tiny_models import box_graph, write_model


class Deviation:
    """A network task: the network sees how far each pixel is from the mean."""

    accepts = Micrograph
    input_channels = ("intensity",)
    classical = "flat"

    def prepare(self, measured, *, offset=0.0, n_threads=None):
        return (measured.intensity - measured.intensity.mean() - np.float32(offset))[np.newaxis]

    def finish(self, predicted, prepared, measured, *, gain=1.0):
        return dataclasses.replace(measured, intensity=predicted[0] * np.float32(gain) + measured.intensity.mean())

    def outside_domain(self, measured, domain):
        mean = float(measured.intensity.mean())
        return f"mean {mean:g} above the trained {domain['mean']:g}" if mean > domain["mean"] else None


class Flat:
    """A solver: every pixel is the mean."""

    accepts = Micrograph

    def solve(self, measured, *, gain=1.0, n_threads=None):
        flat = np.full_like(measured.intensity, gain * measured.intensity.mean())
        return dataclasses.replace(measured, intensity=flat, provenance={"mean": measured.intensity.mean()})


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    """The two tasks above, in the registry as any other."""
    monkeypatch.setitem(TASKS, "deviation", f"{__name__}:Deviation")
    monkeypatch.setitem(TASKS, "flat", f"{__name__}:Flat")


@pytest.fixture
def folder(tmp_path):
    """A network that averages 3 × 3 pixels, trained on means up to 1."""
    return write_model(tmp_path / "box", task="deviation", domain={"mean": 1.0})


@pytest.fixture
def session(folder):
    with open_session(folder, "cpu") as session:
        yield session


def micrograph(ny=70, nx=53, seed=0, mean=0.5):
    intensity = np.random.default_rng(seed).normal(mean, 0.1, (ny, nx)).astype(np.float32)
    return Micrograph(intensity, pixel_size=(0.2, 0.3), metadata={"detector": "HAADF"})


def test_inference_is_prepare_then_network_then_finish(session):
    measured = micrograph()
    result = engine.infer(measured, session)
    mean = float(measured.intensity.mean())
    wanted = uniform_filter(measured.intensity.astype(float) - mean, 3, mode="constant") + mean
    np.testing.assert_allclose(result.intensity[:-4, :-4], wanted[:-4, :-4], atol=1e-6)  # the end may be padded
    assert result.shape == measured.shape
    assert result.pixel_size == (0.2, 0.3)
    assert result.metadata == {"detector": "HAADF"}


@pytest.mark.parametrize(("tile", "batch"), [(16, 1), (16, 3), (32, 8), (48, 2), (128, 1)])
def test_neither_tile_nor_batch_changes_the_result(session, tile, batch):
    measured = micrograph(130, 97)
    whole = engine.infer(measured, session, tile=256)
    tiled = engine.infer(measured, session, tile=tile, batch=batch)
    np.testing.assert_allclose(tiled.intensity, whole.intensity, atol=1e-6)


@pytest.mark.parametrize(("tile", "batch"), [(64, 8), (512, 4), (1024, 1), (2048, 1)])
def test_large_tiles_run_in_small_batches_unless_told_otherwise(session, tile, batch):
    result = engine.infer(micrograph(), session, tile=tile)
    assert result.provenance["tiling"]["batch"] == batch


def test_each_option_reaches_the_function_that_takes_it(session):
    measured = micrograph()
    plain = engine.infer(measured, session).intensity
    mean = measured.intensity.mean()
    doubled = engine.infer(measured, session, gain=2.0).intensity
    np.testing.assert_allclose(doubled - mean, 2 * (plain - mean), atol=1e-6)
    shifted = engine.infer(measured, session, offset=0.25).intensity
    np.testing.assert_allclose(shifted[8:-8, 8:-8], plain[8:-8, 8:-8] - 0.25, atol=1e-6)


def test_an_option_that_the_task_does_not_take_is_refused_with_those_it_takes(session):
    for wrong in ("gian", "n_threads"):
        with pytest.raises(InvalidOption, match=rf"box: option '{wrong}' is unknown; .*choose from: gain, offset$"):
            engine.infer(micrograph(), session, **{wrong: 1})
    with pytest.raises(InvalidOption, match=r"flat: option 'offset' is unknown; .*gain"):
        engine.infer(micrograph(), Flat(), offset=1)


@pytest.mark.parametrize("wrong", [{"tile": 30}, {"tile": 8}, {"tile": 0}, {"batch": 0}, {"fallback": "clasical"}])
def test_a_wrong_setting_is_refused_before_anything_is_read(session, wrong):
    def read(item):
        raise AssertionError("was read")

    with pytest.raises(InvalidOption):
        engine.infer(micrograph(), session, **wrong)
    with pytest.raises(InvalidOption):
        engine.infer_many(["a"], session, read, read, **wrong)


def test_the_result_says_what_made_it(session, folder):
    result = engine.infer(micrograph(), session, tile=16, batch=2, gain=1.5)
    made = result.provenance
    assert made["model"] == {
        "name": "box",
        "version": "1.0",
        "task": "deviation",
        "precision": "fp32",
        "sha256": sha256_of(folder / "box.onnx"),
    }
    assert made["device"] == {"used": "cpu", "why": "cpu, as asked", "threads": session.threads}
    assert made["software"]["runtime"] == session.runtime
    assert made["software"]["semrt"] == semrt.__version__
    assert made["software"]["numpy"] == np.__version__
    # 70 px padded to 72: (72 - 16) / 8 steps; 53 px to 56: (56 - 16) / 8 steps, and one tile more than steps each
    assert made["tiling"] == {"tile": [16, 16], "halo": [4, 4], "tiles": 8 * 6, "batch": 2}
    assert made["options"] == {"gain": 1.5}
    seconds = made["seconds"]
    assert set(seconds) == {"prepare", "run", "network", "finish"}
    assert 0 < seconds["network"] <= seconds["run"]
    assert "fallback" not in made


def test_an_input_unlike_the_training_is_refused_unless_a_fallback_is_allowed(session):
    with pytest.raises(
        ModelUnsuitable, match=r"box: mean .* above the trained 1; allow --fallback classical"
    ) as caught:
        engine.infer(micrograph(mean=3.0), session)
    assert caught.value.exit_code == 4


def test_the_fallback_is_the_tasks_classical_solver_and_is_labelled_with_the_reason(session):
    measured = micrograph(mean=3.0)
    result = engine.infer(measured, session, fallback="classical", gain=2.0, offset=1.0)
    np.testing.assert_allclose(result.intensity, 2 * measured.intensity.mean(), rtol=1e-6)
    made = result.provenance
    assert made["model"] == {"name": "flat", "task": "flat"}
    assert made["device"]["used"] == "cpu"
    assert made["fallback"]["instead_of"]["name"] == "box"
    assert "above the trained 1" in made["fallback"]["why"]
    assert made["options"] == {"gain": 2.0}  # the solver knows no offset
    assert made["details"] == {"mean": measured.intensity.mean()}


def test_an_allowed_fallback_is_not_taken_without_need(session):
    measured = micrograph()
    allowed = engine.infer(measured, session, fallback="classical")
    np.testing.assert_array_equal(allowed.intensity, engine.infer(measured, session).intensity)


def test_a_solver_needs_no_session():
    measured = micrograph()
    result = engine.infer(measured, Flat(), threads=1)
    np.testing.assert_allclose(result.intensity, measured.intensity.mean(), rtol=1e-6)
    assert result.provenance["model"]["name"] == "flat"
    assert result.provenance["device"]["threads"] == 1
    with pytest.raises(InvalidOption, match="flat: takes no tile or batch"):
        engine.infer(measured, Flat(), tile=64)


def test_a_measurement_of_another_kind_is_refused(session):
    scan = SparseScan(np.ones((8, 8)), np.ones((8, 8), bool))
    for model in (session, Flat()):
        with pytest.raises(InvalidValue, match="input: expected a Micrograph, got a SparseScan"):
            engine.infer(scan, model)


def test_a_network_that_gives_infinity_is_not_believed(tmp_path):
    folder = write_model(tmp_path, box_graph(gain=1e38), task="deviation", domain={"mean": 1e9})
    loud = dataclasses.replace(micrograph(), intensity=1e6 * micrograph().intensity)
    with open_session(folder, "cpu") as session, pytest.raises(ModelUnsuitable, match="box: gave NaN or infinity"):
        engine.infer(loud, session)


def test_a_manifest_without_the_domain_that_its_task_needs_is_damaged(tmp_path):
    with (
        open_session(write_model(tmp_path, task="deviation"), "cpu") as session,
        pytest.raises(ModelDamaged, match="its domain says nothing of 'mean'"),
    ):
        engine.infer(micrograph(), session)


def test_a_network_trained_on_other_channels_than_its_task_makes_is_refused(tmp_path):
    folder = write_model(tmp_path / "box", task="deviation", domain={"mean": 1.0}, input_channels=("visited",))
    with (
        open_session(folder, "cpu") as session,
        pytest.raises(ModelDamaged, match="trained on channels visited, not intensity"),
    ):
        engine.infer(Micrograph(np.zeros((4, 4))), session)


def test_a_network_for_a_task_without_networks_is_refused(tmp_path):
    with (
        open_session(write_model(tmp_path, task="flat"), "cpu") as session,
        pytest.raises(InvalidOption, match="its task 'flat' takes no network"),
    ):
        engine.infer(micrograph(), session)


def test_progress_counts_tiles_up_to_all_of_them(session):
    told = []
    engine.infer(micrograph(64, 64), session, tile=16, batch=4, progress=lambda *said: told.append(said))
    assert told[-1] == (49, 49, "tile")  # (64 - 16) / 8 steps along each side
    assert [done for done, *_ in told] == sorted(done for done, *_ in told)


def test_what_progress_raises_ends_the_inference(session):
    def stop_at_second(done, total, what):
        if done >= 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        engine.infer(micrograph(), session, tile=16, batch=1, progress=stop_at_second)


def test_many_inputs_give_what_each_gives_alone_in_their_order(session):
    measured = {name: micrograph(40 + 8 * k, seed=k) for k, name in enumerate("abcdef")}
    results = {}
    outcomes = list(engine.infer_many(measured, session, measured.get, results.__setitem__))
    assert [outcome.item for outcome in outcomes] == list(measured)
    for name, result in results.items():
        np.testing.assert_array_equal(result.intensity, engine.infer(measured[name], session).intensity)
        assert result.provenance["seconds"]["run"] > 0


def test_one_unreadable_input_of_many_is_told_and_the_others_are_inferred(session):
    def read(name):
        if name == "b":
            raise UnreadableFile(name, "truncated")
        return micrograph(mean=5.0 if name == "c" else 0.5)

    outcomes = {o.item: o for o in engine.infer_many("abcd", session, read, lambda name, result: result.shape)}
    assert outcomes["a"].result == outcomes["d"].result == (70, 53)
    assert isinstance(outcomes["b"].error, UnreadableFile)
    assert isinstance(outcomes["c"].error, ModelUnsuitable)


def test_many_inputs_pass_a_solver_too():
    outcomes = list(
        engine.infer_many([1.0, 2.0], Flat(), lambda m: micrograph(mean=m), lambda _, r: r.intensity.mean())
    )
    np.testing.assert_allclose([outcome.result for outcome in outcomes], [1.0, 2.0], atol=0.01)


def test_stopping_many_ends_within_a_batch_of_tiles(session):
    seen = threading.Event()
    told = []

    def progress(item, done, total, what):
        told.append(done)
        seen.set()

    large = micrograph(1024, 1024)
    outcomes = engine.infer_many("a", session, lambda _: large, lambda *_: None, progress=progress, tile=16, batch=1)
    interrupter = threading.Thread(target=lambda: seen.wait(10) and _thread.interrupt_main())  # what Ctrl-C does
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        list(outcomes)
    interrupter.join()
    assert 0 < max(told) < 127**2


def test_a_model_opens_by_name_whether_network_or_solver(folder, monkeypatch):
    monkeypatch.setenv("SEMRT_MODELS", str(folder.parent))
    with engine.open_model("box", "cpu") as network, engine.open_model("flat") as solver:
        assert engine.infer(micrograph(), network).provenance["model"]["name"] == "box"
        assert engine.infer(micrograph(), solver).provenance["model"]["name"] == "flat"
    with pytest.raises(SemrtError, match="closed"):
        network.run(np.zeros((1, 1, 32, 32), np.float32))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"device": "cuda"}, "device 'cuda': flat is no network and runs on the cpu"),
        ({"device": "gpu"}, "device 'gpu' is unknown"),
        ({"precision": "fp16"}, "precision 'fp16': flat is no network"),
    ],
)
def test_a_solver_is_given_no_device_that_it_would_not_use(setting, message):
    with pytest.raises(InvalidOption, match=message), engine.open_model("flat", **setting):
        pass
    with pytest.raises(InvalidOption, match=message):
        semrt.infer("flat", micrograph(), **setting)


def test_a_misspelt_solver_is_answered_with_the_nearest():
    with pytest.raises(ModelNotFound, match="did you mean 'kriging'"), engine.open_model("krigging"):
        pass
    with pytest.raises(ModelNotFound, match="did you mean 'kriging'"):
        semrt.infer("krigging", micrograph())


def test_one_call_opens_a_model_once_and_keeps_the_last_few_open(tmp_path, monkeypatch):
    folders = [write_model(tmp_path / f"box{k}", task="deviation", domain={"mean": 1.0}) for k in range(6)]
    api._sessions.clear()
    measured = micrograph()
    first = semrt.infer(folders[0], measured, device="cpu")
    kept = next(iter(api._sessions.values()))
    np.testing.assert_array_equal(semrt.infer(folders[0], measured, device="cpu").intensity, first.intensity)
    assert list(api._sessions.values()) == [kept]
    for folder in folders:
        semrt.infer(folder, measured, device="cpu")
    assert len(api._sessions) == 4
    api._sessions.clear()


def test_a_model_replaced_on_disk_is_opened_anew(tmp_path):
    measured = micrograph()
    mean = measured.intensity.mean()
    before = semrt.infer(write_model(tmp_path, task="deviation", domain={"mean": 1.0}), measured, device="cpu")
    doubled = write_model(tmp_path, box_graph(gain=2.0), task="deviation", domain={"mean": 1.0})
    after = semrt.infer(doubled, measured, device="cpu")
    np.testing.assert_allclose(after.intensity - mean, 2 * (before.intensity - mean), atol=1e-6)
    api._sessions.clear()


def test_a_sparse_scan_is_kriged_by_name_in_one_call():
    rng = np.random.default_rng(0)
    truth = uniform_filter(rng.normal(size=(48, 48)), 9).astype(np.float32)
    visited = rng.random(truth.shape) < 0.3
    result = semrt.infer("kriging", SparseScan(np.where(visited, truth, 0), visited, pixel_size=(1, 1)), threads=1)
    assert np.std(result.intensity - truth) < 0.5 * np.std(truth)
    assert result.provenance["model"]["name"] == "kriging"
    assert result.provenance["details"]["method"] in ("kriging", "natural neighbour")


def test_the_record_beside_an_output_is_json_and_names_its_input(session, tmp_path):
    source = tmp_path / "µ scan.npy"
    np.save(source, micrograph().intensity)
    result = engine.infer(micrograph(mean=3.0), session, fallback="classical")
    record = json.loads(json.dumps(provenance.sidecar(result, source), allow_nan=False))
    assert record["input"] == {"path": str(source.resolve()), "sha256": sha256_of(source)}
    assert record["model"]["name"] == "flat"
    assert record["fallback"]["instead_of"]["name"] == "box"
    assert record["seconds"]["run"] >= 0
    assert record["details"]["mean"] == pytest.approx(3.0, abs=0.1)
    with pytest.raises(UnreadableFile):
        provenance.sidecar(result, tmp_path / "gone.npy")
