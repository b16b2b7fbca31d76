"""semrt info and semrt models tell what is in a file and in a model."""

import json

import numpy as np
import pytest

from command import fails, run, sparse, waves, written
from semrt import io
from semrt.data import Micrograph, SparseScan, SparseVolume, Volume
from semrt.kernels import mask_statistics
from tiny_models import write_model


def told(*arguments):
    result = run("info", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_of_a_sparse_scan_it_tells_coverage_and_gaps(tmp_path):
    scan = sparse(pixel_size=(0.02, 0.02))
    found = told(written(tmp_path / "s.npz", scan))
    statistics = mask_statistics(scan.visited)
    assert found["kind"] == "sparse scan"
    assert found["shape"] == [40, 48]
    assert found["coverage"] == pytest.approx(scan.coverage)
    assert found["largest_gap_px"] == pytest.approx(statistics.largest_gap)
    assert found["pixel_size_nm"] == pytest.approx([0.02, 0.02])
    assert found["intensity"]["max"] == pytest.approx(float(scan.intensity[scan.visited].max()))
    lines = run("info", tmp_path / "s.npz").stdout
    assert "20 pm" in lines
    assert f"{statistics.largest_gap:.6g} px" in lines


def test_intensities_of_unvisited_pixels_do_not_count(tmp_path):
    visited = np.eye(8, dtype=bool)
    io.write(tmp_path / "s.npz", SparseScan(np.where(visited, np.float32(7), np.float32(0)), visited))
    assert told(tmp_path / "s.npz")["intensity"] == {"min": 7, "max": 7, "mean": 7, "std": 0}


def test_of_an_image_it_tells_what_the_options_make_of_it(tmp_path):
    io.write(tmp_path / "image.tif", Micrograph(np.where(sparse().visited, waves(), np.float32(0))))
    plain = told(tmp_path / "image.tif")
    assert plain["kind"] == "micrograph"
    assert plain["pixel_size_nm"] is None
    assert "coverage" not in plain
    sparsely = told(tmp_path / "image.tif", "--unvisited", "0", "--pixel-size", "1.5um")
    assert sparsely["coverage"] == pytest.approx(sparse().coverage)
    assert sparsely["pixel_size_nm"] == pytest.approx([1500, 1500])


def test_of_a_result_it_tells_what_made_it(tmp_path):
    run("infer", "kriging", written(tmp_path / "s.tif"), "-o", tmp_path / "out.tif")
    assert told(tmp_path / "out.tif")["provenance"]["model"]["name"] == "kriging"
    assert "provenance.model.name" in run("info", tmp_path / "out.tif").stdout


def test_of_a_sparse_stack_it_tells_the_slices_and_what_is_most_and_least_covered(tmp_path):
    visited = np.stack([sparse(coverage=share).visited for share in (0.3, 0.1, 0.2)])
    volume = SparseVolume(np.stack([waves()] * 3), visited, pixel_size=2, slice_thickness=30)
    found = told(written(tmp_path / "v.tif", volume))
    assert found["kind"] == "sparse volume"
    assert found["shape"] == [3, 40, 48]
    assert (found["pixel_size_nm"], found["slice_thickness_nm"]) == ([2, 2], 30)
    assert found["coverage"] == pytest.approx(visited.mean())
    of_slices = visited.mean((1, 2))
    assert found["coverage_of_slices"] == pytest.approx({"min": of_slices[1], "max": of_slices[0]})
    assert found["largest_gap_px"] == pytest.approx(mask_statistics(visited[1]).largest_gap)
    lines = run("info", tmp_path / "v.tif").stdout
    assert "slice thickness              30 nm\n" in lines
    assert "shape                        3 x 40 x 48\n" in lines


def test_one_mask_for_all_slices_has_the_gaps_of_one(tmp_path):
    io.write(tmp_path / "v.npy", Volume(np.stack([waves()] * 3)))
    io.write(tmp_path / "mask.npy", Micrograph(sparse().visited))
    found = told(tmp_path / "v.npy", "--mask", tmp_path / "mask.npy")
    statistics = mask_statistics(sparse().visited)
    assert found["largest_gap_px"] == pytest.approx(statistics.largest_gap)
    assert found["mean_gap_px"] == pytest.approx(statistics.mean_gap)


def test_of_a_whole_stack_it_tells_what_made_it(tmp_path):
    io.write(tmp_path / "v.mrc", Volume(np.stack([waves()] * 3), provenance={"model": {"name": "dip"}}))
    found = told(tmp_path / "v.mrc")
    assert (found["kind"], found["shape"]) == ("volume", [3, 40, 48])
    assert found["provenance"] == {"model": {"name": "dip"}}
    assert found["slice_thickness_nm"] is None
    assert "slice thickness              unknown\n" in run("info", tmp_path / "v.mrc").stdout


def test_of_a_scan_path_it_tells_times_and_steps(tmp_path):
    run("scan", "raster", "--shape", "10x20", "--dwell-time", 2, "-o", tmp_path / "p.csv")
    found = told(tmp_path / "p.csv")
    assert found["kind"] == "scan path"
    assert found["coverage"] == 1
    assert found["total_time_us"] == pytest.approx(400)
    assert ["total", "time", "400", "µs"] in [
        line.split() for line in run("info", tmp_path / "p.csv").stdout.splitlines()
    ]


def test_what_cannot_be_read_is_told_in_one_line(tmp_path):
    assert fails(run("info", tmp_path / "nowhere.tif"), 3, "nowhere.tif")
    assert fails(run("info", tmp_path), 3, "is a folder")


def test_a_model_shows_its_manifest(tmp_path):
    model = write_model(tmp_path / "box", domain={"coverage": [0.01, 0.2]})
    shown = json.loads(run("models", "show", model, "--json").stdout)
    assert (shown["name"], shown["halo"], shown["domain"]) == ("box", 4, {"coverage": [0.01, 0.2]})
    lines = run("models", "show", model).stdout.splitlines()
    assert "name: box" in lines
    assert "  coverage: 0.01, 0.2" in lines


def test_a_model_of_one_s_own_is_listed_and_verified(tmp_path, monkeypatch):
    write_model(tmp_path / "box")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "semrt.json").write_text("{", encoding="utf-8")
    monkeypatch.setenv("SEMRT_MODELS", str(tmp_path))
    listed = json.loads(run("models", "list", "--json").stdout)
    assert listed["box"]["version"] == "1.0"
    assert "damaged" in listed["torn"]["summary"]
    assert run("models", "verify", "box").stdout == "box: every file is the one that its manifest describes\n"
    assert fails(run("models", "verify", "torn"), 4, "torn", "damaged")
