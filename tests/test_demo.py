"""semrt demo goes the whole road and tells its figures honestly; bench and doctor tell of this computer."""

import json

import cv2
import numpy as np
import pytest

from command import fails, run, waves
from semrt import io, metrics
from semrt.data import Micrograph
from semrt.models import shipped
from semrt.report.timing import Latency, measure, warm_up

MODELS = ["kriging", *(["infill"] if "infill" in shipped() else [])]


def demo(folder, *more):
    result = run("demo", "-o", folder, "--size", "96", "--json", *more)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("model", MODELS)
def test_the_figures_are_those_of_the_files(tmp_path, model):
    told = demo(tmp_path, "--model", model)
    truth, inferred = (io.read(told["files"][role]).intensity for role in ("truth", "output"))
    span = float(np.ptp(truth))
    score = next(iter(told["scores"].values()))
    assert score["psnr"] == pytest.approx(metrics.psnr(inferred, truth, span), abs=1e-3)
    assert score["ssim"] == pytest.approx(metrics.ssim(inferred, truth, span), abs=1e-4)
    assert [name for name in told["scores"] if name.startswith(("kriging", "natural neighbour"))]


def test_a_perfect_result_has_no_figure_that_json_has_no_word_for(tmp_path):
    told = demo(tmp_path, "--model", "kriging", "--pattern", "raster", "--coverage", "1", "--noise", "0")
    assert told["scores"]["kriging"] == {"psnr": None, "ssim": pytest.approx(1)}


def test_the_smallest_demo_is_one_that_can_be_judged(tmp_path):
    told = demo(tmp_path, "--model", "kriging", "--coverage", "1/2", "--size", "11", "--spectra")
    assert told["scores"]["kriging"]["ssim"] <= 1


@pytest.mark.parametrize("model", MODELS)
def test_the_scan_it_leaves_is_an_input_for_infer(tmp_path, model):
    told = demo(tmp_path / "demo", "--model", model)
    result = run("infer", model, told["files"]["scan"], "-o", tmp_path / "again.tif")
    assert result.exit_code == 0, result.stderr
    again, before = (io.read(path).intensity for path in (tmp_path / "again.tif", told["files"]["output"]))
    np.testing.assert_array_equal(again, before)


def test_the_scan_has_the_coverage_that_was_asked_for(tmp_path):
    told = demo(tmp_path, "--model", "kriging", "--pattern", "random", "--coverage", "1/10")
    scan = io.read(told["files"]["scan"])
    assert scan.coverage == pytest.approx(0.1, rel=0.02)
    assert told["scan"]["coverage"] == scan.coverage
    np.testing.assert_array_equal(io.read(told["files"]["path"]).visited, scan.visited)


def test_a_seed_gives_the_same_demo_again(tmp_path):
    one, other, third = (
        demo(tmp_path / name, "--model", "kriging", "--seed", seed) for name, seed in ("a3", "b3", "c4")
    )
    assert one["scores"] == other["scores"]
    assert one["scores"] != third["scores"]


def test_an_image_of_one_s_own_is_scanned(tmp_path):
    counts = 1000 * waves((80, 120))
    io.write(tmp_path / "mine.tif", Micrograph(counts, pixel_size=(2.0, 2.0)))
    told = demo(tmp_path / "demo", "--model", "kriging", "--image", tmp_path / "mine.tif", "--pattern", "random")
    scan = io.read(told["files"]["scan"])
    assert scan.pixel_size == pytest.approx((2.0, 2.0))
    np.testing.assert_array_equal(scan.intensity[scan.visited], counts[scan.visited])
    inferred = io.read(told["files"]["output"]).intensity
    assert told["scores"]["kriging"]["psnr"] == pytest.approx(metrics.psnr(inferred, counts, np.ptp(counts)), abs=1e-3)


def test_the_preview_is_a_picture_of_two_rows(tmp_path):
    told = demo(tmp_path, "--model", "kriging")
    picture = cv2.imread(told["files"]["preview"])
    assert picture.shape[0] > 2 * 480
    assert picture.shape[1] > 3 * 480


def test_a_demo_replaces_nothing_unasked(tmp_path):
    demo(tmp_path, "--model", "kriging")
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    said = "already exists; use --overwrite to replace it, or choose another output with -o\n"  # it has no other option
    assert fails(run("demo", "-o", tmp_path, "--size", "96", "--model", "kriging"), 3, said)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    demo(tmp_path, "--model", "kriging", "--overwrite")


def test_without_a_folder_it_takes_the_next_free_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("semrt-demo", "semrt-demo-2"):
        result = run("demo", "--size", "64", "--model", "kriging")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.splitlines()[-1].startswith(f"look at {folder}")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--model", "nosuch"], 4, "nosuch"),
        (["--pattern", "zigzag"], 2, "zigzag"),
        (["--kind", "clouds"], 2, "clouds"),
        (["--image", "nowhere.tif"], 3, "nowhere.tif"),
        (["--coverage", "2"], 2, "fraction"),
        (["--coverage", "1e400"], 2, "fraction"),
        (["--size", "0"], 2, "512x512"),
        (["--size", "10x64"], 2, "--size: expected at least 11 x 11 px, which SSIM needs, got 10 x 64"),
        (["--model", "wedge-sirt"], 2, "--model wedge-sirt: takes no sparse scans; choose a model that does"),
        (["--seed", "-1"], 2, "--seed"),
    ],
)
def test_a_demo_that_cannot_be_leaves_nothing(tmp_path, words, code, said):
    model = [] if "--model" in words else ["--model", "kriging"]
    assert fails(run("demo", "-o", tmp_path / "demo", *model, *words), code, said)
    assert not (tmp_path / "demo").exists()


def test_percentiles_are_those_of_the_runs():
    told = Latency(np.arange(1, 101) / 1000).summary()
    assert told["runs"] == 100
    assert told["p50_ms"] == pytest.approx(50.5)
    assert told["p95_ms"] == pytest.approx(95.05)
    assert told["max_ms"] == pytest.approx(100)


def test_a_99th_percentile_needs_a_thousand_runs():
    assert "p99_ms" not in Latency(np.ones(999)).summary()
    assert Latency(np.ones(1000)).summary()["p99_ms"] == pytest.approx(1000)


def test_the_warm_up_lasts_both_its_runs_and_its_time():
    calls = []
    assert warm_up(lambda: calls.append(1), seconds=0.0) == len(calls) == 10
    assert warm_up(lambda: calls.append(1), seconds=0.02, runs=1) > 10


def test_a_measurement_ends_with_its_runs_or_its_time():
    assert measure(lambda: None, runs=25).seconds.size == 25
    assert measure(lambda: None, runs=1000, at_most=0.0).seconds.size == 10


def test_bench_tells_load_first_call_latency_and_throughput_apart():
    result = run("bench", "kriging", "--size", "48", "--runs", "12", "--threads", "1", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["latency"]["runs"] == told["throughput"]["images"] == 12
    assert 0 < told["latency"]["p50_ms"] <= told["latency"]["p90_ms"] <= told["latency"]["max_ms"]
    assert told["stops"]["run"]["p50_ms"] <= told["latency"]["max_ms"]
    assert told["first_call_ms"] > 0
    assert told["load_ms"] > 0
    assert told["environment"]["cores"] >= 1
    assert told["software"]["semrt"] == told["environment"]["semrt"]


@pytest.mark.parametrize("model", ["columns", "column-peaks"])
def test_bench_simulates_what_a_model_takes(model):
    told = json.loads(run("bench", model, "--size", "96x80", "--runs", "10", "--at-most", "0", "--json").stdout)
    assert told["input"] == {"shape": [96, 80]}
    refused = run("bench", model, "--pattern", "clv")
    assert refused.exit_code == 2
    assert refused.stderr == f"semrt: --pattern, --coverage: {model} takes no sparse scans; leave them out\n"


def test_doctor_tries_everything_and_says_ready():
    result = run("doctor", "--json")
    told = json.loads(result.stdout)
    faults = [found for found in told["findings"] if found["state"] == "fault"]
    assert result.exit_code == (5 if faults else 0)
    assert told["ready"] == (not faults)
    assert {"semrt", "packages", "onnxruntime", "opencv", "processor"} <= {found["what"] for found in told["findings"]}
    assert all(found["cure"] for found in faults)


def test_doctor_finds_a_damaged_model(tmp_path, monkeypatch):
    from tiny_models import write_model

    write_model(tmp_path / "whole")
    (write_model(tmp_path / "broken") / "box.onnx").write_bytes(b"changed")
    monkeypatch.setenv("SEMRT_MODELS", str(tmp_path))
    result = run("doctor")
    assert result.exit_code == 5
    assert "FAULT  model broken" in result.stdout
    assert "-> semrt models verify broken" in result.stdout
    assert "ok     device cpu" in result.stdout
    verified = run("models", "verify")
    assert verified.exit_code == 4
    assert "whole: every file" in verified.stdout
    assert verified.stderr.count("\n") == 1


def test_doctor_finds_two_runtimes_that_overwrite_each_other(tmp_path, monkeypatch):
    other = tmp_path / "onnxruntime_gpu-1.31.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.31.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = run("doctor", "--json")
    assert result.exit_code == 5
    (found,) = (finding for finding in json.loads(result.stdout)["findings"] if finding["what"] == "onnxruntime")
    assert found["state"] == "fault"
    assert "onnxruntime-gpu 1.31.0 are both installed" in found["detail"]
    assert found["cure"].startswith("pip uninstall -y onnxruntime onnxruntime-gpu && pip install")
