"""Ctrl-C: what runs hands in what it has, labelled, and the next run goes on; what cannot is dropped."""

import _thread
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import semrt
import toy_solvers
from command import run, sparse, written
from semrt import engine, io, pipeline
from semrt.backends import open_session
from semrt.cli import _results
from semrt.cli._interrupt import asking_first
from semrt.errors import Interrupted, InvalidOption
from semrt.report.benchmark import Contender, bench
from semrt.tasks import TASKS
from toy_solvers import SAVED_EVERY, Heat
from toy_tasks import box_model, micrograph, register

SLOW = ("--set", "iterations=10000", "--set", "pause=0.01")
ITERATIONS = 300


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    """What takes its time, in the registry as any other."""
    monkeypatch.setitem(TASKS, "heat", f"{toy_solvers.__name__}:Heat")
    register(monkeypatch)
    monkeypatch.setitem(TASKS, "deaf", f"{toy_solvers.__name__}:Deaf")


@pytest.fixture
def folder(tmp_path):
    """Three scans, and where their results go."""
    for name in "abc":
        written(tmp_path / f"{name}.npz")
    return tmp_path


def interrupt_once(holds):
    """What Ctrl-C does, as soon as something holds."""

    def wait_and_interrupt():
        end = time.monotonic() + 30
        while not holds() and time.monotonic() < end:
            time.sleep(0.005)
        _thread.interrupt_main()

    threading.Thread(target=wait_and_interrupt).start()


def heat(folder, *more):
    return run("infer", "heat", folder, "-o", folder / "out", "--format", "tif", *more)


def provenance_of(folder, name):
    return json.loads((folder / "out" / f"{name}_heat.semrt.json").read_text(encoding="utf-8"))


@pytest.fixture
def interrupted(folder):
    """A batch of heat, interrupted in its first scan."""
    interrupt_once((folder / "out" / "a_heat.partial" / "heat.npz").exists)
    result = heat(folder, *SLOW, "--json")
    assert result.exit_code == 130, result.stderr
    return result


def test_after_ctrl_c_the_best_so_far_is_written_and_labelled(interrupted, folder):
    told = json.loads(interrupted.stdout)
    assert told["interrupted"] is True
    (entry,) = told["results"]
    assert entry["input"] == str(folder / "a.npz")
    assert entry["interrupted"] is True
    made = provenance_of(folder, "a")
    assert made["interrupted"] is True
    assert made["details"]["stopped"] == "interrupted"
    done = made["details"]["iterations"]
    assert SAVED_EVERY <= done < 10000
    np.testing.assert_array_equal(
        io.read(folder / "out" / "a_heat.tif").intensity, semrt.infer("heat", sparse(), iterations=done).intensity
    )
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "a_heat.partial",
        "a_heat.semrt.json",
        "a_heat.tif",
    ]
    header, stopping, ended, note, last = interrupted.stderr.splitlines()
    assert header == "3 scans with heat"
    assert "Ctrl-C once more" in stopping
    assert ended.startswith(f"[1/3] {folder / 'a.npz'}: ")
    assert note == f"semrt: note: {folder / 'a.npz'}: interrupted, the best so far; --skip-existing will redo it"
    assert last == "semrt: interrupted; finished results are whole, and --skip-existing goes on from there"


def test_skip_existing_redoes_what_was_interrupted_from_its_checkpoint(interrupted, folder):
    resumed = heat(folder, "--skip-existing", "--set", f"iterations={ITERATIONS}", "--json")
    assert resumed.exit_code == 0, resumed.stderr
    told = json.loads(resumed.stdout)
    assert told["skipped"] == []
    assert [entry["interrupted"] for entry in told["results"]] == [False] * 3
    made = provenance_of(folder, "a")
    assert "interrupted" not in made
    assert made["details"]["resumed"] >= SAVED_EVERY
    assert made["details"]["iterations"] == ITERATIONS
    assert provenance_of(folder, "b")["details"]["resumed"] == 0
    assert not list((folder / "out").glob("*.partial")), "a checkpoint outlived what it was for"
    at_once = semrt.infer("heat", sparse(), iterations=ITERATIONS).intensity
    for name in "abc":
        np.testing.assert_array_equal(io.read(folder / "out" / f"{name}_heat.tif").intensity, at_once)
    before = (folder / "out" / "a_heat.tif").stat().st_mtime_ns
    assert len(json.loads(heat(folder, "--skip-existing", "--json").stdout)["skipped"]) == 3
    assert (folder / "out" / "a_heat.tif").stat().st_mtime_ns == before


def test_without_skip_existing_what_was_interrupted_is_not_replaced_unasked(interrupted, folder):
    refused = heat(folder)
    assert refused.exit_code == 3
    assert "already exists" in refused.stderr
    assert provenance_of(folder, "a")["interrupted"] is True


def test_a_preview_says_that_the_result_is_only_the_best_so_far():
    def stop(done, total, what):
        raise Interrupted

    stopped = semrt.infer("heat", sparse(), progress=stop)
    assert _results.caption_of(sparse(), stopped, "a").warning == "interrupted: the best so far"
    assert _results.caption_of(sparse(), semrt.infer("heat", sparse()), "a").warning == ""


def test_what_cannot_be_stopped_ends_and_is_whole(folder):
    interrupt_once((folder / "out" / "a_deaf.partial").exists)
    result = run("infer", "deaf", folder, "-o", folder / "out", "--set", "seconds=0.5")
    assert result.exit_code == 130
    assert result.stdout == f"{folder / 'out' / 'a_deaf.npz'}\n"
    made = json.loads((folder / "out" / "a_deaf.semrt.json").read_text(encoding="utf-8"))
    assert "interrupted" not in made
    assert not (folder / "out" / "a_deaf.partial").exists()


def test_a_second_ctrl_c_ends_at_once(folder):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from semrt.tasks import TASKS;"
        "TASKS['deaf'] = 'toy_solvers:Deaf'; from semrt.cli import main; main()"
    )
    command = [sys.executable, "-W", "error", "-c", code, "infer", "deaf", str(folder), "-o", str(folder / "out")]
    posix = sys.platform != "win32"
    flags = 0 if posix else subprocess.CREATE_NEW_PROCESS_GROUP
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8", creationflags=flags) as process:
        end = time.monotonic() + 30
        while not (folder / "out" / "a_deaf.partial").exists() and time.monotonic() < end and process.poll() is None:
            time.sleep(0.01)
        started = time.monotonic()
        process.send_signal(signal.SIGINT if posix else signal.CTRL_BREAK_EVENT)
        lines = [process.stderr.readline() for _ in range(2)]
        assert lines[1].startswith("semrt: stopping")
        process.send_signal(signal.SIGINT if posix else signal.CTRL_BREAK_EVENT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 10  # the solver sleeps for 30 s
    assert stderr == "semrt: interrupted; finished results are whole, and --skip-existing goes on from there\n"
    assert [path.name for path in (folder / "out").iterdir()] == ["a_deaf.partial"]


def test_in_python_ctrl_c_reaches_the_solver_itself(tmp_path):
    interrupt_once((tmp_path / "heat.npz").exists)
    stopped = semrt.infer("heat", sparse(), iterations=10000, pause=0.01, checkpoint=tmp_path)
    assert stopped.provenance["interrupted"] is True
    done = stopped.provenance["details"]["iterations"]
    assert SAVED_EVERY <= done < 10000
    resumed = semrt.infer("heat", sparse(), iterations=ITERATIONS, checkpoint=str(tmp_path))
    assert resumed.provenance["details"]["resumed"] == done // SAVED_EVERY * SAVED_EVERY
    np.testing.assert_array_equal(resumed.intensity, semrt.infer("heat", sparse(), iterations=ITERATIONS).intensity)


def test_a_checkpoint_is_refused_where_nothing_would_use_it(tmp_path):
    with pytest.raises(InvalidOption, match="kriging: takes no checkpoint"):
        semrt.infer("kriging", sparse(), checkpoint=tmp_path)


def test_a_folder_of_that_name_is_left_alone_by_what_keeps_no_checkpoint(folder):
    (folder / "out" / "a_kriging.partial").mkdir(parents=True)
    assert run("infer", "kriging", folder / "a.npz", "-o", folder / "out").exit_code == 0
    assert (folder / "out" / "a_kriging.partial").exists()


def test_stopping_drops_what_waits_and_finishes_what_has_run(tmp_path):
    stop, asked = threading.Event(), []

    def progress(item, done, total, what):
        asked.append(item)
        if item == "b" and done == 3:
            stop.set()

    def slow_write(item, result):
        time.sleep(0.1)  # so that b runs while a is written
        return result

    outcomes = list(
        engine.infer_many(
            "abcd", Heat(), lambda _: sparse(), slow_write, progress=progress, stop=stop, iterations=9, pause=0.01
        )
    )
    assert [outcome.item for outcome in outcomes] == ["a", "b"]
    assert [outcome.result.provenance["details"]["iterations"] for outcome in outcomes] == [9, 4]
    assert ["interrupted" in outcome.result.provenance for outcome in outcomes] == [False, True]
    assert set(asked) == {"a", "b"}


def test_a_network_that_is_stopped_has_no_result_unless_it_was_at_its_end(tmp_path):
    image = micrograph(64, 64)
    with open_session(box_model(tmp_path), "cpu") as session:
        for at, results in ((2, 0), (49, 1)):  # of 49 tiles
            stop = threading.Event()
            outcomes = engine.infer_many(
                "abc",
                session,
                lambda _: image,
                lambda _, result: result,
                progress=lambda _, done, *__, at=at, stop=stop: stop.set() if done == at else None,
                stop=stop,
                tile=16,
                batch=1,
            )
            assert len(list(outcomes)) == results


def test_a_benchmark_is_ended_by_ctrl_c_and_not_measured_on():
    end = time.monotonic() + 0.5
    interrupt_once(lambda: time.monotonic() > end)
    with pytest.raises(KeyboardInterrupt):
        bench(Contender("heat", settings={"iterations": 10, "pause": 0.01}), lambda accepts: sparse(), runs=10)


def test_a_demo_that_is_interrupted_shows_the_best_so_far_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(Heat.solve.__kwdefaults__, "iterations", 10000)
    monkeypatch.setitem(Heat.solve.__kwdefaults__, "pause", 0.01)
    Heat.begun.clear()
    interrupt_once(Heat.begun.is_set)
    shown = run("demo", "--model", "heat", "--size", "64", "-o", tmp_path, "--json")
    assert shown.exit_code == 130
    assert json.loads(shown.stdout)["interrupted"] is True


def test_stages_may_look_at_the_flag_and_what_passed_them_comes_out():
    stop, release = threading.Event(), threading.Event()

    def run_stage(item, _):
        if stop.is_set():
            raise Interrupted
        if item == 2:
            stop.set()
            release.set()
        return item

    def write(item, value):
        release.wait(10)
        return value

    outcomes = pipeline.run(itertools.count(), {"run": run_stage, "write": write}, stop=stop)
    assert [outcome.result for outcome in outcomes] == [0, 1, 2]


def test_a_stage_that_raises_interrupted_of_its_own_ends_all():
    def run_stage(item, _):
        if item == 3:
            raise Interrupted
        return item

    outcomes = list(pipeline.run(itertools.count(), {"run": run_stage}))
    assert [outcome.item for outcome in outcomes][:3] == [0, 1, 2]
    assert 3 not in [outcome.item for outcome in outcomes]
    assert len(outcomes) < 100


def test_the_first_ctrl_c_asks_and_the_second_is_as_before():
    asked = []
    with asking_first(lambda: asked.append(1)):
        signal.raise_signal(signal.SIGINT)
        assert asked == [1]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert asked == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with asking_first(lambda: pytest.fail("was asked")):
            signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
