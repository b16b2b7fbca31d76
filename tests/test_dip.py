"""The Deep Image Prior as a solver of single scans: what it keeps, what it says, and that it pays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as drawn
from hypothesis import strategies as st

import semrt
from dip_samples import balls, classical, details, dip, scan_of
from semrt import io
from semrt.data import SparseScan
from semrt.deep_image_prior.settings import NETWORK_NAMES
from semrt.errors import InvalidValue
from semrt.metrics import psnr, rmse


@pytest.mark.parametrize("network", ["conv-decoder", "deep-decoder"])
def test_the_same_seed_gives_the_same_image_to_the_bit_and_another_seed_another(network):
    scan = scan_of(balls(32))
    first, again, other = (
        dip(scan, network=network, seed=seed, blend=False, max_iterations=5) for seed in (3, np.int64(3), 4)
    )
    np.testing.assert_array_equal(again.intensity, first.intensity)
    np.testing.assert_array_equal(again.error, first.error)
    assert details(again)["loss"] == details(first)["loss"]
    assert np.abs(other.intensity - first.intensity)[~scan.visited].max() > 1e-3


def test_a_scan_without_gaps_is_its_own_result():
    image = balls(32)
    scan = SparseScan(image, np.ones(image.shape, bool), pixel_size=(2, 3), metadata={"detector": "SE"})
    result = dip(scan)
    np.testing.assert_array_equal(result.intensity, image)
    assert (result.pixel_size, result.metadata["detector"]) == ((2, 3), "SE")
    assert details(result)["stopped"] == "nothing was left to infer"
    denoised = dip(scan, denoise=True)
    assert details(denoised)["stopped"] == "iterations"
    assert (denoised.intensity != image).any()


def test_an_almost_empty_scan_is_completed_with_a_clear_note():
    image = balls(64)
    visited = np.zeros(image.shape, bool)
    visited[[3, 40, 60], [5, 50, 20]] = True
    with pytest.warns(UserWarning, match=r"almost empty: 3 of 4096 pixels were visited; what lies between is a guess"):
        result = dip(SparseScan(image, visited))
    assert details(result)["notes"] == ["almost empty: 3 of 4096 pixels were visited; what lies between is a guess"]
    assert np.isfinite(result.intensity).all()
    assert "notes" not in details(dip(scan_of(image, 0.002, seed=3)))


@pytest.mark.filterwarnings("ignore:so few samples")
@pytest.mark.parametrize(("shape", "samples"), [((32, 32), 15), ((20, 20), 1)])
def test_too_few_samples_give_the_classical_result_and_say_so(shape, samples):
    visited = np.zeros(shape, bool)
    visited.flat[np.random.default_rng(0).choice(visited.size, samples, replace=False)] = True
    scan = SparseScan(balls(32)[: shape[0], : shape[1]], visited)
    result = dip(scan)
    np.testing.assert_allclose(result.intensity, classical(scan).intensity, atol=1e-6)
    np.testing.assert_allclose(result.error, classical(scan).error, atol=1e-6)
    made = details(result)
    assert (made["stopped"], made["iterations"], made["weight_of_networks"]) == ("too few samples", 0, 0)
    assert made["held_out_error_classical"] is None
    assert made["held_out_error"] == made["loss"] == []


def test_measured_pixels_stay_measured_unless_they_are_to_be_denoised():
    image = balls()
    scan = scan_of(image, 0.3, noise=0.1)
    kept, denoised = dip(scan), dip(scan, denoise=True)
    np.testing.assert_array_equal(kept.intensity[scan.visited], scan.intensity[scan.visited])
    np.testing.assert_array_equal(kept.intensity[~scan.visited], denoised.intensity[~scan.visited])
    assert (denoised.intensity - image)[scan.visited].std() < 0.8 * 0.1
    assert len(np.unique(kept.error[scan.visited])) == 1  # one sample's noise is everywhere the same


def test_absolute_intensity_is_kept_whatever_the_gain_and_offset_of_the_detector():
    scan = scan_of(balls(32))
    plain = dip(scan)
    changed = dip(SparseScan(256 * scan.intensity + 1024, scan.visited))
    np.testing.assert_allclose(changed.intensity, 256 * plain.intensity + 1024, atol=256 * 2e-3)
    np.testing.assert_allclose(changed.error, 256 * plain.error, atol=256 * 2e-3)
    doubled = dip(SparseScan(2 * scan.intensity, scan.visited), blend=False)  # a power of two, so nothing is rounded
    np.testing.assert_array_equal(doubled.intensity, 2 * dip(scan, blend=False).intensity)


@pytest.mark.parametrize("network", NETWORK_NAMES)
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (5, 7), (19, 33)])
def test_fields_of_odd_tiny_and_narrow_shapes_are_completed(network, shape):
    image = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    scan = scan_of(image, 0.6, noise=0)
    result = dip(scan, network=network, max_iterations=3)
    assert result.shape == result.error.shape == shape
    assert np.isfinite(result.intensity).all()
    assert (result.error >= 0).all()
    np.testing.assert_array_equal(result.intensity[scan.visited], image[scan.visited])


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (3, 5)])
def test_a_field_of_a_few_pixels_is_left_to_the_classical_estimate(shape):
    visited = np.zeros(shape, bool)
    visited.flat[0] = True
    result = dip(SparseScan(np.full(shape, 3.0), visited))
    np.testing.assert_allclose(result.intensity, 3)


@drawn(max_examples=8, deadline=None)
@given(
    shape=st.tuples(st.integers(4, 30), st.integers(4, 30)),
    coverage=st.sampled_from([0.1, 0.5, 0.95]),
    members=st.integers(1, 4),
    blend=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
)
def test_whatever_is_asked_the_result_is_finite_and_the_weight_within_its_bounds(shape, coverage, members, blend, seed):
    scan = scan_of(np.random.default_rng(0).random(shape), coverage, seed=shape[0])
    result = dip(scan, members=members, blend=blend, seed=seed, max_iterations=2)
    assert np.isfinite(result.intensity).all()
    assert np.isfinite(result.error).all()
    assert 0 <= details(result)["weight_of_networks"] <= 1


def test_the_record_says_how_the_fit_went():
    result = dip(scan_of(balls(48)), max_iterations=25, seed=5)
    made = details(result)
    chosen = {"network": "deep-decoder", "members": 2, "max_iterations": 25, "max_seconds": None, "seed": 5}
    assert chosen.items() <= made["settings"].items()
    assert made["stopped"] == "iterations"
    assert 0 < made["iterations"] <= 25
    assert [iteration for iteration, _ in made["loss"]] == [10, 20, 25]
    assert [iteration for iteration, _ in made["held_out_error"]] == [10, 20, 25]
    assert made["loss"][-1][1] < made["loss"][0][1], "the networks learn nothing"
    assert made["held_out_samples"] > 0
    assert made["classical_method"] in {"kriging", "natural neighbour", "learnt spectrum"}
    assert result.provenance["device"]["used"] == "cpu"
    assert result.provenance["seconds"]["run"] > 0
    assert "interrupted" not in result.provenance


def test_held_out_errors_are_in_the_units_of_the_scan():
    scan = scan_of(balls(48))
    told = [details(dip(SparseScan(gain * scan.intensity, scan.visited))) for gain in (1, 64)]
    assert told[1]["held_out_error_classical"] == pytest.approx(64 * told[0]["held_out_error_classical"], rel=1e-3)
    assert told[1]["held_out_error"][-1][1] == pytest.approx(64 * told[0]["held_out_error"][-1][1], rel=1e-2)


@pytest.mark.parametrize("given_as", ["dwell_time", "exposure"])
def test_samples_of_longer_dwell_time_are_fitted_closer_and_the_image_is_the_better_for_it(given_as):
    rng = np.random.default_rng(0)
    image = balls(40, radius=12.0)
    stayed = np.where(rng.random(image.shape) < 0.5, 100, 1).astype(np.float32)
    visited = rng.random(image.shape) < 0.5
    measured = (image + 0.4 / np.sqrt(stayed) * rng.standard_normal(image.shape)).astype(np.float32)  # counting noise
    as_recorded = measured * stayed if given_as == "exposure" else measured
    options = {"network": "conv-decoder", "denoise": True, "blend": False, "max_iterations": 60}
    weighted = dip(SparseScan(as_recorded, visited, **{given_as: stayed}), **options).intensity
    even = dip(SparseScan(measured, visited), **options).intensity
    long = visited & (stayed == 100)
    of_weighted, of_even = ((made - measured)[long].std() for made in (weighted, even))
    assert of_weighted < 0.8 * of_even
    assert rmse(weighted, image) < 0.8 * rmse(even, image)


def test_only_the_ratio_of_dwell_times_counts():
    image, visited = balls(32), scan_of(balls(32)).visited
    stayed = np.random.default_rng(0).uniform(1, 4, image.shape).astype(np.float32)
    one, slower = (dip(SparseScan(image, visited, dwell_time=gain * stayed), blend=False) for gain in (1, 1024))
    np.testing.assert_array_equal(slower.intensity, one.intensity)


def test_the_dwell_times_of_a_probes_positions_go_with_the_scan_and_its_file(tmp_path):
    positions = [(1, 2), (1.3, 1.8), (0, 0)]
    scan = SparseScan.from_positions(positions, [10, 40, 7], (2, 3), dwell_time=[1.0, 3.0, 2.0])
    np.testing.assert_array_equal(scan.dwell_time, [[2, 0, 0], [0, 0, 4]])
    assert SparseScan.from_positions(positions, [10, 40, 7], (2, 3)).dwell_time is None
    io.write(tmp_path / "scan.npz", scan)
    read = io.read(tmp_path / "scan.npz")
    assert isinstance(read, SparseScan)
    np.testing.assert_array_equal(read.dwell_time, scan.dwell_time)
    for wrong in (np.zeros((2, 3)), np.full((2, 3), -1), np.full((2, 3), np.nan)):
        with pytest.raises(InvalidValue, match="dwell_time"):
            SparseScan(scan.intensity, scan.visited, dwell_time=wrong)


def never_worse(image, scan, **options):
    """Loss of the Deep Image Prior to `wiener` [dB], negative for a gain."""
    spread = float(image.max() - image.min()) or 1.0
    made = dip(scan, network="conv-decoder", **options)
    return psnr(classical(scan).intensity, image, spread) - psnr(made.intensity, image, spread), made


@pytest.mark.slow
def test_a_few_samples_of_balls_are_completed_no_worse_than_without_networks():
    image = balls(64, radius=12.0)
    scan = scan_of(image, 0.05, noise=0.02)
    lost, made = never_worse(image, scan, max_iterations=100)
    assert lost < 0.1
    inferred = ~scan.visited
    inside = np.abs(made.intensity - image)[inferred] < 1.645 * made.error[inferred]
    assert 0.8 < inside.mean() < 0.97  # 0.9, as far as so few samples can tell


@pytest.mark.slow
def test_many_samples_of_balls_are_completed_better_than_without_networks():
    image = balls(64, radius=12.0)
    lost, made = never_worse(image, scan_of(image, 0.2, noise=0.01), max_iterations=150)
    assert lost < 0
    assert details(made)["weight_of_networks"] > 0


@pytest.mark.slow
def test_where_there_is_nothing_to_find_the_result_is_no_worse_than_without_networks():
    flat = np.full((48, 48), 5.0, np.float32)
    lost, made = never_worse(flat, scan_of(flat, 0.1, noise=0), max_iterations=30)
    np.testing.assert_array_equal(made.intensity, flat)
    lost, _ = never_worse(flat, scan_of(flat, 0.1, noise=1), max_iterations=60)
    assert lost < 0.1
    noise = np.random.default_rng(0).standard_normal((48, 48)).astype(np.float32)
    lost, _ = never_worse(noise, scan_of(noise, 0.1, noise=0), max_iterations=60)
    assert lost < 0.1


def test_a_lattice_goes_on_between_the_samples_and_held_out_ones_keep_it():
    y, x = np.indices((72, 72))
    lattice = (np.cos(2 * np.pi * (y + 0.3 * x) / 9) + np.cos(2 * np.pi * (x - 0.3 * y) / 9)).astype(np.float32)
    scan = scan_of(lattice, 0.1, noise=0.2)
    made = dip(scan, denoise=True)
    assert details(made)["classical_method"] == "learnt spectrum"
    kriged = semrt.infer("kriging", scan, denoise=True)
    assert rmse(made.intensity, lattice) < 0.4 * rmse(kriged.intensity, lattice)
    assert 0.2 < details(made)["held_out_error_classical"] < 0.3  # the noise of the samples, and little else
