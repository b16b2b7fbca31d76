"""Simulated atomic columns: lattices as crystallography has them, drawn as the formula says, with their truth."""

from math import sqrt

import numpy as np
import pytest

from reference import columns_image as twin
from semrt.errors import InvalidOption, InvalidShape
from semrt.simulate.columns import (
    ATOMIC_NUMBER,
    BACKGROUNDS,
    NEAREST_ALLOWED,
    PROFILES,
    STRUCTURES,
    Canvas,
    Imaging,
    Probe,
    Specimen,
    assemble,
    grow,
    record,
)
from semrt.simulate.columns.neighbours import pairs
from semrt.simulate.columns.probe import LORENTZIAN

# Nearest columns in projection [Å] and atoms in an Å³, from the lattice constants.
CRYSTALS = {
    "square": (2.5, 1 / 2.5**3),
    "hexagonal": (2.6, 1 / (sqrt(0.75) * 2.6**3)),
    "rock-salt-100": (5.640 / 2, 8 / 5.640**3),
    "rock-salt-110": (5.640 / sqrt(8), 8 / 5.640**3),
    "fcc-100": (4.078 / 2, 4 / 4.078**3),
    "fcc-110": (4.078 * sqrt(3 / 8), 4 / 4.078**3),
    "fcc-110-Al": (4.050 * sqrt(3 / 8), 4 / 4.050**3),
    "fcc-111": (3.924 / sqrt(6), 4 / 3.924**3),
    "bcc-100": (2.866 / sqrt(2), 2 / 2.866**3),
    "bcc-110": (2.866 / 2, 2 / 2.866**3),
    "bcc-111": (3.165 * sqrt(2 / 3), 2 / 3.165**3),
    "hcp-11-20": (sqrt((4.683 / 2) ** 2 + 2.950**2 / 12), 2 / (sqrt(0.75) * 2.950**2 * 4.683)),
    "diamond-110-Si": (5.431 / 4, 8 / 5.431**3),
    "diamond-110-Ge": (5.658 / 4, 8 / 5.658**3),
    "zinc-blende-110-GaAs": (5.653 / 4, 8 / 5.653**3),
    "perovskite-100": (3.905 / 2, 5 / 3.905**3),
    "perovskite-100-LaAlO3": (3.790 / 2, 5 / 3.790**3),
    "perovskite-110": (3.905 / sqrt(8), 5 / 3.905**3),
    "wurtzite-0001": (3.189 / sqrt(3), 4 / (sqrt(0.75) * 3.189**2 * 5.185)),
    "wurtzite-11-20": (sqrt((0.123 * 5.185) ** 2 + 3.189**2 / 12), 4 / (sqrt(0.75) * 3.189**2 * 5.185)),
    "wurtzite-11-20-ZnO": (sqrt((0.118 * 5.207) ** 2 + 3.250**2 / 12), 4 / (sqrt(0.75) * 3.250**2 * 5.207)),
    "graphene": (2.461 / sqrt(3), 2 / (sqrt(0.75) * 2.461**2 * 3.35)),
    "hBN": (2.504 / sqrt(3), 2 / (sqrt(0.75) * 2.504**2 * 3.33)),
    "MoS2": (3.160 / sqrt(3), 3 / (sqrt(0.75) * 3.160**2 * 6.15)),
    "WSe2": (3.282 / sqrt(3), 3 / (sqrt(0.75) * 3.282**2 * 6.49)),
}


def rng(seed=0):
    return np.random.default_rng(seed)


def distances(y, x):
    """Distance of each point to the nearest other one, by brute force."""
    between = np.hypot(y[:, None] - y, x[:, None] - x)
    np.fill_diagonal(between, np.inf)
    return between.min(1)


def built(specimen, shape=(128, 128), seed=0, *, exponent=1.7, light=0.0, margin=0.0):
    return assemble(specimen, shape, rng(seed), exponent=exponent, light=light, margin=margin)


# --- structures


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_has_the_distances_and_the_density_of_its_crystal(name):
    lattice = STRUCTURES[name]
    nearest, atoms = CRYSTALS[name]
    assert lattice.nearest == pytest.approx(nearest, rel=1e-6)
    in_a_cell = sum(sum(site.atoms.values()) for site in lattice.sites)
    assert in_a_cell * lattice.density / len(lattice.sites) == pytest.approx(atoms, rel=1e-6)


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_turned_crystal_fills_the_field_at_its_own_distances(name):
    lattice, shape, scale = STRUCTURES[name], (150, 190), 4.0
    y, x, site = grow(lattice, shape, scale, 33.0, origin=(40, 60))
    assert len(y) == pytest.approx(lattice.density * shape[0] * shape[1] / scale**2, rel=0.05)
    inner = (y > 20) & (y < 130) & (x > 20) & (x < 170)
    nearest = np.array(
        [np.sort(np.hypot(y - at_y, x - at_x))[1] for at_y, at_x in zip(y[inner], x[inner], strict=True)]
    )
    assert nearest.min() == pytest.approx(scale * CRYSTALS[name][0], rel=1e-6)
    assert set(site) == set(range(len(lattice.sites)))


def test_strain_stretches_along_the_crystals_own_axes():
    y, x, _ = grow(STRUCTURES["square"], (60, 60), 4.0, strain=(0.05, -0.02, 0.0), origin=(0.0, 0.0))
    np.testing.assert_allclose(np.unique(y.round(6)), np.arange(6) * 10.5, atol=1e-6)
    np.testing.assert_allclose(np.unique(x.round(6)), np.arange(len(np.unique(x.round(6)))) * 9.8, atol=1e-6)


def test_brightness_grows_as_the_power_of_the_atomic_number_and_no_column_is_fainter_than_the_least():
    plain = built(Specimen("perovskite-100", 12))
    sr, ti, o = (ATOMIC_NUMBER[element] ** 1.7 for element in ("Sr", "Ti", "O"))
    for species, expected in (("Sr", 1), ("Ti+O", (ti + o) / sr), ("O", o / sr)):
        np.testing.assert_allclose(plain.brightness[plain.species == species], expected)
    lifted = built(Specimen("perovskite-100", 12), light=0.3)
    np.testing.assert_allclose(lifted.brightness[lifted.species == "O"], 0.3)


# --- specimens


@pytest.mark.parametrize("structure", ["square", "fcc-110", "perovskite-100", "diamond-110-Si", "hexagonal"])
@pytest.mark.parametrize("grains", [2, 4])
def test_no_two_columns_are_too_near_where_grains_meet_and_no_gap_opens(structure, grains):
    lattice = STRUCTURES[structure]
    for seed in range(4):
        columns = built(Specimen(structure, 10, grains=grains, tilt=45, disorder=0.02), seed=seed, margin=20)
        assert distances(columns.y, columns.x).min() >= NEAREST_ALLOWED * 10 - 1e-9
        y, x = np.meshgrid(np.arange(128), np.arange(128), indexing="ij")
        farthest = np.full(y.shape, np.inf)
        for at_y, at_x in zip(columns.y, columns.x, strict=True):
            farthest = np.minimum(farthest, np.hypot(y - at_y, x - at_x))
        whole = built(Specimen(structure, 10), margin=20)
        perfect = max(np.hypot(whole.y - r, whole.x - c).min() for r, c in rng(1).uniform(30, 90, (300, 2)))
        assert farthest.max() < perfect + 0.75 * 10 / lattice.nearest * np.sqrt(1 / lattice.density)


def test_grains_are_turned_against_one_another_by_no_more_than_the_tilt():
    def directions(columns):
        """Directions of the nearest neighbours of each column, modulo the square's quarter turn [deg]."""
        i, j = pairs(columns.y, columns.x, 11.0)
        return np.rad2deg(np.arctan2(columns.y[i] - columns.y[j], columns.x[i] - columns.x[j])) % 90

    for seed in range(3):
        found = directions(built(Specimen("square", 10, angle=45, grains=2, tilt=30), (200, 200), seed))
        counts, edges = np.histogram(found, 90, (0, 90))
        grains = edges[:-1][counts > 0.05 * len(found)]
        assert np.ptp(grains) > 1
        assert (grains > 14).all()
        assert (grains < 76).all()


def test_a_partner_grows_beyond_the_interface_with_its_own_species():
    columns = built(Specimen("perovskite-100", 8, grains=2, partner="perovskite-100-LaAlO3"))
    assert {"Sr", "La", "Ti+O", "Al+O", "O"} == set(columns.species)
    assert columns.brightness[columns.species == "La"].max() == pytest.approx(1)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_of_thickness_lies_between_vacuum_and_full(profile):
    y, x = rng(1).uniform(0, 200, (2, 500))
    for seed in range(8):
        thickness = PROFILES[profile](rng(seed), y, x, (200, 200), 10.0)
        assert thickness.shape == (500,)
        assert thickness.min() >= 0
        assert thickness.max() <= 1


def test_an_edge_fades_to_nothing_and_a_wedge_never_does():
    faintest = [built(Specimen("square", 8, profile="edge"), (256, 256), seed).brightness.min() for seed in range(6)]
    assert min(faintest) < 0.03
    for seed in range(6):
        wedge = built(Specimen("square", 8, profile="ramp"), (256, 256), seed).brightness
        assert 0.04 < wedge.min() < 0.65
        assert wedge.max() > 0.9


def test_particles_are_islands():
    for seed in range(4):
        columns = built(Specimen("fcc-100", 8, particles=1), (200, 200), seed)
        area = len(columns) * 8**2
        assert 0 < area < 0.9 * 200**2
        assert columns.brightness.min() < 0.5 < columns.brightness.max()


def test_vacancies_and_dopants_are_as_many_as_asked_for():
    perfect = built(Specimen("hexagonal", 8), (400, 400))
    flawed = built(Specimen("hexagonal", 8, vacancies=0.1, dopants=0.2), (400, 400))
    assert len(flawed) / len(perfect) == pytest.approx(0.9, abs=0.02)
    doped = flawed.species == "dopant"
    assert doped.mean() == pytest.approx(0.2, abs=0.03)
    assert np.abs(flawed.brightness[doped] - 1).min() > 0.25
    np.testing.assert_array_equal(flawed.brightness[~doped], 1)


def test_a_dislocation_leaves_the_crystal_whole_away_from_its_core():
    specimen = Specimen("square", 10, dislocations=1)
    for seed in range(4):
        columns = built(specimen, (300, 300), seed)
        nearest = distances(columns.y, columns.x)
        assert np.mean(np.abs(nearest - 10) < 1) > 0.95
        assert nearest.min() >= NEAREST_ALLOWED * 10
        i, _ = pairs(columns.y, columns.x, 12.5)
        inner = (np.abs(columns.y - 149.5) < 125) & (np.abs(columns.x - 149.5) < 125)
        neighbours = np.bincount(i, minlength=len(columns))[inner]
        assert 0 < np.count_nonzero(neighbours != 4) < 0.04 * len(neighbours)  # the core, and nowhere else


def test_a_modulation_doubles_the_period():
    moved = built(Specimen("square", 10, modulation=0.1), (200, 200))
    flat = built(Specimen("square", 10), (200, 200))
    shift = np.hypot(moved.y - flat.y, moved.x - flat.x)
    assert 0 < shift.max() <= 1
    np.testing.assert_allclose(shift, shift.max(), rtol=1e-6)  # one way or the other, as far


@pytest.mark.parametrize("bad", [{"structure": "sqare"}, {"profile": "hill"}, {"grains": 0}, {"spacing": 0}])
def test_a_specimen_that_cannot_be_is_refused(bad):
    with pytest.raises(InvalidOption):
        Specimen(**{"structure": "square", "spacing": 10} | bad)


# --- probe


@pytest.mark.parametrize(
    ("probe", "error"),  # of the peak: the sampling of a narrow column, and tails cut off at 3.5 of their widest sigma
    [(Probe(1.2), 3e-4), (Probe(2.5), 1e-5), (Probe(1.6, 0.5, 1.5), 5e-4), (Probe(3.0, 1.0, 0.6), 5e-4)],
)
def test_columns_are_drawn_as_a_double_loop_draws_them(probe, error):
    shape = (23, 30)
    y, x = rng().uniform(-6, 36, (2, 14))
    peak = rng(1).uniform(50, 200, 14)
    canvas = Canvas(shape, probe)
    drawn = canvas.field(canvas.columns(y, x, peak))
    assert drawn.dtype == np.float32
    expected = twin.image(
        y, x, peak, shape, lambda r: twin.profile(r, probe.sigma, probe.tail, probe.tail_width, LORENTZIAN)
    )
    np.testing.assert_allclose(drawn, expected, atol=error * peak.max())


def test_rows_that_are_shifted_show_the_columns_shifted():
    probe, shape = Probe(2.0), (20, 24)
    y, x, peak = np.array([9.3, 14.0]), np.array([8.1, 15.5]), np.array([100.0, 60.0])
    shifts = rng().normal(0, 0.7, (2, 20)).astype(np.float32)
    canvas = Canvas(shape, probe)
    drawn = canvas.field(canvas.columns(y, x, peak), shifts)
    for row, (dy, dx) in enumerate(shifts.T):
        alone = twin.image(y + dy, x + dx, peak, shape, lambda r: np.exp(-0.5 * (r / 2.0) ** 2))
        np.testing.assert_allclose(drawn[row], alone[row], atol=0.3)  # cubic between rows; exact along them


def test_the_tails_are_lorentzian():
    r = np.linspace(0, 4, 200)
    wide = Probe(1.0, 1.0, 50.0)  # tails so wide that the Gaussian does not blur them
    np.testing.assert_allclose(wide.profile(50 * r), (1 + r**2) ** -1.5, atol=0.006)


def test_a_probe_has_a_peak_of_one_and_finer_ones_than_a_pixel_are_refused():
    assert Probe(2.0, 0.4).profile(np.zeros(1)) == pytest.approx(1)
    for bad in ((0.8,), (2.0, 1.5), (2.0, 0.5, 0.0)):
        with pytest.raises(InvalidOption):
            Probe(*bad)


# --- record


def test_an_island_is_recorded_where_its_truth_says():
    imaging = Imaging(2.0, drift=(9.0, -7.0), swing=2.0, shear=0.03, gain=2.0, dose=50)
    image = record(Specimen("square", 10, particles=1), imaging, (120, 120), rng(16), bound=False)
    canvas = Canvas((120, 120), image.probe)
    inside = (image.y > 12) & (image.y < 107) & (image.x > 12) & (image.x < 107)
    assert inside.all()  # this seed's island lies within the field, so that no column outside adds light
    np.testing.assert_allclose(image.clean, canvas.field(canvas.columns(image.y, image.x, image.intensity)), atol=1e-3)
    still = record(Specimen("square", 10, particles=1), Imaging(2.0), (120, 120), rng(16), bound=False)
    assert np.hypot(image.y - still.y, image.x - still.x).max() > 1
    assert image.intensity.max() <= 2 * 50


def test_counts_scatter_about_the_expected_ones_as_detector_noise_does():
    imaging = Imaging(2.5, dose=40, level=0.3, gain=3.0, offset=20.0, read_noise=5.0, jitter=(0.2, 0.5), flicker=0.02)
    image = record(Specimen("hexagonal", 12), imaging, (256, 256), rng(2), bound=False)
    variance = 3.0 * (image.expected - 20) + 5.0**2
    deviation = (image.counts - image.expected) / np.sqrt(variance)
    assert deviation.mean() == pytest.approx(0, abs=4 / 256)
    assert deviation.std() == pytest.approx(1, abs=4 / (sqrt(2) * 256))
    assert image.counts.dtype == np.float32
    assert (image.gain, image.offset, image.read_noise) == (3, 20, 5)


def test_without_jitter_what_is_expected_is_columns_and_background():
    imaging = Imaging(2.5, background="carbon", level=0.3, variation=0.1, carbon=0.05)
    image = record(Specimen("square", 12), imaging, (90, 110), rng(), bound=False)
    np.testing.assert_allclose(image.expected, image.clean + image.background, rtol=1e-6)
    assert image.background.mean() == pytest.approx(0.3 * 300, rel=0.3)
    assert image.background.std() == pytest.approx(sqrt(0.1**2 + 0.05**2) * 300, rel=0.3)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_background_has_zero_mean_and_unit_variance_or_none(background):
    field = BACKGROUNDS[background](rng(3), (120, 100), 8.0)
    assert field.dtype == np.float32
    assert field.mean() == pytest.approx(0, abs=1e-3)
    assert field.std() == pytest.approx(0 if background == "constant" else 1, abs=0.01)


def test_the_signal_to_noise_ratio_is_that_of_a_matched_filter():
    # White noise of variance v: the sum of (I p)² / v over pixels is I² pi sigma² / v.
    imaging = Imaging(3.0, dose=1.0, level=0.0, gain=1e-6, read_noise=2e-6)
    image = record(Specimen("square", 40), imaging, (200, 200), rng(), bound=False)
    inner = (np.abs(image.y - 100) < 80) & (np.abs(image.x - 100) < 80)
    variance = 4e-12 + 1e-12 * np.mean(image.clean / 1e-6)
    # Poisson noise of the column itself lowers it a little; read noise is four times as strong in variance.
    white = 1e-6 * sqrt(np.pi) * 3 / sqrt(variance)
    assert (image.snr[inner] < white).all()
    assert (image.snr[inner] > 0.9 * white).all()


def test_smoothing_blurs_noise_along_the_rows():
    empty = Specimen("square", 12, vacancies=1.0)
    image = record(empty, Imaging(2.5, smoothing=(0.0, 1.5)), (128, 128), rng())
    assert len(image.y) == 0
    noise = image.counts - image.expected
    along = np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var()
    across = np.mean(noise[1:] * noise[:-1]) / noise.var()
    assert along > 0.7
    assert abs(across) < 0.1


@pytest.mark.parametrize(
    "bad", [{"dose": 0}, {"gain": -1}, {"background": "sky"}, {"jitter": (0, -1)}, {"level": -0.1}]
)
def test_a_recording_that_cannot_be_is_refused(bad):
    with pytest.raises(InvalidOption):
        Imaging(2.0, **bad)


def test_a_field_without_pixels_is_refused():
    with pytest.raises(InvalidShape):
        record(Specimen("square", 10), Imaging(2.0), (0, 5), rng())


# --- maps


@pytest.mark.parametrize("gaussian", [False, True])
def test_a_map_of_columns_says_how_near_the_nearest_one_is(gaussian):
    image = record(Specimen("hexagonal", 9, angle=20), Imaging(2.0), (40, 52), rng(), bound=False)
    y, x = np.indices(image.shape)
    distance = np.hypot(y[..., None] - image.y, x[..., None] - image.x).min(-1)
    expected = np.exp(-0.5 * (distance / 2.6) ** 2) if gaussian else np.clip(2.6 + 0.5 - distance, 0, 1)
    np.testing.assert_allclose(image.column_map(2.6, gaussian=gaussian), expected, atol=4e-4)


def test_a_map_leaves_out_columns_that_nobody_can_see():
    image = record(Specimen("square", 14, profile="ramp"), Imaging(2.0, dose=10), (100, 100), rng(1), bound=False)
    limit = float(np.median(image.snr))
    shown = image.column_map(3.0, least_snr=limit)[np.rint(image.y).astype(int), np.rint(image.x).astype(int)]
    np.testing.assert_array_equal(shown > 0.5, image.snr >= limit)
    with pytest.raises(InvalidOption):
        image.column_map(0)


def test_columns_at_the_border_and_those_too_faint_do_not_count():
    image = record(Specimen("square", 14, profile="ramp"), Imaging(2.0, dose=10), (100, 90), rng(1), bound=False)
    limit = float(np.median(image.snr))
    for y, x, snr, counted in zip(image.y, image.x, image.snr, image.counted(limit), strict=True):
        assert counted == (snr >= limit and 4 <= y <= 95 and 4 <= x <= 85)
    assert 0 < image.counted(limit).sum() < image.counted(0.0).sum() < image.counted(0.0, border=0.0).sum()
