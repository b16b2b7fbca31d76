"""The engine: tiled or whole, alone or one of many, a result is the same, and it says what made it."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

import semrt
from semrt import engine, provenance
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
from semrt.tasks.infill import INPUT_CHANNELS
from tiny_models import box_graph, write_model
from toy_tasks import Deviation, Flat, box_model, micrograph, register


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    """The toys in the registry, as any other."""
    register(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    return box_model(tmp_path / "box")


@pytest.fixture
def session(folder):
    with open_session(folder, "cpu") as session:
        yield session


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


@pytest.mark.parametrize(("tile", "batch"), [(64, 8), (128, 4), (256, 1), (2048, 1)])
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


def test_a_network_that_gives_other_channels_than_its_task_needs_is_refused(tmp_path):
    onnx = box_graph(len(INPUT_CHANNELS))
    folder = write_model(tmp_path / "box", onnx, input_channels=INPUT_CHANNELS)  # of infill, and states no error
    with (
        open_session(folder, "cpu") as session,
        pytest.raises(ModelDamaged, match="gives intensity, not intensity, error"),
    ):
        engine.infer(Micrograph(np.zeros((4, 4))), session)


def test_the_threads_that_were_chosen_reach_every_function_of_the_task(session, monkeypatch):
    used = {}

    def outside_domain(self, measured, domain, *, n_threads=None):
        used["outside_domain"] = n_threads

    def prepare(self, measured, *, n_threads=None):
        used["prepare"] = n_threads
        return measured.intensity[np.newaxis]

    monkeypatch.setattr(Deviation, "outside_domain", outside_domain)
    monkeypatch.setattr(Deviation, "prepare", prepare)
    engine.infer(micrograph(), session, threads=3)
    assert used == {"outside_domain": 3, "prepare": 3}


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


def test_the_record_beside_an_output_is_json_and_names_its_input(session, tmp_path):
    source = tmp_path / "µ scan.npy"
    np.save(source, micrograph().intensity)
    result = engine.infer(micrograph(mean=3.0), session, fallback="classical")
    record = json.loads(json.dumps(provenance.sidecar(result, provenance.input_of(source)), allow_nan=False))
    assert record["input"] == {"path": str(source.resolve()), "sha256": sha256_of(source)}
    assert record["model"]["name"] == "flat"
    assert record["fallback"]["instead_of"]["name"] == "box"
    assert record["seconds"]["run"] >= 0
    assert record["details"]["mean"] == pytest.approx(3.0, abs=0.1)
    with pytest.raises(UnreadableFile):
        provenance.input_of(tmp_path / "gone.npy")
