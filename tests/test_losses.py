"""What training minimises, how its figures are summed up, and how fast it learns."""

import numpy as np
import pytest
import torch

from semrt.errors import InvalidOption
from semrt_export.evaluate import gain_db, summary
from semrt_export.losses import charbonnier, negative_gain
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
