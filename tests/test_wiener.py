"""The spectrum learnt from a scan: its equations against dense ones, and what it makes of lattices and of grain."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrt
from semrt import tiling
from semrt.metrics import psnr
from semrt.tasks.kriging import Validation, classical_estimate
from semrt.tasks.learnt_spectrum import DOUBT, _relearnt, learnt_estimate
from semrt.tasks.sampled_field import SampledField, SpectralGrid
from semrt.tasks.wiener import OVERLAP, PIECE, Wiener, _convinces, _joined, _piece_side, wiener_estimate


def lattice(shape, *, period=9.0, turned=0.3):
    """A hexagonal lattice of unit variance: three waves at 60° to one another."""
    y, x = np.indices(shape)
    angles = turned + np.pi / 3 * np.arange(3)
    waves = (np.cos(2 * np.pi / period * (np.sin(a) * y + np.cos(a) * x)) for a in angles)
    return (sum(waves) / np.sqrt(1.5)).astype(np.float32)


def grain(rng, shape, width):
    """A random field of unit variance without any period: white noise, blurred by a Gaussian of that width [px]."""
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    blurred = np.fft.irfft2(
        np.fft.rfft2(rng.standard_normal(shape)) * np.exp(-2 * (np.pi * width * frequency) ** 2), s=shape
    )
    return (blurred / blurred.std()).astype(np.float32)


def scan_of(rng, truth, coverage, noise=0.2):
    visited = rng.random(truth.shape) < coverage
    recorded = truth + noise * rng.standard_normal(truth.shape, np.float32)
    return semrt.SparseScan(np.where(visited, recorded, np.float32(0)), visited)


def gain(scan, truth):
    """Of the mean square error over that of kriging [dB]."""
    before, after = classical_estimate(scan).estimate, wiener_estimate(scan).estimate
    return 10 * np.log10(np.mean((before - truth) ** 2) / np.mean((after - truth) ** 2))


def test_the_variance_of_a_power_spectrum_is_that_of_its_image():
    grid = SpectralGrid((40, 31))
    image = np.random.default_rng(1).standard_normal(grid.padded_shape)
    power = (np.abs(np.fft.rfft2(image)) ** 2 / image.size).astype(np.float32)
    assert grid.variance(power) == pytest.approx(np.mean(image**2), rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (10, 13), (16, 7)])
@pytest.mark.parametrize("exposed", [False, True])
def test_conjugate_gradients_solve_the_dense_equations(shape, exposed):
    rng = np.random.default_rng(2)
    grid = SpectralGrid(shape)
    ny, nx = grid.padded_shape
    frequency = np.hypot(3 * np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx))  # axes that are not alike
    power = np.exp(-5 * frequency).astype(np.float32)
    known = rng.random(shape) < 0.4
    known[0, 0] = True
    values = rng.standard_normal(shape).astype(np.float32)
    exposure = rng.uniform(0.3, 1, shape).astype(np.float32) if exposed else None
    field = SampledField(grid, values, known, exposure)
    found = field.estimate(power, 0.3, n_steps=200, tolerance=1e-6)

    covariance = np.fft.irfft2(power, s=(ny, nx))  # of two pixels, by their distance
    places, everywhere = np.argwhere(known), np.argwhere(np.ones((ny, nx), bool))

    def between(some, others):
        dy, dx = (some[:, None] - others[None]).transpose(2, 0, 1)
        return covariance[dy % ny, dx % nx]

    noise = 0.3 / (exposure[known] if exposed else np.ones(len(places)))
    wanted = between(everywhere, places) @ np.linalg.solve(between(places, places) + np.diag(noise), values[known])
    np.testing.assert_allclose(found, wanted.reshape(ny, nx), atol=1e-4)
    left = np.mean((exposure[known] if exposed else 1) * (values - found[: shape[0], : shape[1]])[known] ** 2)
    assert field.misfit(found) == pytest.approx(left, rel=1e-4)


@pytest.mark.parametrize(
    ("pattern", "inverse"), [("random", 20), ("archimedean", 20), ("line-hop", 20), ("archimedean", 100)]
)
def test_a_lattice_is_continued_where_kriging_cannot_know_of_it(pattern, inverse):
    truth = lattice((256, 256))  # at 1/100 a handful of cells is held out, too few for much evidence
    visited = semrt.scan.generate(pattern, truth.shape, 1 / inverse, seed=1).visited
    recorded = truth + 0.3 * np.random.default_rng(3).standard_normal(truth.shape, np.float32)
    scan = semrt.SparseScan(np.where(visited, recorded, np.float32(0)), visited)
    made = semrt.infer("wiener", scan, denoise=True)
    assert made.provenance["details"]["method"] == "learnt spectrum"
    kriged = semrt.infer("kriging", scan, denoise=True)
    assert psnr(made.intensity, truth) > psnr(kriged.intensity, truth) + 5


def test_without_any_period_little_is_lost():
    gains = []
    for seed, width in enumerate((2, 4, 8, 2, 4, 8)):
        rng = np.random.default_rng(seed)
        truth = grain(rng, (192, 192), width)
        gains.append(gain(scan_of(rng, truth, 0.08), truth))
    assert min(gains) > -0.3
    assert np.mean(gains) > -0.05


def test_the_stated_intervals_hold_on_lattices():
    held = []
    misfits = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        truth = lattice((192, 192), period=7 + 2 * seed, turned=seed)
        scan = scan_of(rng, truth, 0.06, noise=0.4)
        made = wiener_estimate(scan)
        assert made.method == "learnt spectrum"
        held.append(np.mean(np.abs(made.estimate - truth)[~scan.visited] < 1.645 * made.error[~scan.visited]))
        misfits.append(made.misfit)
    assert 0.85 < np.mean(held) < 0.999
    assert np.mean(misfits) == pytest.approx(1, abs=0.15)


def test_noise_alone_has_no_spectrum_to_be_learnt():
    taken = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        taken += wiener_estimate(scan_of(rng, np.zeros((128, 128), np.float32), 0.05, noise=1)).method != "kriging"
    assert taken <= 4


def test_all_samples_of_a_cell_are_one_piece_of_evidence():
    truth, predicted = np.zeros(6, np.float32), np.array([3, 3, 2, 2, 2, 2], np.float32)
    nothing, other = np.zeros((1, 1), bool), np.array([1, 2, 1, 1, 3, 3], np.float32)
    cells = np.array([0, 0, 2, 2, 5, 5])
    validation = Validation(nothing, nothing, cells, truth, predicted, np.full(6, 4, np.float32))
    # Gains of the cells: (9 - 1) + (9 - 4) = 13, 2 (4 - 1) = 6, 2 (4 - 9) = -10
    assert validation.advantage(other) == pytest.approx((13 + 6 - 10) / np.sqrt(13**2 + 6**2 + 10**2))
    assert validation.mean_square_error() == pytest.approx((2 * 9 + 4 * 4) / 6)
    assert validation.misfit() == pytest.approx(np.sqrt((2 * 9 + 4 * 4) / 6 / 4))


@pytest.mark.parametrize(
    ("errors", "convinced"),
    [
        ([0.9] * 9, True),  # 3 standard errors
        ([0.9] * 3, False),  # 1.7, but hardly better
        ([0.8] * 3, True),  # 1.7, and plainly better
        ([0.1, 1.0, 1.1], False),  # 0.8 standard errors, however much better
        ([1.1] * 9, False),
    ],
)
def test_few_cells_convince_where_the_error_falls_plainly_and_many_where_it_falls_at_all(errors, convinced):
    n = len(errors)
    nothing, truth = np.zeros((1, 1), bool), np.zeros(n, np.float32)
    validation = Validation(nothing, nothing, np.arange(n), truth, np.ones(n, np.float32), np.ones(n, np.float32))
    assert _convinces(validation, np.array(errors, np.float32)) == convinced


@pytest.mark.parametrize("side", [1, 500, 640, 641, 700, 1000, 2048, 8192])
def test_pieces_cover_a_field_and_share_little_of_it(side):
    layout = tiling.plan((side, side), [_piece_side(side)] * 2, OVERLAP, 1)
    starts = layout.starts[0]
    assert layout.tile[0] <= PIECE
    assert starts[0] == 0
    assert starts[-1] + layout.tile[0] >= side
    assert len(starts) * layout.tile[0] <= layout.padded[0] + (len(starts) - 1) * (2 * OVERLAP + 2)


def test_grains_that_differ_are_both_continued_and_the_number_of_threads_does_not_matter():
    rng = np.random.default_rng(4)
    truth = np.concatenate((lattice((160, 600)), lattice((160, 600), period=7.0, turned=1.0)), axis=1)
    scan = scan_of(rng, truth, 0.05)
    made = wiener_estimate(scan)
    for half in (np.s_[:, :500], np.s_[:, 700:]):
        before = np.mean((classical_estimate(scan).estimate - truth)[half] ** 2)
        assert np.mean((made.estimate - truth)[half] ** 2) < 0.4 * before
    np.testing.assert_array_equal(made.estimate, wiener_estimate(scan, n_threads=1).estimate)


def test_scale_and_offset_of_the_detector_do_not_matter():
    rng = np.random.default_rng(5)
    truth = lattice((96, 128))
    scan = scan_of(rng, truth, 0.1)
    changed = semrt.SparseScan(np.where(scan.visited, 50 * scan.intensity + 300, np.float32(0)), scan.visited)
    one, other = wiener_estimate(scan), wiener_estimate(changed)
    # The fitted variogram is the same but for its last digits, which steps that end early make a little of.
    assert np.mean(np.abs(other.estimate - (50 * one.estimate + 300))) < 0.01 * 50
    np.testing.assert_allclose(other.error, 50 * one.error, rtol=0.02, atol=0.01)


def test_samples_of_little_exposure_count_less():
    rng = np.random.default_rng(6)
    truth = lattice((160, 160))
    visited = rng.random(truth.shape) < 0.12
    exposure = np.where(rng.random(truth.shape) < 0.5, np.float32(0.1), np.float32(1)) * visited
    noise = rng.standard_normal(truth.shape, np.float32) * np.sqrt(0.3 * exposure)
    told = semrt.SparseScan(np.where(visited, exposure * truth + noise, np.float32(0)), visited, exposure=exposure)
    values = np.where(visited, told.intensity / np.maximum(exposure, np.float32(1e-9)), np.float32(0))
    kept_to_itself = semrt.SparseScan(values, visited)
    errors = [np.mean((wiener_estimate(scan).estimate - truth) ** 2) for scan in (told, kept_to_itself)]
    assert errors[0] < 0.7 * errors[1]


def test_what_is_hopeless_is_given_up():
    rng = np.random.default_rng(7)
    scan = scan_of(rng, lattice((128, 128)), 0.1)
    classical = classical_estimate(scan)
    validation = Validation.of(scan.intensity, scan.visited, classical.variogram)
    maps = scan.intensity, scan.visited, validation.held_out, classical.estimate
    noise = classical.variogram.nugget
    assert learnt_estimate(*maps, noise=noise, rival=validation.mean_square_error()) is not None
    assert learnt_estimate(*maps, noise=noise, rival=1e-6 * validation.mean_square_error()) is None


def test_what_the_samples_left_open_stays_in_the_spectrum_in_part():
    grid = SpectralGrid((40, 40))
    power = np.ones((grid.padded_shape[0], grid.padded_shape[1] // 2 + 1), np.float32)
    nothing = np.zeros(grid.padded_shape, np.float32)
    np.testing.assert_allclose(_relearnt(grid, power, nothing, 1.0, exposure=0.0), DOUBT * power, rtol=1e-5)
    assert (_relearnt(grid, power, nothing, 1.0, exposure=1.0) < 0.7 * DOUBT * power).all()


def test_where_natural_neighbours_are_the_better_guess_it_is_they_whom_a_spectrum_must_beat():
    rng = np.random.default_rng(11)
    scan = scan_of(rng, lattice((128, 128)), 0.1)
    classical = classical_estimate(scan)
    smooth = replace(classical, estimate=classical.smooth, method="natural neighbour")
    whole = tuple(slice(0, side) for side in scan.shape)
    assert smooth.validation is not None
    perfect = replace(smooth, validation=_AsGoodAsCanBe(**vars(smooth.validation)))
    assert _joined(scan, scan.intensity, None, smooth, whole, 1).change.any()
    assert not _joined(scan, scan.intensity, None, perfect, whole, 1).change.any()


class _AsGoodAsCanBe(Validation):
    """Natural neighbours that make no mistake."""

    def smooth(self, values, n_threads=None):
        return self.truth


def test_what_was_held_out_is_unknown_to_the_estimate_that_it_judges():
    rng = np.random.default_rng(9)
    scan = scan_of(rng, lattice((128, 128)), 0.1)
    guess = classical_estimate(scan)
    held_out = scan.visited & (rng.random(scan.shape) < 0.12)
    wrong = np.where(held_out, scan.intensity + 100, scan.intensity)
    made = learnt_estimate(wrong, scan.visited, held_out, guess.estimate, noise=0.04, rival=np.inf)
    assert np.abs(made.predicted).max() < 5
    assert np.abs(made.estimate).max() > 5


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    coverage=st.sampled_from([0.02, 0.2, 0.7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_scan_has_an_estimate(shape, coverage, seed):
    rng = np.random.default_rng(seed)
    visited = rng.random(shape) < coverage
    visited.flat[0] = True
    scan = semrt.SparseScan(np.where(visited, rng.standard_normal(shape), 0).astype(np.float32), visited)
    made = Wiener().solve(scan, n_threads=1)
    assert np.isfinite(made.intensity).all()
    assert (made.error >= 0).all()
    np.testing.assert_array_equal(made.intensity[visited], scan.intensity[visited])


def test_a_scan_of_one_brightness_gives_it_back():
    visited = np.random.default_rng(8).random((60, 60)) < 0.2
    made = wiener_estimate(semrt.SparseScan(np.where(visited, np.float32(7), np.float32(0)), visited))
    np.testing.assert_array_equal(made.estimate, np.float32(7))
    assert (made.error == 0).all()
