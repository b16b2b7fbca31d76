"""semrt infer dip: scans and stacks through the command, with its budget, its notes and its refusals."""

import json

import numpy as np
import pytest
import torch

from command import fails, run, sparse, waves, written
from semrt import io
from semrt.data import Micrograph, SparseScan, SparseVolume, Volume
from semrt.engine import fallback
from semrt.tasks.dip import DeepImagePrior

QUICK = ("--threads", 1, "--network", "deep-decoder", "--max-iterations", 5, "--set", "members=1")


def dip(source, out, *more):
    return run("infer", "dip", source, "-o", out, *QUICK, *more)


def strict(text):
    """JSON as other programs read it: no NaN, no Infinity."""

    def refused(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refused)


@pytest.fixture
def scan(tmp_path):
    return written(tmp_path / "scan.npz", sparse(pixel_size=(2, 2)))


def test_a_scan_is_completed_with_its_error_map_and_record(scan, tmp_path):
    result = run(
        "infer", "dip", scan, "-o", tmp_path / "out", "--format", "tif", "--set", "members=1", "--max-iterations", 2
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'out' / 'scan_dip.tif'}\n"
    header, *_, ended = result.stderr.splitlines()  # between them, on a busy computer, how far it is
    assert header == "1 scan with dip"
    assert ended.startswith(f"{scan}: ")
    assert " s on c" in ended  # pu or uda, as there is
    image = io.read(tmp_path / "out" / "scan_dip.tif")
    assert (image.shape, image.pixel_size) == ((40, 48), (2, 2))
    np.testing.assert_array_equal(image.intensity[sparse().visited], waves()[sparse().visited])
    assert io.read(tmp_path / "out" / "scan_dip_error.tif").intensity.max() > 0
    made = strict((tmp_path / "out" / "scan_dip.semrt.json").read_text(encoding="utf-8"))
    assert made["model"]["name"] == "dip"
    assert made["details"]["stopped"] == "iterations"
    assert made["details"]["settings"]["members"] == 1
    assert made["options"] == {"members": 1, "max_iterations": 2}


def test_the_flags_reach_the_fit_and_the_seed_repeats_it(scan, tmp_path):
    made = {}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        target = tmp_path / f"{name}.npz"
        result = dip(scan, target, "--seed", seed, "--max-seconds", 100, "--set", "blend=false")
        assert result.exit_code == 0, result.stderr
        made[name] = io.read(target)
    told = strict((tmp_path / "c.semrt.json").read_text(encoding="utf-8"))["details"]["settings"]
    asked = {
        "network": "deep-decoder",
        "members": 1,
        "max_iterations": 5,
        "max_seconds": 100,
        "seed": 4,
        "blend": False,
    }
    assert asked.items() <= told.items()
    np.testing.assert_array_equal(made["a"].intensity, made["b"].intensity)
    assert (made["a"].intensity != made["c"].intensity).any()


def test_time_ends_the_fit(scan, tmp_path):
    result = dip(scan, tmp_path / "out.npz", "--max-iterations", 10**6, "--max-seconds", 0.05, "--json")
    assert result.exit_code == 0, result.stderr
    made = strict((tmp_path / "out.semrt.json").read_text(encoding="utf-8"))["details"]
    assert made["stopped"] == "seconds"
    assert strict(result.stdout)["results"][0]["interrupted"] is False


def test_a_stack_and_one_mask_become_a_volume(tmp_path):
    slices = np.stack([waves((20, 24)) + z / 10 for z in range(3)]).astype(np.float32)
    visited = np.random.default_rng(0).random((20, 24)) < 0.4
    io.write(tmp_path / "stack.mrc", Volume(slices, pixel_size=2, slice_thickness=5))
    io.write(tmp_path / "mask.npy", Micrograph(visited.astype(np.float32)))
    result = dip(tmp_path / "stack.mrc", tmp_path / "out", "--mask", tmp_path / "mask.npy", "--json", "--format", "npz")
    assert result.exit_code == 0, result.stderr
    (entry,) = strict(result.stdout)["results"]
    made = io.read(entry["output"])
    assert isinstance(made, Volume)
    np.testing.assert_array_equal(made.intensity[:, visited], slices[:, visited])
    assert (made.pixel_size, made.slice_thickness) == ((2, 2), 5)
    beside = strict((tmp_path / "out" / "stack_dip.semrt.json").read_text(encoding="utf-8"))
    assert [of_slice["stopped"] for of_slice in beside["details"]["slices"]] == ["iterations"] * 3
    assert not list((tmp_path / "out").glob("*.partial")), "a checkpoint outlived what it was for"


def test_an_interrupted_stack_goes_on_with_skip_existing(tmp_path, monkeypatch):
    visited = np.random.default_rng(0).random((3, 20, 24)) < 0.4
    measured = SparseVolume(np.stack([waves((20, 24))] * 3), visited)
    io.write(tmp_path / "stack.npz", measured)
    at_once = dip(tmp_path / "stack.npz", tmp_path / "at once", "--format", "npz")
    assert at_once.exit_code == 0, at_once.stderr
    solve = DeepImagePrior.solve

    def pressing_ctrl_c(solver, scans, *, progress=None, **options):
        def told(done, total, what):
            if done == 8:  # of three slices of five iterations
                raise KeyboardInterrupt
            progress(done, total, what)

        return solve(solver, scans, progress=told, **options)

    pressing_ctrl_c.__kwdefaults__ = {**solve.__kwdefaults__}
    pressing_ctrl_c.__wrapped__ = solve  # its signature is that of the solver
    with monkeypatch.context() as patched:
        patched.setattr(DeepImagePrior, "solve", pressing_ctrl_c)
        stopped = dip(tmp_path / "stack.npz", tmp_path / "out", "--format", "npz")
    assert "interrupted, the best so far; --skip-existing will redo it" in stopped.stderr
    assert (tmp_path / "out" / "stack_dip.partial" / "slice-00000.npz").exists()
    resumed = dip(tmp_path / "stack.npz", tmp_path / "out", "--format", "npz", "--skip-existing")
    assert resumed.exit_code == 0, resumed.stderr
    beside = strict((tmp_path / "out" / "stack_dip.semrt.json").read_text(encoding="utf-8"))
    assert beside["details"]["resumed_at_slice"] == 1
    np.testing.assert_array_equal(
        io.read(tmp_path / "out" / "stack_dip.npz").intensity, io.read(tmp_path / "at once" / "stack_dip.npz").intensity
    )
    assert not (tmp_path / "out" / "stack_dip.partial").exists()


def test_an_almost_empty_scan_is_noted_and_its_record_is_plain_json(tmp_path):
    visited = np.zeros((40, 48), bool)
    visited[7, 9] = True
    source = written(tmp_path / "empty.npz", SparseScan(waves(), visited))
    result = dip(source, tmp_path / "out.npz", "--json")
    assert result.exit_code == 0, result.stderr
    note = "almost empty: 1 of 1920 pixels were visited; what lies between is a guess"
    assert f"semrt: note: {source}: {note}\n" in result.stderr
    assert strict(result.stdout)["results"][0]["notes"] == [note]
    made = strict((tmp_path / "out.semrt.json").read_text(encoding="utf-8"))["details"]
    assert made["stopped"] == "too few samples"
    assert made["held_out_error_classical"] is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--network", "unet"), "network 'unet' is unknown"),
        (("--max-iterations", 0), "max_iterations: expected 1 or more, got 0"),
        (("--max-seconds", -1), "max_seconds: expected more than 0, got -1"),
        (("--max-seconds", 0), "max_seconds: expected more than 0, got 0"),
        (("--seed", -1), "seed: expected 0 to"),
        (("--set", "members=0"), "members: expected 1 or more, got 0"),
        (("--set", "members=some"), "'members': expected a whole number, got 'some'"),
        (("--set", "network=unet"), "network"),
        (("--set", "max_iterations=0"), "max_iterations"),
        (("--set", "max_seconds=-1"), "max_seconds"),
        (("--set", "rate=1"), "option 'rate' is unknown"),
    ],
)
def test_a_wrong_option_is_refused_in_a_line(scan, tmp_path, wrong, words):
    failed = run("infer", "dip", scan, "-o", tmp_path / "out.npz", *wrong)
    assert failed.exit_code == 2, failed.output
    last = failed.stderr.splitlines()[-1]
    assert last.startswith("semrt: ")
    assert words in last
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_a_device_that_is_not_there_is_refused_in_a_line(scan, tmp_path):
    failed = dip(scan, tmp_path / "out.npz", "--device", "cuda")
    assert failed.exit_code == 5, failed.output
    last = failed.stderr.splitlines()[-1]
    assert last.startswith("semrt: ")
    assert "device 'cuda' cannot be used: torch " in last
    assert not (tmp_path / "out.npz").exists()


def test_without_torch_the_extra_is_named_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(DeepImagePrior, "requires", "no_such_package_of_anybody")
    failed = dip(tmp_path / "not there.npz", tmp_path)
    assert fails(failed, 5, "dip needs no_such_package_of_anybody", 'pip install "semrt[dip]"')


def test_a_scan_unlike_the_training_of_infill_is_completed_by_dip_which_is_said(tmp_path, monkeypatch):
    source = written(tmp_path / "s.npz", sparse(coverage=0.5))  # more than a quarter, to which infill was trained
    call = ("infer", "infill", source, "-o", tmp_path / "out.npz", "--device", "cpu", "--threads", 1, "--json")
    result = run(*call, *("--network", "deep-decoder", "--max-iterations", 5))
    assert result.exit_code == 0, result.stderr
    (note,) = (line for line in result.stderr.splitlines() if line.startswith(f"semrt: note: {source}: "))
    runs = f"{fallback.TITLES['dip']} runs instead (torch is installed); choose with --fallback dip|classical|none"
    assert note.endswith(runs)
    (entry,) = strict(result.stdout)["results"]
    assert entry["model"]["name"] == entry["fallback"]["solver"] == "dip"
    made = strict((tmp_path / "out.semrt.json").read_text(encoding="utf-8"))["details"]
    assert (made["settings"]["network"], made["settings"]["max_iterations"]) == ("deep-decoder", 5)
    monkeypatch.setattr(DeepImagePrior, "requires", "no_such_package_of_anybody")
    (entry,) = strict(run(*call, "--overwrite").stdout)["results"]
    assert entry["model"]["name"] == "wiener"
