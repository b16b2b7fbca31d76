"""Which columns are near one another, and keeping them apart."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt.simulate.columns.neighbours import apart, neighbour_table, pairs, pushed_apart


@given(st.integers(0, 60), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_pairs_and_neighbours_are_those_of_brute_force(n, seed):
    y, x = np.random.default_rng(seed).uniform(-20, 20, (2, n))
    between = np.hypot(y[:, None] - y, x[:, None] - x)
    np.fill_diagonal(between, np.inf)
    i, j = pairs(y, x, 7.0)
    found = np.zeros((n, n), bool)
    found[i, j] = True
    assert len(i) == found.sum()
    np.testing.assert_array_equal(found, between < 7)
    table = neighbour_table(y, x, n // 2, 7.0, 5)
    for k, row in enumerate(table):
        near = np.argsort(between[k])[: min(5, np.count_nonzero(between[k] < 7))]
        assert row[row >= 0].tolist() == near.tolist()


@given(st.integers(0, 80), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_points_kept_apart_are_apart_and_as_many_as_can_be(n, seed):
    y, x = np.random.default_rng(seed).uniform(0, 30, (2, n))
    kept = apart(y, x, 4.0)
    assert not len(pairs(y[kept], x[kept], 4.0)[0])
    for k in np.flatnonzero(~kept):  # each that went has an earlier one that stayed
        assert np.hypot(y[:k] - y[k], x[:k] - x[k])[kept[:k]].min() < 4


def test_points_pushed_apart_move_apart_and_leave_the_others_alone():
    y, x = pushed_apart(np.array([0.0, 0.0, 50.0]), np.array([0.0, 3.0, 0.0]), 5.0)
    np.testing.assert_allclose(x, [-1, 4, 0], atol=0.01)
    np.testing.assert_array_equal(y, [0, 0, 50])
