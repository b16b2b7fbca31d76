"""semrt infer on whole files: what it writes, what it says, what it leaves alone."""

import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import tifffile

from command import SEMRT, fails, run, sparse, waves, written
from semrt import engine, io
from semrt.cli import _results
from semrt.data import Micrograph, SparseScan
from semrt.errors import InputNotFound
from semrt.provenance import sha256_of
from semrt.tasks.kriging import Kriging

POSIX = sys.platform != "win32"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_result_has_its_error_map_and_provenance_beside_it(tmp_path):
    scan = written(tmp_path / "a scan µ.tif")
    result = run("infer", "kriging", scan, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'out' / 'a scan µ_kriging.tif'}\n"
    assert names(tmp_path / "out") == [
        "a scan µ_kriging.semrt.json",
        "a scan µ_kriging.tif",
        "a scan µ_kriging_error.tif",
    ]


def test_the_files_hold_what_the_engine_infers(tmp_path):
    scan = written(tmp_path / "s.npz", sparse(pixel_size=(0.02, 0.03)))
    assert run("infer", "kriging", scan, "-o", tmp_path, "--format", "tif").exit_code == 0
    inferred = engine.infer(sparse(pixel_size=(0.02, 0.03)), Kriging())
    held = io.read(tmp_path / "s_kriging.tif")
    np.testing.assert_array_equal(held.intensity, inferred.intensity)
    assert held.pixel_size == pytest.approx((0.02, 0.03))
    np.testing.assert_array_equal(io.read(tmp_path / "s_kriging_error.tif").intensity, inferred.error)


def test_measured_pixels_stay_unless_they_are_to_be_denoised(tmp_path):
    scan = sparse()
    written(tmp_path / "s.npz", scan)
    run("infer", "kriging", tmp_path / "s.npz", "-o", tmp_path / "kept.tif")
    run("infer", "kriging", tmp_path / "s.npz", "-o", tmp_path / "denoised.tif", "--denoise")
    kept, denoised = (io.read(tmp_path / name).intensity[scan.visited] for name in ("kept.tif", "denoised.tif"))
    np.testing.assert_array_equal(kept, scan.intensity[scan.visited])
    assert (denoised != kept).any()


def test_the_provenance_names_input_model_device_and_time(tmp_path):
    scan = written(tmp_path / "s.npz")
    run("infer", "kriging", scan, "-o", tmp_path)
    told = json.loads((tmp_path / "s_kriging.semrt.json").read_text(encoding="utf-8"))
    assert told["input"]["sha256"] == sha256_of(scan)
    assert told["model"]["name"] == "kriging"
    assert told["device"]["used"] == "cpu"
    assert told["seconds"]["run"] > 0
    assert told["scan"]["coverage"] == pytest.approx(sparse().coverage)


@pytest.mark.parametrize("happens", ["another takes its place", "it vanishes"])
def test_the_hash_is_of_the_file_that_was_read_whatever_happens_to_it_meanwhile(tmp_path, monkeypatch, happens):
    scan = written(tmp_path / "s.npz")
    before, drawn = sha256_of(scan), _results.preview_of

    def preview_of(*given, **more):
        scan.unlink() if happens == "it vanishes" else written(scan, sparse(seed=1), overwrite=True)
        return drawn(*given, **more)

    monkeypatch.setattr(_results, "preview_of", preview_of)
    result = run("infer", "kriging", scan, "-o", tmp_path / "out.npz", "--preview")
    assert result.exit_code == 0, result.stderr
    told = json.loads((tmp_path / "out.semrt.json").read_text(encoding="utf-8"))
    assert told["input"] == {"path": str(scan.resolve()), "sha256": before}
    assert (tmp_path / "out.npz").exists()


def test_json_is_one_object_that_says_where_everything_is(tmp_path):
    scan = written(tmp_path / "s.npz")
    result = run("infer", "kriging", scan, "-o", tmp_path, "--preview", "--json")
    told = json.loads(result.stdout)
    assert told["failures"] == told["skipped"] == []
    (entry,) = told["results"]
    assert entry["input"] == str(scan)
    assert {role: entry[role] for role in ("output", "error_map", "preview", "provenance")} == {
        "output": str(tmp_path / "s_kriging.npz"),
        "error_map": None,
        "preview": str(tmp_path / "s_kriging_preview.png"),
        "provenance": str(tmp_path / "s_kriging.semrt.json"),
    }
    assert entry["device"]["used"] == "cpu"
    assert entry["fallback"] is None
    assert min(entry["seconds"][stop] for stop in ("read", "run", "write")) >= 0


@pytest.mark.parametrize("suffix", ["tif", ".npz", "mrc", "npy"])
def test_the_format_of_the_result_is_as_asked(tmp_path, suffix):
    scan = written(tmp_path / "s.tif")
    assert run("infer", "kriging", scan, "-o", tmp_path, "--format", suffix).exit_code == 0
    held = io.read(tmp_path / f"s_kriging.{suffix.removeprefix('.')}")
    np.testing.assert_array_equal(held.intensity, engine.infer(sparse(), Kriging()).intensity)


def test_a_mask_or_a_value_says_where_the_probe_went(tmp_path):
    scan = sparse()
    io.write(tmp_path / "image.npy", Micrograph(np.where(scan.visited, waves(), np.float32(0))))
    io.write(tmp_path / "mask.npy", Micrograph(scan.visited.astype(np.float32)))
    by_mask = run("infer", "kriging", tmp_path / "image.npy", "-o", tmp_path / "m.tif", "--mask", tmp_path / "mask.npy")
    by_value = run("infer", "kriging", tmp_path / "image.npy", "-o", tmp_path / "v.tif", "--unvisited", 0)
    assert by_mask.exit_code == by_value.exit_code == 0
    expected = engine.infer(scan, Kriging()).intensity
    for name in ("m.tif", "v.tif"):
        np.testing.assert_array_equal(io.read(tmp_path / name).intensity, expected)


def test_an_exposure_says_for_how_long_the_probe_was_where(tmp_path):
    scan = sparse()
    exposure = np.where(scan.visited, np.linspace(0.2, 1, scan.visited.size).reshape(scan.shape), 0).astype(np.float32)
    tifffile.imwrite(tmp_path / "exposure.tif", exposure)
    tifffile.imwrite(tmp_path / "image.tif", scan.intensity * exposure)
    given = (tmp_path / "image.tif", "--exposure", tmp_path / "exposure.tif")
    assert run("infer", "kriging", *given, "-o", tmp_path / "out.tif").exit_code == 0
    exposed = SparseScan(scan.intensity * exposure, scan.visited, exposure=exposure)
    expected = engine.infer(exposed, Kriging()).intensity
    np.testing.assert_array_equal(io.read(tmp_path / "out.tif").intensity, expected)
    fails(run("infer", "kriging", *given, "--unvisited", "0", "-o", tmp_path / "no.tif"), 2, "exposure and unvisited")


def test_a_mask_that_lies_among_the_images_is_no_image(tmp_path):
    for name in ("images/a.npy", "images/b.npy"):
        written(tmp_path / name, Micrograph(waves()))
    mask = written(tmp_path / "images" / "mask.npy", Micrograph(sparse().visited.astype(np.float32)))
    for given in ([mask.parent], sorted(mask.parent.iterdir())):  # as a shell does for images/*
        result = run("infer", "kriging", *given, "--mask", mask, "-o", tmp_path / "out", "--json", "--overwrite")
        assert result.exit_code == 0, result.stderr
        assert [entry["input"][-5:] for entry in json.loads(result.stdout)["results"]] == ["a.npy", "b.npy"]
    alone = run("infer", "kriging", mask, "--mask", mask, "-o", tmp_path / "its own mask.npz")
    assert alone.exit_code == 0, alone.stderr


def test_16_bit_counts_keep_their_values(tmp_path):
    counts = np.round(1000 + 50000 * waves()).astype(np.uint16) * sparse().visited
    tifffile.imwrite(tmp_path / "s.tif", counts)
    assert run("infer", "kriging", tmp_path / "s.tif", "-o", tmp_path / "out.tif", "--unvisited", 0).exit_code == 0
    held = io.read(tmp_path / "out.tif").intensity
    np.testing.assert_array_equal(held[sparse().visited], counts[sparse().visited])
    assert 1000 < held.mean() < 51000


def test_the_pixel_size_that_is_given_replaces_the_file_s(tmp_path):
    scan = written(tmp_path / "s.npz", sparse(pixel_size=(1.0, 1.0)))
    run("infer", "kriging", scan, "-o", tmp_path / "out.tif", "--pixel-size", "20pm")
    assert io.read(tmp_path / "out.tif").pixel_size == pytest.approx((0.02, 0.02))


def test_folders_and_patterns_are_expanded(tmp_path):
    for name in ("one/a.tif", "one/b.tif", "one/two/c.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        written(tmp_path / name)
    run("infer", "kriging", tmp_path / "one", "-o", tmp_path / "flat")
    run("infer", "kriging", tmp_path / "one", "-o", tmp_path / "deep", "--recursive", "--preview")
    run("infer", "kriging", tmp_path / "one" / "*.tif", "-o", tmp_path / "glob", "--format", "npz")
    assert len(names(tmp_path / "flat")) == 2 * 3
    assert len(names(tmp_path / "deep")) == 3 * 4
    assert names(tmp_path / "glob") == [f"{x}_kriging{end}" for x in "ab" for end in (".npz", ".semrt.json")]


def test_an_existing_result_is_refused_skipped_or_replaced_as_asked(tmp_path):
    scan = written(tmp_path / "s.npz")
    target = tmp_path / "s_kriging.tif"
    target.write_bytes(b"precious")
    call = ("infer", "kriging", scan, "-o", tmp_path, "--format", "tif")
    assert fails(run(*call), 3, "use --overwrite to replace it, or use --skip-existing to keep it\n")
    assert target.read_bytes() == b"precious"
    skipped = run(*call, "--skip-existing", "--json")
    assert skipped.exit_code == 0
    assert json.loads(skipped.stdout)["skipped"] == [str(scan)]
    assert target.read_bytes() == b"precious"
    assert run(*call, "--overwrite").exit_code == 0
    assert io.read(target).shape == (40, 48)


def test_what_would_be_written_beside_a_result_is_not_replaced_unasked(tmp_path):
    scan = written(tmp_path / "s.npz")
    (tmp_path / "s_kriging_preview.png").write_bytes(b"precious")
    assert fails(
        run("infer", "kriging", scan, "-o", tmp_path, "--preview"), 3, "s_kriging_preview.png", "already exists"
    )
    assert names(tmp_path) == ["s.npz", "s_kriging_preview.png"]


def test_what_lies_beside_an_ome_tiff_is_named_after_it_guarded_and_no_input(tmp_path):
    scan = written(tmp_path / "s.npz")
    out = tmp_path / "out" / "x.ome.tif"
    written(tmp_path / "out" / "x_error.ome.tif")
    refused = run("infer", "kriging", scan, "-o", out, "--preview")
    assert fails(refused, 3, "x_error.ome.tif", "already exists")
    (tmp_path / "out" / "x_error.ome.tif").unlink()
    assert run("infer", "kriging", scan, "-o", out, "--preview").exit_code == 0
    assert names(out.parent) == ["x.ome.tif", "x.semrt.json", "x_error.ome.tif", "x_preview.png"]
    with pytest.raises(InputNotFound):
        io.expand_inputs([out.parent])


def test_where_the_result_holds_the_error_map_no_file_is_in_its_way(tmp_path):
    scan = written(tmp_path / "s.npz")
    written(tmp_path / "x_error.npz")
    assert run("infer", "kriging", scan, "-o", tmp_path / "x.npz").exit_code == 0


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    good = [written(tmp_path / f"{i}.npz") for i in range(3)]
    bad = tmp_path / "1b.npz"
    bad.write_bytes(good[0].read_bytes()[:200])
    result = run("infer", "kriging", tmp_path, "-o", tmp_path / "out", "--format", "tif")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 3
    told = [line for line in result.stderr.splitlines() if line.startswith("semrt: ")]
    assert len(told) == 1
    assert told[0].startswith(f"semrt: {bad}: ")
    assert len(names(tmp_path / "out")) == 9


def test_where_all_fail_alike_the_exit_code_is_that_of_the_failure(tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.npz").write_bytes(b"PK nonsense")
    result = run("infer", "kriging", tmp_path, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 3
    assert [failure["exit_code"] for failure in json.loads(result.stdout)["failures"]] == [3, 3]


def test_progress_goes_to_stderr_in_plain_lines(tmp_path):
    for i in range(3):
        written(tmp_path / f"{i}.npz")
    result = run("infer", "kriging", tmp_path, "-o", tmp_path / "out")
    lines = result.stderr.splitlines()
    assert lines[0] == "3 scans with kriging on the cpu"
    assert [line.split()[0] for line in lines[1:]] == ["[1/3]", "[2/3]", "[3/3]"]
    assert "\x1b" not in result.stderr


def test_a_preview_with_spectra_is_taller(tmp_path):
    scan = written(tmp_path / "s.npz")
    run("infer", "kriging", scan, "-o", tmp_path / "plain.tif", "--preview")
    run("infer", "kriging", scan, "-o", tmp_path / "more.tif", "--spectra")
    plain, more = (cv2.imread(str(tmp_path / f"{name}_preview.png")) for name in ("plain", "more"))
    assert more.shape[0] > plain.shape[0]
    assert more.shape[1] == plain.shape[1]


def interrupted(process, after):
    """Interrupt a run as Ctrl-C does, once `after` holds."""
    end = time.monotonic() + 60
    while not after() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT if POSIX else signal.CTRL_BREAK_EVENT)
    return process.communicate(timeout=60)


def test_ctrl_c_leaves_whole_results_and_skip_existing_goes_on(tmp_path):
    n = 20
    for i in range(n):
        written(tmp_path / f"{i:02}.npz", sparse((160, 160), seed=i))
    out = tmp_path / "out"
    command = [*SEMRT, "infer", "kriging", str(tmp_path), "-o", str(out), "--format", "tif", "--threads", "1"]
    flags = 0 if POSIX else subprocess.CREATE_NEW_PROCESS_GROUP
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", creationflags=flags
    ) as process:
        stdout, stderr = interrupted(process, lambda: len(list(out.glob("*_kriging.tif"))) >= 2)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1].startswith("semrt: interrupted; finished results are whole, and --skip-existing")
    assert "Traceback" not in stderr
    done = sorted(out.glob("*_kriging.tif"))
    assert 2 <= len(done) < n
    assert set(map(str, done)) >= set(stdout.splitlines()) > set(), "finished results are named"
    for path in done:
        assert io.read(path).shape == (160, 160)
        assert path.with_name(f"{path.stem}_error.tif").exists()
        json.loads(path.with_suffix(".semrt.json").read_text(encoding="utf-8"))
    assert not [path for path in out.iterdir() if path.name.startswith(".")], "temporary files are left"
    before = {path: path.stat().st_mtime_ns for path in done}
    resumed = run("infer", "kriging", tmp_path, "-o", out, "--format", "tif", "--skip-existing")
    assert resumed.exit_code == 0, resumed.stderr
    assert len(list(out.glob("*_kriging.tif"))) == n
    assert {path: path.stat().st_mtime_ns for path in done} == before
