"""What runs where a network was not trained for the measurement, and what is said of it."""

import json
import warnings

import numpy as np
import pytest

import semrt
import toy_solvers
from command import fails, run, sparse, written
from semrt import engine
from semrt.backends import open_session
from semrt.cli import _results
from semrt.errors import InvalidOption, MissingDependency, ModelUnsuitable
from semrt.tasks import TASKS, NetworkTask, find_task
from semrt.tasks.infill import INPUT_CHANNELS, OUTPUT_CHANNELS, Infill
from tiny_models import box_graph, write_model
from toy_tasks import Deviation, Median, box_model, micrograph, register

OUTSIDE = r"mean [23]\.?\d* above the trained 1"


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    """The toys in the registry, as any other: `median` stands where a Deep Image Prior will, `flat` where kriging."""
    register(monkeypatch)


@pytest.fixture
def session(tmp_path):
    with open_session(box_model(tmp_path / "box"), "cpu") as session:
        yield session


@pytest.fixture
def without_package(monkeypatch):
    """A computer on which the package that `median` needs is not installed."""
    monkeypatch.setattr(Median, "requires", "no_such_package_of_anybody")


def unlike():
    """A measurement that the network was not trained for."""
    return micrograph(mean=3.0)


def median(measured, gain=1.0):
    return np.broadcast_to(np.median(measured.intensity, axis=0) * np.float32(gain), measured.shape)


def test_an_input_unlike_the_training_is_refused_where_no_fallback_is_allowed(session, monkeypatch):
    with pytest.raises(ModelUnsuitable, match=rf"box: {OUTSIDE}; allow --fallback dip\|classical, or choose") as caught:
        engine.infer(unlike(), session, fallback="none")
    assert caught.value.exit_code == 4
    monkeypatch.setattr(Deviation, "fallbacks", {})
    with pytest.raises(ModelUnsuitable, match=rf"box: {OUTSIDE}; choose another model$"):
        engine.infer(unlike(), session)


def test_auto_takes_the_first_that_is_installed_and_says_so_in_a_line(session):
    line = rf"^box: {OUTSIDE}; median runs instead \(statistics is installed\); choose with fallback="
    with pytest.warns(UserWarning, match=line):
        result = engine.infer(unlike(), session, gain=2.0, offset=1.0)
    np.testing.assert_array_equal(result.intensity, median(unlike(), 2.0))
    made = result.provenance
    assert made["model"] == {"name": "median", "task": "median"}
    assert made["fallback"]["instead_of"]["name"] == "box"
    assert made["fallback"]["solver"] == "median"
    assert made["fallback"]["chosen"] == "statistics is installed"
    assert "above the trained 1" in made["fallback"]["why"]
    assert made["options"] == {"gain": 2.0}  # the solver knows no offset


def test_auto_takes_the_classical_method_where_the_other_is_not_installed(session, without_package):
    line = rf"^box: {OUTSIDE}; flat runs instead \(no_such_package_of_anybody is not installed\); "
    with pytest.warns(UserWarning, match=line):
        result = engine.infer(unlike(), session)
    assert result.provenance["model"]["name"] == "flat"
    with pytest.raises(MissingDependency, match="median needs no_such_package_of_anybody"):
        engine.infer(micrograph(), session, fallback="dip")  # told at once, not when a scan needs it


@pytest.mark.parametrize(("fallback", "solver"), [("dip", "median"), ("classical", "flat")])
def test_what_was_asked_for_runs_without_a_warning(session, fallback, solver):
    made = engine.infer(unlike(), session, fallback=fallback).provenance
    assert made["model"] == {"name": solver, "task": solver}
    assert made["fallback"]["chosen"] == "as asked"
    assert made["seconds"]["run"] > 0


def test_a_fallback_is_not_taken_without_need(session):
    results = [engine.infer(micrograph(), session, fallback=fallback) for fallback in engine.FALLBACKS]
    assert all("fallback" not in result.provenance for result in results)
    for result in results[1:]:
        np.testing.assert_array_equal(result.intensity, results[0].intensity)


def test_a_fallback_that_the_task_has_not_is_refused_with_those_it_has(session, monkeypatch):
    monkeypatch.setattr(Deviation, "fallbacks", {"classical": "flat"})
    with pytest.raises(InvalidOption, match="box: fallback 'dip' is unknown; choose from: auto, classical, none"):
        engine.infer(micrograph(), session, fallback="dip")


def test_the_stand_in_runs_where_the_network_was_to_run_if_it_can(session):
    devices = {"cuda:1": "cuda:1", "cpu": "cpu", "auto": "auto", None: "cpu"}  # None: where the session runs
    for asked, handed_on in devices.items():
        made = engine.infer(unlike(), session, fallback="dip", device=asked).provenance
        assert made["device"]["why"] == f"cpu, of {handed_on}"
    flat = engine.infer(unlike(), session, fallback="classical", device="cuda").provenance
    assert flat["device"]["used"] == "cpu"


def test_the_stand_in_says_how_far_it_is_and_has_a_checkpoint(session, tmp_path):
    told = []
    made = engine.infer(
        unlike(), session, fallback="dip", progress=lambda *said: told.append(said), checkpoint=tmp_path
    ).provenance
    assert told == [(1, 3, "pass"), (2, 3, "pass"), (3, 3, "pass")]
    assert made["details"]["checkpoint"] == tmp_path
    with pytest.raises(InvalidOption, match="box: takes no checkpoint"):
        engine.infer(unlike(), session, fallback="classical", checkpoint=tmp_path)


def test_the_warning_points_to_the_line_that_called(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        semrt.infer(box_model(tmp_path / "box"), unlike(), device="cpu")
    assert [warning.filename for warning in caught] == [__file__]


def test_many_are_told_of_the_fallback_before_it_runs(session):
    said = []
    outcomes = engine.infer_many(
        [0.5, 3.0],
        session,
        lambda mean: micrograph(mean=mean),
        lambda mean, result: result.provenance.get("fallback"),
        fell_back=lambda mean, fallback: said.append((mean, fallback["solver"])),
        progress=lambda mean, *_: said.append((mean, "runs")) if mean == 3.0 else None,
    )
    first, second = (outcome.result for outcome in outcomes)
    assert first is None
    assert second["chosen"] == "statistics is installed"
    assert said == [(3.0, "median"), (3.0, "runs"), (3.0, "runs"), (3.0, "runs")]


def test_the_command_line_says_which_runs_why_and_how_to_choose(tmp_path, monkeypatch):
    coverage = {"coverage": [0.05, 0.5], "largest_gap": 40.0}
    channels = {"input_channels": INPUT_CHANNELS, "output_channels": OUTPUT_CHANNELS}
    described = {"name": "guess", "task": "infill", "domain": coverage} | channels
    model = write_model(tmp_path / "model", box_graph(len(INPUT_CHANNELS), out_channels=2), **described)
    scan = written(tmp_path / "s.npz", sparse(coverage=0.8))
    monkeypatch.setitem(TASKS, "heat", f"{toy_solvers.__name__}:Heat")
    monkeypatch.setattr(Infill, "fallbacks", {"dip": "heat", "classical": "kriging"})
    call = ("infer", model, scan, "-o", tmp_path / "out", "--overwrite", "--preview", "--json")
    result = run(*call, "--denoise")
    assert result.exit_code == 0, result.stderr
    header, note, _ = result.stderr.splitlines()
    assert header.startswith("1 scan with guess on ")
    assert note.startswith(f"semrt: note: {scan}: guess: coverage 1/1.2")
    assert note.endswith("; heat runs instead (the best there is); choose with --fallback dip|classical|none")
    (entry,) = json.loads(result.stdout)["results"]
    assert entry["model"]["name"] == entry["fallback"]["solver"] == "heat"
    beside = json.loads((tmp_path / "out" / "s_guess.semrt.json").read_text(encoding="utf-8"))
    assert beside["fallback"] == entry["fallback"]
    assert beside["options"] == {"denoise": True}  # which both take
    monkeypatch.setattr(toy_solvers.Heat, "requires", "no_such_package_of_anybody", raising=False)
    (entry,) = json.loads(run(*call).stdout)["results"]
    assert entry["fallback"]["chosen"] == "no_such_package_of_anybody is not installed"
    assert fails(run(*call, "--fallback", "dip"), 5, "heat needs no_such_package_of_anybody")


def test_a_preview_names_what_ran_instead(session):
    made = engine.infer(unlike(), session, fallback="dip").provenance
    assert _results.fallback_text(made["fallback"]).startswith("median ran instead of box: mean ")
    assert _results.fallback_text(None) == ""


@pytest.mark.parametrize("name", ["infill"])
def test_every_fallback_of_a_shipped_task_is_a_solver_of_what_the_task_accepts(name):
    task = find_task(name)
    assert isinstance(task, NetworkTask)
    for way, solver in task.fallbacks.items():
        assert way in engine.FALLBACKS
        accepts = engine.find_solver(solver).accepts
        assert task.accepts in (accepts if isinstance(accepts, tuple) else (accepts,))
