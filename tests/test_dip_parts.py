"""What the Deep Image Prior is built of, each part against arithmetic: judges, held-out cells, networks, pieces."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from semrt.deep_image_prior import reconstruct
from semrt.deep_image_prior.agreement import Patience, RunningVariance, blend_weight, calibrated_error
from semrt.deep_image_prior.members import Member, Target
from semrt.deep_image_prior.networks import NETWORKS, sizes
from semrt.deep_image_prior.settings import NETWORK_NAMES, Settings
from semrt.errors import InvalidOption
from semrt.scan.held_out import Cells, disjoint_cells

CPU = torch.device("cpu")
SHAPES = [(1, 17), (17, 1), (1, 2), (2, 2), (3, 5), (5, 64), (37, 53), (64, 64)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with reconstruct.threads(1):
        yield


def floats(*values):
    return np.array(values, np.float32)


def random_mask(rng, shape, coverage):
    visited = rng.random(shape) < coverage
    visited.flat[0] = True
    return visited


def test_the_weight_of_the_networks_is_least_squares_less_its_standard_error():
    # Weight w leaves the error classical - w (classical - network). Differences 1 and -1 of classical errors 2 and 0:
    # w = (2 · 1 + 0 · -1) / (1 + 1) = 1, which leaves 1 and 1, so that its standard error is √(1 · 1 + 1 · 1) / 2.
    assert blend_weight(floats(1, 1), floats(2, 0)) == pytest.approx(1 - np.sqrt(2) / 2)
    # Classical errors 3 and 1, networks' 1 and -3: differences 2 and 4, w = (6 + 4) / 20, left are 2 and -1.
    assert blend_weight(floats(1, -3), floats(3, 1)) == pytest.approx(0.5 - np.sqrt(16 + 16) / 20)


def test_networks_without_error_get_all_the_weight_and_worse_ones_none():
    classical = floats(1, -1, 2)
    assert blend_weight(np.zeros(3, np.float32), classical) == 1
    assert blend_weight(3 * classical, classical) == 0
    assert blend_weight(classical, classical) == 0
    assert blend_weight(classical, np.zeros(3, np.float32)) == 0
    assert blend_weight(floats(0), floats(1)) == 0, "one sample tells nothing"
    assert blend_weight(floats(), floats()) == 0


@given(n=st.integers(2, 40), alike=st.floats(-1, 1), strength=st.floats(0.01, 100), seed=st.integers(0, 2**32 - 1))
def test_the_mix_is_never_worse_than_the_classical_estimate_on_what_judged_it(n, alike, strength, seed):
    rng = np.random.default_rng(seed)
    classical = rng.standard_normal(n).astype(np.float32)
    network = (strength * (alike * classical + rng.standard_normal(n))).astype(np.float32)
    weight = blend_weight(network, classical)
    assert 0 <= weight <= 1
    mixed = weight * network.astype(float) + (1 - weight) * classical
    assert (mixed**2).sum() <= (classical.astype(float) ** 2).sum() * (1 + 1e-12)
    if (network * classical).sum() > (classical**2).sum() * 1.001:  # the slope of the error towards the networks rises
        assert weight == 0


@pytest.mark.parametrize("telling", ["spread", "classical"])
def test_of_residuals_of_known_spread_nine_in_ten_lie_within_the_calibrated_interval(telling):
    rng = np.random.default_rng(0)
    judged, fresh = (rng.uniform(0.5, 3, 4000).astype(np.float32) for _ in range(2))
    other = rng.uniform(0.5, 3, 4000).astype(np.float32)
    residual = (0.2 * judged * rng.standard_normal(4000)).astype(np.float32)
    given_parts = (judged, other) if telling == "spread" else (other, judged)
    factors = calibrated_error(residual, *given_parts)
    of_telling, of_other = factors if telling == "spread" else factors[::-1]
    error = np.sqrt(of_telling * fresh**2 + of_other * other**2)
    inside = np.abs(0.2 * fresh * rng.standard_normal(4000)) < 1.645 * error
    assert inside.mean() == pytest.approx(0.9, abs=0.02)  # 4 standard errors of 4000 draws, √(0.9 · 0.1 / 4000)
    assert of_telling == pytest.approx(0.2**2, rel=0.1)  # the variance is 0.2² of the square of that which tells
    assert of_other == 0


def test_too_few_residuals_or_no_error_at_all_calibrate_nothing():
    some = np.ones(29, np.float32)
    assert calibrated_error(some, some, some) is None
    none = np.zeros(50, np.float32)
    assert calibrated_error(np.ones(50, np.float32), none, none) is None
    spread_alone = calibrated_error(np.ones(50, np.float32), 2 * np.ones(50, np.float32), none)
    # 1.645 times the error is to be 1 where the spread is 2.
    assert spread_alone == (pytest.approx((1 / 1.6449 / 2) ** 2, rel=1e-4), 0)


def test_patience_ends_so_many_iterations_after_the_best():
    patience = Patience(20)
    told = [(patience.improved(at, figure), patience.exhausted(at)) for at, figure in
            [(10, 3.0), (20, 2.0), (30, 2.0), (39, 2.5), (40, 2.5), (50, 1.0), (60, 9.0)]]  # fmt: skip
    assert [improved for improved, _ in told] == [True, True, False, False, False, True, False]
    assert [exhausted for _, exhausted in told] == [False, False, False, False, True, False, False]
    assert (patience.least, patience.best_iteration) == (1.0, 50)


def test_the_running_variance_is_that_of_the_last_outputs():
    variance = RunningVariance(window=3)
    outputs = [np.full((2, 2), value, np.float32) for value in (0, 3, 6, 6, 6)]
    outputs[2][0, 0] = 3
    told = [variance.of(output) for output in outputs]
    assert told[:2] == [np.inf, np.inf]
    # Of 0, 3, 6 the variance is 6; of 0, 3, 3 it is 2; of 3, 6, 6 it is 2; of 3, 3, 6 it is 2; of 6, 6, 6 it is 0.
    assert told[2:] == pytest.approx([(2 + 3 * 6) / 4, (2 + 3 * 2) / 4, (2 + 3 * 0) / 4])


def test_the_running_variance_of_a_large_image_is_taken_from_some_of_its_pixels():
    rng = np.random.default_rng(0)
    all_pixels, some = RunningVariance(window=4), RunningVariance(window=4, pixels=1000)
    for _ in range(4):
        output = rng.standard_normal((100, 100)).astype(np.float32)
        both = all_pixels.of(output), some.of(output)
    assert both[1] == pytest.approx(both[0], rel=0.15)
    assert both[1] != both[0]
    assert sum(kept.size for kept in some._last) == 4 * 1000


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    coverage=st.sampled_from([0.01, 0.1, 0.5, 1.0]),
    fraction=st.sampled_from([0.1, 0.3, 1.0]),
    count=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
@example(shape=(1, 1), coverage=1.0, fraction=1.0, count=1, seed=0)
def test_held_out_samples_are_whole_cells_that_no_two_members_share(shape, coverage, fraction, count, seed):
    rng = np.random.default_rng(seed)
    visited = random_mask(rng, shape, coverage)
    drawn = disjoint_cells(visited, fraction, count, np.random.default_rng(seed))
    number = Cells.of(visited, np.random.default_rng(seed)).number
    assert len(drawn) == count
    assert sum(hidden.astype(int) for hidden in drawn).max() <= 1
    for hidden in drawn:
        assert not (hidden & ~visited).any()
        assert (visited & ~hidden).any(), "a member was left without any sample"
        for cell in np.unique(number[hidden]):
            np.testing.assert_array_equal(hidden[number == cell], visited[number == cell])


def test_about_the_fraction_asked_for_is_held_out_and_no_more_than_there_is():
    visited = random_mask(np.random.default_rng(0), (200, 200), 0.1)
    for fraction, count, wanted in ((0.1, 3, 0.1), (0.25, 2, 0.25), (0.9, 3, 1 / 3)):
        for hidden in disjoint_cells(visited, fraction, count, np.random.default_rng(1)):
            assert hidden.sum() / visited.sum() == pytest.approx(wanted, abs=0.03)


def test_a_cell_is_as_wide_as_the_gaps_between_samples():
    visited = np.zeros((60, 60), bool)
    visited[::6, ::6] = True
    cells = Cells.of(visited, np.random.default_rng(0))
    side = np.sqrt(np.bincount(cells.number.ravel()).max())
    assert 2 <= side <= 6
    for number in np.unique(cells.number)[:20]:
        assert len(np.unique(cells.draw[cells.number == number])) == 1


def test_the_names_known_without_torch_are_those_of_the_networks():
    assert tuple(NETWORKS) == NETWORK_NAMES


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_every_network_draws_any_field_and_can_be_taught(name, shape):
    torch.manual_seed(0)
    network = NETWORKS[name](shape, 3.0)
    image = network(network.random_input(torch.Generator().manual_seed(0)))
    assert image.shape == (1, 1, *shape)
    ((image - torch.randn(image.shape)) ** 2).sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert gradients
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)


def test_each_level_is_half_the_next_rounded_up():
    assert sizes((37, 53), 3) == [(5, 7), (10, 14), (19, 27), (37, 53)]
    assert sizes((1, 9), 2) == [(2, 3), (2, 5), (1, 9)]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"network": "skipp"}, "network 'skipp' is unknown; did you mean 'skip'"),
        ({"members": 0}, "members: expected 1 or more, got 0"),
        ({"max_iterations": 0}, "max_iterations: expected 1 or more, got 0"),
        ({"max_seconds": 0.0}, "max_seconds: expected more than 0"),
        ({"max_seconds": float("nan")}, "max_seconds: expected more than 0"),
        ({"seed": -1}, "seed: expected 0 to"),
        ({"seed": 2**63}, "seed: expected 0 to"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(InvalidOption, match=words):
        Settings(**wrong)


def target(values, weight, strength=0.0, estimate=0.0, error=1.0):
    planes = (np.full(values.shape, plane, np.float32) for plane in (estimate, error))
    return Target.of(values, weight, *planes, strength)


def test_the_loss_is_the_weighted_mean_square_error_at_the_samples():
    drawn_to = target(floats([1, 5], [0, 2]), floats([1, 0], [0, 3]))
    # Errors of an output of zero: 1 at weight 1 of 4, 2 at weight 3 of 4.
    assert float(drawn_to.loss(torch.zeros(1, 1, 2, 2))) == pytest.approx((1 * 1 + 3 * 4) / 4)


def test_the_classical_estimate_draws_where_it_is_sure_and_nothing_was_measured():
    visited = floats([1, 0], [0, 1])
    sure, unsure = (target(floats([0, 0], [0, 0]), visited, 0.5, estimate=2.0, error=error) for error in (0.0, 1e3))
    output = torch.zeros(1, 1, 2, 2)
    assert float(sure.loss(output)) == pytest.approx(2 * 0.5 * 2**2 / 2)  # two pixels, half the weight of a sample's
    assert float(unsure.loss(output)) == pytest.approx(0, abs=1e-6)


def test_a_member_goes_on_from_its_state_as_if_it_had_never_stopped():
    values = np.random.default_rng(0).standard_normal((12, 15)).astype(np.float32)
    drawn_to = target(values, np.ones_like(values))
    straight = Member("conv-decoder", (12, 15), 2.0, rate=0.01, seed=5, device=CPU)
    straight.begin(drawn_to)
    for _ in range(4):
        straight.iterate()
    stopped = Member.restored(deepcopy(straight.state()), CPU)  # as a file would hold it
    for member in (straight, stopped):
        member.begin(drawn_to)
        for _ in range(4):
            member.iterate()
    np.testing.assert_array_equal(stopped.estimate, straight.estimate)
    np.testing.assert_array_equal(stopped.variance, straight.variance)
    assert stopped.loss == straight.loss
    assert straight.estimate.std() > 0


@pytest.fixture
def _small_pieces(monkeypatch):
    monkeypatch.setattr(reconstruct, "PIECE", 48)
    monkeypatch.setattr(reconstruct, "OVERLAP", 6)


def test_pieces_of_every_field_cover_it_and_their_weights_sum_to_one():
    for length in [*range(1, 50), *range(600, 2000, 7), *range(1225, 1290), 4096, 10000]:
        total = np.zeros(length, np.float32)
        weights = reconstruct._weights(length)
        spans = reconstruct._spans(length)
        assert [span.start for span in spans] == list(weights)
        for start, weight in weights.items():
            assert len(weight) <= reconstruct.PIECE
            assert weight.min() >= 0
            total[start : start + len(weight)] += weight
        assert (total == 1).all(), length


@pytest.mark.usefixtures("_small_pieces")
def test_neighbouring_pieces_share_what_was_asked():
    rows, columns = reconstruct._spans(80), reconstruct._spans(100)
    assert [(span.start, span.stop) for span in rows] == [(0, 46), (34, 80)]  # 80 + 12 shared, cut in two
    assert [(span.start, span.stop) for span in columns] == [(0, 42), (29, 71), (58, 100)]  # (100 + 24) / 3, rounded up
    assert len(list(reconstruct._windows((80, 100)))) == 6


def test_threads_of_torch_are_put_back():
    before = torch.get_num_threads()
    with reconstruct.threads(before + 1) as count:
        assert count == torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with reconstruct.threads(None) as count:
        assert count == before
