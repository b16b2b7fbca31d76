"""LiveInfill: samples in as they arrive, the best image of the moment out."""

import itertools
import threading
import time

import numpy as np
import pytest

import semrt
import toy_solvers
from command import waves
from semrt.data import Micrograph, SparseScan
from semrt.errors import InvalidOption, InvalidShape, InvalidValue, ModelNotFound
from semrt.live.timings import Timings
from semrt.scan import ScanPath, generate
from semrt.tasks import TASKS

SHAPE = (48, 64)


def samples(n=400, seed=0, shape=SHAPE):
    """(y, x, intensity) of a probe that went anywhere, some pixels more than once."""
    rng = np.random.default_rng(seed)
    y, x = (rng.uniform(-0.5, side - 0.5001, n) for side in shape)
    seen = waves(shape)[np.floor(y + 0.5).astype(int), np.floor(x + 0.5).astype(int)]
    return y, x, seen + rng.normal(0, 0.02, n)


def live(**changes):
    return semrt.LiveInfill(SHAPE, **{"model": "kriging", "warm_up": False, "threads": 1} | changes)


def test_with_all_samples_and_no_limit_the_image_is_that_of_infer():
    y, x, seen = samples()
    whole = SparseScan.from_positions(np.stack((y, x), 1), seen, SHAPE)
    assert np.count_nonzero(whole.visited) < len(y), "no pixel was visited twice, and nothing is averaged"
    growing = live(model="infill", device="cpu")
    for at in range(0, len(y), 37):
        part = slice(at, at + 37)
        growing.add(y[part], x[part], seen[part])
    np.testing.assert_array_equal(growing.scan().intensity, whole.intensity)
    np.testing.assert_array_equal(growing.scan().visited, whole.visited)
    expected = semrt.infer("infill", whole, device="cpu", threads=1)
    image = growing.image()
    assert "fallback" not in expected.provenance
    np.testing.assert_array_equal(image.intensity, expected.intensity)
    np.testing.assert_array_equal(image.error, expected.error)
    assert image.provenance["model"] == expected.provenance["model"]
    assert image.provenance["live"]["method"] == "infill"
    assert image.provenance["live"]["samples"] == len(y)


def test_intensities_alone_follow_the_pattern_and_its_dwell_times():
    path = generate("clv", SHAPE, 0.3)
    times = np.random.default_rng(1).uniform(0.5, 2, len(path.positions))
    path = ScanPath(path.positions, SHAPE, times, path.blank, "clv")
    rng = np.random.default_rng(2)
    seen = rng.normal(1, 0.1, len(times))
    growing = live(pattern=path)
    for value in seen[:5]:
        growing.add(value)  # one by one as well
    growing.add(seen[5:])
    whole = SparseScan.from_positions(path.positions, seen, SHAPE, dwell_time=times)
    held = growing.scan()
    for name in ("intensity", "visited", "dwell_time"):
        np.testing.assert_array_equal(getattr(held, name), getattr(whole, name))
    assert held.metadata["scan_pattern"] == "clv"


def test_a_pattern_by_name_is_the_one_that_scan_draws():
    growing = live(pattern="random", coverage=1 / 8, seed=3)
    np.testing.assert_array_equal(growing.path.positions, generate("random", SHAPE, 1 / 8, seed=3).positions)


def test_samples_that_are_blanked_or_outside_may_be_nan_and_do_not_count():
    at = np.array([[0, 0], [0, 1], [-5, 0], [2, 2]], float)
    path = ScanPath(at, SHAPE, np.ones(4), np.array([False, True, False, False]))
    growing = live(pattern=path)
    growing.add([1.0, np.nan, np.nan, 3.0])
    assert growing.samples == 2
    held = growing.scan()
    assert np.argwhere(held.visited).tolist() == [[0, 0], [2, 2]]
    assert held.intensity[2, 2] == 3


def test_the_scan_grows_as_samples_come():
    growing = live()
    growing.add(1, 2, 0.5)
    assert growing.scan().coverage == pytest.approx(1 / (48 * 64))
    growing.add([1, 5], [2, 5], [1.5, 7.0])
    assert growing.scan().intensity[1, 2] == pytest.approx(1.0)  # the mean of 0.5 and 1.5
    assert growing.scan().intensity[5, 5] == 7
    assert growing.samples == 3


def test_restart_begins_the_path_again_and_keeps_what_was_measured_if_asked():
    growing = live(pattern="raster", coverage=1.0)
    ones = np.ones(SHAPE[0] * SHAPE[1])
    growing.add(ones)
    growing.restart(keep=True)
    growing.add(3 * ones)
    np.testing.assert_array_equal(growing.scan().intensity, 2)
    growing.restart()
    growing.add(5 * ones[:10])
    assert growing.samples == np.count_nonzero(growing.scan().visited) == 10


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (([1.0], [64.0], [0.5]), InvalidValue, r"positions: .*\(48, 64\).* got 1 of 1 outside, the first at \(1.0, 64"),
        (([1.0], [np.nan], [0.5]), InvalidValue, "positions: .* 1 of 1 outside"),
        (([1.0, 2.0], [1.0, 2.0], [0.5]), InvalidShape, r"three of one length, got \(2, 2, 1\)"),
        (([1.0], [1.0], [np.nan]), InvalidValue, "intensity: expected finite values"),
        ((np.ones((2, 2)), [1.0], [1.0]), InvalidShape, r"y: expected shape \(n,\)"),
        ((["a"], [1.0], [1.0]), InvalidValue, "y: expected real numbers"),
        (([1.0],), InvalidOption, r"give it, or add\(y, x, intensity\)"),
        (([1.0], [1.0]), InvalidOption, "got 2 arguments"),
    ],
)
def test_samples_that_cannot_be_are_refused_in_a_line_and_none_is_added(call, error, said):
    growing = live()
    growing.add(0, 0, 1.0)
    with pytest.raises(error, match=said) as raised:
        growing.add(*call)
    assert "\n" not in str(raised.value)
    assert growing.samples == 1


def test_more_samples_than_the_path_has_are_refused():
    growing = live(pattern="raster", coverage=1.0)
    growing.add(np.ones(48 * 64 - 2))
    with pytest.raises(InvalidValue, match=r"at most the 2 samples that are left of the path's 3072, got 3; restart"):
        growing.add(np.ones(3))
    with pytest.raises(InvalidValue, match="finite"):
        growing.add([1.0, np.nan])
    assert growing.samples == 48 * 64 - 2
    growing.add(np.ones(2))


def test_there_is_no_image_before_the_first_sample():
    growing = live(pattern="random", coverage=1 / 8)
    for ask in (growing.image, growing.scan):
        with pytest.raises(InvalidValue, match="at least one sample, got none; add"):
            ask()
    growing.add([])
    with pytest.raises(InvalidValue, match="at least one sample"):
        growing.image(0.1)


def test_one_sample_is_enough_for_an_image():
    growing = live(model="infill", device="cpu")
    growing.add(20, 30, 0.5)
    with pytest.warns(UserWarning, match=r"so few samples \(1\) do not tell how far"):
        image = growing.image()
    np.testing.assert_allclose(image.intensity, 0.5, atol=1e-6)
    assert image.provenance["fallback"]["solver"] == "wiener"  # so few samples are unlike the training


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"model": "infil"}, ModelNotFound, "did you mean 'infill'"),
        ({"model": "columns"}, InvalidOption, "columns: takes no sparse scans"),
        ({"pattern": "zigzag"}, InvalidOption, "'zigzag' is unknown"),
        ({"coverage": 0.1}, InvalidOption, "coverage: is of a pattern by name"),
        ({"pattern": generate("raster", (8, 8))}, InvalidShape, r"path: expected shape \(48, 64\).* got \(8, 8\)"),
    ],
)
def test_what_is_no_live_scan_is_refused_at_once(changes, error, said):
    with pytest.raises(error, match=said):
        live(**changes)
    with pytest.raises(InvalidShape, match="shape"):
        semrt.LiveInfill((0, 5), warm_up=False)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds):
    growing = live()
    growing.add(0, 0, 1.0)
    with pytest.raises(InvalidOption, match="max_seconds"):
        growing.image(seconds)


def known(growing, **seconds):
    """The methods are expected to take so long."""
    for name, expected in seconds.items():
        growing._timings.guess(name.replace("_", "-"), expected)


@pytest.mark.parametrize(
    ("limit", "method", "why"),
    [
        (1e-3, "natural-neighbours", "the fastest, though it may take longer than asked: 0.1 s expected of 0.001 s"),
        (0.2, "natural-neighbours", "kriging would take longer: 0.1 s expected of 0.2 s"),
        (1.5, "kriging", "infill would take longer: 1 s expected of 1.5 s"),
        (9.0, "infill", "the best: 2 s expected of 9 s"),
        (None, "infill", "the best, as there is no limit"),
    ],
)
def test_the_best_method_that_fits_is_taken_and_the_provenance_says_why(limit, method, why):
    growing = live(model="infill", device="cpu")
    growing.add(*samples())
    known(growing, natural_neighbours=0.1, kriging=1.0, infill=2.0)
    image = growing.image(limit)
    told = image.provenance["live"]
    assert (told["method"], told["why"], told["max_seconds"]) == (method, why, limit)
    assert told["expected_seconds"] == {"natural-neighbours": 0.1, "kriging": 1.0, "infill": 2.0}
    assert told["seconds"] > 0
    assert image.provenance["model"]["name"] == method
    alone = semrt.infer(method, growing.scan(), threads=1, **({"device": "cpu"} if method == "infill" else {}))
    np.testing.assert_array_equal(image.intensity, alone.intensity)


def test_a_method_learns_from_its_own_time():
    growing = live()
    growing.add(*samples())
    known(growing, natural_neighbours=1e-6, kriging=1e-6)
    before = growing.image(60).provenance["live"]
    assert before["method"] == "kriging"
    assert 1e-6 < growing.expected_seconds["kriging"] <= before["seconds"]
    assert growing.expected_seconds["natural-neighbours"] == 1e-6


def test_without_a_warm_up_what_was_never_measured_is_not_taken_within_a_time():
    growing = live()
    growing.add(*samples())
    assert set(growing.expected_seconds.values()) == {None}
    assert growing.image(60).provenance["live"]["method"] == "natural-neighbours"
    assert growing.image().provenance["live"]["method"] == "kriging"
    growing.add(1, 1, 1.0)
    assert growing.image(60).provenance["live"]["method"] == "kriging"


def test_a_warm_up_measures_every_method():
    growing = live(model="infill", device="cpu", warm_up=True)
    assert list(growing.expected_seconds) == ["natural-neighbours", "kriging", "infill"]
    assert min(growing.expected_seconds.values()) > 0
    growing.add(*samples())
    assert growing.image(60).provenance["live"]["method"] == "infill"


def test_where_nothing_has_come_the_better_image_is_shown_again():
    growing = live()
    growing.add(*samples())
    known(growing, natural_neighbours=1e-6)
    best = growing.image()
    again = growing.image(1e-3)
    assert again.provenance["live"]["why"] == "nothing has come since the last image"
    assert again.provenance["live"]["method"] == "kriging"
    np.testing.assert_array_equal(again.intensity, best.intensity)
    growing.add(0, 0, 3.0)
    assert growing.image(1e-9).provenance["live"]["method"] == "natural-neighbours"


def test_options_reach_every_method_that_takes_them():
    y, x, seen = samples()
    growing = live(model="infill", device="cpu", denoise=True)
    growing.add(y, x, seen)
    scan = growing.scan()
    known(growing, natural_neighbours=1e-3)
    for limit in (1e-2, None):
        assert (growing.image(limit).intensity[scan.visited] != scan.intensity[scan.visited]).any()


def test_natural_neighbours_keep_what_was_measured_unless_asked():
    scan = SparseScan.from_positions(np.stack(samples()[:2], 1), samples()[2], SHAPE, pixel_size=(0.1, 0.1))
    kept = semrt.infer("natural-neighbours", scan)
    assert isinstance(kept, Micrograph)
    assert kept.error is None
    assert kept.pixel_size == (0.1, 0.1)
    np.testing.assert_array_equal(kept.intensity[scan.visited], scan.intensity[scan.visited])
    assert np.sqrt(np.mean((kept.intensity - waves(SHAPE)) ** 2)) < 0.05


def test_samples_may_come_while_images_are_made():
    """Every image shows a whole moment: each add sets all its pixels to one number, so none shows parts of one."""
    growing = live()
    y, x = np.indices((4, 8)).reshape(2, -1)
    stop = threading.Event()
    failures = []

    def scans():
        for frame in itertools.count(1):
            growing.restart()
            growing.add(y, x, np.full(y.size, float(frame)))
            if stop.is_set():
                return

    def shows():
        while not stop.is_set():
            try:
                image = growing.image()
            except InvalidValue:  # between a restart and its first samples
                continue
            if np.ptp(image.intensity[:4, :8]) != 0:
                failures.append(image.provenance["live"])

    threads = [threading.Thread(target=job) for job in (scans, shows, shows)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    assert growing.samples == y.size


def test_what_iterates_for_long_is_not_warmed_up(monkeypatch):
    monkeypatch.setitem(TASKS, "heat", f"{toy_solvers.__name__}:Heat")
    growing = live(model="heat", warm_up=True)
    assert growing.expected_seconds["heat"] is None
    assert growing.expected_seconds["kriging"] > 0


def test_what_is_expected_rises_at_once_falls_slowly_and_fades_to_the_fastest_while_passed_over():
    timings = Timings()
    assert timings.expected("m") is None
    timings.passed_over("m")
    timings.guess("m", 9.0)
    timings.passed_over("m")
    assert timings.expected("m") == pytest.approx(9.0 * 0.99)
    for _ in range(1000):
        timings.passed_over("m")
    assert timings.expected("m") == 4.5  # half of what was guessed is worth a trial
    timings.note("m", 1.0)
    assert timings.expected("m") == 1.0  # the first real call replaces what was guessed
    timings.note("m", 3.0)
    assert timings.expected("m") == 3.0
    timings.note("m", 1.0)
    assert timings.expected("m") == pytest.approx(3.0 - 0.3 * 2.0)
    for _ in range(1000):
        timings.passed_over("m")
    assert timings.expected("m") == 1.0
