"""The circular Hough transform, against its twin and against disks drawn at known places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrt
from reference.hough import find_circles as find_circles_slowly
from semrt.errors import InvalidOption, InvalidShape, InvalidValue


def disks(shape, centres, radii, softness=0.7):
    """Disks of probability 1, their edges sigmoids of the distance; where they overlap, the larger value."""
    y, x = np.indices(shape)
    drawn = np.zeros(shape)
    for (yc, xc), radius in zip(centres, np.broadcast_to(radii, len(centres)), strict=True):
        inside = np.clip((radius - np.hypot(y - yc, x - xc)) / softness, -50, 50)
        drawn = np.maximum(drawn, 1 / (1 + np.exp(-inside)))
    return drawn.astype(np.float32)


def lattice(rng, shape, spacing, jitter):
    """(n, 2), hexagonal, jittered; every centre at least a spacing from the border."""
    ny, nx = shape
    rows = np.arange(spacing, ny - spacing, spacing * np.sqrt(3) / 2)
    places = [
        (y, x + i % 2 * spacing / 2)
        for i, y in enumerate(rows)
        for x in np.arange(spacing, nx - 1.5 * spacing, spacing)
    ]
    return np.array(places) + rng.normal(0, jitter, (len(places), 2)) + rng.uniform(-0.5, 0.5, 2)


def nearest(found, true):
    """For each true centre the distance to the nearest that was found."""
    return np.linalg.norm(true[:, None] - found[None], axis=-1).min(axis=1)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 48), st.integers(1, 48)),
    n=st.integers(0, 9),
    radius=st.floats(1.5, 6),
    widening=st.sampled_from([1.05, 1.3, 2.0]),
    noise=st.sampled_from([0.0, 0.05, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_circles_are_those_of_the_twin(shape, n, radius, widening, noise, seed):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-1, 1, (n, 2)) + rng.random((n, 2)) * shape
    probability = disks(shape, centres, radius * rng.uniform(0.8, 1.2, n))
    probability = np.clip(probability + noise * rng.standard_normal(shape), 0, 1).astype(np.float32)
    radii, distance = (radius / widening, radius * widening), max(1.0, 0.8 * radius)
    found = semrt.find_circles(probability, radii, min_distance=distance, threshold=0.1)
    wanted = find_circles_slowly(probability, *radii, distance, 0.1)
    assert len(found) == len(wanted)
    np.testing.assert_allclose(np.stack([found.y, found.x, found.radius, found.score], 1), wanted, atol=2e-3)


def test_hough_finds_disks_drawn_at_known_positions():
    rng = np.random.default_rng(0)
    true = lattice(rng, (256, 200), 20, jitter=1.0)
    found = semrt.find_circles(disks((256, 200), true, 5.0), 5.0)
    assert len(found) == len(true)
    assert nearest(found.positions, true).max() < 0.03
    np.testing.assert_allclose(found.radius, 5.0, atol=0.1)
    assert 0.8 < found.score.min() < found.score.max() < 1.1


def test_every_radius_in_the_range_is_found_and_measured():
    radii = np.array([3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    true = np.array([(20.3, 22.0 * (i + 1) + 0.4) for i in range(6)])
    found = semrt.find_circles(disks((40, 160), true, radii), (3, 8), min_distance=8)
    order = np.argsort(found.x)
    np.testing.assert_allclose(found.positions[order], true, atol=0.05)
    np.testing.assert_allclose(found.radius[order], radii, atol=0.1)


def test_touching_disks_stay_apart_and_keep_their_centres():
    rng = np.random.default_rng(1)
    true = lattice(rng, (300, 300), 10, jitter=0.4)
    found = semrt.find_circles(disks((300, 300), true, 5.0), 5.0)
    assert len(found) == len(true)
    assert np.sqrt(np.mean(nearest(found.positions, true) ** 2) / 2) < 0.12


def test_a_disk_beside_a_larger_one_is_not_pulled_towards_it():
    true = np.array([(20.0, 20.0), (20.0, 32.0)])
    found = semrt.find_circles(disks((40, 50), true, [7.0, 5.0]), (4, 8))
    assert nearest(found.positions, true).max() < 0.15


def test_a_disk_of_half_the_probability_has_about_half_the_score_and_the_same_centre():
    whole = disks((40, 40), [(19.3, 20.6)], 6.0)
    one, half = semrt.find_circles(whole, 6.0), semrt.find_circles(0.5 * whole, 6.0)
    assert half.score[0] == pytest.approx(
        0.5 * one.score[0], rel=0.1
    )  # a little less: its faint outer edge does not vote
    np.testing.assert_allclose(half.positions, one.positions, atol=0.01)
    np.testing.assert_allclose(half.radius, one.radius, atol=0.01)


@pytest.mark.parametrize("centre", [(20, 20), (20.5, 20), (20, 20.5), (20.5, 20.5)])
def test_a_centre_between_pixels_whose_votes_tie_is_found_once(centre):
    found = semrt.find_circles(disks((41, 42), [centre], 6.0), 6.0)
    np.testing.assert_allclose(found.positions, [centre], atol=1e-3)


def test_equal_disks_are_all_found_and_told_in_the_order_of_their_places():
    true = np.array([(12.0 + 16 * i, 12.0 + 16 * j) for i in range(4) for j in range(5)])
    found = semrt.find_circles(disks((80, 100), true, 5.0, softness=0.5), 5.0)
    assert len(found) == 20
    assert nearest(found.positions, true).max() < 1e-3
    order = np.lexsort((found.x, found.y, -found.score))
    np.testing.assert_array_equal(order, np.arange(20))


def test_disks_cut_by_the_border_count_if_their_centres_are_in_the_field():
    found = semrt.find_circles(disks((40, 60), [(1.0, 20.0), (20.0, 57.0), (-4.0, 45.0)], 5.0), 5.0)
    assert len(found) == 2
    assert nearest(found.positions, np.array([(1.0, 20.0), (20.0, 57.0)])).max() < 2.5


def test_an_empty_a_constant_and_a_tiny_map_hold_no_circle():
    for probability in (np.zeros((30, 40)), np.ones((30, 40)), np.full((1, 1), 0.5)):
        found = semrt.find_circles(probability, (2, 4), threshold=0)
        assert len(found) == len(found.positions) == 0


def test_noise_alone_stays_below_the_default_threshold():
    rng = np.random.default_rng(2)
    for radius in (3.0, 6.0, 12.0):
        assert len(semrt.find_circles(np.clip(0.1 + 0.1 * rng.standard_normal((200, 200)), 0, 1), radius)) == 0


def test_circles_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(3)
    true = lattice(rng, (300, 260), 11, jitter=1.0)
    probability = np.clip(disks((300, 260), true, 5.0) + 0.1 * rng.standard_normal((300, 260)), 0, 1)
    one, three = (semrt.find_circles(probability, 5.0, n_threads=n) for n in (1, 3))
    for name in ("y", "x", "radius", "score"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


def test_turning_the_map_turns_the_circles():
    rng = np.random.default_rng(4)
    probability = disks((120, 90), lattice(rng, (120, 90), 14, jitter=1.0), 5.0)
    upright, turned = semrt.find_circles(probability, 5.0), semrt.find_circles(probability.T, 5.0)
    assert len(upright) == len(turned)
    assert nearest(turned.positions[:, ::-1], upright.positions).max() < 0.01


@pytest.mark.parametrize(
    ("probability", "keywords", "error", "message"),
    [
        (np.zeros(5), {}, InvalidShape, "probability: expected shape"),
        (np.zeros((0, 5)), {}, InvalidShape, "at least one pixel"),
        (np.full((5, 5), np.nan), {}, InvalidValue, "expected finite values, got NaN"),
        (np.full((5, 5), 255.0), {}, InvalidValue, "from 0 to 1, got 255 to 255; scale"),
        (np.zeros((5, 5)), {"radii": (4, 2)}, InvalidOption, "radii: expected r or"),
        (np.zeros((5, 5)), {"radii": 0}, InvalidOption, "radii: expected r or"),
        (np.zeros((5, 5)), {"radii": (1, 2, 3)}, InvalidOption, "radii: expected r or"),
        (np.zeros((5, 5)), {"radii": (1, np.nan)}, InvalidOption, "radii: expected r or"),
        (np.zeros((5, 5)), {"min_distance": 0.5}, InvalidOption, "min_distance: expected 1 px or more"),
        (np.zeros((5, 5)), {"threshold": -1}, InvalidOption, "threshold: expected a score"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(probability, keywords, error, message):
    with pytest.raises(error, match=message) as refused:
        semrt.find_circles(probability, **({"radii": 3} | keywords))
    assert "\n" not in str(refused.value)
