"""What the published network for partial scans learns from, alone and in the training loop."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch

from semrt_export import recipes
from semrt_export.data.pool import SamplePool
from semrt_export.partial_scan_objective import AdversarialObjective, PartialScanObjective, blurred
from semrt_export.recipes.published_infill import AdversarialInfillRecipe
from semrt_export.run_folder import RunFolder, load, save
from semrt_export.schedule import Budget
from semrt_export.train import train
from toy_recipe import PressesCtrlC, ToyRecipe

PLAIN, ADVERSARIAL = "infill-published", "infill-published-adversarial"
SMALL = {"width": 1 / 32, "side": 96, "pool_size": 8, "held_out_draws": 2}


def quiet(_line):
    pass


# --- what is made small


def images(seed, n=2, side=96):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 1, side, side), np.float32))


def packed(outer, inner):
    return torch.cat((torch.nn.functional.pixel_unshuffle(outer, 2), inner), dim=1)


def test_the_target_is_the_truth_blurred_as_published():
    truth = images(0)
    expected = [cv2.GaussianBlur(image[0], (5, 5), 2.5, borderType=cv2.BORDER_REFLECT_101) for image in truth.numpy()]
    np.testing.assert_allclose(blurred(truth)[:, 0], expected, atol=1e-6)


def test_the_loss_is_200_times_the_squared_errors_of_image_and_half_size_image():
    truth = images(0)
    target = blurred(truth)
    half = blurred(torch.nn.functional.avg_pool2d(truth, 2))
    objective = PartialScanObjective(96, clipping=False, hard_examples=False)
    predicted = packed(target + 0.1, half - 0.05)  # 200 · (0.1² + 0.05²)
    assert objective(predicted, None, truth, 0.0, None).item() == pytest.approx(2.5, rel=1e-4)
    assert objective(target + 0.1, None, truth, 0.0, None).item() == pytest.approx(2.0, rel=1e-4)


def test_image_and_half_size_image_are_limited_each_by_itself():
    truth = images(0)
    half = blurred(torch.nn.functional.avg_pool2d(truth, 2))
    objective = PartialScanObjective(96, hard_examples=False)
    predicted = packed(blurred(truth) + 10, half + 0.1)  # 20,000 and 2
    found = objective(predicted, None, truth, 0.0, None).item()
    assert found == pytest.approx(25 + 3 * (30**2 - 25**2) ** 0.5 + 2, rel=1e-3)  # 74.75 + 2
    assert objective.outer_error.clipping.mean > 25 > objective.inner_error.clipping.mean


def test_in_the_second_half_an_opponent_judges_and_what_is_made_is_compared_blurred():
    truth, made = images(0), images(1)
    torch.manual_seed(0)
    objective = AdversarialObjective(96, width=1 / 32, crop=46, weight=3.0, clipping=False, hard_examples=False).eval()
    plain = PartialScanObjective(96, clipping=False, hard_examples=False)
    before = objective(made, None, truth, 0.49, np.random.default_rng(0))
    assert torch.equal(before, plain(made, None, truth, 0.49, np.random.default_rng(0)))
    after = objective(made, None, truth, 0.5, np.random.default_rng(0))
    with torch.no_grad():
        said = objective.opponent(objective.opponent._crops[1])
    error = 200 * (blurred(made) - blurred(truth)).square().mean()
    assert said.shape == (3, 2)
    assert after.item() == pytest.approx((error + 3 * (said - 1).square().sum(0).mean()).item(), rel=1e-5)


def test_the_opponent_learns_only_after_the_network_and_to_tell_truth_from_what_is_made():
    truth = images(0)
    made = (0.2 * images(1)).requires_grad_()
    torch.manual_seed(0)
    objective = AdversarialObjective(96, width=1 / 16, crop=46, rate=1e-3, hard_examples=False)
    before = [weight.clone() for weight in objective.opponent.parameters()]
    rng, losses = np.random.default_rng(0), []
    for step in range(60):
        objective(made, None, truth, 0.9, rng).backward()
        if step == 0:
            assert made.grad.abs().max() > 0
            assert all(weight.grad is None for weight in objective.opponent.parameters())
            assert all(map(torch.equal, before, objective.opponent.parameters()))
        objective.learn()
        losses.append(objective.figures()["opponent_loss"])
    assert not any(map(torch.equal, before, objective.opponent.parameters()))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    objective(made, None, truth, 0.1, rng)
    state = [weight.clone() for weight in objective.opponent.parameters()]
    objective.learn()  # in the first half there is nothing to learn from
    assert all(map(torch.equal, state, objective.opponent.parameters()))


# --- in the training loop


@dataclass(frozen=True)
class Interrupted(PressesCtrlC, AdversarialInfillRecipe):
    pass


def trained(folder, recipe, steps, **options):
    for _ in SamplePool(folder / "pool", recipe.pool_size).fill(recipe.sample_maker(), recipe.pool_size):
        pass
    train(recipe, folder, budget=Budget(steps=steps), workers=0, threads=1, report=quiet, **options)
    return load(RunFolder(folder).checkpoint)


def test_a_run_with_an_opponent_that_was_stopped_and_resumed_ends_as_one_that_was_not(tmp_path):
    straight = trained(tmp_path / "straight", Interrupted(**SMALL), 10)
    # The first sample of the eighth step: the opponent has taken two of its five steps.
    stopped = trained(tmp_path / "stopped", Interrupted(**SMALL, interrupt_at=29), 10)
    assert stopped["step"] == 8
    resumed = trained(tmp_path / "stopped", Interrupted(**SMALL), 10, resume=True)
    assert straight["step"] == resumed["step"] == 10
    for part in ("network", "averaged", "objective"):
        extra = {run: state[part].pop("opponent._extra_state", {}) for run, state in (("a", straight), ("b", resumed))}
        assert straight[part].keys() == resumed[part].keys()
        for name, value in straight[part].items():
            assert torch.equal(resumed[part][name], value), name
        for key, moments in extra["a"].get("state", {}).items():
            assert moments["step"] == 5
            assert torch.equal(moments["exp_avg"], extra["b"]["state"][key]["exp_avg"])
        assert (part == "objective") == bool(extra["a"])
    moved = {
        name for name, value in straight["objective"].items() if not torch.equal(value, stopped["objective"][name])
    }
    assert {"blurred_error.clipping.mean", "inner_error.clipping.mean", "hard_examples.mean"} < moved
    assert any(name.startswith("opponent.") for name in moved)


def test_a_run_of_before_objectives_were_kept_can_be_resumed(tmp_path):
    straight = trained(tmp_path / "straight", ToyRecipe(), 6)
    trained(tmp_path / "old", ToyRecipe(interrupt_at=5), 6)
    old = load(RunFolder(tmp_path / "old").checkpoint)
    assert not old.pop("objective")  # a loss alone remembers nothing
    save(RunFolder(tmp_path / "old").checkpoint, old)
    resumed = trained(tmp_path / "old", ToyRecipe(), 6, resume=True)
    for name, weight in straight["network"].items():
        torch.testing.assert_close(resumed["network"][name], weight, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", [PLAIN, pytest.param(ADVERSARIAL, marks=pytest.mark.slow)])
def test_a_few_steps_lower_the_error_and_the_curve_tells_of_the_opponent(name, tmp_path):
    trained(tmp_path, recipes.recipe(name, SMALL), 100)
    run = RunFolder(tmp_path)
    first, last = run.rows("curve")
    assert last["loss"] < 0.8 * first["loss"]
    assert ("opponent_loss" in last) == (name == ADVERSARIAL)
    if name == ADVERSARIAL:
        assert np.isnan(first["opponent_loss"])
        assert last["opponent_loss"] < 3
    assert first["highest_loss"] == pytest.approx(75, rel=0.1)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
