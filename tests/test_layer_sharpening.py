"""Layers behind blur and drift: the kernel against slow twins, what is found of the optics, and what that does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrt
from reference import layers as slow
from semrt.data import EnergyStack, LayerMap
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels.layer_sharpening import probe_taps, sharpen_layers
from semrt.kernels.layers import LayerSmoothness, LayerTable
from semrt.metrics import label_scores
from semrt.physics.backscatter import ENERGIES, backscatter
from semrt.simulate.layers import Recording, draw, split_seed
from semrt.tasks import layer_sharpening
from semrt.tasks.layer_optics import Optics, fitted_optics, seen
from semrt.tasks.layer_solvers import layer_table, markov_field

FEW = np.array([5.0, 8.0, 12.0, 20.0, 30.0])
LOWER, UPPER = np.arange(0.0, 13, 4), np.arange(0.0, 151, 50)
SMOOTHNESS = LayerSmoothness((0.2, 0.02), (4.0, 60.0))


def signals(thickness):
    return backscatter(thickness, FEW)


TABLE = LayerTable(signals(np.stack(np.meshgrid(LOWER, UPPER, indexing="ij"))), LOWER, UPPER)


def case(seed, shape, k, noise=0.02):
    """Random layers, what is seen of them, and the layers to start from, a fifth of them others."""
    rng = np.random.default_rng(seed)
    taps = rng.uniform(0.1, 1, (len(FEW), 2, k))
    taps = (taps / taps.sum(-1, keepdims=True)).astype(np.float32)

    def layers():
        coarse = np.stack([rng.choice(labels, (2, 2)) for labels in (LOWER, UPPER)])
        return np.kron(coarse, np.ones((1, -(-shape[0] // 2), -(-shape[1] // 2))))[:, : shape[0], : shape[1]]

    truth = layers()
    expected = slow.seen(truth, taps, signals)
    stack = (expected * (1 + noise * rng.standard_normal(expected.shape))).astype(np.float32)
    start = np.where(rng.random(shape) < 0.2, layers(), truth).astype(np.float32)
    start[:, 0, 0] = 3.3, 41.0  # between the labels
    return stack, (noise * expected).astype(np.float32), start, taps


def run(stack, deviation, start, taps, **options):
    return sharpen_layers(
        stack, TABLE, start, taps, signals=signals, deviation=deviation, smoothness=SMOOTHNESS, **options
    )


CASES = {
    "seed": st.integers(0, 2**32 - 1),
    "shape": st.tuples(st.integers(1, 7), st.integers(1, 9)),
    "k": st.sampled_from([1, 3, 5]),
}


@settings(max_examples=15, deadline=None)
@given(**CASES)
def test_what_is_seen_of_layers_and_what_they_cost_is_that_of_the_twin(seed, shape, k):
    stack, deviation, start, taps = case(seed, shape, k)
    told = run(stack, deviation, start, taps, rounds=0)
    np.testing.assert_array_equal(told.thickness, start)
    np.testing.assert_allclose(told.expected, slow.seen(start, taps, signals), rtol=1e-5)
    wanted = slow.seen_cost(stack, deviation, start, taps, signals, SMOOTHNESS.weight, SMOOTHNESS.limit)
    assert told.cost == pytest.approx(wanted, rel=1e-4)
    better = run(stack, deviation, start, taps)
    assert better.cost <= told.cost * (1 + 1e-6)


@settings(max_examples=8, deadline=None)
@given(seed=CASES["seed"])
def test_in_the_end_no_pixel_is_better_off_as_its_neighbour_nor_a_region_as_anything_else(seed):
    stack, deviation, start, taps = case(seed, (5, 6), 1)
    found = run(stack, deviation, start, taps, rounds=20).thickness

    def cost(thickness):
        return slow.seen_cost(stack, deviation, thickness, taps, signals, SMOOTHNESS.weight, SMOOTHNESS.limit)

    least = cost(found)
    for y, x in np.ndindex(found.shape[1:]):
        for other in slow.neighbours_of(found, y, x):
            changed = found.copy()
            changed[:, y, x] = other
            assert cost(changed) > least - 0.01
        region = slow.region_of(found, y, x)
        if region.sum() > 1:
            for other in np.stack(np.meshgrid(LOWER, UPPER, indexing="ij")).reshape(2, -1).T:
                assert cost(np.where(region, other[:, None, None], found)) > least - 0.01


@settings(max_examples=8, deadline=None)
@given(seed=CASES["seed"])
def test_doubt_is_how_far_off_lies_what_would_cost_little_more(seed):
    stack, deviation, start, taps = case(seed, (4, 5), 1, noise=0.1)
    told = run(stack, deviation, start, taps, rounds=0)
    entries = np.stack(np.meshgrid(LOWER, UPPER, indexing="ij")).reshape(2, -1).T

    def cost(thickness):
        return slow.seen_cost(stack, deviation, thickness, taps, signals, SMOOTHNESS.weight, SMOOTHNESS.limit)

    def variance(mask, others):
        own = start[:, mask][:, 0]
        odds, off = [1.0], [np.zeros(2)]
        for other in others:
            if not np.array_equal(other, own):
                changed = np.where(mask, np.asarray(other)[:, None, None], start)
                odds.append(np.exp(-max(cost(changed) - cost(start), 0)))
                off.append((np.asarray(other) - own) ** 2)
        return np.sum(np.array(odds)[:, None] * off, axis=0) / np.sum(odds)

    for y, x in np.ndindex(start.shape[1:]):
        region = slow.region_of(start, y, x)
        assert told.alike[y, x] == region.sum()
        pixel = np.zeros_like(region)
        pixel[y, x] = True
        wanted = variance(pixel, slow.neighbours_of(start, y, x)) + variance(region, entries)
        # Beside it what lies within a step of the grid, where the next step is a neighbour.
        stairs = np.array([4.0, 50.0]) ** 2 / 12
        extra = told.doubt[:, y, x] ** 2 - wanted
        assert (np.minimum(np.abs(extra), np.abs(extra - stairs)) < 0.01 * wanted + 1e-3).all()


def test_a_staircase_is_doubted_by_its_steps_and_a_cliff_is_not():
    for high, stairs in ((4.0, 4 / 12**0.5), (8.0, 0.0)):
        thickness = np.zeros((2, 8, 12), np.float32)
        thickness[0, :, 6:] = high
        stack = signals(thickness).astype(np.float32)
        told = run(stack, 0.001 * stack, thickness, np.ones((len(FEW), 2, 1)), rounds=0)
        np.testing.assert_allclose(told.doubt[0], stairs, atol=1e-3)
        np.testing.assert_allclose(told.doubt[1], 0, atol=1e-3)


def test_the_number_of_threads_changes_nothing():
    sample = draw(split_seed("test", 3), (70, 90), "perlin", recording=Recording(blur=0.7))
    stack, table = sample.intensity, layer_table(ENERGIES, "repo")
    start = markov_field(EnergyStack(stack, ENERGIES), "repo", 0.02, sharpen=False).solved.thickness
    one, three = (
        sharpen_layers(
            stack, table, start, probe_taps(np.zeros((31, 2)), 0.7), signals=backscatter, deviation=0.02 * stack,
            n_threads=n,
        )
        for n in (1, 3)
    )  # fmt: skip
    for name in ("thickness", "expected", "doubt", "alike", "cost"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"stack": np.ones((4, 6, 6))}, InvalidShape, "intensity"),
        ({"stack": np.full((5, 6, 6), np.nan)}, InvalidValue, "finite"),
        ({"deviation": np.ones((5, 6, 5))}, InvalidShape, "deviation"),
        ({"deviation": np.zeros((5, 6, 6))}, InvalidValue, "above zero"),
        ({"start": np.zeros((2, 5, 6))}, InvalidShape, "thickness"),
        ({"taps": np.ones((5, 2, 4))}, InvalidShape, "k odd"),
        ({"rounds": -1}, InvalidOption, "rounds"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, error, told):
    stack, deviation, start, taps = case(0, (6, 6), 3)
    given = {"stack": stack, "deviation": deviation, "start": start, "taps": taps} | wrong
    with pytest.raises(error, match=told):
        run(**given)


@pytest.mark.parametrize("sigma", [0.0, 0.6, 1.4])
def test_shares_have_the_mean_of_the_shift_and_the_width_of_the_probe(sigma):
    shifts = np.array([[0.0, 0.0], [0.3, -1.7], [-0.8, 2.0]])
    taps = probe_taps(shifts, sigma).astype(float)
    at = np.arange(taps.shape[2]) - taps.shape[2] // 2
    mean = taps @ at
    part = shifts - np.floor(shifts)
    np.testing.assert_allclose(taps.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(mean, shifts, atol=0.01)
    # Between pixels linearly: that adds part (1 - part).
    np.testing.assert_allclose(taps @ at**2 - mean**2, sigma**2 + part * (1 - part), rtol=0.03, atol=1e-6)


def test_shifts_that_are_no_pairs_and_a_probe_narrower_than_nothing_are_refused():
    with pytest.raises(InvalidShape, match="shifts"):
        probe_taps(np.zeros(3), 0.5)
    with pytest.raises(InvalidValue, match="sigma"):
        probe_taps(np.zeros((3, 2)), -0.5)


def test_images_are_shown_as_the_twin_shows_them():
    rng = np.random.default_rng(0)
    thickness = np.stack([rng.choice(LOWER, (9, 11)), rng.choice(UPPER, (9, 11))])
    optics = Optics(rng.normal(0, 0.7, (len(FEW), 2)), 0.8)
    images = seen(signals(thickness).astype(np.float32), optics)
    np.testing.assert_allclose(images, slow.seen(thickness, optics.taps, signals), rtol=1e-5)


def test_blur_and_drift_are_found_where_the_layers_are_known():
    recording = Recording(blur=0.8, drift=0.4)
    sample = draw(split_seed("test", 5), (96, 96), "perlin", recording=recording)
    clean = backscatter(sample.thickness).astype(np.float32)
    start = Optics(np.zeros((31, 2)), 0.3)
    found, gained = fitted_optics(sample.intensity, clean, 0.02 * sample.expected, start, steps=8)
    assert found.blur == pytest.approx(0.8, abs=0.03)
    true = np.array(sample.settings["shifts_px"])
    # At high energies edges are faint.
    np.testing.assert_allclose(found.shifts[:15], (true - true.mean(0))[:15], atol=0.12)
    assert gained > 1000


def scores(sample, **options):
    stack = EnergyStack(sample.intensity, sample.energies, (5, 5))
    found = semrt.infer("layers", stack, **options)
    labels = [LayerMap(of).voxels(total=160.0) for of in (found.thickness, sample.thickness)]
    return found, label_scores(*labels)["miou"]


def test_layers_are_found_behind_blur_and_drift_and_the_result_tells_of_them():
    sample = draw(split_seed("test", 8), (96, 96), "perlin", recording=Recording(blur=0.7, drift=0.3))
    with pytest.warns(UserWarning, match="blurred by 0"):
        found, miou = scores(sample)
    _, before = scores(sample, sharpen=False)
    assert miou > 0.95
    assert miou > before + 0.03
    details = found.provenance["details"]
    assert details["blur_px"] == pytest.approx(0.7, abs=0.05)
    assert np.shape(details["drift_px"]) == (31, 2)
    assert details["chi2"] == pytest.approx(1, abs=0.05)
    off = np.abs(found.thickness - sample.thickness)[sample.thickness > 0]
    assert (off <= 2 * found.sigma[sample.thickness > 0]).mean() > 0.9


def test_thickness_between_whole_nanometres_is_not_taken_for_the_other_material():
    """A little gold looks like much aluminium: 2.5 nm, half a label off, more than 2 nm would."""
    thickness = np.zeros((2, 48, 64), np.float32)
    thickness[0, :, 20:40], thickness[0, 10:20, 44:60], thickness[1, 28:40] = 2.5, 3.6, 90
    rng = np.random.default_rng(0)
    clean = backscatter(thickness)
    stack = EnergyStack((clean * (1 + 0.02 * rng.standard_normal(clean.shape))).astype(np.float32), ENERGIES)
    found = markov_field(stack, "repo", 0.02).solved
    off = np.abs(found.thickness - thickness)
    assert (off[0] < 0.3).mean() > 0.98
    assert (off[1] < 10).mean() > 0.98


@pytest.mark.parametrize(("kind", "variant"), [("perlin", "repo"), ("perlin", "phys"), ("strips", "repo")])
def test_sharp_images_are_left_as_they_are(kind, variant):
    sample = draw(split_seed("test", 9), (96, 96), kind, variant=variant)
    stack = EnergyStack(sample.intensity, sample.energies)
    asked, told = (markov_field(stack, variant, 0.02, sharpen=sharpen) for sharpen in (None, False))
    assert asked.optics is None
    np.testing.assert_array_equal(asked.solved.thickness, told.solved.thickness)


def test_offset_and_gain_are_found_with_blur_and_drift():
    recording = Recording(offset=0.005, gain=0.01, blur=0.7, drift=0.4)
    sample = draw(split_seed("test", 11), (96, 96), "perlin", recording=recording)
    with pytest.warns(UserWarning, match="blurred"):
        found, miou = scores(sample)
    assert miou > 0.93
    assert found.provenance["details"]["offset"] == pytest.approx(0.005, abs=0.002)


def test_of_large_images_the_middle_tells_of_the_optics(monkeypatch):
    monkeypatch.setattr(layer_sharpening, "SIDE", 72)
    sample = draw(split_seed("test", 12), (80, 112), "perlin", recording=Recording(blur=0.7))
    with pytest.warns(UserWarning, match="blurred by 0"):
        found, miou = scores(sample)
    assert found.provenance["details"]["blur_px"] == pytest.approx(0.7, abs=0.06)
    assert miou > 0.93


def test_slopes_are_not_taken_for_blur():
    ramp = np.zeros((2, 72, 72), np.float32)
    ramp[0] = np.clip(np.linspace(-2, 9, 72), 0, None)  # 1 nm on 6.5 px
    ramp[1, 20:50, 30:60] = 80
    clean = backscatter(ramp)
    rng = np.random.default_rng(1)
    stack = EnergyStack((clean * (1 + 0.005 * rng.standard_normal(clean.shape))).astype(np.float32), ENERGIES)
    assert markov_field(stack, "repo", 0.005).optics is None


def test_an_offset_is_not_taken_for_a_film_behind_blur():
    recording = Recording(offset=0.005, gain=0.01, blur=0.7, drift=0.4)
    sample = draw(split_seed("test", 1), (128, 128), "perlin", recording=recording)
    found = markov_field(EnergyStack(sample.intensity, ENERGIES), "repo", 0.02)
    assert found.solved.response.offset == pytest.approx(0.005, abs=0.003)
    bare = (sample.thickness == 0).all(0)
    assert bare.mean() > 0.2
    assert (found.solved.thickness[1][bare] < 1).mean() > 0.9


def test_drift_alone_is_found_though_the_layers_first_lie_to_one_side():
    sample = draw(split_seed("test", 1), (96, 96), "perlin", recording=Recording(drift=0.6))
    found = markov_field(EnergyStack(sample.intensity, ENERGIES), "repo", 0.02)
    true = np.array(sample.settings["shifts_px"])
    assert np.abs(true).max() > 0.8
    np.testing.assert_allclose(found.optics.shifts[:20], true[:20], atol=0.15)
    assert found.optics.blur < 0.3
    off = np.abs(found.solved.thickness - sample.thickness)
    assert (off[0] < 0.5).mean() > 0.95
