"""The engine around a solver: what it gives, what it refuses, and what the result says of where it ran."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import semrt
import toy_solvers
from command import fails, run, sparse, written
from semrt import engine
from semrt.cli import _progress
from semrt.data import Micrograph
from semrt.errors import InvalidOption, InvalidValue, MissingDependency
from semrt.tasks import TASKS
from toy_solvers import Heat


class Told:
    """Returns what it was given, instead of a result."""

    accepts = Micrograph
    devices = ("cpu", "cuda")

    def solve(self, measured, *, strength: int = 1, n_threads=None, device=None, progress=None):
        told = {"strength": strength, "n_threads": n_threads, "asked_device": device}
        if progress is not None:
            progress(1, 3, "step")
        return dataclasses.replace(measured, provenance=told)


class Needy(Heat):
    requires = "no_such_package_of_anybody"


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    """The solvers above and Heat, in the registry as any other."""
    monkeypatch.setitem(TASKS, "told", f"{__name__}:Told")
    monkeypatch.setitem(TASKS, "needy", f"{__name__}:Needy")
    monkeypatch.setitem(TASKS, "heat", f"{toy_solvers.__name__}:Heat")


def image():
    return Micrograph(np.zeros((4, 5), np.float32))


def read_nothing(*_):
    raise AssertionError("was read")


def test_a_solver_is_given_what_it_names_and_nothing_else():
    told = []
    result = semrt.infer("told", image(), device="cuda:1", threads=3, progress=lambda *said: told.append(said))
    assert result.provenance["details"] == {"strength": 1, "n_threads": 3, "asked_device": "cuda:1"}
    assert told == [(1, 3, "step")]
    assert semrt.infer("told", image()).provenance["details"]["asked_device"] == "auto"
    kriged = semrt.infer("kriging", sparse(), threads=1, progress=read_nothing)  # it names neither device nor progress
    assert kriged.shape == sparse().shape


@pytest.mark.parametrize("name", ["n_threads", "device", "progress", "checkpoint"])
def test_what_the_engine_gives_is_no_option(tmp_path, name):
    scan = written(tmp_path / "s.npz")
    assert fails(run("infer", "heat", scan, "-o", tmp_path, "--set", f"{name}=1"), 2, name)
    if name == "n_threads":
        with pytest.raises(InvalidOption, match=r"'n_threads' is unknown; choose from: denoise, iterations, pause"):
            semrt.infer("heat", sparse(), n_threads=1)


def test_a_solver_runs_on_the_devices_that_it_lists_alone():
    with engine.open_model("heat", "cuda:1") as solver:
        assert isinstance(solver, Heat)
    for refused in (
        lambda: engine.find_model("kriging", "cuda"),
        lambda: semrt.infer("kriging", sparse(), device="cuda"),
        lambda: engine.infer(sparse(), engine.find_solver("kriging"), device="cuda"),
    ):
        with pytest.raises(InvalidOption, match="device 'cuda': kriging is no network and runs on the cpu"):
            refused()
    with pytest.raises(InvalidOption, match="device 'tpu' is unknown"):
        semrt.infer("heat", sparse(), device="tpu")


def test_the_result_says_where_the_solver_says_that_it_ran():
    made = semrt.infer("heat", sparse(), device="cuda", threads=2, iterations=3).provenance
    assert made["device"] == {"used": "cpu", "why": "cpu, of cuda", "threads": 2}
    assert made["details"] == {"iterations": 3, "resumed": 0}
    assert made["options"] == {"iterations": 3}
    assert semrt.infer("kriging", sparse(), threads=1).provenance["device"]["used"] == "cpu"


def test_a_package_that_is_missing_is_told_before_anything_is_read(tmp_path):
    wanted = r'needy needs no_such_package_of_anybody, which is not installed; run: pip install "semrt\[needy\]"'
    for early in (
        lambda: engine.find_model("needy"),
        lambda: semrt.infer("needy", None),
        lambda: engine.infer_many(["a"], Needy(), read_nothing, read_nothing),
    ):
        with pytest.raises(MissingDependency, match=wanted):
            early()
    assert fails(run("infer", "needy", tmp_path / "not there.tif"), 5, "no_such_package_of_anybody")


def test_a_solver_may_accept_several_kinds():
    with pytest.raises(InvalidValue, match="heat: input: expected a SparseScan or a Micrograph, got a str"):
        semrt.infer("heat", "scan")
    for kind in Heat.accepts:
        assert isinstance(sparse() if kind is semrt.SparseScan else image(), kind)


def test_heat_flows_to_the_mean_of_the_neighbours():
    visited = np.zeros((3, 3), bool)
    visited[0, 1] = visited[2, 1] = visited[1, 0] = visited[1, 2] = True
    around = np.array([[0, 1, 0], [2, 0, 3], [0, 6, 0]])
    assert semrt.infer("heat", semrt.SparseScan(around, visited)).intensity[1, 1] == 3  # (1 + 2 + 3 + 6) / 4


def test_without_a_terminal_a_long_solver_says_now_and_then_how_far_it_is(tmp_path, monkeypatch):
    scan = written(tmp_path / "s.npz")
    assert "iteration" not in run("infer", "heat", scan, "-o", tmp_path / "quick.tif").stderr
    monkeypatch.setattr(_progress, "QUIET", 0.1)
    told = run("infer", "heat", scan, "-o", tmp_path / "out.tif", "--set", "iterations=10", "--set", "pause=0.05")
    header, *lines, ended = told.stderr.splitlines()
    assert header == "1 scan with heat"
    assert 2 <= len(lines) <= 5  # every 0.1 s of 10 times 0.05 s
    assert lines[0].startswith("s.npz, iteration ")
    assert " of 10, loss " in lines[0]
    assert ended.startswith(f"{scan}: ")


def test_a_bar_moves_within_a_long_inference_and_never_back():
    with _progress._rich() as shown:
        bar = _progress._Bar(2, "header", shown)
        at = []
        for happens in (
            lambda: bar.within("a", 1, 4, "tile"),
            lambda: bar.within("a", 4, 4, "tile"),
            lambda: bar.within("b", 1, 2, "iteration, loss 0.5"),  # while a is being written
            lambda: bar.ended("a: 1 s"),
            lambda: bar.within("b", 1, 2, "iteration, loss 0.25"),
        ):
            happens()
            at.append(shown.tasks[0].completed)
        assert at == [0.25, 1, 1, 1, 1.5]
        assert shown.tasks[0].description == "b, iteration 1 of 2, loss 0.25"


def test_the_line_of_a_result_names_the_device_that_a_solver_chose(tmp_path):
    scan = written(tmp_path / "s.npz")
    told = run("infer", "heat", scan, "-o", tmp_path, "--device", "cuda", "--json")
    assert json.loads(told.stdout)["results"][0]["device"]["why"] == "cpu, of cuda"
    assert told.stderr.splitlines()[-1].endswith(" s on cpu")


class TestChoosingASolver:
    """One model, several ways to do its work."""

    def test_a_model_that_is_a_solver_names_others(self):
        assert type(engine.find_model("layers", solver="ml")).__name__ == "LayersByLikelihood"
        assert type(engine.find_model("layers", solver="mrf")) is type(engine.find_model("layers"))

    @pytest.mark.parametrize("model", ["layers", "wedge", "columns", "kriging"])
    def test_auto_is_what_a_model_does_by_itself(self, model):
        chosen, itself = engine.find_model(model, solver="auto"), engine.find_model(model)
        assert chosen == itself if isinstance(itself, Path) else type(chosen) is type(itself)

    def test_a_solver_that_nobody_knows_is_refused_and_those_there_are_named(self):
        with pytest.raises(InvalidOption, match=r"layers: solver.*'mlp'.*ml"):
            engine.find_model("layers", solver="mlp")

    @pytest.mark.parametrize("model", ["kriging", "columns"])
    def test_where_there_is_one_way_alone_nobody_may_choose(self, model):
        with pytest.raises(InvalidOption, match=f"solver 'ml': {model} works in one way alone; leave it out"):
            engine.find_model(model, solver="ml")

    def test_the_network_of_a_model_is_one_of_its_solvers(self):
        assert engine.find_model("columns", solver="network") == engine.find_model("columns")
