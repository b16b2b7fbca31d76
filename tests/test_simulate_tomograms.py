"""Simulated tomograms: phantoms that go on in space, and the tilt series that a microscope records of them."""

import json
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt.errors import InvalidOption, InvalidShape
from semrt.simulate.tomograms import (
    KINDS,
    Grid,
    Recording,
    draw,
    phantom,
    record,
)
from semrt.simulate.tomograms.grid import pack, paint, rotation, waves, window
from semrt.simulate.tomograms.solids import FACETS, ball, ellipsoid, hollow, polyhedron, rod, twin

ANGLES = np.arange(-60.0, 61, 5)
STILL = Recording(1e6)  # hardly any noise


def rng(seed=0):
    return np.random.default_rng(seed)


def solid(distance, grid=None, centre=(0.0, 0.0, 0.0), level=1.0):
    """A density that holds one solid alone."""
    grid = Grid((40, 40, 40), 2) if grid is None else grid
    density = grid.vacuum()
    w = window(grid, centre, math.inf)
    paint(density, w.at, distance(w), level, grid.edge)
    return density


# --- solids


SOLIDS = {  # distance, and the volume that geometry tells [px³]
    "ball": (lambda w: ball(w, 12), 4 / 3 * math.pi * 12**3),
    "shell": (lambda w: hollow(ball(w, 12), 3), 4 / 3 * math.pi * (12**3 - 9**3)),
    "ellipsoid": (lambda w: ellipsoid(w, 14, 9, 11), 4 / 3 * math.pi * 14 * 9 * 11),
    "capsule": (lambda w: rod(w, 9, 5), math.pi * 25 * 18 + 4 / 3 * math.pi * 125),
    "hexagonal rod": (lambda w: rod(w, 9, 5, 6), 2 * math.sqrt(3) * 25 * 18),
    "cube": (lambda w: polyhedron(w, "cube", 15), (2 * 15 / math.sqrt(3)) ** 3),
    "octahedron": (lambda w: polyhedron(w, "octahedron", 15), 4 / 3 * 15**3),
    "cuboctahedron": (lambda w: polyhedron(w, "cuboctahedron", 15), 5 / 3 * math.sqrt(2) * 15**3),
    "rhombic dodecahedron": (lambda w: polyhedron(w, "rhombic dodecahedron", 15), 2 * 15**3),
    "icosahedron": (lambda w: polyhedron(w, "icosahedron", 15), 2.53615 * 15**3),
    "twinned octahedron": (  # half of it, and its mirror image
        lambda w: polyhedron(twin(w, np.array([1.0, 1.0, 1.0]) / math.sqrt(3))[0], "octahedron", 15),
        4 / 3 * 15**3,
    ),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_a_solid_has_the_volume_that_geometry_tells(name):
    distance, volume = SOLIDS[name]
    for turn in map(rotation, map(rng, range(4))):
        density = solid(lambda w, turn=turn: distance(w.turned(turn)))
        assert density.sum() / 4 == pytest.approx(volume, rel=0.012)  # four samples a voxel


@pytest.mark.parametrize("form", FACETS)
def test_a_polyhedron_just_fits_its_sphere(form):
    w = window(Grid((64, 64, 64), 1), (0.0, 0.0, 0.0), math.inf)
    inside = polyhedron(w, form, 30) < 0
    reach = (ball(w, 0) * inside).max()
    assert 26.5 < reach < 30.5


def test_a_rotation_turns_without_stretching():
    for seed in range(20):
        turn = rotation(rng(seed)).astype(np.float64)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(turn) == pytest.approx(1)


def test_a_solid_is_drawn_where_it_is_asked_for_in_px_from_the_middle():
    grid = Grid((31, 20, 41), 3, margin=4)
    truth = grid.pooled(solid(lambda w: ball(w, 4), grid, (5.0, -2.5, -9.0)))
    z, y, x = (
        np.average(np.arange(n) - (n - 1) / 2, weights=truth.sum(others))
        for n, others in zip(truth.shape, ((1, 2), (0, 2), (0, 1)), strict=True)
    )
    assert truth.shape == (31, 20, 41)
    assert (z, y, x) == pytest.approx((5, -2.5, -9), abs=0.01)


def test_waves_have_the_wavelength_and_the_strength_that_was_asked_for():
    fields = np.stack([waves(rng(seed), Grid((64, 4, 64), 1), 16.0, spread=0.0) for seed in range(60)])
    assert fields.mean() == pytest.approx(0, abs=0.03)
    assert fields.std() == pytest.approx(1, rel=0.03)
    # Slopes of waves of one length and any direction: along each axis, a third of (2π / 16)².
    for axis in (1, 2, 3):
        slopes = np.diff(fields, axis=axis)
        assert slopes.std() == pytest.approx(2 * math.pi / 16 / math.sqrt(3), rel=0.06)


def test_packed_balls_lie_in_the_circle_and_clear_of_one_another():
    grid = Grid((90, 30, 120))
    for seed in range(10):
        balls = pack(rng(seed), grid, np.linspace(12, 4, 30))
        assert len(balls) > 15
        for (z, _, x), r in balls:
            assert (z / (45 - r)) ** 2 + (x / (60 - r)) ** 2 <= 1 + 1e-9
        assert all(math.dist(one, other) >= r + other_r for (one, r), (other, other_r) in combinations(balls, 2))


# --- phantoms


@pytest.mark.parametrize("kind", KINDS)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 4), st.integers(1, 40)),
    supersampling=st.integers(1, 3),
    margin=st.integers(0, 5),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=15)
def test_every_kind_fills_any_shape_with_densities_from_0_to_1(kind, shape, supersampling, margin, seed):
    grid = Grid(shape, supersampling, margin)
    density, drawn = phantom(rng(seed), grid, kind)
    assert density.shape == (shape[0] * supersampling, shape[1], (shape[2] + 2 * margin) * supersampling)
    assert density.dtype == np.float32
    assert density.min() >= -1e-6
    assert density.max() <= 1 + 1e-6
    assert json.loads(json.dumps(drawn)) == drawn
    truth = grid.pooled(density)
    assert truth.shape == shape
    assert truth.dtype == np.float32
    assert truth.flags.c_contiguous


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_along_the_tilt_axis_are_alike_and_far_slices_are_not(kind):
    near, far = [], []
    for seed in range(12):
        density, _ = phantom(rng(seed), Grid((64, 41, 64)), kind)
        truth = density.transpose(1, 0, 2).reshape(41, -1)
        middle = truth[20]
        if min(middle.std(), truth[21].std()) > 0.02:
            near.append(np.corrcoef(middle, truth[21])[0, 1])
            far += [np.corrcoef(middle, truth[k])[0, 1] for k in (0, 40) if truth[k].std() > 0]
    assert len(near) > 6
    assert np.mean(near) > 0.8  # thin rods are cut across
    assert np.mean(far) < np.mean(near) - 0.08


@pytest.mark.parametrize("kind", KINDS)
def test_slices_of_a_deep_volume_are_as_full_as_a_slice_alone(kind):
    shares = {1: [], 40: []}
    for ny, share in shares.items():
        for seed in range(30 if ny == 1 else 6):
            share.append((phantom(rng(seed), Grid((48, ny, 48)), kind)[0] > 0.04).mean())
    error = np.hypot(*(np.std(share) / np.sqrt(len(share)) for share in shares.values()))
    assert 0.4 < np.mean(shares[40]) / np.mean(shares[1]) < 2
    assert abs(np.mean(shares[40]) - np.mean(shares[1])) < 0.05 + 3 * error


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_of_two_samples_a_px_is_that_of_many(kind):
    differences = []
    for seed in range(6):
        few, many = (grid.pooled(phantom(rng(seed), grid, kind)[0]) for grid in (Grid((48, 2, 48), k) for k in (2, 6)))
        differences.append(float(np.sqrt(np.mean((few - many) ** 2))))
    assert np.median(differences) < 0.02


def test_every_kind_looks_different_from_every_other():
    grid, seen = Grid((64, 1, 64), 2), {}
    for kind in KINDS.keys() - {"varied"}:
        densities = [phantom(rng(seed), grid, kind)[0] for seed in range(40)]
        seen[kind] = np.array([_features(grid.pooled(density)[:, 0]) for density in densities])
    for one, other in combinations(KINDS.keys() - {"varied"}, 2):  # which is a mixture of all
        apart = seen[one].mean(0) - seen[other].mean(0)
        error = np.sqrt((seen[one].var(0) + seen[other].var(0)) / 40)
        assert np.abs(apart / error).max() > 3.5, (one, other)


def _features(truth):
    """Filled share, density where filled, edges to the filled share, spread of density, extent along z and x, holes."""
    filled = truth > 0.04
    share = max(filled.mean(), 1e-3)
    rows, columns = filled.any(1).mean(), filled.any(0).mean()
    edges = np.abs(np.diff(truth, axis=0)).mean() + np.abs(np.diff(truth, axis=1)).mean()
    return (
        share,
        truth.sum() / max(filled.sum(), 1),
        edges / share,
        truth.std() / share,
        rows,
        columns,
        _enclosed(filled),
    )


def _enclosed(matter):
    """Vacuum with matter on all four sides, to the matter."""
    within = np.ones_like(matter)
    for axis in (0, 1):
        within &= np.maximum.accumulate(matter, axis)
        within &= np.flip(np.maximum.accumulate(np.flip(matter, axis), axis), axis)
    return (within & ~matter).sum() / max(matter.sum(), 1)


def test_phantoms_hold_what_their_names_say():
    size = Grid((96, 1, 96), 2)
    share = {kind: np.median([(phantom(rng(s), size, kind)[0] > 0.04).mean() for s in range(15)]) for kind in KINDS}
    assert share["particles"] < 0.15
    assert share["films"] > 0.2
    for kind in ("shells", "porous"):
        holes = [_enclosed(phantom(rng(seed), size, kind)[0][:, 0] > 0.04) for seed in range(12)]
        assert np.median(holes) > 0.2, kind


def test_films_and_supports_go_on_beyond_the_field_where_asked():
    beyond = 0
    for seed in range(12):
        density, _ = phantom(rng(seed), Grid((48, 1, 48), 1, margin=20), "films")
        beyond += density[:, :, :4].max() > 0.05 and density[:, :, -4:].max() > 0.05
    assert beyond >= 3
    for kind in ("shells", "atoms"):
        density, _ = phantom(rng(3), Grid((48, 1, 48), 1, margin=20), kind)
        assert density[:, :, :6].max() < 0.01


# --- samples


@given(
    shape=st.tuples(st.integers(1, 24), st.integers(1, 3), st.integers(1, 24)),
    kind=st.sampled_from([*KINDS, None]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=25)
def test_a_sample_of_any_shape_holds_series_and_truth(shape, kind, seed):
    sample = draw(rng(seed), shape, kind)
    assert sample.truth.shape == shape
    for images in (sample.expected, sample.series):
        assert images.shape == (len(sample.angles), *shape[1:])
        assert images.dtype == np.float32
        assert images.flags.c_contiguous
        assert np.isfinite(images).all()
    assert sample.settings["kind"] in KINDS
    assert json.loads(json.dumps(sample.settings)) == sample.settings


def test_the_same_seed_draws_the_same_sample_and_another_seed_another():
    first, again, other = (draw(rng(seed), (32, 2, 32), "porous") for seed in (5, 5, 6))
    for name in ("truth", "angles", "expected", "series"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.settings == again.settings
    assert np.abs(first.truth - other.truth).max() > 0.3


def test_a_sample_keeps_to_the_kind_tilts_and_recording_asked_for():
    sample = draw(rng(1), (32, 1, 40), "rods", angles=[-10, 0, 30], recording=Recording(50), margin=7)
    np.testing.assert_array_equal(sample.angles, [-10, 0, 30])
    told = sample.settings
    assert (told["kind"], told["recording"]["peak_counts"], told["margin_px"]) == ("rods", 50, 7)
    assert (sample.expected.max() * told["dose"]) == pytest.approx(50, rel=1e-5)
    assert {draw(rng(seed), (8, 1, 8), angles=[0]).settings["kind"] for seed in range(80)} == set(KINDS)


def test_what_cannot_be_drawn_is_refused_in_a_line():
    for shape in ((0, 1, 5), (5, 5), (5, 1, 0)):
        with pytest.raises(InvalidShape, match=r"shape: expected shape \(nz, ny, nx\)"):
            draw(rng(), shape)
    with pytest.raises(InvalidOption, match="kind of tomogram 'shell' is unknown; did you mean 'shells'"):
        draw(rng(), (8, 1, 8), "shell")
    with pytest.raises(InvalidOption, match="supersampling: expected 1 or more, got 0"):
        draw(rng(), (8, 1, 8), supersampling=0)
    with pytest.raises(InvalidOption, match="margin: expected zero or more, got -1"):
        draw(rng(), (8, 1, 8), margin=-1)
    for name in ("misalignment", "drift", "tilt_error", "gain", "read_noise"):
        for bad in (-0.1, np.nan, np.inf):
            with pytest.raises(InvalidOption, match=f"{name}: expected zero or more, got"):
                Recording(**{name: bad})
    for bad in (0, -5, np.nan, np.inf):
        with pytest.raises(InvalidOption, match="peak_counts: expected above 0"):
            Recording(bad)
    with pytest.raises(InvalidOption, match="axis_offset: expected px, got nan"):
        Recording(axis_offset=np.nan)
    density = np.zeros((8, 1, 8), np.float32)
    with pytest.raises(InvalidShape, match="density"):
        record(density[0], ANGLES, rng())
    with pytest.raises(InvalidShape, match="angles"):
        record(density, [], rng())
    with pytest.raises(InvalidOption, match="supersampling"):
        record(density, ANGLES, rng(), supersampling=3)
