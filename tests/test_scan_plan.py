"""semrt scan plan: patterns and coverages at one dose, by the error to expect."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from command import fails, run, waves
from semrt import engine, io
from semrt.data import Micrograph
from semrt.errors import InvalidOption, InvalidValue
from semrt.metrics import rmse
from semrt.report.canvas import text_width
from semrt.report.scan_plan import Candidate, Dose, candidates, forecast, recorded, stand_in
from semrt.report.scan_plan_preview import DOT, FOOT, LEFT, LINE, TOP, _ticks, coverage_label, dot_plot
from semrt.scan import PATTERNS, generate
from semrt.tasks import find_task

SHAPE = (40, 48)
FAST = ("--model", "natural-neighbours", "--threads", 1)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.tif"
    io.write(path, Micrograph(waves(SHAPE), pixel_size=(0.5, 0.5)))
    return path


def plan(image, *more):
    return run("scan", "plan", "--image-like", image, "-o", image.parent / "plan.png", *FAST, *more)


def flat(level=4.0, shape=(60, 60)):
    return Micrograph(np.full(shape, level, np.float32))


def test_the_gain_makes_the_mean_of_the_image_the_dose():
    truth = Micrograph(waves(SHAPE) * 3 + 10)
    lit = Dose.of(truth, 25, dark=9)
    assert float(((truth.intensity - 9) / lit.gain).mean()) == pytest.approx(25, rel=1e-5)
    assert Dose.of(truth, 25).dark == 0
    assert Dose.of(replace(truth, intensity=truth.intensity - 11), 25).dark == pytest.approx(truth.intensity.min() - 11)


@pytest.mark.parametrize(
    ("dose", "dark", "said"),
    [(0, None, "dose"), (float("nan"), None, "dose"), (5, 4.0, "dark"), (5, float("nan"), "dark")],
)
def test_a_dose_that_cannot_be_is_refused(dose, dark, said):
    with pytest.raises(InvalidOption, match=f"^{said}: expected"):
        Dose.of(flat(), dose, dark)


@pytest.mark.parametrize(("pattern", "coverage"), [("raster", 1.0), ("random", 1 / 4), ("random", 1 / 20)])
def test_noise_is_that_of_counting_and_every_scan_takes_the_same_electrons(pattern, coverage):
    truth = flat(4.0)
    lit = Dose.of(truth, 10.0)
    path = generate(pattern, truth.shape, coverage, seed=1)
    scan, each = recorded(truth, path, lit, np.random.default_rng(2))
    seen = scan.intensity[scan.visited].astype(float)
    assert each == pytest.approx(10 / coverage, rel=0.01)
    assert each * len(path.positions) == pytest.approx(10 * 3600)
    # Counts N with mean 10 / coverage are shown as 4 N / mean: a relative spread of 1 / sqrt(mean).
    assert seen.mean() == pytest.approx(4, abs=4 * 4 / np.sqrt(36000))
    assert seen.std() == pytest.approx(4 / np.sqrt(10 / coverage), rel=0.2)
    counts = seen / 4 * each
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-3)


def test_a_pixel_visited_twice_gets_two_samples():
    truth = flat(1.0, (4, 4))
    path = generate("raster", (4, 4))
    twice = replace(path, positions=path.positions // 2 * 2, dwell_time=path.dwell_time)
    scan, each = recorded(truth, twice, Dose.of(truth, 100.0), np.random.default_rng(0))
    assert np.count_nonzero(scan.visited) == 4
    assert each == 100  # 1600 electrons for 16 samples
    counts = scan.intensity[scan.visited] * 400  # of each of the 4 pixels, whose mean is that of 4 samples
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-3)
    assert abs(counts.mean() - 400) < 4 * np.sqrt(400 / 4)


def test_what_stands_in_for_the_truth_is_the_middle_less_its_noise():
    truth = waves((60, 80))
    noise = np.random.default_rng(0).normal(0, 0.1, truth.shape).astype(np.float32)
    noisy = Micrograph(truth + noise, pixel_size=(1.0, 2.0))
    found = stand_in(noisy, shape=(40, 99))
    assert found.shape == (40, 80)
    assert found.pixel_size == (1.0, 2.0)
    assert rmse(found.intensity, truth[10:50]) < 0.03  # of 0.1
    np.testing.assert_array_equal(stand_in(noisy, shape=(40, 99), clean=True).intensity, noisy.intensity[10:50])
    assert rmse(stand_in(Micrograph(truth)).intensity, truth) < 1e-3  # where there is none, hardly any is taken away
    with pytest.raises(InvalidValue, match="one intensity everywhere"):
        stand_in(flat())


def test_every_pattern_is_compared_unless_some_are_named():
    assert [one.pattern for one in candidates((), [0.1])] == list(PATTERNS)
    assert candidates(("clv", "random", "clv"), [0.1, 0.2, 0.1]) == [
        Candidate("clv", 0.1),
        Candidate("clv", 0.2),
        Candidate("random", 0.1),
        Candidate("random", 0.2),
    ]


def test_the_forecast_is_the_error_of_the_image_against_the_truth():
    truth = Micrograph(waves(SHAPE))
    lit = Dose.of(truth, 1e9)  # no noise to speak of
    trial = forecast(truth, lit, Candidate("random", 1 / 5), find_task("kriging"), seed=3, dwell_time=2.0, threads=1)
    told = trial.forecast
    scan = generate("random", SHAPE, 1 / 5, seed=3).sample(truth)
    np.testing.assert_allclose(trial.scan.intensity, scan.intensity, atol=1e-4)
    alone = engine.infer(trial.scan, find_task("kriging"), denoise=True, threads=1).intensity
    error = np.sqrt(np.mean((alone - truth.intensity).astype(float) ** 2)) / np.ptp(truth.intensity)
    assert told.rmse == pytest.approx(error, rel=1e-6)
    assert told.psnr == pytest.approx(20 * np.log10(1 / error))
    assert (told.samples, told.coverage) == (384, 0.2)
    assert told.dwell_time_us == pytest.approx(2.0 / 0.2)
    assert told.total_time_us == pytest.approx(2.0 * 40 * 48)
    assert told.ran == "kriging"


def test_less_dose_gives_more_error_and_repeats_average_the_squares():
    truth = Micrograph(waves(SHAPE))
    solver = find_task("natural-neighbours")
    wanted = Candidate("random", 1 / 4)
    errors = [forecast(truth, Dose.of(truth, dose), wanted, solver).forecast.rmse for dose in (1, 10, 1000)]
    assert errors[0] > 1.5 * errors[1] > 1.5 * errors[2]
    lit = Dose.of(truth, 10)
    single = [forecast(truth, lit, wanted, solver, seed=seed).forecast.rmse for seed in (5, 6)]
    both = forecast(truth, lit, wanted, solver, seed=5, repeats=2).forecast.rmse
    assert single[0] != single[1]
    assert both == pytest.approx(np.sqrt(np.mean(np.square(single))))


def test_what_the_network_was_not_trained_for_is_said():
    truth = Micrograph(waves(SHAPE))
    with engine.open_model("infill", "cpu", threads=1) as opened:
        wanted = candidates(["raster"], [1.0, 0.2])
        told = [forecast(truth, Dose.of(truth, 50), one, opened).forecast for one in wanted]
    assert [one.ran for one in told] == ["wiener", "infill"]


def test_the_table_has_the_best_first_and_every_pattern(image):
    result = plan(image, "--dose", 50, "--coverage", "1/4", "--coverage", "1/10", "--clean")
    assert result.exit_code == 0, result.stderr
    head, *lines, last = result.stdout.splitlines()
    assert " ".join(head.split()) == "pattern coverage RMSE % PSNR dB e/sample dwell us path px time ms"
    assert {line.split()[0] for line in lines} == set(PATTERNS)
    assert len(lines) == 2 * len(PATTERNS)
    errors = [float(line.split()[4]) for line in lines]
    assert errors == sorted(errors)
    assert last == f"look at {image.parent / 'plan.png'}"
    assert "26 scans of" in result.stderr
    assert "one electron on a pixel is" in result.stderr


def test_json_tells_dose_gain_and_every_forecast(image):
    named = ("--pattern", "raster", "--pattern", "jittered-grid", "--coverage", "1/8")
    result = plan(image, *named, "--dose", 30, "--flyback-time", 40, "--json", "--seed", 4)
    told = json.loads(result.stdout)
    truth = stand_in(Micrograph(waves(SHAPE)), threads=1)
    lit = Dose.of(truth, 30)
    assert told["dose"] == {"electrons": 30, "dark": 0, "gain": pytest.approx(lit.gain, rel=1e-6)}
    assert (told["model"], told["seed"], told["denoise"], told["clean"]) == ("natural-neighbours", 4, True, False)
    assert [one["rmse"] for one in told["plans"]] == sorted(one["rmse"] for one in told["plans"])
    raster = next(one for one in told["plans"] if one["pattern"] == "raster")
    assert raster["wait_us"] == 4 * 40  # five rows of 48 px are an eighth of forty
    assert raster["total_time_us"] == pytest.approx(40 * 48 + 4 * 40)
    solver = find_task("natural-neighbours")
    same = forecast(truth, lit, Candidate("raster", 1 / 8), solver, seed=4, flyback_time=40.0, threads=1).forecast
    assert raster["rmse"] == pytest.approx(same.rmse, rel=1e-5)


def test_measured_pixels_keep_their_noise_if_asked(image):
    call = ("--dose", 2, "--pattern", "random", "--coverage", "1/3", "--json")
    kept, denoised = (
        json.loads(plan(image, *call, "--overwrite", *more).stdout)["plans"][0]["rmse"]
        for more in (("--keep-measured",), ())
    )
    assert kept > denoised


def test_the_picture_has_a_dot_for_every_plan(image):
    assert plan(image, "--dose", 50, "--pattern", "clv", "--pattern", "random").exit_code == 0
    drawn = cv2.imread(str(image.parent / "plan.png"))
    assert drawn.shape[1] > 1000
    truth = Micrograph(waves(SHAPE))
    solver = find_task("natural-neighbours")
    asked = (1 / 4, 1 / 16)
    ones = [
        forecast(truth, Dose.of(truth, 50), wanted, solver).forecast for wanted in candidates(["clv", "random"], asked)
    ]
    plot = dot_plot(ones, 900)
    assert plot.shape == (TOP + 2 * LINE + FOOT, 900, 3)
    np.testing.assert_array_equal(plot, dot_plot(ones[::-1], 900))
    key = plot[28]  # the row of the key: a dot in the colour of each coverage
    colours = [key[LEFT], key[LEFT + 14 + text_width("1/4", 14) + 26]]
    assert (colours[0] != colours[1]).any()
    for row in range(2):
        line = plot[TOP + LINE * row + LINE // 2, LEFT:]
        for colour in colours:
            assert np.count_nonzero((line == colour).all(-1)) >= DOT, (row, colour)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1.6, 21, [2, 3, 5, 10, 20]),
        (2.6, 3.5, [2.6, 2.8, 3.0, 3.2, 3.4]),
        (4.2, 5.0, [4.2, 4.4, 4.6, 4.8, 5.0]),
        (0.02, 50, [0.1, 1, 10]),
    ],
)
def test_an_axis_has_round_figures(low, high, ticks):
    np.testing.assert_allclose(_ticks(low, high), ticks)


def test_coverages_are_named_as_people_do():
    assert [coverage_label(share) for share in (1 / 20, 0.05, 0.075, 1.0)] == ["1/20", "1/20", "7.5 %", "all"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "--dose"),
        (["--dose", "0"], 2, "--dose"),
        (["--dose", "5", "--pattern", "zigzag"], 2, "'zigzag' is unknown"),
        (["--dose", "5", "--coverage", "2"], 2, "fraction"),
        (["--dose", "5", "--model", "infil"], 4, "did you mean 'infill'"),
        (["--dose", "5", "--model", "column-peaks"], 2, "takes no sparse scans"),
        (["--dose", "5", "--dark", "7"], 2, "dark: expected an intensity below"),
        (["--dose", "5", "-o", "plan.tif"], 2, ".png"),
        (["--dose", "5", "--image-like", "nowhere.tif"], 3, "nowhere.tif"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_and_nothing_is_written(image, words, code, said):
    assert fails(plan(image, *words), code, said)
    assert [path.name for path in image.parent.iterdir()] == ["image.tif"]


def test_a_plot_is_not_replaced_unasked(image):
    (image.parent / "plan.png").write_bytes(b"precious")
    assert fails(plan(image, "--dose", 5), 3, "use --overwrite to replace it, or choose another output with -o\n")
    assert (image.parent / "plan.png").read_bytes() == b"precious"


def test_scan_still_takes_patterns_and_names_the_plan_in_its_help(tmp_path):
    assert run("scan", "raster", "--shape", 8, "-o", tmp_path / "p.csv").exit_code == 0
    assert "semrt scan plan" in run("scan", "--help").stdout
    help_of_plan = run("scan", "plan", "--help").stdout
    assert help_of_plan.startswith("Usage: semrt scan plan [OPTIONS]")
    assert "--image-like" in help_of_plan
    assert "plan" not in PATTERNS
