"""Places of columns: the fit to the counts and the network's map, weighed."""

import numpy as np
import pytest

from semrt.tasks.column_places import NETWORK, MapPrecision, weighed

UNIT = np.ones(2)


def drawn(sigma, precision, n=4000, seed=0):
    """Errors of the fit and of the map as `precision` describes them."""
    common, own = np.random.default_rng(seed).standard_normal((2, n, 2))
    of_map = np.hypot(precision.least, precision.share * sigma)
    rho = precision.correlation
    return sigma * common, of_map * (rho * common + np.sqrt(1 - rho**2) * own)


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


@pytest.mark.parametrize("sigma", [0.15, 0.3, 0.8])
def test_the_two_together_are_better_than_either_and_say_how_good_they_are(sigma):
    fit, seen = drawn(sigma, NETWORK)
    places, stated = weighed(fit, np.full(fit.shape, sigma), seen, UNIT, NETWORK)
    assert rms(places) < 1.01 * min(rms(fit), rms(seen))
    np.testing.assert_allclose(rms(places), rms(stated), rtol=0.03)


def test_by_hand_independent_estimates_are_weighed_by_their_inverse_variances():
    precision = MapPrecision(least=2.0, share=0.0, correlation=0.0)
    places, stated = weighed(np.zeros((9, 2)), np.ones((9, 2)), np.ones((9, 2)), UNIT, precision)
    np.testing.assert_allclose(places, 0.2)  # 1 / (1 + 4) of the way
    np.testing.assert_allclose(stated, np.sqrt(4 / 5))


def test_where_the_counts_are_clear_the_map_has_no_say():
    fit, seen = drawn(0.05, NETWORK)
    places, stated = weighed(fit, np.full(fit.shape, 0.05), seen, UNIT, NETWORK)
    np.testing.assert_array_equal(places, fit)
    np.testing.assert_allclose(stated, 0.05)


def test_the_scale_of_the_map_is_that_of_its_pixels():
    fit, seen = drawn(0.3, NETWORK)
    one = weighed(fit, np.full(fit.shape, 0.3), seen, UNIT, NETWORK)
    half = weighed(2 * fit, np.full(fit.shape, 0.6), 2 * seen, UNIT / 2, NETWORK)
    np.testing.assert_allclose(half, np.multiply(one, 2))


def test_a_fit_at_odds_with_the_map_all_over_the_image_is_less_certain_than_it_says():
    _, seen = drawn(0.05, NETWORK)
    astray = np.random.default_rng(1).normal(0, 2, seen.shape)
    places, stated = weighed(astray, np.full(seen.shape, 0.05), seen, UNIT, NETWORK)
    assert rms(places) < 0.2
    assert rms(places) < 1.3 * rms(stated)
