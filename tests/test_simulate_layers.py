"""Simulated layers: structures as published, images as physics and instrument make them, and no layer in two splits."""

import json
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt.data import EnergyStack, LayerMap
from semrt.errors import InvalidOption, InvalidShape
from semrt.physics.backscatter import ENERGIES, VARIANTS, backscatter
from semrt.simulate.layers import (
    KINDS,
    SPLITS,
    Recording,
    draw,
    draw_recording,
    expose,
    perlin_noise,
    perlin_thickness,
    signal_of,
    split_seed,
    strips_thickness,
    varied_thickness,
)

MISMATCH = Recording(noise=0.02, offset=0.01, gain=0.01, blur=0.7, drift=0.5)


def rng(seed=0):
    return np.random.default_rng(seed)


# --- structures


@pytest.mark.parametrize("kind", KINDS)
@given(shape=st.tuples(st.integers(1, 70), st.integers(1, 70)), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_every_kind_fills_any_shape_up_to_15_and_150_nanometres(kind, shape, seed):
    thickness = KINDS[kind](rng(seed), shape)
    assert thickness.shape == (2, *shape)
    assert thickness.dtype == np.float32
    assert np.isfinite(thickness).all()
    assert thickness.min() >= 0
    assert thickness[0].max() <= 15
    assert thickness[1].max() <= 150


def test_published_structures_are_bare_as_often_as_published_and_fill_as_many_voxels():
    drawn = [perlin_thickness(rng(seed), (128, 128)) for seed in range(150)]
    gold, aluminium = np.mean([(thickness > 0).mean((1, 2)) for thickness in drawn], axis=0)
    assert gold == pytest.approx(0.38, abs=0.025)
    assert aluminium == pytest.approx(0.29, abs=0.03)
    voxels = np.sum([np.bincount(LayerMap(thickness).voxels(10).ravel(), minlength=3) for thickness in drawn], axis=0)
    empty, of_gold, of_aluminium = voxels / voxels.sum()
    assert empty == pytest.approx(0.866, abs=0.02)
    assert of_gold == pytest.approx(0.0047, abs=0.001)
    assert of_aluminium == pytest.approx(0.1295, abs=0.02)


def test_published_structures_are_a_few_terraces_of_whole_nanometres_and_the_highest_is_full():
    for seed in range(20):
        for layer, full in zip(perlin_thickness(rng(seed), (128, 128)), (15, 150), strict=True):
            levels = np.unique(layer)
            assert 2 <= len(levels) <= 16
            np.testing.assert_array_equal(levels, np.floor(levels))
            assert (levels[0], levels[-1]) == (0, full)


def test_the_two_published_layers_know_nothing_of_each_other():
    both = [np.mean((perlin_thickness(rng(seed), (64, 64)) > 0).all(0)) for seed in range(300)]
    assert np.mean(both) == pytest.approx(0.38 * 0.28, abs=0.025)


@given(shape=st.tuples(st.integers(1, 25), st.integers(1, 25)), cell=st.floats(1.5, 60), seed=st.integers(0, 999))
@settings(deadline=None, max_examples=20)
def test_perlin_noise_is_what_a_double_loop_makes_of_the_same_gradients(shape, cell, seed):
    again = rng(seed)
    origin = again.random(), again.random()
    size = [int(np.float32((n - 1) / cell + start)) + 2 for n, start in zip(shape, origin, strict=True)]
    gradients = again.uniform(-1, 1, (2, *size))

    def fade(t):
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    expected = np.zeros(shape)
    for i, j in np.ndindex(shape):
        y, x = i / cell + origin[0], j / cell + origin[1]
        for row in (floor(y), floor(y) + 1):
            for column in (floor(x), floor(x) + 1):
                if row < size[0] and column < size[1]:  # or its weight is zero
                    weight = fade(1 - abs(y - row)) * fade(1 - abs(x - column))
                    expected[i, j] += weight * np.dot(gradients[:, row, column], (y - row, x - column))
    np.testing.assert_allclose(perlin_noise(rng(seed), shape, cell), expected, atol=1e-4)


def test_strips_run_across_under_and_beside_pads():
    regions = np.zeros(4)
    for seed in range(40):
        gold, aluminium = strips_thickness(rng(seed), (96, 128))
        assert {*np.unique(gold)} <= {0, 5, 10, 15}
        assert {*np.unique(aluminium)} == {0, 150}
        assert np.linalg.matrix_rank(gold) == 1  # straight, parallel, with square ends
        present, counts = np.unique((gold > 0) + 2 * (aluminium > 0), return_counts=True)
        regions[present] += counts > 0
    assert (regions >= 38).all()  # silicon, gold, aluminium and both are there in nearly every structure


def test_strips_and_pads_are_of_the_thicknesses_asked_for():
    gold, aluminium = strips_thickness(rng(2), (64, 64), strips=(3.0,), pads=(80.0,))
    assert {*np.unique(gold)} == {0, 3}
    assert {*np.unique(aluminium)} == {0, 80}


def test_varied_layers_come_in_any_thickness_and_either_may_be_missing_or_everywhere():
    drawn = [varied_thickness(rng(seed), (48, 48)) for seed in range(300)]
    share = np.array([(thickness > 0).mean((1, 2)) for thickness in drawn])
    assert (share.min(0) == 0).all()
    assert (share.max(0) == 1).all()
    for layer, full in enumerate((15, 150)):
        highest = np.array([thickness[layer].max() for thickness in drawn])
        assert np.quantile(highest[highest > 0], 0.1) < 0.4 * full
        assert highest.max() > 0.9 * full


# --- signals


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", KINDS)
def test_signals_by_pairs_are_those_of_every_pixel(kind, variant):
    thickness = KINDS[kind](rng(1), (20, 31))
    signal = signal_of(thickness, variant=variant)
    assert signal.dtype == np.float32
    np.testing.assert_allclose(signal, backscatter(thickness, variant=variant), rtol=1e-6)
    np.testing.assert_array_equal(signal_of(-0.0 * thickness, variant=variant), np.float32(0.49))


# --- recording


def test_a_series_is_recorded_with_two_percent_of_noise_and_nothing_else_unless_asked():
    sample = draw(rng(3), (64, 80), "perlin")
    np.testing.assert_array_equal(sample.expected, signal_of(sample.thickness))
    deviation = sample.intensity / sample.expected - 1
    n = deviation[0].size
    assert deviation.std() == pytest.approx(0.02, rel=4 / np.sqrt(2 * 31 * n))
    np.testing.assert_allclose(deviation.mean((1, 2)), 0, atol=5 * 0.02 / np.sqrt(n))
    neighbours = np.mean(deviation[1:] * deviation[:-1]) / 0.02**2
    assert abs(neighbours) < 5 / np.sqrt(30 * n)  # no image's noise is another's


def test_without_noise_what_is_expected_is_recorded():
    sample = draw(rng(3), (32, 32), recording=Recording(noise=0, offset=0.01, gain=0.02, blur=0.5, drift=0.4))
    np.testing.assert_array_equal(sample.intensity, sample.expected)


def test_an_offset_is_added_and_a_gain_differs_from_energy_to_energy():
    signal = signal_of(perlin_thickness(rng(1), (16, 16)))
    expected = expose(signal, Recording(offset=0.01), rng()).expected
    np.testing.assert_allclose(expected - signal, 0.01, atol=1e-6)
    gains = []
    for seed in range(60):
        exposure = expose(signal, Recording(gain=0.03), rng(seed))
        ratio = exposure.expected / signal
        np.testing.assert_allclose(ratio[:, 0, 0], exposure.gains, rtol=1e-6)
        assert np.ptp(ratio, axis=(1, 2)).max() < 1e-6
        gains.append(ratio[:, 0, 0])
    assert np.std(gains) == pytest.approx(0.03, rel=0.1)  # of 1860 gains; one standard error is 1.6 %
    assert np.mean(gains) == pytest.approx(1, abs=0.003)
    assert np.std(gains, axis=1).min() > 0.01


@pytest.mark.parametrize(("blur", "drift"), [(0.7, 0.0), (0.0, 1.3), (1.1, 0.8)])
def test_blur_and_drift_are_those_of_scipy(blur, drift):
    from scipy import ndimage

    recording = Recording(noise=0, blur=blur, drift=drift)
    signal = signal_of(strips_thickness(rng(4), (40, 50)))
    expected, _, shifts, _ = expose(signal, recording, rng(8))
    assert np.abs(shifts).max() > 1.0 or drift == 0
    for seen, image, shift in zip(expected, signal, shifts, strict=True):
        moved = ndimage.shift(image, shift, order=1, mode="reflect")
        theirs = ndimage.gaussian_filter(moved, blur, mode="reflect", truncate=3.5) if blur else moved
        m = 8  # at the edges it matters which of the two comes first
        np.testing.assert_allclose(seen[m:-m, m:-m], theirs[m:-m, m:-m], atol=2e-6)


def test_drift_wanders_slowly_about_its_mean_as_far_as_asked():
    walks = np.array([Recording(drift=0.6).shifts(rng(seed), 31) for seed in range(400)])
    np.testing.assert_allclose(walks.mean(1), 0, atol=1e-12)
    assert np.sqrt(np.mean(walks**2)) == pytest.approx(0.6, rel=0.06)
    # Each step is 0.6 / sqrt((31² - 1) / (6 · 31)) = 0.264 px.
    assert np.sqrt(np.mean(np.diff(walks, axis=1) ** 2)) == pytest.approx(0.264, rel=0.02)
    assert abs(np.mean(walks[..., 0] * walks[..., 1])) < 0.03  # y and x wander apart


def test_what_lies_beyond_the_field_is_blurred_and_drifts_into_it():
    signal = signal_of(perlin_thickness(rng(1), (40, 44), cell=9.0))
    whole = expose(signal, MISMATCH, rng(2)).expected
    inner, image, shifts, _ = expose(signal, MISMATCH, rng(2), margin=6)
    assert inner.shape == image.shape == (31, 28, 32)
    np.testing.assert_array_equal(inner, whole[:, 6:-6, 6:-6])
    assert MISMATCH.margin >= 3.5 * 0.7 + np.abs(shifts).max()


def test_images_are_never_below_zero():
    sample = draw(rng(1), (16, 16), recording=Recording(noise=1.0))
    assert sample.intensity.min() == 0
    assert (sample.intensity == 0).mean() == pytest.approx(0.159, abs=0.02)  # P(z < -1)


def test_drawn_recordings_span_ideal_and_uncalibrated_instruments():
    drawn = [draw_recording(rng(seed)) for seed in range(400)]
    noise = np.array([recording.noise for recording in drawn])
    assert 0.005 <= noise.min() < 0.006 < 0.045 < noise.max() <= 0.05
    ideal = [recording == Recording(recording.noise) for recording in drawn]
    assert np.mean(ideal) == pytest.approx(0.25, abs=0.07)
    for name, at_least in (("offset", 0.012), ("gain", 0.014), ("blur", 0.9), ("drift", 0.5)):
        assert np.abs([getattr(recording, name) for recording in drawn]).max() > at_least


# --- samples


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    kind=st.sampled_from([*KINDS, None]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=30)
def test_a_sample_of_any_shape_holds_images_and_truth(shape, kind, seed):
    sample = draw(rng(seed), shape, kind, recording=draw_recording(rng(seed)))
    assert sample.thickness.shape == (2, *shape)
    for images in (sample.expected, sample.intensity):
        assert images.shape == (31, *shape)
        assert images.dtype == np.float32
        assert images.flags.c_contiguous
        assert np.isfinite(images).all()
    assert EnergyStack(sample.intensity, sample.energies).shape == (31, *shape)
    assert LayerMap(sample.thickness).shape == shape
    assert json.loads(json.dumps(sample.settings)) == sample.settings


def test_the_same_seed_draws_the_same_sample_and_another_seed_another():
    first, again, other = (draw(rng(seed), (40, 32), recording=MISMATCH) for seed in (5, 5, 6))
    for name in ("thickness", "expected", "intensity"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.settings == again.settings
    assert np.abs(first.intensity - other.intensity).max() > 0.1


def test_a_sample_keeps_to_the_kind_energies_and_variant_asked_for():
    few = [6.0, 20.0]
    sample = draw(rng(1), (24, 24), "strips", energies=few, variant="phys", recording=Recording(noise=0))
    np.testing.assert_allclose(sample.intensity, backscatter(sample.thickness, few, variant="phys"), rtol=1e-6)
    np.testing.assert_array_equal(sample.energies, few)
    assert (sample.settings["kind"], sample.settings["variant"]) == ("strips", "phys")
    np.testing.assert_array_equal(draw(rng(1), (4, 4)).energies, ENERGIES)
    kinds = {draw(rng(seed), (4, 4)).settings["kind"] for seed in range(40)}
    assert kinds == set(KINDS)


def test_what_cannot_be_drawn_is_refused_in_a_line():
    for shape in ((0, 5), (5,), (5, 5, 5)):
        with pytest.raises(InvalidShape, match=r"shape: expected shape \(ny, nx\)"):
            draw(rng(), shape)
    with pytest.raises(InvalidOption, match="kind of layers 'strip' is unknown; did you mean 'strips'"):
        draw(rng(), (8, 8), "strip")
    with pytest.raises(InvalidOption, match="variant 'rep' is unknown"):
        draw(rng(), (8, 8), variant="rep")
    for name in ("noise", "gain", "blur", "drift"):
        for bad in (-0.1, np.nan, np.inf):
            with pytest.raises(InvalidOption, match=f"{name}: expected zero or more, got"):
                Recording(**{name: bad})
    with pytest.raises(InvalidOption, match="offset: expected a fraction of the beam, got nan"):
        Recording(offset=np.nan)
    with pytest.raises(InvalidOption, match="split 'tests' is unknown; did you mean 'test'"):
        split_seed("tests", 0)
    with pytest.raises(InvalidOption, match="number: expected zero or more, got -1"):
        split_seed("train", -1)


# --- splits


def test_no_two_samples_of_any_split_share_a_seed():
    first_words = {split_seed(split, number).bytes(16) for split in SPLITS for number in range(1500)}
    assert len(first_words) == len(SPLITS) * 1500
    libraries = {rng([seed, k]).bytes(16) for seed in range(30) for k in range(30)}  # those of the command
    assert not libraries & first_words


def test_train_validation_and_test_share_no_layers():
    drawn = {}
    for split in SPLITS:
        for number in range(60):
            for name, layer in zip(
                ("gold", "aluminium"), perlin_thickness(split_seed(split, number), (64, 64)), strict=True
            ):
                if layer.any():
                    drawn.setdefault((layer > 0).tobytes(), set()).add((split, number, name))
    assert sum(map(len, drawn.values())) > 300
    assert all(len(owners) == 1 for owners in drawn.values())


def test_a_sample_of_a_split_is_the_same_each_time():
    for split in SPLITS:
        first, again = (draw(split_seed(split, 7), (24, 24), recording=MISMATCH).intensity for _ in range(2))
        np.testing.assert_array_equal(first, again)
