import numpy as np
import pytest

from semrt.errors import InvalidOption, InvalidShape
from semrt.simulate import detector, silica, silica_packing

BARE = {"silica": 1.0, "matrix": 0.0, "rim": 0.0, "curtain": 0.0, "gradient": 0.0}


def rng(seed=0):
    return np.random.default_rng(seed)


def gaps(centres, radii):
    """Clearance between every two balls [px], by brute force."""
    i, j = np.triu_indices(len(radii), 1)
    return np.linalg.norm(centres[i] - centres[j], axis=1) - radii[i] - radii[j]


def neighbours(centres, radii, slack):
    """How many balls each has within `slack` px, on average."""
    return 2 * (gaps(centres, radii) < slack).sum() / len(radii)


# --- packing


@pytest.mark.parametrize(("spread", "packing"), [(0.0, 0.6), (0.06, 0.55), (0.3, 0.58), (0.1, 0.2)])
def test_packed_balls_do_not_interpenetrate(spread, packing):
    centres, radii = silica_packing.packed(rng(), (60.0, 120.0, 100.0), 10.0, spread, packing)
    assert len(radii) > 40
    assert gaps(centres, radii).min() >= -1e-9


def test_a_jam_is_resolved_by_moving_balls_apart(monkeypatch):
    monkeypatch.setattr(silica_packing, "STEPS", 25)  # some 150 are needed here
    centres, radii = silica_packing.packed(rng(), (60.0, 60.0, 60.0), 8.0, 0.05, 0.55)
    assert len(radii) > 20
    assert gaps(centres, radii).min() >= -1e-9


def test_dense_balls_touch_several_neighbours_and_scattered_ones_few():
    dense, loose = (
        neighbours(*silica_packing.packed(rng(), (80.0, 80.0, 80.0), 10.0, 0.05, packing), slack=0.5)
        for packing in (0.58, 0.2)
    )
    assert dense > 2.5
    assert loose < dense / 2


def test_radii_have_the_mean_and_the_spread_asked_for_and_no_outliers():
    _, radii = silica_packing.packed(rng(), (100.0, 150.0, 150.0), 8.0, 0.1, 0.5)
    assert len(radii) > 400
    assert radii.mean() == pytest.approx(8, rel=0.02)
    assert radii.std() == pytest.approx(0.1 * 8, rel=0.15)  # a cut at 2.5 sigma takes 5 % from it
    assert np.abs(radii / 8 - 1).max() <= 2.5 * 0.1


def test_every_ball_reaches_into_the_field_and_the_field_is_full():
    centres, radii = silica_packing.packed(rng(), (50.0, 60.0, 70.0), 7.0, 0.0, 0.55)
    extent = np.array([50.0, 60.0, 70.0])
    assert (centres + radii[:, None] > 0).all()
    assert (centres - radii[:, None] < extent).all()
    points = rng(1).random((20_000, 3)) * extent
    filled = (np.linalg.norm(points[:, None] - centres, axis=2) < radii).any(axis=1)
    assert filled.mean() == pytest.approx(0.55, abs=0.03)


@pytest.mark.parametrize("extent", [(0.0, 1.0, 1.0), (4.0, 30.0, 2.0)])
def test_a_field_smaller_than_a_ball_is_packed_too(extent):
    centres, radii = silica_packing.packed(rng(), extent, 20.0, 0.1, 0.58)
    assert centres.shape == (len(radii), 3)
    assert np.array_equal(radii, radii[((centres > -radii[:, None]) & (centres < extent + radii[:, None])).all(axis=1)])


# --- slices


def test_slices_show_discs_of_the_radius_that_the_cut_has():
    """A ball cut dz from its centre shows a disc of area π(r² - dz²); balls cut by the image's edge are left out."""
    balls = silica.ball_volume((20, 120, 140), rng=rng(), radius=14, slice_thickness=1.5, packing=0.3, **BARE)
    measured = 0
    for z, face in zip(balls.z, balls.intensity, strict=True):
        for (cz, cy, cx), r in zip(balls.centres, balls.radii, strict=True):
            disc = np.sqrt(max(r * r - (z - cz) ** 2, 0))
            if disc < 4 or not (disc + 2 < cy < 117 - disc and disc + 2 < cx < 137 - disc):
                continue
            y, x = np.ogrid[:120, :140]
            near = np.hypot(y - cy, x - cx) < disc + 1
            others = np.zeros((120, 140), bool)
            for (oz, oy, ox), other in zip(balls.centres, balls.radii, strict=True):
                if (oz, oy, ox) != (cz, cy, cx) and abs(z - oz) < other:
                    others |= np.hypot(y - oy, x - ox) < np.sqrt(other**2 - (z - oz) ** 2) + 1
            if (near & others).any():
                continue
            assert face[near].sum() == pytest.approx(np.pi * disc**2, rel=0.01)
            assert face[near] @ np.broadcast_to(y, near.shape)[near] / face[near].sum() == pytest.approx(cy, abs=0.05)
            measured += 1
    assert measured > 20


def test_what_lies_outside_every_ball_is_matrix_and_deep_inside_one_is_silica():
    balls = silica.ball_volume(
        (8, 60, 70), rng=rng(2), radius=9, slice_thickness=1.0, silica=0.7, matrix=0.1, rim=0.2, curtain=0, gradient=0
    )
    z, y, x = np.meshgrid(balls.z, np.arange(60), np.arange(70), indexing="ij")
    nearest = np.full(z.shape, np.inf)  # of the outlines in the slice
    for (cz, cy, cx), r in zip(balls.centres, balls.radii, strict=True):
        disc = np.sqrt(np.maximum(r * r - (z - cz) ** 2, 0))
        nearest = np.minimum(nearest, np.where(np.abs(z - cz) < r, np.hypot(y - cy, x - cx) - disc, np.inf))
    np.testing.assert_allclose(balls.intensity[nearest > 1], 0.1, atol=1e-6)
    np.testing.assert_allclose(balls.intensity[nearest < -6], 0.7, atol=0.2 * np.exp(-12 * 6 / 9) + 1e-6)
    rim = balls.intensity[(nearest < -0.5) & (nearest > -0.7)]
    assert rim.min() > 0.7 + 0.2 * np.exp(-12 * 0.7 / 9) - 1e-5  # bright edges


def test_the_slices_hold_the_share_of_silica_asked_for():
    shares = [
        silica.ball_volume((32, 96, 96), rng=rng(k), radius=10, packing=0.56, **BARE).intensity.mean() for k in range(4)
    ]
    assert np.mean(shares) == pytest.approx(0.56, abs=0.02)


def test_neighbouring_slices_are_as_alike_as_the_surface_of_the_balls_allows():
    """The correlation of a two-phase body starts as 1 - s·d / (4 φ (1 - φ)), Debye et al. 1957, doi:10.1063/1.1722830.

    s = 3 φ / r is the surface a volume, so that over a step d = 1 at r = 12 and φ = 0.5 it is 1 - 3 d / (4 r (1 - φ)).
    """
    near, far = [], []
    for seed in range(4):
        options = {"radius": 12, "slice_thickness": 1.0, "spread": 0, "packing": 0.5}
        volume = silica.ball_volume((40, 128, 128), rng=rng(seed), **options, **BARE).intensity > 0.5
        near += [np.corrcoef(volume[k].ravel(), volume[k + 1].ravel())[0, 1] for k in range(0, 39, 6)]
        far.append(np.corrcoef(volume[0].ravel(), volume[36].ravel())[0, 1])
    assert np.mean(near) == pytest.approx(1 - 3 / (4 * 12 * 0.5), abs=0.02)
    assert abs(np.mean(far)) < 0.15


def test_thinner_slices_of_one_specimen_show_the_same_faces():
    """Nothing but the position along z decides what a slice shows: slices 0, 3, 6 at 1 px are 0, 1, 2 at 3 px."""
    thin = silica.ball_volume((7, 50, 50), rng=rng(4), radius=10, slice_thickness=1.0, **BARE)
    thick = silica.ball_volume((3, 50, 50), rng=rng(4), radius=10, slice_thickness=3.0, **BARE)
    np.testing.assert_array_equal(thin.centres, thick.centres)
    np.testing.assert_array_equal(thin.intensity[::3], thick.intensity)


def test_curtains_run_along_y_and_the_gradient_changes_every_slice_alike():
    plain, streaked, sloped = (
        silica.ball_volume((6, 64, 64), rng=rng(3), radius=12, **{**BARE, "silica": 0.6, "matrix": 0.3, **more})
        for more in ({}, {"curtain": 0.02}, {"gradient": 0.1})
    )
    streaks = streaked.intensity - plain.intensity
    assert np.ptp(streaks, axis=1).max() < 1e-5
    assert streaks[:, 0].std() == pytest.approx(0.02, rel=0.3)
    slope = sloped.intensity - plain.intensity
    np.testing.assert_allclose(slope, np.broadcast_to(slope[:1], slope.shape), atol=1e-6)
    across = [float(np.diff(slope[0], axis=axis).mean() * 63) for axis in (0, 1)]
    assert np.hypot(*across) == pytest.approx(0.1, rel=1e-3)


# --- piles


def top_view(shape, balls):
    """Index of the ball that a ray straight down meets first, per pixel: by brute force; -1 where none."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    first, depth = np.full(shape, -1), np.full(shape, np.inf)
    for k, ((cz, cy, cx), r) in enumerate(zip(balls.centres, balls.radii, strict=True)):
        up2 = r * r - (y - cy) ** 2 - (x - cx) ** 2
        met = np.where(up2 > 0, cz - np.sqrt(np.maximum(up2, 0)), np.inf)
        first[met < depth] = k
        depth = np.minimum(depth, met)
    return first


def test_a_pile_shows_the_ball_that_lies_on_top_in_every_pixel():
    """Without edges, slopes and losses each ball has one tone: constant wherever the ray-cast view is."""
    shape = (90, 110)
    balls = silica.micro_balls(shape, rng=rng(), radius=12, edge=0, shade=0, slope=0, probe=0)
    first = top_view(shape, balls)
    inner = np.ones(shape, bool)  # away from outlines, where pixels are shared
    for dy in (-2, -1, 0, 1, 2):
        for dx in (-2, -1, 0, 1, 2):
            inner &= np.roll(first, (dy, dx), (0, 1)) == first
    inner[:2] = inner[-2:] = inner[:, :2] = inner[:, -2:] = False
    seen = [balls.intensity[inner & (first == k)] for k in np.unique(first[inner])]
    assert len(seen) > 25
    assert max(float(np.ptp(tones)) for tones in seen) < 1e-6
    assert len({float(tones[0]) for tones in seen}) > 0.9 * len(seen)


def test_the_balls_of_a_pile_do_not_interpenetrate_and_the_highest_touches_zero():
    balls = silica.micro_balls((100, 80), rng=rng(1), radius=9, spread=0.1)
    assert gaps(balls.centres, balls.radii).min() >= -1e-9
    assert (balls.centres[:, 0] - balls.radii).min() == pytest.approx(0, abs=1e-9)


def test_deeper_balls_are_darker_and_gaps_darkest():
    shape = (160, 160)
    balls = silica.micro_balls(shape, rng=rng(2), radius=14, roughness=0.5)
    first = top_view(shape, balls)
    depth = balls.centres[:, 0] / 14
    seen = [k for k in range(len(depth)) if (first == k).sum() > 40]
    tones = np.array([np.median(balls.intensity[first == k]) for k in seen])
    high, low = depth[seen] < 1.8, depth[seen] > 3.5
    assert tones[high].mean() > 0.55
    assert tones[low].mean() < 0.6 * tones[high].mean()
    assert np.corrcoef(depth[seen], tones)[0, 1] < -0.7
    assert balls.intensity.min() < 0.1


def test_edges_are_brighter_by_what_is_asked_and_flanks_brighter_toward_the_detector():
    options = {"radius": 20, "spread": 0.0, "shade": 0.0, "probe": 0.0}
    flat, edged, tilted = (
        silica.micro_balls((80, 80), rng=rng(5), **options, **more).intensity
        for more in ({"edge": 0, "slope": 0}, {"edge": 0.5, "slope": 0}, {"edge": 0, "slope": 0.2})
    )
    balls = silica.micro_balls((80, 80), rng=rng(5), **options)
    first = top_view((80, 80), balls)
    assert (edged >= flat - 1e-6).all()
    checked = 0
    for k in np.unique(first[first >= 0]):
        (_, cy, cx), r = balls.centres[k], balls.radii[k]
        y, x = np.nonzero(first == k)
        rho = np.hypot(y - cy, x - cx) / r
        whole = rho < 0.9
        up = np.sqrt(1 - rho[whole] ** 2)
        at = y[whole], x[whole]
        if whole.sum() < 200 or np.ptp(flat[at]) > 1e-6:  # where another ball's soft edge lies over it
            continue
        np.testing.assert_allclose(edged[at] / flat[at], 1 + 0.5 * (1 - up) ** 1.5, rtol=1e-5)
        np.testing.assert_allclose(tilted[at] / flat[at], 1 - 0.2 * (at[0] - cy) / r, rtol=1e-4)
        checked += 1
    assert checked >= 3


# --- both


@pytest.mark.parametrize("shape", [(1, 1), (3, 90), (64, 48)])
def test_a_pile_has_any_shape_and_intensities_from_0_to_1(shape):
    balls = silica.micro_balls(shape, rng=rng(), radius=8, edge=1.0, slope=0.5)
    assert balls.intensity.shape == shape
    assert balls.intensity.dtype == np.float32
    assert 0 <= balls.intensity.min() <= balls.intensity.max() <= 1
    assert balls.z.shape == (0,)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 3), (9, 20, 30)])
def test_a_volume_has_any_shape_and_intensities_from_0_to_1(shape):
    balls = silica.ball_volume(shape, rng=rng(), radius=8, silica=1.0, matrix=0.0, rim=0.5, curtain=0.5, gradient=0.5)
    assert balls.intensity.shape == shape
    assert balls.intensity.dtype == np.float32
    assert 0 <= balls.intensity.min() <= balls.intensity.max() <= 1
    np.testing.assert_allclose(balls.z, 2.0 * np.arange(shape[0]))


@pytest.mark.parametrize(("draw", "shape"), [(silica.micro_balls, (40, 50)), (silica.ball_volume, (4, 30, 30))])
def test_the_same_seed_gives_the_same_balls_and_another_seed_others(draw, shape):
    first, again, other = (draw(shape, rng=rng(seed), radius=8) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.intensity, again.intensity)
    np.testing.assert_array_equal(first.centres, again.centres)
    assert np.abs(first.intensity - other.intensity).max() > 0.1


def test_a_volume_takes_the_noise_of_the_detector():
    clean = silica.ball_volume((6, 64, 64), rng=rng(), radius=12, matrix=0.3).intensity
    noisy = np.stack([detector.expose(face, rng(k), dose=100) for k, face in enumerate(clean)])
    assert (noisy - clean).var() == pytest.approx(
        clean.mean() / 100, rel=0.05
    )  # Poisson: counts' variance is their mean


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"radius": 0.0}, "radius: expected 1 px or more, got 0.0"),
        ({"radius": float("nan")}, "radius: expected 1 px or more, got nan"),
        ({"spread": 0.4}, "spread: expected 0 to 0.3 of the radius, got 0.4"),
        ({"packing": 0.0}, "packing: expected above 0 and at most 0.6"),
        ({"packing": 0.74}, "packing: expected above 0 and at most 0.6"),
    ],
)
@pytest.mark.parametrize(("draw", "shape"), [(silica.micro_balls, (40, 50)), (silica.ball_volume, (4, 30, 30))])
def test_impossible_balls_are_refused_in_one_line(draw, shape, wrong, message):
    with pytest.raises(InvalidOption, match=message) as failure:
        draw(shape, rng=rng(), **wrong)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("draw", "wrong", "message"),
    [
        (silica.micro_balls, {"radius": 1.5}, "radius: expected 2 or more, got 1.5"),
        (silica.micro_balls, {"edge": -0.1}, "edge: expected 0 to 1, got -0.1"),
        (silica.micro_balls, {"shade": float("nan")}, "shade: expected 0 to 5, got nan"),
        (silica.micro_balls, {"roughness": 9}, "roughness: expected 0 to 3, got 9"),
        (silica.ball_volume, {"slice_thickness": 0.0}, "slice_thickness: expected above 0 and at most the radius"),
        (silica.ball_volume, {"slice_thickness": 30.0}, "at most the radius of 24.0 px, got 30.0"),
        (silica.ball_volume, {"silica": 1.2}, "silica: expected 0 to 1, got 1.2"),
        (silica.ball_volume, {"rim": -1}, "rim: expected 0 to 0.5, got -1"),
    ],
)
def test_options_out_of_range_are_refused_in_one_line(draw, wrong, message):
    with pytest.raises(InvalidOption, match=message):
        draw((3,) * (2 if draw is silica.micro_balls else 3), rng=rng(), **wrong)


@pytest.mark.parametrize(("draw", "wrong"), [(silica.micro_balls, (3, 4, 5)), (silica.ball_volume, (4, 5))])
def test_a_shape_that_does_not_fit_is_refused(draw, wrong):
    with pytest.raises(InvalidShape, match="expected shape"):
        draw(wrong, rng=rng())
    with pytest.raises(InvalidShape, match="at least one"):
        draw((0,) * (5 - len(wrong)), rng=rng())
