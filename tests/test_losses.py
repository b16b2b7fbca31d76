"""What training minimises, how its figures are summed up, and how fast it learns."""

import numpy as np
import pytest
import torch

from semrt.errors import InvalidOption
from semrt.metrics import ssim
from semrt_export.evaluate import gain_db, summary
from semrt_export.losses import (
    NORMAL_90,
    cautious_gain,
    cautious_likeness,
    charbonnier,
    dissimilarity,
    interval_loss,
    laplace_likelihood,
    mean_over_stacks,
    negative_gain,
    thickness_loss,
    voxel_cross_entropy,
)
from semrt_export.schedule import Budget, Schedule


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


def test_dissimilarity_is_what_the_metric_leaves_of_one():
    rng = np.random.default_rng(0)
    target = rng.random((2, 1, 30, 25))
    estimate = target + 0.1 * rng.standard_normal(target.shape)
    ranges = torch.tensor([1.0, 3.0], dtype=torch.float64)
    wanted = [1 - ssim(*pair, span) for *pair, span in zip(estimate[:, 0], target[:, 0], (1.0, 3.0), strict=True)]
    found = dissimilarity(torch.from_numpy(np.concatenate((target, estimate), 1)), torch.from_numpy(target), ranges)
    np.testing.assert_allclose(found.T, [[0, 0], wanted], rtol=1e-6, atol=1e-12)


def test_dissimilarity_does_not_lose_a_small_contrast_on_a_bright_background():
    rng = np.random.default_rng(3)
    target, other = (torch.from_numpy(rng.random((1, 1, 30, 25))) for _ in range(2))
    found = {
        kind: dissimilarity(other.to(kind) + 300, target.to(kind) + 300, torch.ones(1, dtype=kind)).item()
        for kind in (torch.float32, torch.float64)
    }
    assert found[torch.float32] == pytest.approx(found[torch.float64], rel=1e-3)


def test_likeness_is_won_over_the_best_rival_of_each_crop_and_losing_it_counts_twice():
    rng = np.random.default_rng(1)
    target = torch.from_numpy(rng.random((2, 1, 24, 24)))
    near, far = target + 0.05 * torch.from_numpy(rng.standard_normal(target.shape)), 0.5 * target
    one_each = [torch.stack((near[0], far[1])), torch.stack((far[0], near[1]))]
    assert cautious_likeness(near, one_each, target).item() == pytest.approx(0)
    won, lost = cautious_likeness(near, [far], target), cautious_likeness(far, [near], target)
    assert won.item() < -1
    assert lost.item() == pytest.approx(-2 * won.item())


def test_of_a_flat_crop_no_more_is_asked_than_noise_that_cannot_be_seen():
    flat = torch.full((1, 1, 16, 16), 0.3, dtype=torch.float64)
    barely = flat + 1e-5 * torch.from_numpy(np.random.default_rng(2).standard_normal(flat.shape))
    assert abs(cautious_likeness(barely, [flat], flat).item()) < 0.1


def test_the_summary_names_the_worst_case():
    assert summary([1.0, 2.0, 6.0]) == {"mean": 3.0, "median": 2.0, "worst": 1.0}


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


# Of layers


def of_pixels(*maps):
    """(1, maps, 1, pixels), each map a list of its pixels."""
    return torch.tensor([maps], dtype=torch.float64)[:, :, None]


@pytest.mark.parametrize("weight", [1.0, 0.1, 0.01])
def test_squares_of_both_materials_are_averaged_with_the_weight_of_aluminium(weight):
    predicted, target = of_pixels([5.0, 10.0], [100.0, 0.0]), of_pixels([4.0, 13.0], [80.0, 0.0])
    # Gold: (1² + 3²) / 2 = 5 nm²; aluminium: (20² + 0²) / 2 = 200 nm².
    loss = thickness_loss(predicted, target, aluminium_weight=weight)
    assert loss.item() == pytest.approx((5 + weight * 200) / 2)


def test_with_equal_weights_the_loss_is_the_plain_mean_of_squares():
    predicted, target = torch.randn(2, 3, 2, 4, 4, generator=torch.manual_seed(0))
    plain = torch.nn.functional.mse_loss(predicted, target)
    assert thickness_loss(predicted, target, aluminium_weight=1).item() == pytest.approx(plain.item(), rel=1e-6)


def test_every_network_of_a_stack_counts_alike_and_is_told_the_truth():
    target = of_pixels([4.0], [80.0])
    answers = torch.stack([of_pixels([5.0], [80.0]), of_pixels([4.0], [90.0]), of_pixels([2.0], [80.0])], dim=1)
    answers.requires_grad_()
    loss = mean_over_stacks(thickness_loss, answers, target)
    assert loss.item() == pytest.approx((1 / 2 + 0.1 * 100 / 2 + 4 / 2) / 3)
    loss.backward()
    # Of the second: 2 · 0.1 · 10 nm / 2 materials / 3 networks.
    assert answers.grad[0, :, :, 0, 0].tolist() == [
        pytest.approx([1 / 3, 0]),
        pytest.approx([0, 1 / 3]),
        pytest.approx([-2 / 3, 0]),
    ]


def test_a_voxel_costs_minus_the_logarithm_of_what_was_given_to_its_class():
    # Two voxels, three classes; logits are logarithms of probabilities, so that the softmax leaves them.
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], dtype=torch.float64)
    logits = probabilities.log().T.reshape(1, 3, 2, 1, 1)
    labels = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1)  # as the trainer gives them
    expected = -(np.log(0.5) + np.log(0.1)) / 2
    assert voxel_cross_entropy(logits, labels).item() == pytest.approx(expected)
    expected = -(1 * np.log(0.5) + 3 * np.log(0.1)) / 4
    assert voxel_cross_entropy(logits, labels, class_weights=(1, 3, 1)).item() == pytest.approx(expected)


def test_the_likelihood_weighs_an_error_by_what_was_claimed():
    # An error of 2 where 4 was claimed: sqrt(2)·2/4 + ln 4. The claim counts as 4^beta.
    predicted, target = of_pixels([7.0], [np.log(4.0)]), of_pixels([5.0])
    cost = np.sqrt(2) / 2 + np.log(4)
    for beta, weight in ((0, 1), (0.5, 2), (1, 4)):
        assert laplace_likelihood(predicted, target, floor=0, beta=beta).item() == pytest.approx(weight * cost)
    # With a floor of 3, 5 is claimed in all.
    cost = np.sqrt(2) * 2 / 5 + np.log(5)
    assert laplace_likelihood(predicted, target, floor=3, beta=0).item() == pytest.approx(cost)


def test_estimates_come_before_their_standard_deviations():
    predicted, target = of_pixels([1.0], [20.0], [0.0], [np.log(10.0)]), of_pixels([2.0], [40.0])
    # Errors of 1 where 1 is claimed, and of 20 where 10 is.
    expected = (np.sqrt(2) + (np.sqrt(2) * 2 + np.log(10))) / 2
    assert laplace_likelihood(predicted, target, floor=0, beta=0).item() == pytest.approx(expected)


@pytest.mark.parametrize("beta", [0, 0.5, 1])
def test_the_likelihood_is_best_where_the_claim_is_true(beta):
    """The standard deviation of a Laplace distribution is the square root of 2 times its mean absolute error."""
    errors = torch.distributions.Laplace(0.0, 1.0).icdf((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
    truth = np.sqrt(2) * errors.abs().mean().item()
    assert truth == pytest.approx(np.sqrt(2), rel=1e-3)
    claims = torch.tensor([0.9 * truth, truth, 1.1 * truth], dtype=torch.float64).log().requires_grad_()
    predicted = torch.stack((errors.expand(3, -1), claims[:, None].expand(-1, 4000)))[None]
    laplace_likelihood(predicted, torch.zeros(1, 1, 3, 4000, dtype=torch.float64), floor=0, beta=beta).backward()
    too_small, true, too_large = claims.grad.tolist()
    assert too_small < -1e-3
    assert abs(true) < 1e-6
    assert too_large > 1e-3


def test_at_beta_one_estimates_learn_as_from_the_mean_absolute_error_whatever_is_claimed():
    predicted = of_pixels([3.0, 3.0], [-2.0, 2.0]).requires_grad_()
    laplace_likelihood(predicted, of_pixels([1.0, 1.0]), floor=0, beta=1).backward()
    assert predicted.grad[0, 0, 0].tolist() == pytest.approx([np.sqrt(2) / 2, np.sqrt(2) / 2])


def test_the_floor_bounds_what_an_exact_pixel_can_win():
    certain = of_pixels([1.0], [-200.0]).requires_grad_()
    loss = laplace_likelihood(certain, of_pixels([1.0]), floor=0.1, beta=0)
    assert loss.item() == pytest.approx(np.log(0.1))
    loss.backward()
    assert torch.isfinite(certain.grad).all()


def test_a_crop_that_loses_counts_more_than_one_that_gains():
    truth = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    guess = truth + 0.1
    better, worse = truth + 0.05, truth + 0.2  # 6.02 dB each way
    assert cautious_gain(better, guess, truth).item() == pytest.approx(-6.02, abs=0.01)
    assert cautious_gain(worse, guess, truth).item() == pytest.approx(2 * 6.02, abs=0.01)
    assert cautious_gain(worse, guess, truth, caution=0.0).item() == pytest.approx(6.02, abs=0.01)


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_the_stated_error_that_costs_least_holds_nine_errors_of_ten(spread):
    error = spread * torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 200, 200)))
    sigmas = spread * torch.linspace(0.8, 1.2, 41, dtype=torch.double)
    costs = [interval_loss(sigma.expand_as(error), error, torch.ones(1)).item() for sigma in sigmas]
    best = sigmas[int(np.argmin(costs))].item()
    assert best == pytest.approx(spread, rel=0.03)
    assert (error.abs() <= NORMAL_90 * best).double().mean().item() == pytest.approx(0.9, abs=0.01)


def test_the_cost_of_intervals_is_counted_in_the_scale_of_each_crop():
    error = torch.tensor([1.0, 10.0]).reshape(2, 1, 1, 1)
    alike = interval_loss(0 * error, error, torch.tensor([1.0, 10.0]))
    assert alike.item() == pytest.approx(0.9)
