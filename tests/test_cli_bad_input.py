"""Whatever is wrong, semrt says so in one line, exits with the right code, and loses nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from onnx import helper

from command import SEMRT, fails, run, sparse, waves, written
from semrt import engine, io
from semrt.data import Micrograph
from semrt.tasks.infill import INPUT_CHANNELS, OUTPUT_CHANNELS
from tiny_models import graph, write_model

USAGE, INPUT, MODEL, DEVICE = 2, 3, 4, 5
DOMAIN = {"coverage": [0.05, 0.5], "largest_gap": 40.0}


def a_model(folder, **changes):
    """A network for infill that answers with its first guess."""
    picks = np.zeros((2, len(INPUT_CHANNELS), 1, 1), np.float32)
    for output, name in enumerate(("first_guess", "first_guess_error")):
        picks[output, INPUT_CHANNELS.index(name)] = 1
    onnx = graph([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": picks}, len(INPUT_CHANNELS), 2)
    channels = {"input_channels": INPUT_CHANNELS, "output_channels": OUTPUT_CHANNELS}
    described = {"name": "guess", "halo": 0, "domain": DOMAIN} | channels | changes
    return write_model(folder, onnx, **described)


@pytest.fixture
def out(tmp_path):
    """A folder for results that is not there yet; nothing may make it."""
    folder = tmp_path / "out"
    yield folder
    assert not list(folder.rglob("*")), "something was written"


def infer(scan, out, *more, model="kriging"):
    return run("infer", model, scan, "-o", out, *more)


def test_a_file_that_does_not_exist(tmp_path, out):
    assert fails(infer(tmp_path / "nowhere.tif", out), INPUT, "nowhere.tif", "no such file")


def test_a_pattern_that_matches_nothing(tmp_path, out):
    assert fails(infer(tmp_path / "*.tif", out), INPUT, "*.tif")


def test_a_folder_without_images(tmp_path, out):
    (tmp_path / "empty").mkdir()
    assert fails(infer(tmp_path / "empty", out), INPUT, "empty")


@pytest.mark.parametrize("kept", [0, 3, 8, 100, 2000])
def test_a_truncated_tiff(tmp_path, out, kept):
    scan = written(tmp_path / "s.tif")
    scan.write_bytes(scan.read_bytes()[:kept])
    assert fails(infer(scan, out), INPUT, "s.tif")


def test_a_file_of_another_kind(tmp_path, out):
    (tmp_path / "notes.tif").write_text("dose was low today", encoding="utf-8")
    assert fails(infer(tmp_path / "notes.tif", out), INPUT, "notes.tif", "not a TIFF")
    (tmp_path / "scan.xyz").write_bytes(b"?")
    assert fails(infer(tmp_path / "scan.xyz", out), INPUT, "scan.xyz", ".xyz", ".tif")


def test_a_mask_of_another_shape(tmp_path, out):
    io.write(tmp_path / "image.tif", Micrograph(waves()))
    io.write(tmp_path / "mask.tif", Micrograph(np.ones((40, 47), np.float32)))
    assert fails(
        infer(tmp_path / "image.tif", out, "--mask", tmp_path / "mask.tif"), INPUT, "mask", "(40, 48)", "(40, 47)"
    )


def test_a_mask_that_does_not_exist(tmp_path, out):
    io.write(tmp_path / "image.tif", Micrograph(waves()))
    assert fails(infer(tmp_path / "image.tif", out, "--mask", tmp_path / "mask.tif"), INPUT, "mask.tif", "no such file")


def test_a_scan_in_which_nothing_was_visited(tmp_path, out):
    io.write(tmp_path / "image.tif", Micrograph(np.zeros((8, 8), np.float32)))
    assert fails(infer(tmp_path / "image.tif", out, "--unvisited", 0), INPUT, "image.tif", "at least one visited pixel")
    tifffile.imwrite(tmp_path / "nan.tif", np.full((8, 8), np.nan, np.float32))
    assert fails(infer(tmp_path / "nan.tif", out), INPUT, "nan.tif", "at least one visited pixel")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_where_the_probe_went(tmp_path, out, value):
    image = waves()
    image[3, 4] = value
    tifffile.imwrite(tmp_path / "image.tif", image)
    io.write(tmp_path / "mask.npy", Micrograph(np.ones_like(image)))
    assert fails(infer(tmp_path / "image.tif", out, "--mask", tmp_path / "mask.npy"), INPUT, "image.tif", "finite")


def test_an_infinite_value_without_a_mask(tmp_path, out):
    image = waves()
    image[3, 4] = np.inf
    tifffile.imwrite(tmp_path / "image.tif", image)
    assert fails(infer(tmp_path / "image.tif", out), INPUT, "image.tif", "finite")


def test_an_image_without_pixels(tmp_path, out):
    np.save(tmp_path / "nothing.npy", np.zeros((0, 0), np.float32))
    assert fails(infer(tmp_path / "nothing.npy", out), INPUT, "nothing.npy", "at least one pixel")


def test_a_stack_where_an_image_is_wanted(tmp_path, out):
    np.save(tmp_path / "stack.npy", np.zeros((3, 8, 8), np.float32))
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((3, 8, 8), np.float32), photometric="minisblack")
    for name in ("stack.npy", "stack.tif"):
        for more in ((), ("--unvisited", "1")):
            refused = infer(tmp_path / name, out, *more)
            assert fails(refused, INPUT, name, "kriging takes single scans; semrt infer dip reconstructs stacks")
    model = a_model(tmp_path / "model")
    assert fails(infer(tmp_path / "stack.npy", out, model=model), INPUT, "a stack of 3 slices; guess takes single")
    np.save(tmp_path / "stacks.npy", np.zeros((2, 3, 8, 8), np.float32))
    assert fails(infer(tmp_path / "stacks.npy", out), INPUT, "stacks.npy", "(2, 3, 8, 8)")


def test_a_picture_in_colour(tmp_path, out):
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[..., 0] = 200
    tifffile.imwrite(tmp_path / "rgb.tif", colours, photometric="rgb")
    assert fails(infer(tmp_path / "rgb.tif", out), INPUT, "rgb.tif", "colour")


def test_complex_numbers(tmp_path, out):
    np.save(tmp_path / "wave.npy", np.ones((8, 8), np.complex64))
    assert fails(infer(tmp_path / "wave.npy", out), INPUT, "wave.npy")


def test_an_image_without_gaps(tmp_path, out):
    io.write(tmp_path / "image.tif", Micrograph(waves()))
    assert fails(infer(tmp_path / "image.tif", out), INPUT, "image.tif", "sparse scan", "--mask", "--unvisited")


def test_a_model_that_is_unknown(tmp_path, out):
    assert fails(infer(written(tmp_path / "s.npz"), out, model="krigging"), MODEL, "did you mean 'kriging'")


def test_a_model_whose_graph_was_changed(tmp_path, out):
    model = a_model(tmp_path / "model")
    graph_file = model / "box.onnx"
    damaged = bytearray(graph_file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    graph_file.write_bytes(bytes(damaged))
    assert fails(infer(written(tmp_path / "s.npz"), out, model=model), MODEL, "damaged", "sha256")
    assert fails(run("models", "verify", model), MODEL, "damaged", "sha256")


def test_a_model_whose_graph_is_missing_or_no_graph(tmp_path, out):
    scan = written(tmp_path / "s.npz")
    model = a_model(tmp_path / "model")
    (model / "box.onnx").unlink()
    assert fails(infer(scan, out, model=model), MODEL, "box.onnx")
    foreign = write_model(tmp_path / "foreign", b"no graph at all", input_channels=INPUT_CHANNELS, domain=DOMAIN)
    assert fails(infer(scan, out, model=foreign), MODEL, "foreign")


def test_a_manifest_that_is_damaged(tmp_path, out):
    model = a_model(tmp_path / "model")
    (model / "semrt.json").write_text('{"schema": 1, "name": ', encoding="utf-8")
    assert fails(infer(written(tmp_path / "s.npz"), out, model=model), MODEL, "semrt.json", "damaged")


def test_a_scan_unlike_those_of_the_training(tmp_path, out):
    model = a_model(tmp_path / "model")
    scan = written(tmp_path / "s.npz", sparse(coverage=0.8))
    refused = infer(scan, out, "--fallback", "none", model=model)
    assert fails(refused, MODEL, "coverage 1/1.2", "allow --fallback", "classical")


def test_the_classical_method_stands_in_and_says_so_before_it_runs(tmp_path):
    model = a_model(tmp_path / "model")
    scan = written(tmp_path / "s.npz", sparse(coverage=0.8))
    result = infer(scan, tmp_path / "out", "--fallback", "classical", "--format", "tif", "--json", model=model)
    assert result.exit_code == 0
    _, note, ended = result.stderr.splitlines()
    assert note.startswith(f"semrt: note: {scan}: guess: coverage 1/1.2")
    assert note.endswith("; wiener runs instead (as asked)")
    assert ended.startswith(f"{scan}: ")
    (entry,) = json.loads(result.stdout)["results"]
    assert entry["model"]["name"] == "wiener"
    assert entry["fallback"]["instead_of"]["name"] == "guess"
    assert entry["fallback"]["solver"] == "wiener"
    assert infer(scan, tmp_path / "asked.tif", model="wiener").exit_code == 0
    fell_back, asked = (io.read(tmp_path / name).intensity for name in ("out/s_guess.tif", "asked.tif"))
    np.testing.assert_array_equal(fell_back, asked)


def test_a_network_runs_where_the_scan_is_like_those_of_the_training(tmp_path):
    scan = written(tmp_path / "s.npz")
    assert infer(scan, tmp_path / "net.tif", "--device", "cpu", model=a_model(tmp_path / "model")).exit_code == 0
    assert infer(scan, tmp_path / "kriged.tif").exit_code == 0
    net, kriged = (io.read(tmp_path / name).intensity for name in ("net.tif", "kriged.tif"))
    np.testing.assert_allclose(net, kriged, atol=1e-5)


@pytest.mark.parametrize("device", ["gpu", "cpu:1", "cuda:x", ""])
def test_a_device_that_nobody_knows(tmp_path, out, device):
    for model in ("kriging", a_model(tmp_path / "model")):
        assert fails(
            infer(written(tmp_path / "s.npz"), out, "--device", device, model=model), USAGE, "device", "cpu, cuda"
        )
        (tmp_path / "s.npz").unlink()


def test_a_device_that_is_not_there(tmp_path, out):
    scan = written(tmp_path / "s.npz")
    assert fails(
        infer(scan, out, "--device", "cuda:99", model=a_model(tmp_path / "model")), DEVICE, "cuda:99", "--device cpu"
    )


def test_a_device_for_a_method_that_has_none(tmp_path, out):
    assert fails(infer(written(tmp_path / "s.npz"), out, "--device", "cuda"), USAGE, "kriging", "no network")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pixel-size", "0.02"], "a length with its unit"),
        (["--pixel-size", "-1nm"], "a length with its unit"),
        (["--threads", "0"], "--threads"),
        (["--threads", "many"], "--threads"),
        (["--tile", "-5"], "--tile"),
        (["--batch", "0"], "--batch"),
        (["--tile", "64"], "takes no tile"),
        (["--precision", "fp16"], "no network"),
        (["--fallback", "magic"], "--fallback"),
        (["--format", "jpeg"], ".jpeg"),
        (["--format", "csv"], ".csv"),
        (["--set", "colour=red"], "'colour' is unknown; choose from: denoise"),
        (["--set", "colour"], "NAME=VALUE"),
        (["--set", "tile=64"], "--set tile"),
        (["--set", "n_threads=4"], "n_threads"),
        (["--set", "denoise=maybe"], "--set denoise"),
        (["--set", "depth=4"], "--set depth"),
        (["--unvisited", "zero"], "--unvisited"),
        (["--skip-existing", "--overwrite"], "contradict"),
        (["--colour"], "--colour"),
    ],
)
def test_an_option_that_cannot_be(tmp_path, out, words, said):
    assert fails(infer(written(tmp_path / "s.npz"), out, *words), USAGE, said)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--tile", "33"], "multiple of 4"), (["--precision", "fp8"], "precision"), (["--set", "colour=1"], "denoise")],
)
def test_an_option_that_the_network_cannot_take(tmp_path, out, words, said):
    assert fails(infer(written(tmp_path / "s.npz"), out, *words, model=a_model(tmp_path / "model")), USAGE, said)


def test_mask_and_value_at_once(tmp_path, out):
    io.write(tmp_path / "image.tif", Micrograph(waves()))
    words = ("--mask", tmp_path / "image.tif", "--unvisited", 0)
    assert fails(infer(tmp_path / "image.tif", out, *words), USAGE, "one of them")


def test_one_file_for_several_results(tmp_path):
    for i in range(2):
        written(tmp_path / f"{i}.npz")
    result = run("infer", "kriging", tmp_path, "-o", tmp_path / "both.tif")
    assert fails(result, USAGE, "both.tif", "2 inputs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.npz", "1.npz"]


def test_a_result_that_would_replace_its_input(tmp_path):
    scan = written(tmp_path / "s.npz")
    before = scan.read_bytes()
    assert fails(run("infer", "kriging", scan, "-o", scan, "--overwrite"), USAGE, "input")
    assert scan.read_bytes() == before


@pytest.mark.parametrize("role", ["--mask", "--exposure"])
def test_a_result_or_what_lies_beside_it_that_would_replace_what_is_read_with_the_input(tmp_path, role):
    io.write(tmp_path / "image.tif", Micrograph(waves()))
    said = written(tmp_path / "said_error.tif", Micrograph(sparse().visited.astype(np.float32)))
    before = said.read_bytes()
    for out in (said, tmp_path / "said.tif"):
        result = run("infer", "kriging", tmp_path / "image.tif", role, said, "-o", out, "--overwrite")
        assert fails(result, USAGE, f"output {said}: is one of the inputs; choose another")
    assert said.read_bytes() == before


def test_inputs_of_one_name_in_two_folders(tmp_path, out):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "s.npz")
    assert fails(run("infer", "kriging", tmp_path / "a", tmp_path / "b", "-o", out), USAGE, "s_kriging")


def test_a_file_where_the_folder_of_the_results_should_be(tmp_path):
    scan = written(tmp_path / "s.npz")
    blocked = tmp_path / "taken"
    blocked.write_text("mine", encoding="utf-8")
    assert fails(run("infer", "kriging", scan, "-o", blocked), INPUT, "taken", "cannot be written")
    assert blocked.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("below", ["a file", "a link to nothing"])
@pytest.mark.parametrize("flag", ["--overwrite", "--skip-existing", "--preview"])
def test_an_output_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch, below, flag):
    scan = written(tmp_path / "s.npz")
    blocked = scan
    if below == "a link to nothing":
        blocked = tmp_path / "link"
        blocked.symlink_to(tmp_path / "nothing")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(engine, "open_model", None)  # none may be opened
    out = blocked / "results"
    assert fails(run("infer", "kriging", scan, "-o", out, flag), INPUT, f"{out}: cannot be written (", "choose another")
    assert sorted(tmp_path.iterdir()) == before


def test_an_interrupted_result_that_cannot_be_removed(tmp_path):
    scan = written(tmp_path / "s.npz")
    target = tmp_path / "s_kriging.npz"
    target.mkdir()
    (tmp_path / "s_kriging.semrt.json").write_text('{"interrupted": true}', encoding="utf-8")
    refused = run("infer", "kriging", scan, "-o", tmp_path, "--skip-existing")
    assert fails(refused, INPUT, f"{target}: cannot be written (")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.npz", "s_kriging.npz", "s_kriging.semrt.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a folder that refuses files")
def test_a_folder_that_cannot_be_written(tmp_path):
    scan = written(tmp_path / "s.npz")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):  # permissions do not bind root, but nobody makes files in /proc
        locked = Path("/proc")
    assert fails(run("infer", "kriging", scan, "-o", locked), INPUT, str(locked), "cannot be written", "choose another")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_on_stdout_is_told(tmp_path):
    scan = written(tmp_path / "s.npz")
    command = [*SEMRT, "infer", "kriging", str(scan), "-o", str(tmp_path / "out"), "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
