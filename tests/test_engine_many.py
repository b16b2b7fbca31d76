"""Many measurements through the engine, and one call after the other: each result is what it would be alone."""

import _thread
import threading

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

import semrt
from semrt import api, engine
from semrt.backends import open_session
from semrt.data import SparseScan
from semrt.errors import ModelUnsuitable, UnreadableFile
from tiny_models import box_graph, write_model
from toy_tasks import Flat, box_model, micrograph, register


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    """The toys in the registry, as any other."""
    register(monkeypatch)


@pytest.fixture
def session(tmp_path):
    with open_session(box_model(tmp_path / "box"), "cpu") as session:
        yield session


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

    def shape(name, result):
        return result.shape

    outcomes = {o.item: o for o in engine.infer_many("abcd", session, read, shape, fallback="none")}
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
