"""How simulated tilt series are recorded: projected, moved, and counted."""

import math

import numpy as np
import pytest

from semrt.simulate.tomograms import Grid, Recording, draw_angles, draw_recording, phantom, record
from semrt.simulate.tomograms.grid import paint, window
from semrt.simulate.tomograms.solids import ball

ANGLES = np.arange(-60.0, 61, 5)
STILL = Recording(1e6)  # hardly any noise


def rng(seed=0):
    return np.random.default_rng(seed)


def of_ball(grid, radius, centre=(0.0, 0.0, 0.0)):
    """A density that holds one ball alone."""
    density = grid.vacuum()
    w = window(grid, centre, math.inf)
    paint(density, w.at, ball(w, radius), 1.0, grid.edge)
    return density


def centred(n):
    return np.arange(n) - (n - 1) / 2


def test_projections_keep_the_mass_of_what_lies_inside():
    for kind in ("shells", "core-shell", "atoms"):
        grid = Grid((64, 2, 64), 2)
        density, _ = phantom(rng(4), grid, kind)
        expected = record(density, ANGLES, rng(), STILL, supersampling=2).expected
        assert expected.shape == (25, 2, 64)
        mass = grid.pooled(density).sum((0, 2))
        np.testing.assert_allclose(expected.sum(2), np.broadcast_to(mass, (25, 2)), rtol=2e-3)


def test_a_ball_casts_its_chords_at_every_tilt():
    grid = Grid((64, 1, 64), 4)
    density = of_ball(grid, 20.0)
    expected = record(density, ANGLES, rng(), STILL, supersampling=4).expected[:, 0]
    chords = 2 * np.sqrt(np.maximum(400 - centred(64) ** 2, 0))
    inside = np.abs(centred(64)) < 18
    np.testing.assert_allclose(expected[:, inside], np.broadcast_to(chords[inside], (25, 36)), rtol=0.03)


def test_what_lies_off_the_axis_is_seen_at_x_cos_plus_z_sin_and_moved_by_the_shifts():
    grid = Grid((80, 1, 80), 2)
    density = of_ball(grid, 5.0, (-11.0, 0.0, 17.0))
    crooked = Recording(1e6, misalignment=0.8, drift=0.5, axis_offset=-1.5, tilt_error=0.4)
    exposure = record(density, ANGLES, rng(3), crooked, supersampling=2)
    tilts = np.radians(exposure.tilts)
    seen = (exposure.expected[:, 0] * centred(80)).sum(1) / exposure.expected[:, 0].sum(1)
    where = 17 * np.cos(tilts) - 11 * np.sin(tilts) + exposure.shifts
    np.testing.assert_allclose(seen, where, atol=0.02)
    assert np.abs(exposure.tilts - ANGLES).max() > 0.2


def test_a_mirrored_object_gives_the_mirrored_series_of_opposite_tilts():
    density, _ = phantom(rng(2), Grid((48, 2, 48), 2), "porous")
    series = record(density, ANGLES, rng(), STILL, supersampling=2).expected
    mirrored = record(density[:, :, ::-1], ANGLES, rng(), STILL, supersampling=2).expected
    np.testing.assert_allclose(mirrored, series[::-1, :, ::-1], atol=1e-3 * series.max())
    symmetric = np.maximum(density, density[:, :, ::-1])
    series = record(symmetric, ANGLES, rng(), STILL, supersampling=2).expected
    np.testing.assert_allclose(series, series[::-1, :, ::-1], atol=1e-3 * series.max())


def test_whole_shifts_move_projections_and_lose_nothing_of_what_comes_in_from_outside():
    density, _ = phantom(rng(1), Grid((32, 1, 32), 2, margin=8), "films")
    straight = record(density, ANGLES, rng(), STILL, supersampling=2, width=48).expected
    moved = record(density, ANGLES, rng(), Recording(1e6, axis_offset=3), supersampling=2, width=32).expected
    np.testing.assert_allclose(moved, straight[:, :, 5:37], atol=1e-3 * straight.max())


def test_counts_are_poisson_s_with_the_peak_that_was_asked_for():
    density, _ = phantom(rng(1), Grid((64, 8, 64)), "shells")
    exposure = record(density, ANGLES, rng(5), Recording(100))
    expected = exposure.expected.astype(np.float64)
    assert expected.max() * exposure.dose == pytest.approx(100, rel=1e-6)
    counts = exposure.series * exposure.dose
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-3)
    assert counts.min() == 0
    bright = expected * exposure.dose > 10
    off = ((exposure.series - expected) * np.sqrt(exposure.dose) / np.sqrt(np.maximum(expected, 1e-9)))[bright]
    assert off.mean() == pytest.approx(0, abs=4 / math.sqrt(off.size))
    assert off.std() == pytest.approx(1, rel=4 / math.sqrt(2 * off.size) + 0.02)


def test_read_noise_is_in_counts_and_is_there_where_nothing_is():
    density = np.zeros((32, 4, 32), np.float32)
    density[16, :, 16] = 1
    exposure = record(density, ANGLES, rng(2), Recording(100, read_noise=3))
    dark = (exposure.series * exposure.dose)[:, :, :8]
    assert dark.mean() == pytest.approx(0, abs=4 * 3 / math.sqrt(dark.size))
    assert dark.std() == pytest.approx(3, rel=4 / math.sqrt(2 * dark.size))


def test_vacuum_gives_an_empty_series():
    exposure = record(np.zeros((8, 1, 8), np.float32), ANGLES, rng(), Recording(100))
    assert not exposure.series.any()
    assert np.isfinite(exposure.dose)


def test_the_beam_current_differs_from_projection_to_projection():
    density, _ = phantom(rng(1), Grid((48, 4, 48)), "core-shell")
    exposure = record(density, ANGLES, rng(7), Recording(1e6, gain=0.1))
    ratio = exposure.series.sum((1, 2)) / exposure.expected.sum((1, 2))
    np.testing.assert_allclose(ratio, exposure.gains, rtol=1e-3)
    gains = np.concatenate([Recording(gain=0.05).gains(rng(seed), 61) for seed in range(40)])
    assert gains.std() == pytest.approx(0.05, rel=0.06)


def test_projections_are_misaligned_as_far_as_asked_and_drift_is_slow():
    loose = np.array([Recording(misalignment=0.4).shifts(rng(seed), 61) for seed in range(200)])
    assert loose.std() == pytest.approx(0.4, rel=0.03)
    assert np.mean(loose[:, 1:] * loose[:, :-1]) == pytest.approx(0, abs=0.01)
    walks = np.array([Recording(drift=0.6).shifts(rng(seed), 61) for seed in range(400)])
    np.testing.assert_allclose(walks.mean(1), 0, atol=1e-12)
    assert np.sqrt(np.mean(walks**2)) == pytest.approx(0.6, rel=0.08)
    # Each step is 0.6 / sqrt((61² - 1) / (6 · 61)) = 0.188 px.
    assert np.sqrt(np.mean(np.diff(walks, axis=1) ** 2)) == pytest.approx(0.188, rel=0.02)
    offset = Recording(axis_offset=-2.5).shifts(rng(), 9)
    np.testing.assert_array_equal(offset, -2.5)


def test_drawn_recordings_span_perfect_and_poor_alignment_at_30_to_3000_counts():
    drawn = [draw_recording(rng(seed)) for seed in range(2000)]
    counts = np.array([recording.peak_counts for recording in drawn])
    assert 30 <= counts.min() < 33
    assert 2700 < counts.max() <= 3000
    assert np.median(counts) == pytest.approx(300, rel=0.25)  # log-uniform
    aligned = [r == Recording(r.peak_counts, read_noise=r.read_noise) for r in drawn]
    assert 0.2 < np.mean(aligned) < 0.35
    for name, at_least in (("misalignment", 0.6), ("drift", 0.7), ("tilt_error", 0.25), ("gain", 0.025)):
        assert np.max([getattr(recording, name) for recording in drawn]) > at_least


def test_drawn_tilts_are_limited_evenly_or_not():
    drawn = [draw_angles(rng(seed)) for seed in range(400)]
    first, last = np.array([(angles[0], angles[-1]) for angles in drawn]).T
    steps = np.array([angles[1] - angles[0] for angles in drawn])
    assert {*np.unique(steps)} <= set(np.arange(1, 5.1, 0.5))
    assert -75 <= first.min() < -74 < -51 < first.max() <= -50
    assert 74 < last.max() <= 75
    assert last.min() > 45  # the last step may end short of the limit
    assert 0.3 < np.mean(np.abs(first + last) < 5) < 0.75
