import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt import metrics
from semrt.errors import InvalidOption, InvalidShape


def two_images(shape, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random(shape)
    return truth + 0.1 * rng.standard_normal(shape), truth


@given(st.tuples(st.integers(11, 40), st.integers(11, 40)), st.sampled_from([1.0, 255.0]), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_ssim_equals_scikit_image(shape, data_range, seed):
    from skimage.metrics import structural_similarity

    image, truth = (data_range * a for a in two_images(shape, seed))
    theirs = structural_similarity(
        image, truth, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(image, truth, data_range) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_psnr_equals_scikit_image(data_range):
    from skimage.metrics import peak_signal_noise_ratio

    image, truth = two_images((20, 31))
    theirs = peak_signal_noise_ratio(truth, image, data_range=data_range)
    assert metrics.psnr(image, truth, data_range) == pytest.approx(theirs, abs=1e-9)


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.floats(0.3, 5),
)
@settings(deadline=None, max_examples=20)
def test_blur_5x5_equals_opencv(shape, sigma):
    import cv2

    truth = np.random.default_rng(3).random(shape, dtype=np.float32)
    assert np.abs(metrics.blur_5x5(truth, sigma) - cv2.GaussianBlur(truth, (5, 5), sigma)).max() < 1e-6


def test_an_even_error_of_a_tenth_is_twenty_decibels():
    truth = np.full((3, 4), 0.5)
    assert metrics.rmse(truth + 0.1, truth) == pytest.approx(0.1)
    assert metrics.psnr(truth + 0.1, truth) == pytest.approx(20.0)
    assert metrics.psnr(truth + 0.1, truth, data_range=10) == pytest.approx(40.0)


def test_equal_images_are_infinitely_alike():
    image, _ = two_images((12, 12))
    assert metrics.psnr(image, image) == float("inf")
    assert metrics.ssim(image, image) == pytest.approx(1.0)
    assert metrics.rmse(image, image) == 0.0


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_intervals_of_gaussian_errors_hold_as_often_as_they_say(level):
    rng = np.random.default_rng(1)
    error = rng.uniform(0.01, 0.2, (300, 300))
    truth = rng.random((300, 300))
    estimate = truth + error * rng.standard_normal(truth.shape)
    sampling_error = (level * (1 - level) / truth.size) ** 0.5
    assert metrics.coverage_of_intervals(estimate, error, truth, level) == pytest.approx(level, abs=4 * sampling_error)


def test_intervals_that_claim_too_small_errors_hold_less_often():
    rng = np.random.default_rng(1)
    truth = np.zeros((200, 200))
    estimate = rng.standard_normal(truth.shape)
    held = metrics.coverage_of_intervals(estimate, np.full(truth.shape, 0.5), truth, 0.9)
    assert held == pytest.approx(0.589, abs=0.01)  # P(|z| < 1.645 / 2)


@pytest.mark.parametrize("measure", [metrics.rmse, metrics.psnr, metrics.ssim])
def test_images_of_different_shapes_are_refused(measure):
    with pytest.raises(InvalidShape, match=r"expected shape \(20, 20\), as truth has, got \(20, 1\)"):
        measure(np.zeros((20, 1)), np.zeros((20, 20)))
    with pytest.raises(InvalidShape, match="at least one pixel"):
        measure(np.zeros((3, 20, 20)), np.zeros((3, 20, 20)))


def test_ssim_of_an_image_under_its_window_is_refused():
    with pytest.raises(InvalidShape, match=r"at least \(11, 11\), got \(10, 30\)"):
        metrics.ssim(np.zeros((10, 30)), np.zeros((10, 30)))


def test_ranges_that_mean_nothing_are_refused():
    image, truth = two_images((12, 12))
    for call in (
        lambda: metrics.psnr(image, truth, 0.0),
        lambda: metrics.ssim(image, truth, -1.0),
        lambda: metrics.blur_5x5(truth, 0.0),
        lambda: metrics.coverage_of_intervals(image, truth, truth, 1.0),
    ):
        with pytest.raises(InvalidOption, match="expected"):
            call()
