"""What the network of `wedge` is shown of a tilt series, and what becomes of its answer."""

import numpy as np
import pytest

from semrt.data import TiltSeries
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import noise_of, sirt
from semrt.simulate.tomograms import Recording, draw, split_seed
from semrt.tasks.wedge_input import (
    INPUT_CHANNELS,
    MAPS,
    NEIGHBOURS,
    consistent,
    density_of,
    density_scale,
    solve,
    usual_density,
    wedge_input,
)
from semrt.tasks.wedge_series import blurred

SHAPE = (40, 48)
ANGLES = np.arange(-50, 66, 5.0)
FIRST, SECOND = INPUT_CHANNELS.index("tv +0"), INPUT_CHANNELS.index("sirt +0")


@pytest.fixture(scope="module")
def sample():
    recording = Recording(200)
    return draw(
        split_seed("test", 3), (SHAPE[0], 6, SHAPE[1]), "particles", angles=ANGLES, recording=recording, margin=0
    )


@pytest.fixture(scope="module")
def series(sample):
    return TiltSeries(sample.series, sample.angles)


def test_each_slice_is_shown_with_its_neighbours(series):
    solved = solve(series, SHAPE)
    planes = wedge_input(series, SHAPE, scale=2.0, solved=solved)
    assert planes.shape == (6, len(INPUT_CHANNELS), *SHAPE)
    for k in range(-NEIGHBOURS, NEIGHBOURS + 1):
        seen = [min(max(y + k, 0), 5) for y in range(6)]  # beyond the ends, the last slice
        for name, volume in (("tv", solved.tv), ("sirt", solved.sirt)):
            channel = INPUT_CHANNELS.index(f"{name} {k:+d}")
            np.testing.assert_allclose(planes[:, channel], volume[:, seen].swapaxes(0, 1) / 2, rtol=1e-6)


def test_the_constants_tell_tilts_and_noise_as_they_are(series):
    planes = wedge_input(series, SHAPE, scale=0.5)
    told = dict(zip(INPUT_CHANNELS, planes[2, :, 7, 5].tolist(), strict=True))
    assert told["lowest"] == pytest.approx(-50 / 90)
    assert told["highest"] == pytest.approx(65 / 90)
    assert told["step"] == pytest.approx(np.log2(5 / 2))
    assert told["noise"] == pytest.approx(np.log10(noise_of(series.intensity) / 0.5), rel=1e-5)
    assert told["volume"] == 0
    assert (planes[:, len(MAPS) :] == planes[:1, len(MAPS) :, :1, :1]).all()


def test_a_part_of_a_series_is_seen_as_the_whole_is(series):
    scale, noise = density_scale(series, SHAPE), noise_of(series.intensity)
    whole = wedge_input(series, SHAPE, scale=scale, noise=noise)
    part = TiltSeries(series.intensity[:, 1:5], series.angles)
    # Its outermost slices are its neighbours' neighbours alone.
    seen = wedge_input(part, SHAPE, scale=scale, noise=noise)[NEIGHBOURS:-NEIGHBOURS]
    np.testing.assert_allclose(seen, whole[1 + NEIGHBOURS : 5 - NEIGHBOURS], atol=1e-5)


def test_brighter_units_change_nothing_but_the_scale(series):
    brighter = TiltSeries(1000 * series.intensity, series.angles)
    scale, other = density_scale(series, SHAPE), density_scale(brighter, SHAPE)
    assert other == pytest.approx(1000 * scale, rel=1e-3)
    planes = wedge_input(series, SHAPE, scale=scale)
    np.testing.assert_allclose(wedge_input(brighter, SHAPE, scale=1000 * scale), planes, atol=2e-3)


def test_the_usual_density_is_that_of_the_specimen_whatever_the_vacuum_around_it():
    volume = np.zeros((20, 2, 20), np.float32)
    volume[5:8, :, 4:6] = 3.0
    assert usual_density(volume) == pytest.approx(3)
    volume[0, 0, :5] = 1.0  # 5 voxels of 1 beside 12 of 3
    assert usual_density(volume) == pytest.approx((12 * 9 + 5) / (12 * 3 + 5))


def test_of_an_empty_series_nothing_is_shown_and_nothing_made():
    empty = TiltSeries(np.zeros((len(ANGLES), 2, SHAPE[1])), ANGLES)
    assert density_scale(empty, SHAPE) == 0
    planes = wedge_input(empty, SHAPE, scale=0)
    assert np.isfinite(planes).all()
    assert (planes[:, : len(MAPS)] == 0).all()
    assert (density_of(np.ones((2, 1, *SHAPE), np.float32), 0) == 0).all()


def test_the_answer_is_density_in_the_units_of_the_series():
    predicted = np.linspace(-1, 1, 2 * 3 * 4, dtype=np.float32).reshape(2, 1, 3, 4)
    density = density_of(predicted, 5.0)
    assert density.shape == (3, 2, 4)
    assert density[2, 1, 3] == 5
    assert density.min() == 0


def test_steps_towards_the_measurement_mend_what_is_coarse_and_leave_vacuum(sample, series):
    geometry = TiltGeometry(series.angles, SHAPE)

    def unexplained(density):
        return np.linalg.norm(blurred(geometry.project(density) - series.intensity, 4))

    start = 0.8 * sample.truth
    nearer = consistent(start, series)
    assert unexplained(nearer) < 0.9 * unexplained(start)
    assert np.abs(nearer - sample.truth).mean() < 0.9 * np.abs(start - sample.truth).mean()
    assert (nearer[sample.truth == 0] == 0).all()
    assert np.array_equal(consistent(start, series, iterations=0), start)


def test_steps_towards_the_measurement_bring_little_noise_back(sample, series):
    # The truth itself has nothing to gain: what changes is noise, a fraction of what plain iterations take over.
    plain = sirt(series.intensity, TiltGeometry(series.angles, SHAPE), iterations=8, start=sample.truth)
    coarse = consistent(sample.truth, series, iterations=8)
    assert np.std(coarse - sample.truth) < 0.5 * np.std(plain - sample.truth)


def test_of_a_volume_more_is_smoothed_and_the_network_is_told(series):
    measured, projected = (wedge_input(series, SHAPE, scale=1.0, of_volume=of_volume) for of_volume in (False, True))
    assert projected[0, INPUT_CHANNELS.index("volume"), 0, 0] == 1
    steps = [np.abs(np.diff(planes[:, FIRST], axis=-1)).sum() for planes in (measured, projected)]
    assert steps[1] < steps[0]
    assert np.array_equal(measured[:, SECOND], projected[:, SECOND])
