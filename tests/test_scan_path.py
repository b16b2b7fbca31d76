import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import scan_path as twin
from semrt.errors import InvalidOption, InvalidShape
from semrt.kernels import mask_statistics
from semrt.scan import PATTERNS, generate

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20))
COVERAGES = st.sampled_from([0.01, 0.05, 0.13, 0.3, 0.62, 1.0])
EXACT = sorted(name for name, pattern in PATTERNS.items() if pattern.exact)
RANDOM = sorted(name for name, pattern in PATTERNS.items() if pattern.random)
TWINS = {
    "raster": twin.raster,
    "snake": twin.snake,
    "interleaved": twin.interleaved,
    "line-hop": twin.line_hop,
    "random-walk": twin.random_walk,
    "archimedean": lambda shape, coverage, **more: twin.spiral(shape, coverage, "archimedean", **more),
    "clv": lambda shape, coverage, **more: twin.spiral(shape, coverage, "clv", **more),
    "fermat": lambda shape, coverage: twin.spiral(
        shape, coverage, "fermat", angle_step=math.radians(PATTERNS["fermat"].parameters["angle_step"][0])
    ),
    "lissajous": lambda shape, coverage: twin.lissajous(shape, coverage, (math.sqrt(5) - 1) / 2, math.pi / 2),
    "hilbert": twin.hilbert,
    "jittered-grid": twin.jittered_grid,
    "random": twin.random_pixels,
}


def few_pixels(shape, coverage):
    """floor(x + 1/2), and never none."""
    return max(1, math.floor(coverage * (shape[0] * shape[1]) + 0.5))


def steps_of(path):
    return np.hypot(*np.diff(path.positions, axis=0).T)


# --------------------------------------------------------------------------------------- what every pattern keeps


@pytest.mark.parametrize("pattern", EXACT)
@settings(deadline=None, max_examples=25)
@given(SHAPES, COVERAGES, st.integers(0, 2**64 - 1))
def test_every_pattern_stays_in_the_field_and_visits_as_many_pixels_as_asked(pattern, shape, coverage, seed):
    if pattern == "lissajous" and coverage > 0.7:
        coverage = 0.7  # its corners take long
    path = generate(pattern, shape, coverage, seed=seed)
    assert not path.blank.any()
    assert (path.positions >= -0.5).all()
    assert (path.positions < np.array(shape) - 0.5).all()
    assert np.count_nonzero(path.visited) == few_pixels(shape, coverage)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
@pytest.mark.parametrize("coverage", [1 / 100, 1 / 20, 1 / 10, 0.5])
def test_every_pattern_covers_a_common_field_within_a_percent(pattern, coverage):
    shape = (240, 320)
    path = generate(pattern, shape, coverage, seed=5)
    # The published spiral has whole pixels for joints, raster and snake whole rows.
    tolerance = 0.5 / 240 if pattern in ("raster", "snake") else 0.01 * coverage
    assert path.coverage == pytest.approx(coverage, abs=tolerance)
    assert path.visited.shape == shape


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_a_seed_gives_one_path_and_another_seed_another_where_chance_has_a_part(pattern):
    first, again, other = (generate(pattern, (40, 50), 0.2, seed=seed).positions for seed in (3, 3, 4))
    np.testing.assert_array_equal(again, first)
    if PATTERNS[pattern].random:
        assert other.shape != first.shape or (other != first).any()
    else:
        np.testing.assert_array_equal(other, first)


@pytest.mark.parametrize("pattern", sorted(TWINS))
@settings(deadline=None, max_examples=15)
@given(SHAPES, COVERAGES, st.integers(0, 2**64 - 1))
def test_every_pattern_is_that_of_its_slow_twin(pattern, shape, coverage, seed):
    if pattern == "lissajous" and coverage > 0.7:
        coverage = 0.7
    drawn = {"seed": seed} if pattern in RANDOM else {}
    expected = TWINS[pattern](shape, coverage, **drawn)
    np.testing.assert_array_equal(generate(pattern, shape, coverage, seed=seed).positions, expected)


@settings(deadline=None, max_examples=15)
@given(SHAPES, COVERAGES, st.integers(0, 99))
def test_patterns_with_parameters_are_those_of_their_twins(shape, coverage, seed):
    centre = (0.3 * shape[0] - 0.4, 0.8 * shape[1] - 0.6)
    for kind in ("archimedean", "clv"):
        drawn = generate(kind, shape, coverage, centre=centre, angle=70.0, keep_outside=True)
        expected = twin.spiral(shape, coverage, kind, centre, math.radians(70), keep_outside=True)
        np.testing.assert_array_equal(drawn.positions, expected)
    if coverage < 0.5:  # arms as smooth as these leave gaps in the centre
        drawn = generate("fermat", shape, coverage, angle_step=40.0)
        expected = twin.spiral(shape, coverage, "fermat", angle_step=math.radians(40))
        np.testing.assert_array_equal(drawn.positions, expected)
    for pattern, slow, parameters in (
        ("interleaved", twin.interleaved, {"skip": 3}),
        ("line-hop", twin.line_hop, {"run": 2, "seed": seed}),
        ("random-walk", twin.random_walk, {"amplitude": 1.2, "seed": seed}),
        ("jittered-grid", twin.jittered_grid, {"jitter": 0.5, "seed": seed}),
    ):
        np.testing.assert_array_equal(
            generate(pattern, shape, coverage, **parameters).positions, slow(shape, coverage, **parameters)
        )


def test_the_twin_draws_the_published_random_numbers():
    assert twin.splitmix64(0)[1] == 0xE220A8397B1DCDAF  # Vigna's splitmix64.c
    words = [1, 2, 3, 4]
    assert [twin.xoshiro256pp(words) for _ in range(3)] == [41943041, 58720359, 3588806011781223]  # rand_xoshiro


# ----------------------------------------------------------------------------------------- what each one promises


@pytest.mark.parametrize("pattern", ["archimedean", "clv", "lissajous", "hilbert", "ede-spiral"])
def test_continuous_paths_visit_pixels_that_touch(pattern):
    kept = {"keep_outside": True} if pattern in ("archimedean", "clv") else {}
    path = generate(pattern, (90, 70), 0.1, **kept)
    pixels = np.floor(path.positions + 0.5)
    inside = ~path.blank[1:] & ~path.blank[:-1]
    steps = np.abs(np.diff(pixels, axis=0)).max(axis=1)[inside]
    jumps = 12 if pattern == "ede-spiral" else 0  # it leaves the field at the corners
    assert np.count_nonzero(steps > 1) <= jumps


@pytest.mark.parametrize("pattern", ["archimedean", "clv"])
def test_kept_corners_are_blanked_and_save_the_jumps(pattern):
    short = generate(pattern, (60, 80), 0.1)
    long = generate(pattern, (60, 80), 0.1, keep_outside=True)
    np.testing.assert_array_equal(long.visited, short.visited)
    np.testing.assert_array_equal(long.positions[~long.blank], short.positions)
    assert long.blank.any()
    assert steps_of(long).max() < 1 < steps_of(short).max()


def test_a_constant_linear_velocity_spiral_has_equal_steps():
    steps = steps_of(generate("clv", (200, 200), 0.1, keep_outside=True))
    np.testing.assert_allclose(steps[20:], 0.99, atol=2.5 / 1024)  # positions are rounded to 1/1024 px


@pytest.mark.parametrize("pattern", ["archimedean", "clv"])
def test_the_arms_of_a_spiral_are_equally_spaced(pattern):
    centre = np.array([99.5, 99.5])
    offset = generate(pattern, (200, 200), 0.1, angle=30).positions - centre
    r, turned = np.hypot(*offset.T), np.unwrap(np.arctan2(offset[:, 0], offset[:, 1]))
    near = (r > 5) & (r < 99)
    slope, start = np.polyfit(turned[near], r[near], 1)
    np.testing.assert_allclose(r[near], slope * turned[near] + start, atol=0.01)
    assert 9 < 2 * np.pi * slope < 10 * 4 / np.pi  # a fine line visits 4/π pixels a px, steps of 1 px a few less than 1
    assert math.remainder(-start / slope - math.radians(30), 2 * np.pi) == pytest.approx(0, abs=0.01)


def test_an_archimedean_spiral_turns_by_equal_angles():
    offset = generate("archimedean", (200, 200), 0.1).positions - 99.5
    r, turned = np.hypot(*offset.T), np.unwrap(np.arctan2(offset[:, 0], offset[:, 1]))
    turned = turned[(r > 20) & (r < 95)]
    np.testing.assert_allclose(np.diff(turned), np.diff(turned).mean(), atol=2 / 1024 / 20)  # positions are rounded


def test_a_fermat_spiral_samples_equal_areas_in_equal_times():
    r = np.hypot(*(generate("fermat", (200, 200), 0.05).positions - 99.5).T)
    inner, outer = np.count_nonzero(r < 49.5), np.count_nonzero(r < 99)
    assert outer == pytest.approx(4 * inner, rel=0.01)
    np.testing.assert_allclose(np.diff(r[:1000] ** 2), np.diff(r[:1000] ** 2).mean(), atol=0.3)


def test_the_published_spiral_has_the_published_coverages():
    realised = [1 / generate("ede-spiral", (512, 512), nominal=c).coverage for c in (16, 25, 36, 49, 64, 81, 100)]
    np.testing.assert_allclose(realised, [17.9, 27.3, 38.2, 50.0, 60.5, 73.7, 87.0], atol=0.05)


def test_the_published_spiral_at_a_twentieth_has_as_many_pixels_as_its_authors_drew():
    visited = generate("ede-spiral", (512, 512), nominal=20).visited
    assert np.count_nonzero(visited) == 11871
    around = sum(np.roll(visited, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    assert np.count_nonzero(around[1:-1, 1:-1]) / 512**2 == pytest.approx(0.1746, abs=0.002)


@settings(deadline=None, max_examples=8)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.sampled_from([1.5, 4.0, 16.0]))
def test_the_published_spiral_is_that_of_its_slow_twin(shape, nominal):
    np.testing.assert_array_equal(
        generate("ede-spiral", shape, nominal=nominal).positions, np.reshape(twin.ede_spiral(shape, nominal), (-1, 2))
    )


def test_a_raster_goes_row_by_row_and_a_snake_comes_back():
    rows = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    np.testing.assert_array_equal(generate("raster", (2, 3)).positions, rows)
    np.testing.assert_array_equal(generate("snake", (2, 3)).positions, rows[:3] + rows[:2:-1])


def test_a_sparse_raster_spreads_its_rows_evenly():
    rows = np.unique(generate("raster", (100, 7), 0.05).positions[:, 0])
    np.testing.assert_array_equal(rows, [10, 30, 50, 70, 90])


@pytest.mark.parametrize("shape", [(16, 16), (24, 40), (30, 12), (15, 9), (1, 7)])
def test_the_hilbert_curve_visits_every_pixel_once_and_never_jumps(shape):
    path = generate("hilbert", shape)
    assert len(path.positions) == shape[0] * shape[1] == np.count_nonzero(path.visited)
    steps = steps_of(path)
    assert steps.max() <= math.sqrt(2)
    assert np.count_nonzero(steps > 1) <= 1  # one diagonal step where both sides are odd


@pytest.mark.parametrize("coverage", [0.06, 0.1, 0.3, 0.7])
def test_a_sparse_hilbert_curve_leaves_no_corner_out(coverage):
    visited = generate("hilbert", (200, 300), coverage).visited
    for half in (visited[:, :150], visited[:, 150:]):
        for quarter in (half[:100], half[100:]):
            assert quarter.mean() == pytest.approx(coverage, rel=0.1)


@pytest.mark.parametrize("coverage", [1.0, 0.25, 0.05])
def test_interleaved_passes_keep_successive_samples_apart(coverage):
    path = generate("interleaved", (60, 60), coverage, skip=4)
    assert steps_of(path).min() >= 4
    assert np.unique(path.positions, axis=0).shape == path.positions.shape


def test_the_second_pass_of_an_interleaved_scan_lies_in_the_middle_of_the_first():
    first, second = generate("interleaved", (8, 8), 2 / 16, skip=4).positions.reshape(2, 4, 2)
    np.testing.assert_array_equal((second - first) % 4, np.full((4, 2), 2))


def test_line_hops_move_on_by_a_pixel_and_stay_in_their_band():
    path = generate("line-hop", (64, 100), 1 / 8, run=10, seed=1)
    bands = path.positions.reshape(8, 100, 2)
    for i, band in enumerate(bands):
        assert (band[:, 0] // 8 == i).all()
        np.testing.assert_array_equal(np.diff(band[:, 1]), 1 if i % 2 == 0 else -1)
        hops = np.flatnonzero(np.diff(band[:, 0]))
        assert (np.diff(hops) % 10 == 0).all()
    assert len(np.unique(path.positions[:, 0])) > 30


def test_random_walks_stray_by_a_pixel_at_most():
    path = generate("random-walk", (100, 100), 0.08, seed=2)
    steps = np.abs(np.diff(path.positions, axis=0)).max(axis=1)
    lines = np.count_nonzero(steps > 1) + 1
    assert 6 <= lines <= 12  # 8 % of 100 lines, crossing each other
    straight = generate("random-walk", (100, 100), 0.08, seed=2, amplitude=0)
    assert len(np.unique(straight.positions[:, 0])) == 100  # whole columns
    assert np.count_nonzero(straight.visited.sum(axis=1) > 50) <= 6


def test_jitter_spreads_samples_more_evenly_than_chance():
    gap = {
        name: mask_statistics(generate(name, (256, 256), 0.02, seed=1).visited) for name in ("random", "jittered-grid")
    }
    assert gap["jittered-grid"].largest_gap < 0.75 * gap["random"].largest_gap
    regular = generate("jittered-grid", (100, 100), 0.01, jitter=0.0)
    np.testing.assert_array_equal(np.unique(regular.positions), np.arange(4, 100, 10))


def test_random_pixels_are_uniform_and_none_comes_twice():
    path = generate("random", (64, 64), 1.0, seed=9)
    assert np.count_nonzero(path.visited) == len(path.positions) == 64**2
    counts = np.zeros((8, 8))
    for seed in range(60):
        y, x = generate("random", (64, 64), 0.05, seed=seed).positions.astype(int).T
        np.add.at(counts, (y // 8, x // 8), 1)
    expected = 60 * few_pixels((64, 64), 0.05) / 64
    assert (abs(counts - expected) < 5 * math.sqrt(expected)).all()


def test_lissajous_figures_touch_all_four_borders():
    visited = generate("lissajous", (50, 80), 0.3).visited
    for border in (visited[0], visited[-1], visited[:, 0], visited[:, -1]):
        assert border.any()


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "parameters", "words"),
    [
        (("spriral", (9, 9), 0.1), {}, "unknown"),
        (("archimedean", (9, 9), 0.1), {"anlge": 3}, "did you mean 'angle'"),
        (("random", (9, 9), 0.0), {}, "coverage"),
        (("random", (9, 9), 1.01), {}, "coverage"),
        (("random", (9, 9), math.nan), {}, "coverage"),
        (("random", (9, 9), 0.1), {"seed": -1}, "seed"),
        (("clv", (9, 9), 0.1), {"centre": (12, 3)}, "centre"),
        (("clv", (9, 9), 0.1), {"angle": math.inf}, "angle"),
        (("clv", (1, 400_000), 0.5), {}, "elongated"),
        (("fermat", (9, 9), 0.1), {"angle_step": 0}, "angle_step"),
        (("fermat", (99, 99), 1.0), {"angle_step": 90.0}, "cannot visit so many"),
        (("line-hop", (9, 9), 0.1), {"run": 0}, "run"),
        (("random-walk", (9, 9), 0.1), {"amplitude": -1}, "amplitude"),
        (("jittered-grid", (9, 9), 0.1), {"jitter": 1.5}, "jitter"),
        (("interleaved", (9, 9), 0.1), {"skip": 0}, "skip"),
        (("lissajous", (9, 9), 0.1), {"ratio": -1}, "ratio"),
        (("lissajous", (9, 9), 1.0), {"ratio": 1.0}, "cannot visit so many"),
        (("ede-spiral", (64, 64), 1.0), {}, "cannot visit so many"),
        (("ede-spiral", (64, 64), 0.1), {"nominal": 16}, "leave out one"),
        (("ede-spiral", (64, 64)), {"nominal": 0}, "nominal"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(arguments, parameters, words):
    with pytest.raises(InvalidOption, match=words):
        generate(*arguments, **parameters)


@pytest.mark.parametrize("shape", [(0, 4), (4,), (3, 4, 5), (2**16, 2**16)])
def test_a_field_that_is_none_is_refused(shape):
    with pytest.raises(InvalidShape, match="shape"):
        generate("random", shape, 0.1)


def test_every_parameter_has_a_meaning_and_every_pattern_a_summary():
    for name, pattern in PATTERNS.items():
        assert pattern.name == name
        assert pattern.summary
        assert all(meaning for _, meaning in pattern.parameters.values())
