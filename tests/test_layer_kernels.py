"""Solvers of layers: against slow twins that look at everything, and against structures whose thickness is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import layers as slow
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels.layers import (
    DetectorResponse,
    LayerSmoothness,
    LayerTable,
    detector_response,
    likeliest_layers,
    smooth_layers,
    tikhonov_layers,
)
from semrt.physics.backscatter import ENERGIES, backscatter
from semrt.simulate.layers import Recording, draw


def table_of(lower, upper, variant="repo", energies=ENERGIES):
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    grid = np.stack(np.meshgrid(lower, upper, indexing="ij"))
    return LayerTable(backscatter(grid, energies, variant=variant), lower, upper)


WHOLE = table_of(np.arange(16), np.arange(151))
COARSE = table_of(np.arange(0, 16, 3), np.arange(0, 151, 10))


def recorded(rng, thickness, noise=0.02, variant="repo"):
    expected = backscatter(thickness, variant=variant)
    return (expected * (1 + noise * rng.standard_normal(expected.shape))).astype(np.float32)


def terraces(rng, shape=(24, 30)):
    """Gold of 0, 5 and 10 nm in columns, aluminium of 0, 60 and 120 nm in rows."""
    thickness = np.zeros((2, *shape))
    thickness[0] = np.repeat(rng.permutation([0, 5, 10]), shape[1] // 3)
    thickness[1] = np.repeat(rng.permutation([0, 60, 120]), shape[0] // 3)[:, None]
    return thickness


def error(solved, thickness):
    return np.abs(solved.thickness - thickness).mean(axis=(1, 2))


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    n_lower=st.integers(1, 7),
    n_upper=st.integers(1, 40),
    first=st.sampled_from([0.0, 0.7]),
    variant=st.sampled_from(["repo", "phys"]),
    noise=st.sampled_from([0.005, 0.02]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_likeliest_layers_are_those_of_the_twin(shape, n_lower, n_upper, first, variant, noise, seed):
    rng = np.random.default_rng(seed)
    lower = first + np.concatenate([[0], np.cumsum(rng.uniform(0.5, 3, n_lower - 1))])
    upper = np.concatenate([[0], np.cumsum(rng.uniform(1, 5, n_upper - 1))])
    table = table_of(lower, upper, variant)
    thickness = np.stack([rng.choice(lower, shape), rng.uniform(0, upper[-1], shape)])
    stack = recorded(rng, thickness, noise, variant)
    solved = likeliest_layers(stack, table, noise=noise)
    wanted, sigma, chi2, margin = slow.likeliest(stack, table.signals, lower, upper, noise)
    clear = margin > 0.05  # of two labels as likely either may be taken
    # What is nearly degenerate lies where rounding puts it, on the scale of its own uncertainty.
    assert (np.abs(solved.thickness - wanted)[:, clear] < 2e-3 + 0.01 * sigma[:, clear]).all()
    np.testing.assert_allclose(solved.sigma[:, clear], sigma[:, clear], rtol=0.02, atol=1e-4)
    np.testing.assert_allclose(solved.cost[clear], chi2[clear] / 29, rtol=0.01)


def test_without_noise_thicknesses_between_labels_are_found():
    rng = np.random.default_rng(0)
    whole = np.stack([rng.integers(2, 15, (20, 20)), rng.integers(20, 140, (20, 20))])
    thickness = whole + rng.uniform(-0.3, 0.3, whole.shape)
    solved = likeliest_layers(backscatter(thickness), WHOLE)
    off = np.abs(solved.thickness - thickness)
    assert np.median(off[0]) < 0.02
    assert np.median(off[1]) < 0.4  # aluminium makes up for gold, at a rate of some 20 to 1
    assert np.quantile(off / solved.sigma, 0.9) < 0.5


def test_stated_deviations_are_those_of_the_errors():
    rng = np.random.default_rng(1)
    thickness = np.full((2, 60, 60), [[[8.0]], [[75.0]]])
    solved = likeliest_layers(recorded(rng, thickness), WHOLE)
    off = (solved.thickness - thickness) / solved.sigma
    # 7200 independent errors: their mean square is known to 2 / sqrt(7200) = 2.4 %, that of the model is less well so.
    np.testing.assert_allclose(np.sqrt(np.mean(off**2, axis=(1, 2))), 1, atol=0.08)
    assert solved.cost.mean() == pytest.approx(1, abs=0.02)


def test_no_layer_is_a_branch_of_its_own():
    rng = np.random.default_rng(2)
    thickness = rng.uniform([[[0]], [[0]]], [[[2]], [[150]]], (2, 30, 30))
    lower = likeliest_layers(recorded(rng, thickness), WHOLE).thickness[0]
    assert (lower == 0).any()
    assert ((lower == 0) | (lower >= 1)).all()


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 12), noise=st.sampled_from([0.01, 0.03]), seed=st.integers(0, 2**32 - 1))
def test_a_row_of_pixels_costs_nearly_as_little_as_it_can(n, noise, seed):
    rng = np.random.default_rng(seed)
    thickness = np.stack([rng.choice(COARSE.lower, n), rng.choice(COARSE.upper, n)])
    thickness = np.repeat(thickness, rng.integers(1, 5, n), axis=1)[:, None]
    stack = recorded(rng, thickness, noise)
    smoothness = LayerSmoothness(weight=(0.8, 0.1), limit=(4.0, 30.0))
    solved = smooth_layers(stack, COARSE, noise=noise, smoothness=smoothness)
    chosen = [
        np.abs(values[..., None] - labels).argmin(-1)
        for values, labels in zip(solved.thickness, (COARSE.lower, COARSE.upper), strict=True)
    ]
    every = slow.distances(stack, COARSE.signals, noise)
    cost = slow.field_cost(every, *chosen, COARSE.lower, COARSE.upper, smoothness.weight, smoothness.limit)
    least = slow.best_row(every, COARSE.lower, COARSE.upper, smoothness.weight, smoothness.limit)
    assert least - 0.1 < cost < 1.02 * least + 3


def test_a_field_costs_no_more_than_the_truth_and_much_less_than_pixels_by_themselves():
    rng = np.random.default_rng(3)
    thickness = terraces(rng)
    stack = recorded(rng, thickness)
    settings = LayerSmoothness()
    every = slow.distances(stack, WHOLE.signals, 0.02)

    def cost(layers):
        chosen = [
            np.abs(values[..., None] - labels).argmin(-1)
            for values, labels in zip(layers, (WHOLE.lower, WHOLE.upper), strict=True)
        ]
        return slow.field_cost(every, *chosen, WHOLE.lower, WHOLE.upper, settings.weight, settings.limit)

    smooth, alone = smooth_layers(stack, WHOLE).thickness, likeliest_layers(stack, WHOLE).thickness
    assert cost(smooth) < cost(thickness) + 5 < cost(alone) - 500


@pytest.mark.parametrize(("variant", "aluminium"), [("repo", 1.5), ("phys", 4.5)])
def test_neighbours_tell_what_a_pixel_cannot(variant, aluminium):
    table = table_of(WHOLE.lower, WHOLE.upper, variant)
    errors, alone = [], []
    for number in range(3):
        sample = draw(np.random.default_rng(number), (96, 96), "perlin", variant=variant)
        errors.append(error(smooth_layers(sample.intensity, table), sample.thickness))
        alone.append(error(likeliest_layers(sample.intensity, table), sample.thickness))
    gold, upper = np.mean(errors, axis=0)
    assert gold < 0.06
    assert upper < aluminium
    assert upper < 0.4 * np.mean(alone, axis=0)[1]


def test_sharp_structures_keep_their_edges():
    for noise in (0.005, 0.02):
        sample = draw(np.random.default_rng(4), (96, 96), "strips", recording=Recording(noise))
        solved = smooth_layers(sample.intensity, WHOLE, noise=noise)
        wrong = (np.abs(solved.thickness - sample.thickness) > [[[1.5]], [[5.0]]]).any(axis=0)
        assert wrong.mean() < 0.005


def test_a_region_leaves_the_grid_where_its_signals_demand_it_and_only_there():
    rng = np.random.default_rng(5)
    thickness = np.zeros((2, 30, 60))
    thickness[:, :, :30] = [[[8.5]], [[70.0]]]
    thickness[:, :, 30:] = [[[6.0]], [[40.0]]]
    solved = smooth_layers(recorded(rng, thickness, 0.01), table_of(range(0, 16, 2), range(0, 151, 2)), noise=0.01)
    assert np.median(solved.thickness[0, :, :30]) == pytest.approx(8.5, abs=0.05)
    assert np.median(solved.thickness[0, :, 30:]) == 6
    assert np.median(solved.thickness[1, :, 30:]) == 40


def test_gain_and_offset_of_the_detector_are_found_in_the_image():
    recording = Recording(0.02, gain=0.01, offset=0.008)
    sample = draw(np.random.default_rng(6), (96, 96), "perlin", recording=recording)
    solved = smooth_layers(sample.intensity, WHOLE, calibrate=True)
    # An offset is mostly as good as a gain, and shared between the two; on bare silicon they are one.
    total = solved.response.gain + solved.response.offset / 0.49
    np.testing.assert_allclose(total, np.array(sample.settings["gains"]) + 0.008 / 0.49, atol=0.004)
    uncalibrated = smooth_layers(sample.intensity, WHOLE)
    assert (error(solved, sample.thickness) < 0.5 * error(uncalibrated, sample.thickness)).all()
    told = smooth_layers(sample.intensity, WHOLE, response=DetectorResponse(sample.settings["gains"], 0.008))
    assert error(told, sample.thickness)[1] < 2


def test_a_response_is_fitted_exactly_to_a_known_solution():
    rng = np.random.default_rng(7)
    thickness = terraces(rng)
    gain, offset = 1 + 0.01 * rng.standard_normal(31), -0.004
    solved = smooth_layers(recorded(rng, thickness, 1e-3), WHOLE, noise=1e-3)
    stack = gain[:, None, None] * backscatter(thickness) + offset
    found = detector_response(stack, WHOLE, solved, noise=1e-3)
    np.testing.assert_allclose(found.gain, gain, atol=2e-4)
    assert found.offset == pytest.approx(offset, abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 5.0])
def test_tikhonov_solves_the_normal_equations_of_a_linear_model(alpha):
    rng = np.random.default_rng(8)
    slopes = np.stack([np.linspace(0.05, 0.01, 9), -np.linspace(0.002, 0.006, 9)], axis=1)
    base = np.full((9, 1, 1), np.log(0.5))
    lower, upper = np.linspace(1, 21, 6), np.linspace(0, 100, 11)
    grid = np.stack(np.meshgrid(lower, upper, indexing="ij"))
    table = LayerTable(np.exp(base + np.einsum("nk,kij->nij", slopes, grid)), lower, upper)
    thickness = np.stack([11 + rng.uniform(-3, 3, (7, 8)), 50 + rng.uniform(-10, 10, (7, 8))])
    expected = np.exp(base + np.einsum("nk,kij->nij", slopes, thickness))
    stack = (expected * (1 + 0.005 * rng.standard_normal(expected.shape))).astype(np.float32)
    solved = tikhonov_layers(stack, table, alpha=alpha, noise=0.005)
    wanted = slow.tikhonov_of_linear(stack, slopes, base, (20, 100), alpha, 0.005)
    np.testing.assert_allclose(solved.thickness[0], wanted[0], atol=0.01)
    np.testing.assert_allclose(solved.thickness[1], wanted[1], atol=0.05)


def test_a_penalty_on_slopes_levels_the_field():
    rng = np.random.default_rng(9)
    stack = recorded(rng, terraces(rng))
    spread = [np.abs(np.diff(tikhonov_layers(stack, WHOLE, alpha=a).thickness[1])).mean() for a in (0, 1, 100)]
    assert spread[0] > spread[1] > spread[2]


@pytest.mark.parametrize(
    "solve", [likeliest_layers, smooth_layers, tikhonov_layers], ids=["likeliest", "smooth", "tikhonov"]
)
class TestEverySolver:
    def test_does_not_depend_on_the_number_of_threads(self, solve):
        rng = np.random.default_rng(10)
        stack = recorded(rng, terraces(rng))
        one, three = (solve(stack, WHOLE, n_threads=n) for n in (1, 3))
        for name in ("thickness", "sigma", "cost"):
            np.testing.assert_array_equal(getattr(one, name), getattr(three, name))

    def test_undoes_the_response_it_is_told(self, solve):
        rng = np.random.default_rng(11)
        stack = recorded(rng, terraces(rng))
        response = DetectorResponse(1 + 0.05 * rng.standard_normal(31), 0.03)
        seen = response.gain[:, None, None] * stack + 0.03
        np.testing.assert_allclose(
            np.median(np.abs(solve(seen, WHOLE, response=response).thickness - solve(stack, WHOLE).thickness)),
            0,
            atol=1e-3,
        )

    @pytest.mark.parametrize("shape", [(1, 1), (1, 40), (17, 2), (33, 16)])
    def test_takes_any_shape_any_table_and_dead_pixels(self, solve, shape):
        rng = np.random.default_rng(12)
        stack = rng.uniform(0, 1.2, (2, *shape)).astype(np.float32)
        stack[:, 0, 0] = 0
        for lower, upper in (([0], [0]), ([0], [5, 9]), ([2], [3]), ([0, 4], [0]), (range(9), range(0, 70, 7))):
            table = table_of(lower, upper, energies=np.array([7.0, 21.0]))
            solved = solve(stack, table)
            assert solved.thickness.shape == solved.sigma.shape == (2, *shape)
            assert np.isfinite(solved.thickness).all()
            assert np.isfinite(solved.sigma).all()
            assert np.isfinite(solved.cost).all()
            for layer, labels in zip(solved.thickness, (table.lower, table.upper), strict=True):
                assert labels[0] <= layer.min()
                assert layer.max() <= labels[-1]

    @pytest.mark.parametrize(
        ("stack", "keywords", "failure", "message"),
        [
            (np.ones((31, 5)), {}, InvalidShape, "intensity: expected shape"),
            (np.ones((30, 5, 5)), {}, InvalidShape, r"intensity: expected shape \(31, ny, nx\)"),
            (np.full((31, 2, 2), np.nan), {}, InvalidValue, "intensity: expected finite"),
            (np.ones((31, 2, 2)), {"noise": 0}, InvalidOption, "noise: expected"),
            (np.ones((31, 2, 2)), {"response": DetectorResponse(np.ones(3))}, InvalidShape, "gain: expected shape"),
            (np.ones((31, 2, 2)), {"response": DetectorResponse(np.zeros(31))}, InvalidValue, "response: expected"),
        ],
    )
    def test_refuses_in_one_line_what_it_cannot_use(self, solve, stack, keywords, failure, message):
        with pytest.raises(failure, match=message) as refused:
            solve(stack, WHOLE, **keywords)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("signals", "lower", "upper", "failure", "message"),
    [
        (np.ones((3, 2, 2)), [0, 0], [0, 1], InvalidValue, "lower: expected rising"),
        (np.ones((3, 2, 2)), [0, 1], [-1, 1], InvalidValue, "upper: expected rising"),
        (np.ones((3, 2, 2)), [0, 1], [0, 1, 2], InvalidShape, "signals: expected shape"),
        (np.zeros((3, 2, 2)), [0, 1], [0, 1], InvalidValue, "signals: expected finite values above zero"),
        (np.ones((0, 2, 2)), [0, 1], [0, 1], InvalidShape, "signals: expected shape"),
        (np.ones((3, 0, 2)), [], [0, 1], InvalidShape, "lower: expected shape"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(signals, lower, upper, failure, message):
    with pytest.raises(failure, match=message):
        LayerTable(signals, lower, upper)


def test_options_that_make_no_sense_are_refused():
    stack = np.full((31, 4, 4), 0.5)
    with pytest.raises(InvalidOption, match="alpha: expected"):
        tikhonov_layers(stack, WHOLE, alpha=-1)
    with pytest.raises(InvalidOption, match="weight: expected"):
        LayerSmoothness(weight=(-1, 0))
    with pytest.raises(InvalidOption, match="calibrate"):
        smooth_layers(stack, WHOLE, calibrate=True, response=DetectorResponse(np.ones(31)))
