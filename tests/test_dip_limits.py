"""What bounds the Deep Image Prior: time, Ctrl-C, large fields, other people's settings, what is not installed."""

import signal
import time

import numpy as np
import pytest
import torch

import semrt
from dip_samples import balls, classical, details, dip, interrupted, raising_after, scan_of
from semrt.data import SparseScan
from semrt.deep_image_prior import reconstruct
from semrt.errors import DeviceUnavailable, InvalidOption, MissingDependency
from semrt.metrics import rmse
from semrt.tasks.dip import DeepImagePrior


def test_the_users_random_numbers_and_threads_are_left_alone():
    torch.manual_seed(7)
    random_numbers, threads = torch.get_rng_state(), torch.get_num_threads()
    numpy_numbers = np.random.get_state()[1].copy()  # noqa: NPY002
    dip(scan_of(balls(32)), threads=threads + 1)
    progress, _ = raising_after(2, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dip(scan_of(balls(32)), threads=threads + 1, progress=progress)
    assert torch.equal(torch.get_rng_state(), random_numbers)
    assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_numbers)  # noqa: NPY002
    torch.manual_seed(8)
    one = dip(scan_of(balls(32)), blend=False).intensity
    torch.manual_seed(9)
    np.testing.assert_array_equal(dip(scan_of(balls(32)), blend=False).intensity, one)


def test_progress_rises_to_the_last_iteration_and_tells_the_loss():
    progress, told = raising_after(1000, interrupted)
    dip(scan_of(balls(32)), max_iterations=20, progress=progress)
    assert [done for done, _, _ in told] == list(range(1, 21))
    assert {total for _, total, _ in told} == {20}
    assert told[0][2] == "iteration"  # nobody has looked at the loss yet
    assert told[-1][2].startswith("iteration, loss ")
    assert float(told[-1][2].rpartition(" ")[2]) > 0


def test_time_is_a_budget_that_is_kept():
    started = time.monotonic()
    made = details(dip(scan_of(balls(32)), max_iterations=10**6, max_seconds=0.3))
    assert time.monotonic() - started < 30  # a million iterations take hours
    assert made["stopped"] == "seconds"
    assert 0 < made["iterations"] < 10**6
    assert made["loss"]
    assert details(dip(scan_of(balls(32)), max_iterations=10**6, max_seconds=1e-9))["iterations"] == 1


def test_a_time_without_end_is_no_limit_and_can_be_written_down():
    made = details(dip(scan_of(balls(32)), max_iterations=3, max_seconds=float("inf")))
    assert made["settings"]["max_seconds"] is None


def test_a_fit_that_gains_nothing_more_ends_by_itself():
    noise = np.random.default_rng(0).standard_normal((40, 40))
    made = details(dip(scan_of(noise, 0.7, noise=0), max_iterations=100000))
    assert made["stopped"] == "converged"
    assert made["iterations"] < made["loss"][-1][0] < 5000


def by_keyboard():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("stop", [interrupted, by_keyboard])
def test_interrupted_it_gives_the_best_so_far_labelled(stop):
    scan = scan_of(balls(48), noise=0)
    progress, told = raising_after(31, stop)
    result = dip(scan, max_iterations=1000, progress=progress)
    assert len(told) == 31
    assert details(result)["stopped"] == "interrupted"
    assert 0 < details(result)["iterations"] <= 30
    assert result.provenance["interrupted"] is True
    limited = dip(scan, max_iterations=30)  # the same fit, as far as it came
    assert details(limited)["iterations"] == details(result)["iterations"]
    np.testing.assert_array_equal(result.intensity, limited.intensity)


def test_interrupted_before_anything_was_fitted_it_gives_the_classical_estimate():
    scan = scan_of(balls(32))
    progress, _ = raising_after(1, interrupted)
    result = dip(scan, progress=progress)
    np.testing.assert_allclose(result.intensity, classical(scan).intensity, atol=1e-6)
    assert (details(result)["stopped"], details(result)["iterations"]) == ("interrupted", 0)


@pytest.fixture
def _small_pieces(monkeypatch):
    monkeypatch.setattr(reconstruct, "PIECE", 48)
    monkeypatch.setattr(reconstruct, "OVERLAP", 6)


@pytest.mark.usefixtures("_small_pieces")
def test_a_large_field_is_fitted_in_pieces_that_leave_no_seam(monkeypatch):
    y, x = np.mgrid[:80, :100]
    image = (0.5 + 0.3 * np.sin(y / 9) * np.cos(x / 11)).astype(np.float32)
    scan = scan_of(image, 0.3, noise=0.01)
    progress, told = raising_after(10**6, interrupted)
    result = dip(scan, denoise=True, max_iterations=40, progress=progress)
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    assert told[-1][1] == 6 * 40  # two rows of three pieces
    at_cuts = (
        [34, 46],
        [29, 42, 58, 71],
    )  # where pieces begin and end
    monkeypatch.setattr(reconstruct, "PIECE", 640)
    whole = dip(scan, denoise=True, max_iterations=40)
    for axis, cuts in enumerate(at_cuts):
        steps, steps_of_whole = (np.abs(np.diff(made.intensity - image, axis=axis)) for made in (result, whole))
        across = np.take(steps, [cut - 1 for cut in cuts], axis=axis)
        assert across.mean() < 1.5 * steps.mean()
        assert across.mean() < 2 * steps_of_whole.mean()
    assert rmse(result.intensity, image) < 1.5 * rmse(whole.intensity, image)


@pytest.mark.usefixtures("_small_pieces")
def test_a_piece_without_any_sample_is_left_to_the_classical_estimate():
    image = balls(80)
    scan = scan_of(image, 0.2)
    visited = scan.visited.copy()
    visited[40:, :50] = False
    scan = SparseScan(scan.intensity, visited)
    result = dip(scan)
    assert np.isfinite(result.intensity).all()
    np.testing.assert_allclose(result.intensity[50:, :30], classical(scan).intensity[50:, :30], atol=1e-5)
    made = details(result)
    assert made["stopped"] == "iterations"  # which tells more than that a piece had too few samples
    assert [iteration for iteration, _ in made["loss"]] == [10, 12]
    assert made["held_out_error_classical"] > 0


@pytest.mark.usefixtures("_small_pieces")
def test_one_ctrl_c_ends_all_pieces():
    told = []

    def once(done, total, what):
        told.append(done)
        if done == 5:
            raise KeyboardInterrupt

    result = dip(scan_of(balls(80)), max_iterations=20, progress=once)
    assert told == [1, 2, 3, 4, 5]
    assert details(result)["stopped"] == "interrupted"


def test_without_torch_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(DeepImagePrior, "requires", "no_such_package_of_anybody")
    with pytest.raises(MissingDependency, match=r'dip needs no_such_package_of_anybody.*pip install "semrt\[dip\]"'):
        semrt.infer("dip", scan_of(balls(32)))


def test_what_dip_needs_is_torch():
    assert DeepImagePrior.requires == "torch"
    assert DeepImagePrior.devices == ("cpu", "cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_a_device_that_is_not_there_is_refused_with_its_cause():
    with pytest.raises(DeviceUnavailable, match=r"device 'cuda' cannot be used: torch .* sees 0 CUDA devices"):
        dip(scan_of(balls(32)), device="cuda")
    ran = dip(scan_of(balls(32)), device="auto").provenance["device"]
    assert (ran["used"], ran["why"]) == ("cpu", "cpu, because torch sees no CUDA device")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"network": "unet"}, "dip: network 'unet' is unknown"),
        ({"members": 0}, "dip: members: expected 1 or more"),
        ({"max_iterations": 1.5}, "dip: option 'max_iterations': expected a whole number"),
        ({"max_seconds": -1}, "dip: max_seconds: expected more than 0"),
        ({"strength": 1}, "dip: option 'strength' is unknown"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(InvalidOption, match=words):
        dip(scan_of(balls(32)), **wrong)
