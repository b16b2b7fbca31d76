"""Training: losses, schedule, pools of samples, and a loop that can be stopped anywhere and gone on with."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from semrt.errors import DeviceUnavailable, InputNotFound, InvalidOption, InvalidShape, SemrtError, UnreadableFile
from semrt.tasks.infill import INPUT_CHANNELS
from semrt_export import recipes
from semrt_export.cli import train as train_command
from semrt_export.data import real_images
from semrt_export.data.pool import SamplePool, filling
from semrt_export.data.sparse_scans import SparseScanMaker
from semrt_export.evaluate import gain_db, summary
from semrt_export.losses import charbonnier, negative_gain
from semrt_export.recipes.infill import InfillRecipe
from semrt_export.run_folder import RunFolder, load
from semrt_export.schedule import Budget, Schedule
from semrt_export.train import make_pool, train
from toy_recipe import ToyRecipe, blurred_noise

FIRST_GUESS, FIRST_GUESS_ERROR = INPUT_CHANNELS.index("first_guess"), INPUT_CHANNELS.index("first_guess_error")


def quiet(_line):
    pass


def trained(folder, recipe=None, steps=10, **options):
    recipe = recipe or ToyRecipe()
    options.setdefault("workers", 0)
    for _ in SamplePool(folder / "pool", recipe.pool_size).fill(recipe.sample_maker(), recipe.pool_size):
        pass
    return train(recipe, folder, budget=Budget(steps=steps), report=quiet, **options)


# Losses


def test_half_the_error_everywhere_gains_six_decibels():
    target = torch.randn(2, 1, 8, 8)
    first_guess = target + torch.randn(2, 1, 8, 8)
    estimate = target + 0.5 * (first_guess - target)
    assert negative_gain(estimate, first_guess, target, floor=0).item() == pytest.approx(-20 * np.log10(2), rel=1e-4)
    assert gain_db(estimate.numpy(), first_guess.numpy(), target.numpy()) == pytest.approx(20 * np.log10(2), rel=1e-4)


def test_an_easy_scan_counts_as_much_as_a_hard_one():
    target = torch.zeros(2, 1, 4, 4)
    errors = torch.tensor([0.1, 10.0]).reshape(2, 1, 1, 1)
    first_guess = (target + errors).requires_grad_()
    negative_gain(first_guess, first_guess.detach(), target).backward()
    easy, hard = (first_guess.grad * errors).sum((1, 2, 3))  # change of the loss with the relative error
    assert easy.item() == pytest.approx(hard.item(), rel=2e-3)


def test_a_first_guess_without_error_gives_a_finite_loss_and_gradient():
    target = torch.zeros(1, 1, 4, 4)
    estimate = target.clone().requires_grad_()
    negative_gain(estimate, target, target).backward()
    assert torch.isfinite(estimate.grad).all()


def test_charbonnier_forgives_a_single_outlier_that_squares_do_not():
    target, first_guess = torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 0.5)
    estimate = torch.full((1, 1, 8, 8), 0.1)
    estimate[0, 0, 0, 0] = 5
    assert charbonnier(first_guess, first_guess, target).item() == pytest.approx(1)
    assert charbonnier(estimate, first_guess, target).item() < 0.5
    assert negative_gain(estimate, first_guess, target).item() > 0


def test_the_summary_names_the_worst_case():
    assert summary([1.0, 2.0, 6.0]) == {"mean": 3.0, "median": 2.0, "worst": 1.0}


# Schedule and budget


def test_the_learning_rate_warms_up_and_then_falls_as_the_budget_is_spent():
    schedule = Schedule(learning_rate=1.0, warm_up=10, final=0.01)
    assert schedule.learning_rate_at(0, 0.0) == pytest.approx(0.1)
    assert schedule.learning_rate_at(10, 0.0) == pytest.approx(1.0)
    assert schedule.learning_rate_at(1000, 0.5) == pytest.approx(0.505)
    assert schedule.learning_rate_at(1000, 1.0) == pytest.approx(0.01)


def test_a_budget_ends_with_whichever_limit_comes_first():
    assert Budget(steps=10, seconds=100.0).spent(5, 80.0) == pytest.approx(0.8)
    assert Budget(steps=10).spent(10, 1e9) == 1
    with pytest.raises(InvalidOption, match="--max-seconds"):
        Budget()


# Pools


def test_an_interrupted_pool_makes_only_what_is_missing(tmp_path):
    pool, made = SamplePool(tmp_path, 5), []

    def make(index):
        made.append(index)
        return blurred_noise(index)

    assert list(pool.fill(make, 3)) == [0, 1, 2]
    assert list(pool.fill(make, 5)) == [3, 4]
    assert made == [0, 1, 2, 3, 4]


def test_two_makers_share_the_work(tmp_path):
    pool = SamplePool(tmp_path, 9)
    assert list(pool.fill(blurred_noise, 5, first=0, stride=2)) == [0, 2, 4]
    assert list(pool.fill(blurred_noise, 5, first=1, stride=2)) == [1, 3]


def test_new_samples_replace_the_oldest_and_those_are_not_made_again(tmp_path):
    pool = SamplePool(tmp_path, 3)
    list(pool.fill(blurred_noise, 5))
    assert pool.indices() == [2, 3, 4]
    assert list(pool.fill(blurred_noise, 5)) == []


def test_samples_come_back_as_they_were_made_to_half_precision(tmp_path):
    pool = SamplePool(tmp_path, 1)
    list(pool.fill(blurred_noise, 1))
    for kept, made in zip(pool.read(0), blurred_noise(0), strict=True):
        np.testing.assert_allclose(kept, made, rtol=1e-3, atol=1e-6)


def test_a_sample_replaced_since_the_folder_was_listed_is_passed_over(tmp_path):
    pool = SamplePool(tmp_path, 4)
    list(pool.fill(blurred_noise, 2))
    pool.path(0).unlink()
    drawn = pool.draw(np.random.default_rng(0), 3, [0, 1])
    assert all(np.array_equal(sample.target, pool.read(1).target) for sample in drawn)


def test_an_empty_pool_says_how_to_fill_it(tmp_path):
    with pytest.raises(SemrtError, match="--make-pool"):
        SamplePool(tmp_path, 4).draw(np.random.default_rng(0), 1, [])


def test_a_truncated_sample_is_named(tmp_path):
    pool = SamplePool(tmp_path, 1)
    list(pool.fill(blurred_noise, 1))
    pool.path(0).write_bytes(pool.path(0).read_bytes()[:200])
    with pytest.raises(UnreadableFile, match="sample-0000000"):
        pool.read(0)


@pytest.mark.slow
def test_processes_fill_a_pool_while_the_trainer_waits_for_the_first_samples(tmp_path):
    pool = SamplePool(tmp_path, 100)
    with filling(pool, blurred_noise, count=6, workers=2, at_least=6) as working:
        assert pool.indices() == list(range(6))
        while working():
            pass


@pytest.mark.slow
def test_a_maker_that_fails_stops_the_training(tmp_path):
    fails = SparseScanMaker(images=(tmp_path / "nowhere.png",), real_share=1.0)
    with (
        pytest.raises(SemrtError, match="exit code 1"),
        filling(SamplePool(tmp_path / "pool", 9), fails, count=4, workers=1, at_least=1),
    ):
        pass


# The loop


def test_training_sharpens_what_was_blurred(tmp_path):
    evaluation = trained(tmp_path, steps=150)
    assert evaluation.score > 1.0
    rows = RunFolder(tmp_path).rows("curve")
    assert [row["step"] for row in rows] == [50, 100, 150]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_was_interrupted_and_resumed_ends_as_one_that_was_not(tmp_path):
    trained(tmp_path / "straight", steps=12)
    trained(tmp_path / "stopped", ToyRecipe(interrupt_at=9), steps=12)  # the second sample of the fifth step
    stopped = load(RunFolder(tmp_path / "stopped").checkpoint)
    assert stopped["step"] == 5
    trained(tmp_path / "stopped", steps=12, resume=True)
    straight, resumed = (load(RunFolder(tmp_path / name).checkpoint) for name in ("straight", "stopped"))
    assert straight["step"] == resumed["step"] == 12
    for part in ("network", "averaged"):
        for name, weight in straight[part].items():
            torch.testing.assert_close(resumed[part][name], weight, rtol=1e-6, atol=1e-7)


def test_ctrl_c_works_as_before_once_training_is_over(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    trained(tmp_path, ToyRecipe(interrupt_at=3))
    assert signal.getsignal(signal.SIGINT) is before


def test_resuming_forgets_what_was_logged_after_the_checkpoint(tmp_path):
    trained(tmp_path, steps=50)
    run = RunFolder(tmp_path)
    run.append("curve", {**run.rows("curve")[0], "step": 100})  # logged, and lost before it was saved
    trained(tmp_path, steps=100, resume=True)
    assert [row["step"] for row in run.rows("curve")] == [50, 100]


def test_the_same_seed_gives_the_same_weights_and_another_seed_other_samples(tmp_path):
    first, again, other = ToyRecipe(), ToyRecipe(), ToyRecipe()
    trained(tmp_path / "a", first, seed=1)
    trained(tmp_path / "b", again, seed=1)
    trained(tmp_path / "c", other, seed=2)
    assert first.drawn == again.drawn != other.drawn


def test_the_best_weights_are_kept_when_later_ones_are_worse(tmp_path):
    good = trained(tmp_path, steps=100)
    spoiling = ToyRecipe(loss_factor=-1.0)  # climbs instead of descending
    assert trained(tmp_path, spoiling, steps=200, resume=True).score < good.score
    assert load(RunFolder(tmp_path).best)["step"] == 100


def test_a_folder_with_a_run_is_not_trained_into_again_unasked(tmp_path):
    trained(tmp_path, steps=2)
    with pytest.raises(InvalidOption, match="--resume"):
        trained(tmp_path, steps=4)
    with pytest.raises(InvalidOption, match="other options"):
        trained(tmp_path, ToyRecipe(seed=9), steps=4, resume=True)


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    with pytest.raises(SemrtError, match="step 0: the gradient is not finite"):
        trained(tmp_path, ToyRecipe(loss_factor=float("nan")))


def test_a_damaged_checkpoint_is_named(tmp_path):
    trained(tmp_path, steps=2)
    RunFolder(tmp_path).checkpoint.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(UnreadableFile, match=r"checkpoint\.pt"):
        trained(tmp_path, steps=4, resume=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DeviceUnavailable, match="--device cpu"):
        train(ToyRecipe(), tmp_path / "run", budget=Budget(steps=1), device="cuda", report=quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_in_bfloat16_on_a_gpu_learns_as_well(tmp_path):
    assert trained(tmp_path, steps=150, device="cuda").score > 1.0


# The recipe of infill


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


def test_the_first_guess_of_a_sample_estimates_its_target():
    samples = [small().sample_maker()(index) for index in range(12)]
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
    evaluation = recipe.evaluate(lambda channels: channels[:, FIRST_GUESS : FIRST_GUESS + 1], held_out)
    assert evaluation.score == 0
    assert all(row["over_best_classical_db"]["mean"] <= 0 for row in evaluation.table)
    assert "line-hop" in recipe.objection(evaluation)


def test_a_perfect_estimate_gains_in_every_row_and_may_be_published():
    recipe = small()
    held_out = recipe.held_out()
    truths = {scan.sample.inputs.tobytes(): scan.sample.target for scan in held_out}
    evaluation = recipe.evaluate(lambda channels: truths[channels[0].tobytes()][None], held_out)
    assert evaluation.score > 20
    assert recipe.objection(evaluation) is None


def test_no_held_out_scan_is_one_of_the_training():
    recipe = small()
    trained_on = {recipe.sample_maker()(index).target.tobytes() for index in range(10)}
    assert trained_on.isdisjoint(scan.sample.target.tobytes() for scan in recipe.held_out())


def test_the_domain_states_the_coverage_and_a_gap_that_such_coverage_leaves():
    domain = small().domain()
    assert domain["coverage"] == [1 / 120, 1 / 4]
    assert 10 < domain["largest_gap"] < 2 * 64 * 2**0.5  # a disk about one corner that reaches the other
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
    train(recipe, tmp_path, budget=Budget(steps=50), workers=0, report=quiet)
    (row,) = RunFolder(tmp_path).rows("curve")
    assert row["loss"] < -0.05  # dB gained over the first guess, on the samples it was trained on


# Real images


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


# The command


def test_training_needs_an_end():
    done = CliRunner().invoke(train_command, ["infill", "--out", "never"])
    assert isinstance(done.exception, InvalidOption)
    assert not Path("never").exists()


def test_a_resumed_run_takes_its_images_from_its_folder(tmp_path):
    arguments = ["infill", "--out", str(tmp_path), "--max-steps", "1", "--resume"]
    with_images = CliRunner().invoke(train_command, [*arguments, "--images", str(tmp_path)])
    assert isinstance(with_images.exception, InvalidOption)
    nothing_there = CliRunner().invoke(train_command, arguments)
    assert isinstance(nothing_there.exception, InputNotFound)


@pytest.mark.slow
def test_the_command_makes_a_pool_and_goes_on_with_a_run(tmp_path):
    recipe = replace(small(), pool_size=8)
    make_pool(recipe, tmp_path, count=8, workers=1, report=quiet)
    train(recipe, tmp_path, budget=Budget(steps=2), workers=0, report=quiet)
    arguments = ["infill", "--out", str(tmp_path), "--max-steps", "4", "--workers", "0", "--resume"]
    done = CliRunner().invoke(train_command, arguments, catch_exceptions=False)
    assert "held out: score" in done.output
    assert load(RunFolder(tmp_path).checkpoint)["step"] == 4
