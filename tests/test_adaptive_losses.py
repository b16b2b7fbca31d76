"""Losses and samples that depend on the losses before: against slow twins of the published programs."""

import numpy as np
import pytest
import torch

from reference.adaptive_losses import limited_losses, thresholds, weighted_squares
from semrt_export.adaptive_losses import AdaptiveClipping, RunningErrorWeights
from semrt_export.data.pool import Sample, SamplePool
from semrt_export.hard_examples import HardExamples
from semrt_export.schedule import StagedSchedule


def spiky(count, seed=0):
    """Losses about 10, one in twenty of them an outlier up to a hundred times as high."""
    rng = np.random.default_rng(seed)
    return rng.gamma(4, 2.5, count) * np.where(rng.random(count) < 0.05, rng.uniform(5, 100, count), 1)


def test_outliers_are_limited_as_published_loss_by_loss():
    losses = spiky(3000)
    expected = limited_losses(losses, decay=0.99)
    clipping = AdaptiveClipping(decay=0.99).double()
    for loss, (limited, mean, mean_square) in zip(losses, expected, strict=True):
        assert clipping(torch.tensor([loss])).item() == pytest.approx(limited, rel=1e-9)
        assert clipping.mean.item() == pytest.approx(mean, rel=1e-9)
        assert clipping.mean_square.item() == pytest.approx(mean_square, rel=1e-9)
    share = np.mean(expected[:, 0] < losses)
    assert 0.01 < share < 0.1  # the outliers, and little else


def test_it_begins_where_it_was_published_to_begin():
    clipping = AdaptiveClipping()
    # μ1 = 25 and μ2 = 30²: σ = √(900 - 625) = 16.58, and the threshold 25 + 3 · 16.58 = 74.75.
    assert clipping.highest.item() == pytest.approx(74.75, abs=0.01)
    assert clipping(torch.tensor([74.0])).item() == 74.0
    assert clipping.decay == 0.999
    assert clipping(torch.tensor([7475.0])).item() == pytest.approx(clipping.highest.item(), rel=0.01)


def test_the_gradient_of_an_outlier_is_scaled_with_its_loss():
    weights = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    loss = 100 * weights.square().sum()[None]  # 2500, with a gradient of 200 · (3, 4)
    clipping = AdaptiveClipping().double()
    highest = clipping.highest.item()
    clipping(loss).sum().backward()
    np.testing.assert_allclose(weights.grad, highest / 2500 * np.array([600.0, 800.0]), rtol=1e-12)


def test_a_loss_below_the_threshold_keeps_its_gradient_even_where_it_is_zero():
    loss = torch.tensor([0.0, 10.0], requires_grad=True)
    AdaptiveClipping()(loss).sum().backward()
    assert loss.grad.tolist() == [1.0, 1.0]


def test_every_sample_of_a_batch_is_limited_by_itself_and_moves_the_means_by_their_average():
    clipping = AdaptiveClipping(decay=0.9).double()
    highest = clipping.highest.item()
    limited = clipping(torch.tensor([5.0, 1e6], dtype=torch.float64))
    np.testing.assert_allclose(limited, [5.0, highest])
    assert clipping.mean.item() == pytest.approx(0.9 * 25 + 0.1 * (5 + highest) / 2)
    assert clipping.mean_square.item() == pytest.approx(0.9 * 900 + 0.1 * (25 + highest**2) / 2)


def test_losses_all_alike_have_no_spread_and_still_a_threshold():
    clipping = AdaptiveClipping(decay=0.5)
    for _ in range(200):
        clipping(torch.tensor([0.3]))
    assert clipping.highest.item() == pytest.approx(0.3, abs=0.01)


def test_pixels_are_weighted_by_their_running_errors_as_published():
    squares = np.random.default_rng(1).gamma(1, 1, (6, 8, 8)) * np.linspace(0.1, 4, 8)
    weights = RunningErrorWeights(8, decay=0.8).double()
    found = [weights(torch.from_numpy(square)[None, None])[0, 0].numpy() for square in squares]
    np.testing.assert_allclose(found, weighted_squares(squares, decay=0.8), rtol=1e-6)
    last = np.asarray(found[-1]) / squares[-1]
    assert last.mean() == pytest.approx(1)
    assert last[:, -1].mean() > 1.5 > 1 > last[:, 0].mean()  # the errors grew to the right


# --- samples that went badly


def numbered(index):
    return Sample(np.full((1, 2, 2), index, np.float32), np.zeros((1, 2, 2), np.float32))


@pytest.fixture
def pool(tmp_path):
    pool = SamplePool(tmp_path, 100)
    assert len(list(pool.fill(numbered, 100))) == 100
    return pool


def test_samples_of_high_loss_are_shown_again(pool):
    hard, among = HardExamples(), pool.indices()
    rng = np.random.default_rng(0)
    shown = []
    for _ in range(1500):
        (sample,) = hard.draw(pool, rng, 1, among)
        index = int(sample.inputs[0, 0, 0])
        shown.append(index)
        hard.judge([10.0 if index < 20 else 1.0], rng)
    assert np.mean(hard.kept.numpy() < 20) > 0.5  # a fifth of the pool, and most of what is kept
    # Of four in five a fifth are hard ones; of the other fifth, most.
    assert 0.8 * 0.2 + 0.2 * 0.5 < np.mean(np.array(shown[500:]) < 20) < 0.8 * 0.2 + 0.2


def test_the_threshold_moves_as_published(pool):
    hard, among = HardExamples(), pool.indices()
    losses, again, moved = [], [], []
    draws = np.random.default_rng(1)
    for loss in spiky(400, seed=2):
        hard.draw(pool, draws, 1, among)
        ((_, from_kept),) = hard._shown
        hard.judge([loss], draws)
        losses.append(loss)
        again.append(from_kept)
        moved.append(hard.threshold.item())
    expected = thresholds(losses, again)
    np.testing.assert_allclose(moved, [threshold for threshold, _ in expected], rtol=1e-9)
    assert 0.1 < np.mean(again) < 0.3
    assert any(keeps for _, keeps in expected)


def test_what_the_pool_has_replaced_is_not_shown_again(pool):
    hard, rng = HardExamples(share=0.999), np.random.default_rng(0)
    hard.draw(pool, rng, 1, pool.indices())
    for index in set(hard.kept.tolist()) - {7}:
        pool.path(index).unlink()
    among = pool.indices()
    assert len(among) > 7
    drawn = {int(sample.inputs[0, 0, 0]) for sample in hard.draw(pool, rng, 60, among)}
    assert drawn <= set(among)
    assert len(drawn) > 1


def test_what_is_kept_goes_on_from_a_checkpoint(pool):
    one, among = HardExamples(), pool.indices()
    rng = np.random.default_rng(3)
    for _ in range(30):
        one.draw(pool, rng, 2, among)
        one.judge(list(rng.gamma(2, 2, 2)), rng)
    other = HardExamples()
    other.load_state_dict(one.state_dict())
    for hard in (one, other):
        rng = np.random.default_rng(4)
        hard.draw(pool, rng, 2, among)
        hard.judge([9.0, 0.1], rng)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert one._shown == other._shown


# --- the schedule


def test_the_learning_rate_is_constant_for_half_of_the_steps_and_then_goes_down_in_eight_steps():
    schedule = StagedSchedule(learning_rate=3e-4)
    rates = [schedule.learning_rate_at(step, step / 1_000_000) for step in range(0, 1_000_000, 1000)]
    assert set(rates[:500]) == {3e-4}
    # The published program: 3e-4 · (1 - step / 8), step = int(8 · (counter - 500,000) / 500,000).
    expected = [3e-4 * (1 - int(8 * (counter - 500_000) / 500_000) / 8) for counter in range(500_000, 1_000_000, 1000)]
    np.testing.assert_allclose(rates[500:], expected, rtol=1e-12)


def test_against_an_opponent_a_second_stage_follows_at_a_third_of_the_rate():
    schedule = StagedSchedule(learning_rate=3e-4, stages=(1.0, 1 / 3))
    found = [schedule.learning_rate_at(0, spent) for spent in (0.0, 0.24, 0.26, 0.49, 0.51, 0.74, 0.76, 0.999, 1.0)]
    np.testing.assert_allclose(found, np.array([3, 3, 3, 3 / 8, 1, 1, 1, 1 / 8, 1 / 8]) * 1e-4, rtol=1e-12)
