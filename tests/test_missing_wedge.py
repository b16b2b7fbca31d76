"""The sector that tilts measure, against plane waves whose direction is known and against projections themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt.errors import InvalidOption, InvalidShape
from semrt.physics.missing_wedge import LIMITS, measured_part, measured_sector, merge
from semrt.physics.tilt import TiltGeometry


def wave(shape, kz, kx, phase=0.3):
    """(nz, 1, nx): a plane wave of kz and kx whole periods along z and x."""
    z, x = np.indices(shape)
    return np.cos(2 * np.pi * (kz * z / shape[0] + kx * x / shape[1]) + phase)[:, None].astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(16, 33), st.integers(16, 33)),
    kz=st.integers(-7, 7),
    kx=st.integers(-7, 7),
    low=st.floats(-90, 80),
    width=st.floats(1, 179),
)
def test_a_plane_wave_is_kept_if_its_direction_was_tilted_to_and_lost_if_not(shape, kz, kx, low, width):
    tilt = np.degrees(np.arctan2(kz / shape[0], kx / shape[1]))
    beyond_low = (tilt - low) % 180
    if (kz, kx) == (0, 0) or min(abs(beyond_low - width), beyond_low, 180 - beyond_low) < 1e-6:
        return  # the mean, or a wave right on the edge
    volume = wave(shape, kz, kx)
    kept = measured_part(volume, low, low + width)
    np.testing.assert_allclose(kept, volume if beyond_low < width else 0 * volume, atol=1e-5)


@pytest.mark.parametrize("angle", [-70.0, -45.0, 10.0, 63.0])
def test_the_projection_at_a_tilt_sees_the_waves_of_its_direction_and_no_others(angle):
    n = 128
    z, x = np.indices((n, n)) - (n - 1) / 2
    window = np.exp(-(z**2 + x**2) / (2 * 20**2))
    seen = []
    for direction in (angle, angle + 20, angle - 20):
        theta = np.radians(direction)
        ripple = window * np.cos(2 * np.pi * 0.2 * (z * np.sin(theta) + x * np.cos(theta)))
        seen.append(np.abs(TiltGeometry([angle], (n, n)).project(ripple[:, None].astype(np.float32))).max())
        kept = measured_part(ripple[:, None], angle - 7, angle + 7)
        share = np.linalg.norm(kept) / np.linalg.norm(ripple)
        assert share > 0.99 if direction == angle else share < 0.01
    assert max(seen[1:]) < 0.05 * seen[0]


def test_the_sector_covers_the_share_of_the_disc_that_the_tilts_are_of_half_a_turn():
    for low, high in ((-60, 60), (-70, 40), (0, 90)):
        mask = measured_sector((401, 401), low, high, limit="disc")
        assert mask.sum() / (np.pi * 200.5**2) == pytest.approx((high - low) / 180, abs=0.005)


def test_a_whole_half_turn_measures_everything_and_the_disc_ends_at_nyquist():
    np.testing.assert_array_equal(measured_sector((8, 9), -90, 90), 1)
    radius = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32))
    np.testing.assert_array_equal(measured_sector((32, 32), -90, 90, limit="disc"), radius <= 0.5)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    low=st.floats(-90, 90),
    width=st.floats(0, 180),
    limit=st.sampled_from(LIMITS),
    soft=st.sampled_from([0.0, 5.0, 40.0, 90.0]),
)
def test_a_frequency_and_its_opposite_are_measured_alike(shape, low, width, limit, soft):
    mask = measured_sector(shape, low, low + width, limit=limit, soft=soft)
    opposite = np.roll(mask[::-1, ::-1], (1, 1), (0, 1))
    np.testing.assert_allclose(mask, opposite, atol=1e-6)
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert mask[0, 0] == 1


def test_a_soft_edge_falls_through_a_half_where_the_hard_one_is():
    n = 801
    kz, kx = np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)
    tilt, far = np.degrees(np.arctan2(kz, kx)), np.hypot(kz, kx) > 0.3
    mask = measured_sector((n, n), -50, 60, soft=10)
    for at, share in (
        (60.0, 0.5),
        (54.9, 1.0),
        (65.1, 0.0),
        (57.5, 0.5 + 0.5**1.5),
        (-50.0, 0.5),
        (-52.5, 0.5 - 0.5**1.5),
    ):
        near = far & (np.abs(tilt - at) < 0.1)
        assert mask[near].mean() == pytest.approx(share, abs=0.01)
    np.testing.assert_array_equal(measured_sector((16, 16), -90, 90, soft=20), 1)


@pytest.mark.parametrize("shape", [(24, 3, 30), (17, 2, 21)])
@pytest.mark.parametrize("soft", [0.0, 8.0])
def test_merging_takes_the_sector_from_one_volume_and_the_rest_from_the_other(shape, soft):
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal(shape), rng.standard_normal(shape)
    merged = merge(one, other, -55, 62, soft=soft)
    mask = measured_sector(shape[::2], -55, 62, soft=soft)[:, None]
    spectra = [np.fft.fft2(v, axes=(0, 2)) for v in (one, other, merged)]
    np.testing.assert_allclose(spectra[2], mask * spectra[0] + (1 - mask) * spectra[1], atol=1e-3)
    np.testing.assert_allclose(merge(one, one, -55, 62, soft=soft), one, atol=1e-6)


def test_merging_waves_keeps_the_measured_one_and_the_inferred_one():
    flat, steep = wave((32, 32), 1, 6), wave((32, 32), 6, 1)  # 9° and 81°
    merged = merge(flat + 0.5 * steep, 2 * flat + steep, -60, 60)
    np.testing.assert_allclose(merged, flat + steep, atol=1e-5)
    turned = merge(flat + 0.5 * steep, 2 * flat + steep, 70, 90)
    np.testing.assert_allclose(turned, 2 * flat + 0.5 * steep, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"low": 60, "high": -60}, "tilt range: expected low <= high, .* got 60 to -60"),
        ({"low": -100, "high": 100}, "at most 180 degrees apart"),
        ({"low": np.nan}, "tilt range"),
        ({"soft": -1}, "soft: expected 0 to 90 degrees, got -1"),
        ({"limit": "disk"}, "limit 'disk' is unknown; did you mean 'disc'"),
        ({"shape": (0, 4)}, r"shape: expected \(nz, nx\)"),
    ],
)
def test_a_sector_that_cannot_be_is_refused(given, said):
    with pytest.raises(InvalidOption, match=said):
        measured_sector(**({"shape": (4, 5), "low": -60, "high": 60} | given))


def test_volumes_that_do_not_fit_are_refused():
    with pytest.raises(InvalidShape, match=r"inferred: expected shape \(4, 1, 5\), as volume has, got \(4, 2, 5\)"):
        merge(np.zeros((4, 1, 5)), np.zeros((4, 2, 5)), -60, 60)
    with pytest.raises(InvalidShape, match=r"volume: expected shape \(nz, ny, nx\)"):
        measured_part(np.zeros((4, 5)), -60, 60)
