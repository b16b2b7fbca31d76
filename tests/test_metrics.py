import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt import metrics
from semrt.errors import InvalidOption, InvalidShape, InvalidValue


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


# --- labels: 0 nothing, 1 gold, 2 aluminium

TRUTH = np.array([0, 0, 0, 0, 0, 1, 1, 2, 2, 2])
FOUND = np.array([0, 0, 0, 0, 2, 1, 0, 2, 2, 1])
# Right: four of five empty, one of two gold, two of three aluminium. Wrong: an empty place as aluminium, a gold one as
# empty, an aluminium one as gold.


def test_overlap_recall_and_accuracy_of_each_class_are_what_one_counts():
    # Union of each class: in truth, or found, or both: 5 + 5 - 4, 2 + 2 - 1, 3 + 3 - 2.
    np.testing.assert_allclose(metrics.iou(FOUND, TRUTH), [4 / 6, 1 / 3, 2 / 4])
    np.testing.assert_allclose(metrics.recall(FOUND, TRUTH), [4 / 5, 1 / 2, 2 / 3])
    np.testing.assert_allclose(metrics.accuracy(FOUND, TRUTH), [8 / 10, 8 / 10, 8 / 10])  # one missed, one too many
    scores = metrics.label_scores(FOUND, TRUTH)
    assert scores == pytest.approx({"miou": 0.5, "recall": (0.8 + 0.5 + 2 / 3) / 3, "accuracy": 0.7})


def test_what_is_truth_and_what_is_found_matters_to_recall_alone():
    np.testing.assert_allclose(metrics.iou(TRUTH, FOUND), metrics.iou(FOUND, TRUTH))
    found, truth = np.array([0, 1, 1, 1]), np.array([0, 0, 0, 1])
    np.testing.assert_allclose(metrics.recall(found, truth, 2), [1 / 3, 1])
    np.testing.assert_allclose(metrics.recall(truth, found, 2), [1, 1 / 3])


def test_a_class_that_is_absent_counts_one_and_one_found_in_vain_does_not():
    absent = np.array([0, 0, 2, 2])
    np.testing.assert_array_equal(metrics.iou(absent, absent), 1)
    np.testing.assert_array_equal(metrics.recall(absent, absent), 1)
    np.testing.assert_array_equal(metrics.accuracy(absent, absent), 1)
    in_vain = np.array([0, 1, 2, 2])
    np.testing.assert_allclose(metrics.iou(in_vain, absent), [1 / 2, 0, 1])
    np.testing.assert_allclose(metrics.recall(in_vain, absent), [1 / 2, 1, 1])  # there was no gold to find
    np.testing.assert_allclose(metrics.accuracy(in_vain, absent), [3 / 4, 3 / 4, 1])


@given(st.integers(2, 5), st.integers(0, 999))
@settings(deadline=None, max_examples=30)
def test_overlap_and_recall_equal_those_of_sets(n_classes, seed):
    labels, truth = np.random.default_rng(seed).integers(0, n_classes, (2, 3, 2, 4)).astype(np.uint8)
    for k in range(n_classes):
        found, there = ({*np.flatnonzero(array == k).tolist()} for array in (labels, truth))
        overlap = len(found & there) / len(found | there) if found | there else 1
        assert metrics.iou(labels, truth, n_classes)[k] == pytest.approx(overlap)
        share = len(found & there) / len(there) if there else 1
        assert metrics.recall(labels, truth, n_classes)[k] == pytest.approx(share)
        agreed = 1 - len(found ^ there) / truth.size
        assert metrics.accuracy(labels, truth, n_classes)[k] == pytest.approx(agreed)
    assert metrics.label_scores(labels, truth, n_classes)["accuracy"] == pytest.approx(np.mean(labels == truth))


def test_a_perfect_answer_that_is_transposed_is_no_perfect_answer():
    truth = np.zeros((16, 8, 8), np.uint8)
    truth[0, :4] = 1
    assert metrics.label_scores(truth, truth) == {"miou": 1, "recall": 1, "accuracy": 1}
    assert metrics.iou(truth.transpose(0, 2, 1), truth)[1] == pytest.approx(16 / 48)


def test_the_error_of_thickness_is_told_of_each_layer():
    truth = np.zeros((2, 2, 2))
    found = np.array([[[1, -1], [0, 0]], [[10, 0], [0, 0]]])
    np.testing.assert_allclose(metrics.thickness_mae(found, truth), [0.5, 2.5])
    with pytest.raises(InvalidShape, match=r"thickness: expected shape \(2, 2, 2\), as truth has, got \(1, 2, 2\)"):
        metrics.thickness_mae(found[:1], truth)
    with pytest.raises(InvalidShape, match=r"thickness: expected shape \(k, ny, nx\)"):
        metrics.thickness_mae(found[0], truth[0])


@pytest.mark.parametrize("measure", [metrics.iou, metrics.recall, metrics.accuracy, metrics.label_scores])
def test_what_are_no_labels_is_refused(measure):
    with pytest.raises(InvalidShape, match=r"labels: expected shape \(10,\), as truth has, got \(9,\)"):
        measure(FOUND[:9], TRUTH)
    with pytest.raises(InvalidShape, match="at least one label"):
        measure(FOUND[:0], TRUTH[:0])
    with pytest.raises(InvalidValue, match="labels: expected 0 to 1, got 0 to 2; check n_classes"):
        measure(FOUND, np.zeros(10, int), 2)
    with pytest.raises(InvalidValue, match="truth: expected 0 to 2, got -1 to 2"):
        measure(FOUND, np.where(TRUTH == 0, -1, TRUTH))
    with pytest.raises(InvalidValue, match="truth: expected whole numbers, got dtype float64"):
        measure(FOUND, TRUTH.astype(float))
    with pytest.raises(InvalidOption, match="n_classes: expected one or more, got 0"):
        measure(FOUND, TRUTH, 0)


def test_an_image_with_nan_is_not_taken_for_a_perfect_one():
    spoilt = np.ones((16, 16))
    spoilt[3, 3] = np.nan
    assert np.isnan(metrics.psnr(spoilt, np.ones((16, 16))))
    with pytest.raises(InvalidOption):
        metrics.psnr(np.ones((16, 16)), np.ones((16, 16)), data_range=0)
