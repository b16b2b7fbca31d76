"""Reconstructions from tilt series: against their twins, against what is known, and against each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import tilt as twin
from semrt.errors import InvalidOption, InvalidShape
from semrt.kernels import reconstruct_sirt, reconstruct_tv
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import FILTERS, angular_weights, noise_of, sirt, tv, wbp

TILTS = np.arange(-60.0, 61, 5)


def grains(n, finer=1):
    """(n, n): three disks of density 1, 0.5 and 1, the middle at the middle of the field."""
    places = (np.arange(n * finer) + 0.5) / finer - n / 2
    z, x = np.meshgrid(places, places, indexing="ij")
    drawn = np.zeros(z.shape)
    for zc, xc, radius, density in ((-0.2, 0.15, 0.13, 1.0), (0.2, -0.18, 0.16, 0.5), (0.1, 0.22, 0.08, 1.0)):
        drawn[np.hypot(z - zc * n, x - xc * n) <= radius * n] = density
    return drawn.reshape(n, finer, n, finer).mean(axis=(1, 3)).astype(np.float32)


def measured(n, angles, noise=0.0, seed=0):
    """(tilt, 1, n) of grains drawn twice as fine and seen by pixels half as large, then put together by twos."""
    fine = TiltGeometry(angles, (2 * n, 2 * n)).project(grains(2 * n, 4)[:, None])
    series = fine.reshape(len(angles), 1, n, 2).mean(axis=-1) / 2
    return series + noise * np.random.default_rng(seed).standard_normal(series.shape).astype(np.float32)


def rms(a, b):
    return float(np.sqrt(np.mean((np.asarray(a, float) - b) ** 2)))


problems = {
    "shape": st.tuples(st.integers(1, 8), st.integers(1, 3), st.integers(1, 8)),
    "angles": st.lists(st.floats(-90, 90), min_size=1, max_size=7),
    "n_detector": st.integers(1, 12),
    "axis_offset": st.floats(-3, 3),
    "nonnegative": st.booleans(),
    "seed": st.integers(0, 2**32 - 1),
}


def a_problem(shape, angles, n_detector, axis_offset, seed):
    rng = np.random.default_rng(seed)
    (nz, ny, nx), n = shape, len(angles)
    matrix = twin.tilt_matrix(angles, (nz, nx), n_detector, axis_offset)
    series = rng.normal(1, 1, (n, ny, n_detector)).astype(np.float32)
    return matrix, series, rng.random(shape, dtype=np.float32)


@settings(max_examples=30, deadline=None)
@given(**problems, relaxation=st.sampled_from([0.5, 1.0, 1.7]))
def test_sirt_is_that_of_the_twin(shape, angles, n_detector, axis_offset, nonnegative, seed, relaxation):
    matrix, series, start = a_problem(shape, angles, n_detector, axis_offset, seed)
    found = reconstruct_sirt(
        series,
        angles,
        shape[::2],
        axis_offset=axis_offset,
        iterations=5,
        nonnegative=nonnegative,
        start=start,
        relaxation=relaxation,
    )
    seen = matrix.sum(axis=0).reshape(shape[::2]) > 1e-4  # what rays barely touch hangs on rounding
    for y in range(shape[1]):
        wanted = twin.sirt(matrix, series[:, y].ravel(), start[:, y].ravel(), 5, relaxation, nonnegative)
        np.testing.assert_allclose(found[:, y][seen], wanted.reshape(shape[::2])[seen], atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(**problems, weight=st.sampled_from([0.0, 1e-3, 0.1, 1.0]))
def test_tv_is_that_of_the_twin(shape, angles, n_detector, axis_offset, nonnegative, seed, weight):
    matrix, series, start = a_problem(shape, angles, n_detector, axis_offset, seed)
    found = reconstruct_tv(
        series,
        angles,
        shape[::2],
        weight=weight,
        axis_offset=axis_offset,
        iterations=20,
        nonnegative=nonnegative,
        start=start,
    )
    for y in range(shape[1]):
        wanted = twin.tv(matrix, series[:, y].ravel(), start[:, y], 20, weight, nonnegative)
        np.testing.assert_allclose(found[:, y], wanted, atol=2e-3)


def test_tv_finds_the_least_of_what_it_minimises():
    rng = np.random.default_rng(0)
    angles, weight = np.arange(-60.0, 61, 20), 0.3
    geometry = TiltGeometry(angles, (16, 16))
    series = geometry.project(grains(16)[:, None]) + 0.1 * rng.standard_normal((7, 1, 16)).astype(np.float32)
    matrix = twin.tilt_matrix(angles, (16, 16), 16)

    def objective(density):
        return twin.tv_objective(matrix, series.ravel(), density, weight)

    found = tv(series, geometry, weight=weight, iterations=4000)[:, 0].astype(float)
    other = tv(series, geometry, weight=weight, iterations=4000, start=rng.random((16, 1, 16)))[:, 0].astype(float)
    least = objective(found)
    assert objective(other) == pytest.approx(least, rel=1e-4)
    assert (found >= 0).all()
    for step in (1e-3, 1e-2, 0.1):
        for direction in (rng.standard_normal((16, 16)), grains(16) - found, -found, np.ones((16, 16))):
            assert objective(np.maximum(found + step * direction, 0)) >= least * (1 - 1e-5)


def test_as_many_iterations_of_tv_as_by_default_come_near_the_least():
    series = measured(40, TILTS, noise=1.0)
    geometry, weight = TiltGeometry(TILTS, (40, 40)), 7.5  # = 1.5 · √25 tilts · noise
    matrix = twin.tilt_matrix(TILTS, (40, 40), 40)
    short, long = (
        twin.tv_objective(matrix, series.ravel(), found[:, 0].astype(float), weight)
        for found in (tv(series, geometry, weight=weight, iterations=n) for n in (120, 2000))
    )
    assert short < 1.02 * long


def test_sirt_without_noise_comes_to_what_was_projected():
    angles = np.arange(-90.0, 90, 6)
    density = grains(32)[:, None]
    geometry = TiltGeometry(angles, (32, 32), 46)
    errors = [rms(sirt(geometry.project(density), geometry, iterations=n), density) for n in (10, 100, 1000)]
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]
    assert errors[2] < 0.02


def test_what_is_right_already_stays():
    density = grains(32)[:, None]
    geometry = TiltGeometry(TILTS, (32, 32), 46)
    found = sirt(geometry.project(density), geometry, iterations=5, start=density)
    np.testing.assert_allclose(found, density, atol=1e-5)


@pytest.mark.parametrize("name", FILTERS)
def test_tilts_all_around_give_back_the_density(name):
    angles = np.arange(-90.0, 90, 1.5)
    found = wbp(measured(64, angles), TiltGeometry(angles, (64, 64)), filter=name)[:, 0]
    z, x = np.indices((64, 64)) - 31.5
    for zc, xc, density in ((-0.2, 0.15, 1.0), (0.2, -0.18, 0.5), (-0.2, -0.2, 0.0)):
        inside = np.hypot(z - zc * 64, x - xc * 64) < 5
        assert found[inside].mean() == pytest.approx(density, abs=0.01)


def test_uneven_steps_count_by_the_angle_they_stand_for():
    angles = np.concatenate([np.arange(-90.0, 0, 3), np.arange(0, 90, 1)])
    shuffled = np.random.default_rng(0).permutation(angles)
    found = wbp(measured(64, shuffled), TiltGeometry(shuffled, (64, 64)), filter="hann")[:, 0]
    even = np.arange(-90.0, 90, 1.5)
    wanted = wbp(measured(64, even), TiltGeometry(even, (64, 64)), filter="hann")[:, 0]
    assert rms(found, wanted) < 0.01


@pytest.mark.parametrize(
    ("angles", "degrees"),
    [
        ([0, 60, 120], [60, 60, 60]),
        ([120, 0, 60], [60, 60, 60]),
        ([-60, -58, -56], [2, 2, 2]),  # a wedge: no more outwards than inwards
        ([10, -60, 60], [60, 65, 55]),
        ([-90, 0, 90], [45, 90, 45]),  # -90 and 90 are one direction
        ([5], [180]),
        ([-75, -70, -60], [5, 7.5, 10]),
    ],
)
def test_a_projection_stands_for_the_angle_to_its_neighbours(angles, degrees):
    np.testing.assert_allclose(np.rad2deg(angular_weights(angles)), degrees, atol=1e-9)


def test_with_a_wedge_missing_tv_is_better_than_sirt_and_sirt_better_than_back_projection():
    truth, series = grains(64, 4), measured(64, TILTS, noise=0.7)
    geometry = TiltGeometry(TILTS, (64, 64))
    errors = [rms(solve(series, geometry)[:, 0], truth) for solve in (tv, sirt, wbp)]
    assert errors[0] < 0.7 * errors[1] < 0.7 * 0.8 * errors[2]


def test_noise_is_told_from_the_series_itself():
    for noise in (2.0, 10.0):
        assert noise_of(measured(64, TILTS, noise)) == pytest.approx(noise, rel=0.1)
    with pytest.raises(InvalidShape, match="ns 3 or more"):
        noise_of(np.zeros((3, 4, 2)))


def test_an_axis_beside_the_middle_is_made_up_for():
    density = grains(48)[:, None]
    middle = TiltGeometry(TILTS, (48, 48), 80)
    beside = TiltGeometry(TILTS, (48, 48), 80, axis_offset=4)
    for solve in (wbp, sirt, tv):
        wanted = solve(middle.project(density), middle)
        np.testing.assert_allclose(solve(beside.project(density), beside), wanted, atol=2e-3)


@pytest.mark.parametrize("solve", [wbp, sirt, tv])
def test_reconstructions_of_a_stack_are_those_of_its_slices_with_any_number_of_threads(solve):
    density = np.stack([grains(32), grains(32).T, grains(32)[::-1]], axis=1)
    geometry = TiltGeometry(TILTS, (32, 32), 40)
    series = geometry.project(density)
    chosen = {"weight": 0.1} if solve is tv else {}
    found = [solve(series, geometry, n_threads=n, **chosen) for n in (1, 2, 5)]
    for other in (*found[1:], np.concatenate([solve(series[:, [y]], geometry, **chosen) for y in range(3)], axis=1)):
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("solve", [sirt, tv])
def test_a_large_slice_shared_by_threads_is_the_same(solve):
    geometry = TiltGeometry(np.linspace(-60, 70, 30), (530, 540))
    series = np.random.default_rng(0).random((30, 1, 540), dtype=np.float32)
    one, three = (solve(series, geometry, iterations=2, n_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("solve", [wbp, sirt, tv])
@pytest.mark.parametrize("n_threads", [1, 4])
def test_progress_is_told_up_to_the_end_and_may_end_the_work(solve, n_threads):
    geometry = TiltGeometry(TILTS, (16, 16))
    series = geometry.project(np.ones((16, 5, 16), np.float32))
    chosen = {} if solve is wbp else {"iterations": 7}
    told = []
    solve(series, geometry, progress=lambda *done: told.append(done), n_threads=n_threads, **chosen)
    total = len(TILTS) + 1 if solve is wbp else 5 * 7
    assert told == [(i + 1, total) for i in range(total)]

    class EnoughError(Exception):
        pass

    def enough(done, total):
        told.append(done)
        if done == 3:
            raise EnoughError

    told.clear()
    with pytest.raises(EnoughError):
        solve(series, geometry, progress=enough, n_threads=n_threads, **chosen)
    assert told == [1, 2, 3]


@pytest.mark.parametrize(
    ("solve", "given", "said"),
    [
        (wbp, {"filter": "han"}, "filter 'han' is unknown; did you mean 'hann'"),
        (sirt, {"iterations": 0}, "iterations: expected one or more, got 0"),
        (sirt, {"relaxation": 2}, "relaxation: expected above 0 and below 2, got 2"),
        (tv, {"weight": -1}, "weight: expected 0 or more, got -1"),
        (tv, {"weight": np.nan}, "weight: expected 0 or more, got nan"),
    ],
)
def test_options_that_mean_nothing_are_refused(solve, given, said):
    with pytest.raises(InvalidOption, match=said):
        solve(np.zeros((25, 1, 8)), TiltGeometry(TILTS, (8, 8)), **given)


def test_a_series_or_a_start_of_another_shape_is_refused():
    geometry = TiltGeometry(TILTS, (8, 9))
    for solve in (wbp, sirt, tv):
        with pytest.raises(InvalidShape, match=r"series: expected shape \(25, ny, 9\)"):
            solve(np.zeros((25, 1, 8)), geometry)
    with pytest.raises(InvalidShape, match=r"start: expected shape \(8, 2, 9\)"):
        sirt(np.zeros((25, 2, 9)), geometry, start=np.zeros((8, 1, 9)))


def test_equal_tilts_share_what_one_would_stand_for():
    np.testing.assert_allclose(angular_weights([10, 10, 10]).sum(), np.pi)
