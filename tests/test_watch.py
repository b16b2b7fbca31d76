"""semrt watch: results as files appear, each once, and again when it changes."""

import _thread
import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import toy_solvers
from command import SEMRT, fails, run, sparse, written
from semrt import engine, io
from semrt.cli.infer import infer
from semrt.cli.watch import OWN, watch
from semrt.data import Micrograph
from semrt.errors import OutputNotWritable
from semrt.tasks import TASKS

POSIX = sys.platform != "win32"
QUICK = ("--poll", "20ms", "--settle", "10ms")
JOURNAL = "semrt-watch_kriging.jsonl"


@pytest.fixture
def scans(tmp_path):
    """A folder with two scans."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for k, name in enumerate("ab"):
        written(folder / f"{name}.npz", sparse(seed=k))
    return folder


def watched(scans, *more, model="kriging", out="out", **options):
    return run("watch", scans, "--model", model, "-o", scans.parent / out, *QUICK, *more, **options)


def once(scans, *more, **options):
    return watched(scans, "--once", *more, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def until(holds, seconds=30):
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    assert holds(), "waited in vain"


def meanwhile(job):
    """Do a job while a watch runs in the main thread, and then end it as Ctrl-C does."""
    failures = []

    def work():
        try:
            job()
        except BaseException as error:
            failures.append(error)
        _thread.interrupt_main()

    thread = threading.Thread(target=work)
    thread.start()
    return failures


def test_the_results_are_those_of_infer(scans):
    result = once(scans, "--preview", "--format", "tif", "--denoise")
    assert result.exit_code == 0, result.stderr
    out = scans.parent / "out"
    assert result.stdout.splitlines() == [str(out / "a_kriging.tif"), str(out / "b_kriging.tif")]
    beside = run("infer", "kriging", scans, "-o", scans.parent / "one", "--preview", "--format", "tif", "--denoise")
    assert beside.exit_code == 0
    assert names(out) == [*names(scans.parent / "one"), JOURNAL]
    for name in ("a_kriging.tif", "a_kriging_error.tif", "b_kriging.tif"):
        one, other = (io.read(folder / name).intensity for folder in (out, scans.parent / "one"))
        np.testing.assert_array_equal(one, other)
    made, told = (
        json.loads((folder / "a_kriging.semrt.json").read_text(encoding="utf-8"))
        for folder in (out, scans.parent / "one")
    )
    assert made.keys() == told.keys()
    assert made["input"] == told["input"]
    assert made["options"] == {"denoise": True}


def test_files_are_done_as_they_appear_and_again_when_they_change(scans):
    out = scans.parent / "out"
    first = []

    def instrument():
        until((out / "b_kriging.npz").exists)
        written(scans / "c.npz", sparse(seed=2))
        until((out / "c_kriging.npz").exists)
        until(lambda: (out / JOURNAL).read_text(encoding="utf-8").count('"done"') == 3)
        first.append(io.read(out / "a_kriging.npz").intensity)
        (scans / "a.npz").unlink()
        written(scans / "a.npz", sparse(seed=9))
        until(lambda: (out / JOURNAL).read_text(encoding="utf-8").count('"done"') == 4)

    failures = meanwhile(instrument)
    result = watched(scans, "--json")
    assert failures == []
    assert result.exit_code == 130
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [entry["input"] for entry in told] == [str(scans / f"{name}.npz") for name in "abca"]
    assert all(entry["output"] and entry["seconds"]["run"] > 0 for entry in told)
    again = io.read(out / "a_kriging.npz").intensity
    np.testing.assert_array_equal(again, engine.infer(sparse(seed=9), engine.find_solver("kriging")).intensity)
    assert (again != first[0]).any()
    assert "until Ctrl-C, with kriging on the cpu" in result.stderr.splitlines()[0]
    assert result.stderr.splitlines()[-1].startswith("semrt: stopped watching; finished results are whole")


def test_a_damaged_file_is_told_once_and_does_not_stop_the_watch(scans):
    out = scans.parent / "out"
    (scans / "0.npz").write_bytes((scans / "a.npz").read_bytes()[:200])

    def instrument():
        until((out / "b_kriging.npz").exists)
        time.sleep(0.2)  # several looks
        written(scans / "c.npz")
        until((out / "c_kriging.npz").exists)
        (scans / "whole").write_bytes((scans / "a.npz").read_bytes())
        (scans / "whole").replace(scans / "0.npz")
        until((out / "0_kriging.npz").exists)

    failures = meanwhile(instrument)
    result = watched(scans, "--json")
    assert failures == []
    told = [json.loads(line) for line in result.stdout.splitlines()]
    bad = [entry for entry in told if "error" in entry]
    assert len(bad) == 1
    assert bad[0]["input"] == str(scans / "0.npz")
    assert (bad[0]["exit_code"], "cannot be read" in bad[0]["error"]) == (3, True)
    assert [entry["input"] for entry in told if "output" in entry][-1] == str(scans / "0.npz")
    assert len([line for line in result.stderr.splitlines() if line.startswith(f"semrt: {scans / '0.npz'}: ")]) == 1


def test_a_later_watch_does_what_is_new_changed_or_was_cut_short(scans):
    assert once(scans).exit_code == 0
    out = scans.parent / "out"
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    idle = once(scans)
    assert (idle.exit_code, idle.stdout) == (0, "")
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before

    written(scans / "c.npz", sparse(seed=3))
    assert once(scans).stdout == f"{out / 'c_kriging.npz'}\n"

    io.write(scans / "b.npz", sparse(seed=7), overwrite=True)
    assert once(scans).stdout == f"{out / 'b_kriging.npz'}\n"
    np.testing.assert_array_equal(
        io.read(out / "b_kriging.npz").intensity, engine.infer(sparse(seed=7), engine.find_solver("kriging")).intensity
    )

    (out / "a_kriging.npz").unlink()
    assert once(scans).stdout == f"{out / 'a_kriging.npz'}\n"

    lines = (out / JOURNAL).read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["how"] == "done"
    (out / JOURNAL).write_text("\n".join([*lines[:-1], lines[-1][:20]]), encoding="utf-8")  # as a cut would leave it
    assert once(scans).stdout == f"{out / 'a_kriging.npz'}\n"
    assert once(scans).stdout == ""


def test_what_failed_is_tried_again_by_the_next_watch(scans):
    (scans / "0.npz").write_bytes(b"PK nonsense")
    assert once(scans).exit_code == 1
    again = once(scans)
    assert again.exit_code == 3
    assert (again.stdout, again.stderr.count("0.npz: ")) == ("", 1)


def test_results_that_no_watch_made_are_left_alone_counted_or_replaced_as_asked(scans):
    out = scans.parent / "out"
    out.mkdir()
    (out / "a_kriging.npz").write_bytes(b"precious")
    refused = once(scans)
    assert refused.exit_code == 1
    said = "a_kriging.npz: already exists; use --overwrite to replace it, or use --skip-existing to keep it\n"
    assert said in refused.stderr
    assert (out / "a_kriging.npz").read_bytes() == b"precious"
    assert once(scans, "--skip-existing").stdout == ""
    assert (out / "a_kriging.npz").read_bytes() == b"precious"
    replaced = once(scans, "--overwrite")
    assert replaced.stdout.splitlines() == [str(out / f"{name}_kriging.npz") for name in "ab"]
    assert io.read(out / "a_kriging.npz").shape == (40, 48)


def test_what_lies_beside_a_result_is_not_replaced_unasked_either(scans):
    (scans.parent / "out").mkdir()
    (scans.parent / "out" / "a_kriging.semrt.json").write_bytes(b"precious")
    assert "a_kriging.semrt.json: already exists" in once(scans).stderr
    assert (scans.parent / "out" / "a_kriging.semrt.json").read_bytes() == b"precious"


def test_two_files_of_one_name_are_not_written_into_one_result(scans):
    written(scans / "a.tif")
    result = once(scans)
    assert result.exit_code == 1
    assert "would both become a_kriging" in result.stderr
    assert len(result.stdout.splitlines()) == 2


def test_a_table_of_the_name_of_an_image_is_not_in_its_way(scans):
    (scans / "a.csv").write_text("energy,counts\n1,2\n", encoding="utf-8")
    for _ in range(2):
        result = once(scans, "--overwrite")
        assert result.exit_code == 1
        assert [line for line in result.stderr.splitlines() if "a.csv: column 'energy' is unknown" in line]
        assert len(result.stdout.splitlines()) == 2


def test_a_slow_solver_hands_in_its_best_and_the_next_watch_goes_on_from_there(scans, monkeypatch):
    monkeypatch.setitem(TASKS, "heat", f"{toy_solvers.__name__}:Heat")
    checkpoint = scans.parent / "out" / "a_heat.partial" / "heat.npz"
    failures = meanwhile(lambda: until(checkpoint.exists))
    slow = ("--set", "iterations=10000", "--set", "pause=0.01", "--json")
    stopped = watched(scans, *slow, model="heat")
    assert failures == []
    assert stopped.exit_code == 130
    (told,) = (json.loads(line) for line in stopped.stdout.splitlines())
    assert told["interrupted"] is True
    resumed = once(scans, "--set", "iterations=300", "--json", model="heat")
    assert resumed.exit_code == 0, resumed.stderr
    assert [json.loads(line)["interrupted"] for line in resumed.stdout.splitlines()] == [False, False]
    made = json.loads((scans.parent / "out" / "a_heat.semrt.json").read_text(encoding="utf-8"))
    assert made["details"]["resumed"] >= toy_solvers.SAVED_EVERY
    assert not checkpoint.parent.exists()


def test_a_network_is_opened_once_for_all_files(scans, monkeypatch):
    opened = []
    open_session = engine.serve.open_session
    monkeypatch.setattr(engine.serve, "open_session", lambda *a, **k: opened.append(a) or open_session(*a, **k))
    result = once(scans, "--device", "cpu", model="infill")
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2
    assert len(opened) == 1


def test_a_model_of_another_kind_is_watched_with_its_own_files(tmp_path):
    (tmp_path / "images").mkdir()
    assert run("simulate", "columns", "-n", 1, "--shape", 64, "--no-bound", "-o", tmp_path / "images").exit_code == 0
    (tmp_path / "images" / "columns_00000.csv").unlink()  # the truth
    result = once(tmp_path / "images", "--save", "csv", model="column-peaks")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith("columns_00000_column-peaks.csv\n")
    assert names(tmp_path / "out") == [
        "columns_00000_column-peaks.csv",
        "columns_00000_column-peaks.semrt.json",
        "semrt-watch_column-peaks.jsonl",
    ]


def test_results_below_the_watched_folder_are_no_inputs(scans):
    (scans / "deep").mkdir()
    written(scans / "deep" / "c.npz")
    call = ("watch", scans, "--model", "kriging", "-o", scans / "results", "--recursive", "--once", *QUICK)
    assert len(run(*call).stdout.splitlines()) == 3
    (scans / "results" / "stray.npz").write_bytes((scans / "a.npz").read_bytes())
    assert run(*call).stdout == ""


def test_results_may_go_to_the_folder_above(scans):
    result = run("watch", scans, "--model", "kriging", "-o", scans.parent, "--recursive", "--once", *QUICK)
    assert result.stdout.splitlines() == [str(scans.parent / f"{name}_kriging.npz") for name in "ab"]


def test_the_mask_of_all_scans_may_lie_among_them(scans):
    scan = io.read(scans / "a.npz")
    (scans / "b.npz").unlink()
    io.write(scans / "a.npz", Micrograph(scan.intensity), overwrite=True)
    io.write(scans / "mask.npy", Micrograph(scan.visited.astype(np.float32)))
    result = once(scans, "--mask", scans / "mask.npy")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{scans.parent / 'out' / 'a_kriging.npz'}\n"


def test_a_folder_that_goes_away_for_a_while_is_waited_for(scans):
    away = scans.parent / "away"
    out = scans.parent / "out"

    def network():
        until((out / "b_kriging.npz").exists)
        scans.rename(away)
        time.sleep(0.2)
        away.rename(scans)
        written(scans / "c.npz")
        until((out / "c_kriging.npz").exists)

    failures = meanwhile(network)
    result = watched(scans)
    assert failures == []
    assert len(result.stdout.splitlines()) == 3
    waiting = [line for line in result.stderr.splitlines() if line.endswith("waiting for it")]
    assert len(waiting) == 1
    assert f"semrt: {scans} is there again" in result.stderr.splitlines()


def test_ctrl_c_ends_a_watch_that_has_nothing_to_do(scans):
    command = [*SEMRT, "watch", str(scans), "--model", "kriging", "-o", str(scans.parent / "out"), "--poll", "1min"]
    flags = 0 if POSIX else subprocess.CREATE_NEW_PROCESS_GROUP
    with subprocess.Popen(
        [*command, "--settle", "1ms"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, creationflags=flags
    ) as process:
        assert process.stderr.readline().startswith("watching ")
        time.sleep(0.2)
        started = time.monotonic()
        process.send_signal(signal.SIGINT if POSIX else signal.CTRL_BREAK_EVENT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 30
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1].startswith("semrt: stopped watching")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["scans", "-o", "out"], 2, "--model"),
        (["scans", "--model", "kriging"], 2, "-o"),
        (["nowhere", "--model", "kriging", "-o", "out"], 3, "nowhere: no such file"),
        (["scans/a.npz", "--model", "kriging", "-o", "out"], 2, "is a file; name its folder"),
        (["scans", "--model", "kriging", "-o", "scans"], 2, "is the watched folder"),
        (["scans", "--model", "kriging", "-o", "out.tif"], 2, "names a file"),
        (["scans", "--model", "krigin", "-o", "out"], 4, "did you mean 'kriging'"),
        (["scans", "--model", "kriging", "-o", "out", "--overwrite", "--skip-existing"], 2, "contradict"),
        (["scans", "--model", "kriging", "-o", "out", "--poll", "0s"], 2, "above zero"),
        (["scans", "--model", "kriging", "-o", "out", "--format", "bmp"], 2, "'.bmp' is unknown"),
        (["scans", "--model", "kriging", "-o", "out", "--set", "colour=3"], 2, "'colour' is unknown"),
        (["scans", "--model", "kriging", "-o", "out", "--energies", "5:35"], 2, "--energies"),
    ],
)
def test_a_watch_that_cannot_be_is_refused_and_nothing_is_written(scans, monkeypatch, words, code, said):
    monkeypatch.chdir(scans.parent)
    result = run("watch", *words, "--once", *([] if "--poll" in words else QUICK))
    assert result.exit_code == code, result.output
    assert said in result.stderr.splitlines()[-1]
    assert names(scans.parent) == ["scans"]


def test_watch_has_every_option_of_infer():
    options = {name for option in watch.params for name in option.opts}
    assert {name for option in infer.params if option.name not in OWN for name in option.opts} < options
    assert {"--output", "--json", "--model", "--poll", "--settle", "--once"} < options


def test_a_journal_that_cannot_be_kept_is_told_at_once(scans):
    (scans.parent / "out" / JOURNAL).mkdir(parents=True)
    assert fails(once(scans), OutputNotWritable.exit_code, JOURNAL, "cannot be written")
