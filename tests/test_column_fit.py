"""Columns fitted to counts: against the whole joint fit, and against what noise allows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrt
from reference.column_fit import fit_columns as fit_slowly
from reference.column_fit import profile
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.simulate.columns import cases


def drawn(shape, columns, width, tail=0.0, background=20.0):
    """Columns (y, x, height) without noise."""
    y, x = np.indices(shape)
    return background + sum(height * profile(y - yc, x - xc, width, tail)[0] for yc, xc, height in columns)


def lattice(shape, spacing, inside, rng=None, jitter=0.0):
    """(n, 2), square, at least `inside` from the border."""
    axes = [np.arange(inside, side - inside, spacing) for side in shape]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    return places if rng is None else places + rng.normal(0, jitter, places.shape)


def with_heights(places, height):
    return np.column_stack([places, np.broadcast_to(height, len(places))])


def matched(fitted, true, within):
    """For each true place the number of the fitted column there, -1 for none."""
    distance = np.linalg.norm(true[:, None] - fitted.positions[None], axis=-1)
    nearest = distance.argmin(axis=1)
    return np.where(distance[np.arange(len(true)), nearest] < within, nearest, -1)


def errors_in_a_case(name, **options):
    """Errors of counted columns over what noise allows and over what the fit states, (n, 2) each; and the fit."""
    truth = cases()[name].image()
    seen = truth.snr > 3
    true = np.stack([truth.y, truth.x], axis=1)
    starts = true[seen] + np.random.default_rng(5).normal(0, 0.3, (seen.sum(), 2))
    fitted = semrt.refine_columns(truth.counts, starts, **options)
    found = matched(fitted, true, 0.35 * truth.spacing)
    which = truth.counted()
    assert (found[which] >= 0).all()
    at = found[which]
    error = fitted.positions[at] - true[which]
    bounds = np.stack([truth.crlb_y, truth.crlb_x], axis=1)[which]
    stated = np.stack([fitted.sigma_y, fitted.sigma_x], axis=1)[at]
    return error / bounds, error / stated, fitted


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


@settings(max_examples=15, deadline=None)
@given(
    n=st.tuples(st.integers(3, 4), st.integers(3, 4)),
    width=st.floats(1.5, 2.2),
    spacing=st.floats(5, 7),
    tail=st.sampled_from([0.0, 0.1]),
    height=st.sampled_from([60.0, 400.0]),
    gain=st.sampled_from([1.0, 7.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_fit_ends_where_the_whole_joint_fit_does(n, width, spacing, tail, height, gain, seed):
    rng = np.random.default_rng(seed)
    axes = [width * (5 + spacing * np.arange(count)) for count in n]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    places += rng.normal(0, 0.2 * width, places.shape)
    shape = tuple(int(axis[-1] + 5 * width) for axis in axes)
    columns = with_heights(places, height * rng.uniform(0.6, 1.4, len(places)))
    expected = drawn(shape, columns, width, tail) + 0.1 * np.arange(shape[1])
    image = gain * rng.poisson(expected) + rng.normal(0, 1.5, shape)
    starts = places + rng.uniform(-0.3, 0.3, places.shape) * width
    known = {"sigma": width, "tail": tail, "gain": gain, "read_noise": 1.5, "straighten_rows": False}
    fitted = semrt.refine_columns(image, starts, **known)
    wanted, deviations = fit_slowly(image, starts, width, tail, gain, 1.5)
    order = np.argsort(fitted.source)
    assert len(fitted) == len(wanted)
    off = (fitted.positions[order] - wanted[:, :2]) / deviations[:, :2]
    assert rms(off) < 1  # the twin knows that the background is one plane
    assert np.abs(off).max() < 2.5
    ratio = np.stack([fitted.sigma_y, fitted.sigma_x], axis=1)[order] / deviations[:, :2]
    assert 0.9 < ratio.min() < ratio.max() < 1.5  # a local background costs the faintest that much


def test_without_noise_columns_are_where_they_were_drawn():
    true = lattice((70, 80), 12.3, 10)
    fitted = semrt.refine_columns(drawn((70, 80), with_heights(true, 300), 2.5), true + 0.4)
    np.testing.assert_allclose(fitted.positions, true[fitted.source], atol=2e-3)
    np.testing.assert_allclose(fitted.intensity, 300, rtol=2e-3)
    np.testing.assert_allclose(fitted.background, 20, atol=0.5)
    assert fitted.width == pytest.approx(2.5, rel=1e-3)
    assert fitted.converged.all()


@pytest.mark.parametrize("name", ["square-starved", "hexagonal-clean", "perovskite-clean", "monolayer-defects"])
def test_columns_are_known_as_well_as_noise_allows(name):
    of_bound, of_stated, _ = errors_in_a_case(name)
    assert rms(of_bound) < 1.12
    assert 0.9 < rms(of_stated) < 1.15


def test_dumbbells_are_known_as_well_as_noise_allows():
    of_bound, of_stated, fitted = errors_in_a_case("dumbbells-clean")
    assert rms(of_bound) < 1.15
    assert 0.9 < rms(of_stated) < 1.15
    assert fitted.width == pytest.approx(2.4, rel=0.01)


@pytest.mark.slow
def test_a_film_of_carbon_widens_what_is_stated():
    of_bound, of_stated, _ = errors_in_a_case("perovskite-110-carbon")
    assert rms(of_bound) < 1.8
    assert 0.9 < rms(of_stated) < 1.2


def test_gain_and_offset_of_a_detector_change_nothing_but_the_unit():
    truth = cases()["square-clean"].image(bound=False)
    starts = np.stack([truth.y, truth.x], axis=1)
    counts, scaled = (semrt.refine_columns(image, starts) for image in (truth.counts, 30 * truth.counts - 500))
    np.testing.assert_allclose(scaled.positions, counts.positions, atol=2e-3)
    np.testing.assert_allclose(scaled.sigma_y, counts.sigma_y, rtol=0.02)
    np.testing.assert_allclose(scaled.intensity, 30 * counts.intensity, rtol=1e-3)
    assert counts.gain == pytest.approx(1, rel=0.05)  # electrons
    assert scaled.gain == pytest.approx(30, rel=0.05)


def test_blurred_noise_is_not_mistaken_for_little_noise():
    truth = cases()["square-starved"].image()
    kernel = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    kernel /= kernel.sum()
    blurred = truth.counts
    for axis in (0, 1):
        blurred = np.apply_along_axis(np.convolve, axis, blurred, kernel, "same")
    true = np.stack([truth.y, truth.x], axis=1)[truth.counted(border=4)]
    fitted = semrt.refine_columns(blurred, true)
    at = matched(fitted, true, 3)
    stated = np.stack([fitted.sigma_y, fitted.sigma_x], axis=1)[at]
    assert 0.8 < rms((fitted.positions[at] - true) / stated) < 1.25


def test_a_dumbbell_is_less_certain_along_its_axis():
    rng = np.random.default_rng(0)
    places = np.concatenate([[(y, x), (y, x + 6.5)] for y in range(15, 100, 20) for x in range(15, 100, 22)])
    image = rng.poisson(drawn((110, 120), with_heights(places, 200), 2.6))
    fitted = semrt.refine_columns(image, places)
    assert (fitted.sigma_x > 1.05 * fitted.sigma_y).all()


def test_the_residual_shows_light_columns_that_nobody_named():
    truth = cases()["perovskite-clean"].image(bound=False)
    heavy = truth.intensity > 0.6 * truth.intensity.max()
    true = np.stack([truth.y, truth.x], axis=1)
    assert heavy.sum() < 0.3 * len(true)
    alone = semrt.refine_columns(truth.counts, true[heavy])
    all_of_them = semrt.refine_columns(truth.counts, true[heavy], find_missing=True)
    assert len(alone) == heavy.sum()
    assert (alone.source >= 0).all()
    which = truth.counted()
    assert (matched(all_of_them, true[which], 0.35 * truth.spacing) >= 0).all()
    inside = np.minimum(all_of_them.positions, np.array(truth.shape) - 1 - all_of_them.positions).min(axis=1) > 6
    assert inside.sum() == np.sum(np.minimum(true, np.array(truth.shape) - 1 - true).min(axis=1) > 6)
    assert (all_of_them.source < 0).sum() == len(all_of_them) - heavy.sum()


def test_nothing_is_found_where_nothing_is_missing():
    truth = cases()["square-starved"].image(bound=False)
    fitted = semrt.refine_columns(truth.counts, np.stack([truth.y, truth.x], axis=1), find_missing=True)
    new = fitted.positions[fitted.source < 0]
    assert (np.minimum(new, 255 - new).min(axis=1) < 6).all()  # but for those whose centres lie at the border


def test_displaced_rows_are_put_right_and_only_those():
    rng = np.random.default_rng(1)
    turned = lattice((300, 300), 13.0, 0) - 150
    true = 80 + turned @ [[0.94, 0.34], [-0.34, 0.94]]
    true = true[(np.abs(true - 79.5) < 72).all(axis=1)]
    y, x = np.indices((160, 160))
    shifts = rng.normal(0, 0.5, 160)
    still = drawn((160, 160), with_heights(true, 300), 2.5)
    moved = 20 + sum(300 * profile(y - yc, x - shifts[:, None] - xc, 2.5, 0)[0] for yc, xc in true)
    still, moved = rng.poisson(still), rng.poisson(moved)
    straight, recorded = (semrt.refine_columns(moved, true, straighten_rows=on) for on in (True, False))
    assert straight.row_jitter[1] == pytest.approx(np.std(shifts), abs=0.05)
    assert recorded.row_jitter == semrt.refine_columns(still, true).row_jitter == (0, 0)
    error, as_recorded = (rms(fitted.x - true[fitted.source, 1]) for fitted in (straight, recorded))
    assert error < 0.6 * as_recorded
    assert 0.7 < rms((straight.x - true[straight.source, 1]) / straight.sigma_x) < 1.3


def test_columns_do_not_depend_on_the_number_of_threads():
    truth = cases()["perovskite-clean"].image(bound=False)
    heavy = truth.intensity > 0.6 * truth.intensity.max()
    starts = np.stack([truth.y, truth.x], axis=1)[heavy]
    one, three = (semrt.refine_columns(truth.counts, starts, find_missing=True, n_threads=n) for n in (1, 3))
    for name in one.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


def test_columns_are_told_in_the_order_of_their_places_with_the_line_they_came_from():
    rng = np.random.default_rng(2)
    places = rng.permutation(lattice((80, 80), 14, 10))
    fitted = semrt.refine_columns(rng.poisson(drawn((80, 80), with_heights(places, 300), 2.5)), places)
    np.testing.assert_allclose(fitted.positions, places[fitted.source], atol=0.3)
    np.testing.assert_array_equal(np.sort(fitted.source), np.arange(len(places)))


def test_columns_at_the_border_are_fitted_by_what_is_seen_of_them():
    rng = np.random.default_rng(3)
    places = np.array([(0.3, 20.2), (30.1, 0.4), (59.0, 45.3), (0.0, 0.0), (30.0, 35.0)])
    fitted = semrt.refine_columns(rng.poisson(drawn((60, 70), with_heights(places, 300), 2.5)), places, sigma=2.5)
    off = fitted.positions - places[fitted.source]
    assert (np.abs(off) < 4 * np.stack([fitted.sigma_y, fitted.sigma_x], axis=1)).all()
    by_source = fitted.sigma_y[np.argsort(fitted.source)]
    assert by_source[0] > 1.3 * by_source[4]  # half of it is outside


def test_starts_on_one_column_become_one_and_those_outside_are_left_out():
    rng = np.random.default_rng(4)
    image = rng.poisson(drawn((60, 70), [(30.3, 35.7, 300)], 2.5))
    starts = [(30, 36), (30.2, 36.1), (31, 35), (29.5, 36.5), (-3, 4), (300, 2), (30, -0.6)]
    fitted = semrt.refine_columns(image, starts, sigma=2.5)
    np.testing.assert_allclose(fitted.positions, [(30.3, 35.7)], atol=0.2)
    assert fitted.converged.all()


def test_a_start_where_no_column_is_does_not_converge():
    rng = np.random.default_rng(5)
    places = lattice((90, 90), 15, 12)
    image = rng.poisson(drawn((90, 90), with_heights(places, 300), 2.5))
    fitted = semrt.refine_columns(image, [*places, (19.5, 19.5), (50, 49)])
    by_source = fitted.converged[np.argsort(fitted.source)]
    assert by_source[: len(places)].all()
    assert not by_source[-2:].any()


@pytest.mark.parametrize(
    "image", [np.zeros((40, 50)), np.full((40, 50), 7.0), np.ones((1, 1)), np.eye(3), np.arange(60.0).reshape(1, 60)]
)
def test_an_image_without_columns_says_that_nothing_is_known(image):
    fitted = semrt.refine_columns(image, [(0, 0), (20, 30)], find_missing=True)
    assert not fitted.converged[fitted.sigma_y > 1].any()
    for values in (fitted.y, fitted.x, fitted.intensity, fitted.background, fitted.chi2):
        assert np.isfinite(values).all()
    assert not np.isnan([*fitted.sigma_y, *fitted.sigma_x, *fitted.intensity_sigma]).any()


def test_no_starts_give_no_columns():
    fitted = semrt.refine_columns(np.ones((20, 20)), [])
    assert len(fitted) == len(fitted.positions) == 0


@pytest.mark.parametrize(
    ("image", "positions", "keywords", "error", "message"),
    [
        (np.zeros(5), [], {}, InvalidShape, "image: expected shape"),
        (np.full((5, 5), np.inf), [], {}, InvalidValue, "image: expected finite counts"),
        (np.zeros((5, 5)), [(1, 2, 3)], {}, InvalidShape, "positions: expected shape"),
        (np.zeros((5, 5)), [(1, np.nan)], {}, InvalidValue, "positions: expected finite"),
        (np.zeros((5, 5)), [], {"sigma": 0.1}, InvalidOption, "sigma: expected a width"),
        (np.zeros((5, 5)), [], {"tail": 0.7}, InvalidOption, "tail: expected a share"),
        (np.zeros((5, 5)), [], {"gain": -1}, InvalidOption, "gain, read_noise, offset"),
        (np.zeros((5, 5)), [], {"threshold": 0}, InvalidOption, "threshold: expected"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(image, positions, keywords, error, message):
    with pytest.raises(error, match=message) as refused:
        semrt.refine_columns(image, positions, **keywords)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("unit", [1e-15, 3e-9, 1e12])
def test_columns_are_as_well_known_in_any_unit(unit):
    image = cases()["square-clean"].image(bound=False)
    starts = np.stack([image.y, image.x], axis=1)
    counted = semrt.refine_columns(image.counts, starts)
    told = semrt.refine_columns(unit * image.counts.astype(np.float64), starts)
    assert told.converged.sum() == counted.converged.sum() > 300
    np.testing.assert_allclose(told.sigma_y, counted.sigma_y, rtol=1e-3)
    np.testing.assert_allclose(told.chi2, counted.chi2, rtol=1e-2)
    np.testing.assert_allclose(told.intensity, unit * counted.intensity, rtol=1e-3)
    assert told.gain == pytest.approx(unit * counted.gain, rel=1e-2)
    given = semrt.refine_columns(unit * image.counts.astype(np.float64), starts, gain=unit, read_noise=2 * unit)
    assert (given.gain, given.variance_floor) == pytest.approx((unit, 4 * unit**2), rel=1e-6)
