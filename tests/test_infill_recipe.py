"""The recipe of infill: its samples, its judgement, and the real images that it may draw from."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from semrt import scan
from semrt.errors import InputNotFound, InvalidOption, InvalidShape, UnreadableFile
from semrt.tasks.infill import INPUT_CHANNELS
from semrt_export import recipes
from semrt_export.data import real_images, sparse_scans
from semrt_export.data.pool import SamplePool
from semrt_export.data.sparse_scans import SparseScanMaker
from semrt_export.evaluate import gain_db
from semrt_export.losses import cautious_likeness
from semrt_export.recipes.infill import InfillRecipe
from semrt_export.run_folder import RunFolder
from semrt_export.schedule import Budget, Schedule
from semrt_export.train import train

FIRST_GUESS, FIRST_GUESS_ERROR = INPUT_CHANNELS.index("first_guess"), INPUT_CHANNELS.index("first_guess_error")


def quiet(_line):
    pass


def small(**options):
    return InfillRecipe(side=64, widths=(8, 8, 8, 8), held_out_side=64, held_out_draws=1, **options)


def test_a_sample_of_infill_is_the_same_whoever_makes_it_and_looks_as_in_use():
    make = small().sample_maker()
    first, again, other = make(4), small().sample_maker()(4), make(5)
    assert np.array_equal(first.inputs, again.inputs)
    assert not np.array_equal(first.inputs, other.inputs)
    assert first.inputs.shape == (len(INPUT_CHANNELS), 64, 64)
    assert first.target.shape == (1, 64, 64)
    assert all(np.isfinite(part).all() for part in first)
    visited = first.inputs[1].astype(bool)
    assert abs(first.inputs[0][visited].mean()) < 1e-3  # standardised by its own samples
    assert first.inputs[0][visited].std() == pytest.approx(1, rel=1e-3)


def test_a_scan_that_missed_all_there_is_to_see_is_drawn_again(monkeypatch):
    drawn = []

    def nearly_flat(rng, shape):
        image = np.full(shape, 0.5, np.float32) + 1e-6 * rng.standard_normal(shape, np.float32)
        drawn.append(image)
        if len(drawn) < 3:
            image[0, 0] = 1  # where hardly any scan looks
        return image

    monkeypatch.setattr(sparse_scans, "COLUMNS_SHARE", 0)
    monkeypatch.setattr(sparse_scans.micrographs, "draw", nearly_flat)
    monkeypatch.setattr(sparse_scans.detector, "random_noise", lambda clean, rng: clean)
    sample = small().sample_maker()(3)
    assert np.abs(sample.target).max() < sparse_scans.MOST_SPREADS
    assert len(drawn) == 3


def test_the_first_guess_of_a_sample_estimates_its_target():
    samples = [small().sample_maker()(index) for index in range(40)]
    better = [gain_db(sample.inputs[FIRST_GUESS], 0 * sample.target[0], sample.target[0]) for sample in samples]
    assert np.median(better) > 3  # than the mean of the samples, which is zero


def test_turning_a_sample_turns_all_its_maps_alike():
    sample, recipe, rng = small().sample_maker()(0), small(), np.random.default_rng(0)
    views = {recipe.augment(sample, rng).inputs.tobytes() for _ in range(60)}
    assert len(views) == 8  # the symmetries of the square
    error = np.sort((sample.inputs[FIRST_GUESS] - sample.target[0]).ravel())
    for _ in range(8):
        turned = recipe.augment(sample, rng)
        np.testing.assert_array_equal(np.sort((turned.inputs[FIRST_GUESS] - turned.target[0]).ravel()), error)


def test_the_first_guess_itself_gains_nothing_and_is_not_published():
    recipe = small()
    held_out = recipe.held_out()
    evaluation = recipe.evaluate(lambda channels: channels[:, [FIRST_GUESS, FIRST_GUESS_ERROR]], held_out)
    assert evaluation.score < 0  # for smoothed natural neighbours are more like some of the truths
    assert all(row["over_first_guess_db"]["mean"] == 0 for row in evaluation.table)
    assert all(row["over_best_classical_db"]["mean"] <= 0 for row in evaluation.table)
    assert all(row["likeness_db"]["mean"] <= 0 for row in evaluation.table)
    assert "line-hop" in recipe.objection(evaluation)


def test_the_loss_has_as_much_of_the_likeness_as_it_is_told():
    sample = small().sample_maker()(0)
    inputs, target = (torch.from_numpy(np.array(part[None], np.float32)) for part in sample)
    predicted = torch.cat((0.5 * target, torch.ones_like(target)), dim=1)
    none, half, whole = (small(likeness_weight=w).loss(predicted, inputs, target).item() for w in (0.0, 0.5, 1.0))
    assert half - none == pytest.approx((whole - none) / 2, rel=1e-3)
    guess, smooth = (inputs[:, [channel]] for channel in (FIRST_GUESS, INPUT_CHANNELS.index("smooth_guess")))
    likeness = cautious_likeness(predicted[:, :1], (guess, guess + smooth), target).item()
    assert whole - none == pytest.approx(likeness, rel=1e-3)
    assert abs(likeness) > 0.1


def test_a_perfect_estimate_gains_in_every_row_and_may_be_published():
    recipe = small()
    held_out = recipe.held_out()
    truths = {scan.sample.inputs.tobytes(): scan.sample.target for scan in held_out}

    def perfect(channels):
        truth = truths[channels[0].tobytes()]
        return np.stack([truth, np.zeros_like(truth)], axis=1)

    evaluation = recipe.evaluate(perfect, held_out)
    assert evaluation.score > 20
    assert evaluation.figures["held_90"] == 1
    assert recipe.objection(evaluation) is None


@pytest.mark.parametrize("wrong_by", [0.4, 1.0, 2.5])
def test_stated_errors_are_scaled_until_they_hold_nine_pixels_of_ten(wrong_by):
    recipe = small()
    held_out, network = recipe.held_out(), recipe.network()
    network.scale_error(wrong_by)

    def share():
        def run(channels):
            with torch.inference_mode():
                return network(torch.from_numpy(channels)).numpy()

        return recipe.evaluate(run, held_out).figures["held_90"]

    before = share()
    said = recipe.calibrate(network, held_out)
    assert share() == pytest.approx(0.9, abs=0.002)
    assert f"held {before:.3f}" in said


def test_no_held_out_scan_is_one_of_the_training():
    recipe = small()
    trained_on = {recipe.sample_maker()(index).target.tobytes() for index in range(10)}
    assert trained_on.isdisjoint(scan.sample.target.tobytes() for scan in recipe.held_out())


def test_the_domain_states_the_coverage_and_a_gap_that_such_coverage_leaves():
    domain = small().domain()
    assert domain["coverage"] == [1 / 120, 1 / 4]
    assert 10 < domain["largest_gap"] < 2 * 64 * 2**0.5  # a disk about one corner that reaches the other
    assert set(domain["familiar"]) == {"noise", "correlation_range", "misfit", "extremes"}
    assert all(0 <= least < most for least, most in domain["familiar"].values())
    json.dumps(domain)


def test_an_option_that_no_recipe_has_is_refused():
    with pytest.raises(InvalidOption, match="did you mean 'images'"):
        recipes.recipe("infill", {"image": "x"})
    with pytest.raises(InvalidOption, match="infill"):
        recipes.recipe("infil", {})


def test_a_recipe_survives_its_own_json():
    recipe = small(coverage=(0.1, 0.2))
    assert recipes.recipe("infill", json.loads(json.dumps(recipe.options()))) == recipe


def test_a_few_steps_improve_on_the_first_guess(tmp_path):
    recipe = replace(small(), pool_size=8, schedule=Schedule(batch=4, learning_rate=3e-3, warm_up=5))
    list(SamplePool(tmp_path / "pool", 8).fill(recipe.sample_maker(), 8))
    train(recipe, tmp_path, budget=Budget(steps=150), workers=0, report=quiet)
    *_, row = RunFolder(tmp_path).rows("curve")
    assert row["loss"] < -0.2  # dB gained over the first guess, on the samples it was trained on


def test_pieces_of_real_images_keep_their_own_noise_and_are_judged_against_the_blurred_ones(tmp_path):
    rng = np.random.default_rng(0)
    image = np.clip(np.linspace(40, 200, 96)[None] + 10 * rng.standard_normal((96, 96)), 0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "noisy.png"), image)
    (path,) = real_images.find_images([tmp_path])
    sample = SparseScanMaker(images=(path,), side=64, real_share=1.0, coverage=(0.2, 0.25))(0)
    visited = sample.inputs[1].astype(bool)
    assert np.std((sample.inputs[0] - sample.target[0])[visited]) > 0.01
    grey = real_images.read_grey(path)
    assert (grey.min(), grey.max()) == (0, 1)
    assert np.diff(real_images.denoised(grey)).std() < 0.5 * np.diff(grey).std()


def test_a_real_image_smaller_than_a_sample_is_refused():
    with pytest.raises(InvalidShape, match="real image"):
        real_images.random_crop(np.zeros((40, 300), np.float32), 64, np.random.default_rng(0))


def test_a_folder_without_images_and_a_file_that_is_none_are_named(tmp_path):
    with pytest.raises(InputNotFound, match="png"):
        real_images.find_images([tmp_path])
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(UnreadableFile, match=r"text\.png"):
        real_images.read_grey(tmp_path / "text.png")


@pytest.mark.parametrize("pattern", sorted(sparse_scans.PATTERNS))
def test_paths_begin_and_turn_as_they_like_in_half_of_the_draws(pattern):
    rng = np.random.default_rng(0)
    drawn = [sparse_scans._parameters(pattern, (96, 96), rng) for _ in range(40)]
    known = set(scan.PATTERNS[pattern].parameters) & {"centre", "angle", "run", "ratio", "phase", "jitter"}
    assert {name for each in drawn for name in each} == known
    if known:
        assert 10 < sum(not each for each in drawn) < 30
        masks = {scan.generate(pattern, (96, 96), 0.05, **each).visited.tobytes() for each in drawn if each}
        assert len(masks) > 5


def test_a_part_of_the_samples_is_exposed_unequally_in_counts_and_as_published():
    maker = small().sample_maker()
    exposures = [maker(index).inputs[INPUT_CHANNELS.index("exposure")] for index in range(40)]
    partly = [exposure for exposure in exposures if len(np.unique(exposure)) > 2]
    assert 1 <= len(partly) <= 15
    assert all(0 < exposure.max() <= 1 for exposure in partly)


@pytest.mark.parametrize("seed", range(6))
def test_a_partly_exposed_signal_is_the_intensity_times_the_exposure_on_average(seed):
    rng = np.random.default_rng(seed)
    clean = np.full((128, 128), 0.7, np.float32)
    exposure = np.where(rng.random(clean.shape) < 0.5, 0.3, 0.9).astype(np.float32)
    recorded = clean + 0.02 * rng.standard_normal(clean.shape, np.float32)
    signal = sparse_scans.partially_exposed(recorded, clean, exposure, rng).intensity
    low, high = (signal[exposure == level].mean() for level in np.float32([0.3, 0.9]))
    assert (high - low) / 0.6 == pytest.approx(0.7, abs=0.02)
