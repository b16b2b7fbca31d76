"""Solvers of `wedge`: from a tilt series, or from a tomogram alone, to the tomogram that explains it."""

import dataclasses

import numpy as np
import pytest

import semrt
from semrt.data import TiltSeries, Tomogram
from semrt.errors import InvalidOption, InvalidValue
from semrt.physics.missing_wedge import measured_part
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import noise_of, sirt, tv, wbp
from semrt.tasks import find_task
from semrt.tasks.wedge_problem import chi2_of
from semrt.tasks.wedge_series import as_series, tilts_of
from semrt.tasks.wedge_volume import find_vacuum, is_weighted, vacuum_of
from wedge_samples import ANGLES, back_projected, iterated, off, series, truth

GEOMETRY = TiltGeometry(ANGLES, (32, 32))
METHODS = {"wbp": wbp, "sirt": sirt, "tv": tv}


# --- a tomogram as a series


def test_a_tomogram_is_projected_every_two_degrees_from_its_lowest_tilt_to_its_highest():
    given = Tomogram(truth(), (-50, 64), (0.5, 0.7, 0.5), metadata={"detector": "HAADF"})
    seen = as_series(given, weighted=False)
    np.testing.assert_allclose(seen.angles, np.arange(-50, 65, 2))
    expected = TiltGeometry(np.arange(-50.0, 65, 2), (32, 32)).project(truth())
    np.testing.assert_array_equal(seen.intensity, expected)
    assert (seen.pixel_size, seen.metadata) == ((0.7, 0.5), {"detector": "HAADF"})


def test_a_range_that_is_no_multiple_of_two_degrees_keeps_its_ends():
    tilts = tilts_of(Tomogram(truth(), (-60.5, 60.5)))
    assert (tilts[0], tilts[-1]) == (-60.5, 60.5)
    assert np.diff(tilts) == pytest.approx(121 / 60)
    assert list(tilts_of(Tomogram(truth(), (-2, -1.7)))) == [-2, -1.7]


def test_empty_space_is_taken_off_before_projecting():
    lifted = as_series(Tomogram(truth() + 7, (-60, 60)), vacuum=7, weighted=False).intensity
    level = as_series(Tomogram(truth(), (-60, 60)), weighted=False).intensity
    np.testing.assert_allclose(lifted, level, atol=2e-5)


@pytest.mark.parametrize("filter", ["ramp", "hann"])
def test_projections_of_a_back_projection_get_what_it_lost_back(filter):  # noqa: A002
    clean = series(noise=0)
    kept = back_projected(clean, filter)
    kept = Tomogram(kept.density, (-60, 60))
    true = TiltGeometry(np.arange(-60.0, 61, 2), (32, 32)).project(truth())
    plain, given_back = (as_series(kept, weighted=weighted).intensity for weighted in (False, True))
    assert plain.mean() < 0.8 * true.mean()  # two thirds of the half-circle were measured
    assert abs(given_back.mean() / true.mean() - 1) < 0.1
    assert off(given_back, true) < 0.5 * off(plain, true)


def test_a_back_projection_is_told_from_an_iterative_reconstruction():
    for seed in range(3):
        of = series(noise=0.5, seed=seed)
        assert is_weighted(back_projected(of).density, GEOMETRY)
        assert is_weighted(back_projected(of, "ramp").density, GEOMETRY)
        assert not is_weighted(iterated(of).density, GEOMETRY)
    assert not is_weighted(np.zeros((32, 3, 32), np.float32), GEOMETRY)


def test_empty_space_is_zero_unless_most_of_the_volume_lies_far_from_it_and_is_dark():
    noise = np.random.default_rng(0).normal(0, 0.05, truth().shape).astype(np.float32)
    assert vacuum_of(truth() + noise) == 0
    assert vacuum_of(1000 * (truth() + noise) + 7000) == pytest.approx(7000, abs=30)
    assert vacuum_of(1000 * (truth() + noise) - 3000) == pytest.approx(-3000, abs=30)
    dense = 0.4 + 0.2 * truth() + 5 * noise  # as noisy back projections of what fills the field are
    assert vacuum_of(dense) == 0
    assert vacuum_of(5 - truth() + noise) == 0  # most is bright: that is no empty space
    assert vacuum_of(np.zeros((4, 4, 4), np.float32)) == 0


@pytest.mark.parametrize("make", [back_projected, iterated])
@pytest.mark.parametrize("offset", [-5, 7])
def test_empty_space_is_found_as_the_most_that_can_be_taken_off(make, offset):
    given = make(series(noise=0.5, side=48)).density + np.float32(offset)
    geometry = TiltGeometry(ANGLES, (48, 48))
    vacuum, weighted = find_vacuum(given, geometry)
    assert vacuum == pytest.approx(offset, abs=0.1)  # of a density of 1
    assert weighted == (make is back_projected)
    assert find_vacuum(given, geometry, weighted=weighted) == (vacuum, weighted)
    assert find_vacuum(given - np.float32(offset), geometry) == (0, weighted)


@pytest.mark.parametrize("solve", [as_series, lambda given: semrt.infer("wedge", given)])
def test_a_tomogram_that_cannot_be_projected_is_refused_with_what_to_do(solve):
    with pytest.raises(InvalidValue, match=r"tilt_range: expected the lowest .* got none; give --tilt-range -60 60"):
        solve(Tomogram(truth()))
    with pytest.raises(InvalidValue, match=r"dz 1 and dx 0.5 nm; resample z to 64 slices of 0.5 nm"):
        solve(Tomogram(truth(), (-60, 60), (1.0, 0.5, 0.5)))
    assert as_series(Tomogram(truth(), (-60, 60), (0.5, 3.0, 0.5)), weighted=False).pixel_size == (3.0, 0.5)


# --- solvers


@pytest.mark.parametrize("solver", METHODS)
def test_a_solver_is_its_method_with_the_calibration_of_the_series(solver):
    of = series(pixel_size=(0.7, 0.5), metadata={"detector": "HAADF"})
    found = semrt.infer("wedge", of, solver=solver)
    np.testing.assert_allclose(found.density, METHODS[solver](of.intensity, GEOMETRY), rtol=1e-5, atol=1e-6)
    assert (found.tilt_range, found.voxel_size) == ((-60, 60), (0.5, 0.7, 0.5))
    assert found.metadata == {"detector": "HAADF"}
    assert found.provenance["model"]["name"] == f"wedge-{solver}"
    inferred = found.density - measured_part(found.density, -60, 60)
    np.testing.assert_allclose(found.inferred, inferred, atol=1e-6)


def test_without_a_trained_network_wedge_is_total_variation():
    of = series()
    found = find_task("wedge").solve(of)
    np.testing.assert_array_equal(found.density, semrt.infer("wedge", of, solver="tv").density)


def test_the_network_that_ships_comes_nearest_to_the_truth():
    found, flat = (semrt.infer("wedge", series(), solver=solver) for solver in (None, "tv"))
    assert found.provenance["model"]["task"] == "wedge-network"
    assert off(found.density, truth()) < 0.9 * off(flat.density, truth())


def test_each_method_comes_nearer_to_the_truth_than_the_one_before():
    errors = [off(semrt.infer("wedge", series(), solver=solver).density, truth()) for solver in METHODS]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.65 * errors[0]


def test_a_tomogram_alone_comes_nearer_to_the_truth_too():
    given = back_projected(series())
    found = semrt.infer("wedge", given)
    assert off(found.density, truth()) < 0.75 * off(given.density, truth())
    assert found.shape == given.shape
    told = found.provenance["details"]
    assert (told["weighted"], told["vacuum"], told["projected_from"]) == (True, 0, "a volume")


@pytest.mark.filterwarnings("ignore:a density of 4000")
def test_a_lifted_tomogram_gives_the_same_result_as_lifted():
    given = back_projected(series())
    lifted = dataclasses.replace(given, density=100 * given.density + 4000)
    found, level = (semrt.infer("wedge", of, vacuum=at) for of, at in ((lifted, 4000.0), (given, 0.0)))
    np.testing.assert_allclose(found.density, 100 * level.density + 4000, atol=0.5)
    np.testing.assert_allclose(found.inferred, 100 * level.inferred, atol=0.5)
    with pytest.warns(UserWarning, match=r"a density of (39|40)\d\d counts as empty space"):
        semrt.infer("wedge", lifted)


@pytest.mark.filterwarnings("ignore:the result leaves")
def test_the_options_reach_the_methods():
    of = series()
    ramp = semrt.infer("wedge", of, solver="wbp", filter="ramp").density
    np.testing.assert_allclose(ramp, wbp(of.intensity, GEOMETRY, filter="ramp"), atol=1e-6)
    short = semrt.infer("wedge", of, solver="sirt", iterations=3).density
    np.testing.assert_allclose(short, sirt(of.intensity, GEOMETRY, iterations=3), atol=1e-6)
    smooth = semrt.infer("wedge", of, solver="tv", weight=20.0, iterations=30).density
    np.testing.assert_allclose(smooth, tv(of.intensity, GEOMETRY, weight=20.0, iterations=30), atol=1e-5)
    by_noise = semrt.infer("wedge", of, solver="tv", noise=2.0).density
    np.testing.assert_allclose(by_noise, tv(of.intensity, GEOMETRY, weight=3.0 * np.sqrt(len(ANGLES))), atol=1e-5)
    assert semrt.infer("wedge", of, thickness=20, solver="sirt").shape == (20, 3, 32)


@pytest.mark.filterwarnings("ignore:the result leaves")
def test_the_tilt_axis_may_lie_beside_the_middle_of_the_detector():
    geometry = TiltGeometry(ANGLES, (32, 32), 32, 2.5)
    shifted = TiltSeries(geometry.project(truth()), ANGLES, axis_offset=2.5)
    centred = dataclasses.replace(shifted, axis_offset=0.0)
    right, wrong = (off(semrt.infer("wedge", of).density, truth()) for of in (shifted, centred))
    assert right < 0.5 * wrong


@pytest.mark.parametrize("solver", METHODS)
def test_what_a_detector_shows_of_nothing_is_taken_off(solver):
    of = series()
    lifted = dataclasses.replace(of, intensity=of.intensity + 50)
    found = semrt.infer("wedge", lifted, solver=solver, vacuum=50.0)
    np.testing.assert_allclose(found.density, semrt.infer("wedge", of, solver=solver).density, atol=2e-3)
    assert found.notes == ()
    if solver != "wbp":
        with pytest.warns(UserWarning, match=r"is nothing dark and zero \(vacuum\)"):
            semrt.infer("wedge", lifted, solver=solver)


@pytest.mark.parametrize("solver", METHODS)
def test_an_empty_measurement_gives_nothing(solver):
    empty = np.zeros((len(ANGLES), 2, 16), np.float32)
    found = semrt.infer("wedge", TiltSeries(empty, ANGLES), solver=solver)
    assert found.shape == (16, 2, 16)
    assert not found.density.any()
    assert not found.inferred.any()
    found = semrt.infer("wedge", Tomogram(np.zeros((12, 2, 16)), (-60, 60)), solver=solver)
    assert found.shape == (12, 2, 16)
    assert not found.density.any()


def test_chi_squared_is_one_where_the_noise_is_all_that_is_unexplained():
    of = series(noise=1, side=48, ny=4)
    told = semrt.infer("wedge", of).provenance["details"]
    assert told["noise"] == noise_of(of.intensity)
    assert chi2_of(told) == pytest.approx(1, abs=0.25)
    assert chi2_of(semrt.infer("wedge", back_projected(of)).provenance["details"]) is None


def test_what_a_result_lacks_is_told():
    with pytest.warns(UserWarning, match="7 tilts, 20 degrees apart"):
        semrt.infer("wedge", series(angles=np.arange(-60.0, 61, 20)), solver="tv")
    with pytest.warns(UserWarning, match="tilts over 40 degrees alone"):
        semrt.infer("wedge", series(angles=np.arange(-20.0, 21, 2)), solver="tv")
    shaken = series(side=48).intensity.copy()
    for at in range(0, len(shaken), 2):
        shaken[at] = np.roll(shaken[at], 4, axis=-1)  # every other projection lies 4 px beside the last
    with pytest.warns(UserWarning, match=r"leaves \d\.\d times the noise of the series unexplained"):
        semrt.infer("wedge", TiltSeries(shaken, ANGLES), solver="tv")


def test_an_option_that_only_a_solver_takes_is_not_accepted_and_ignored():
    with pytest.raises(InvalidOption, match="wedge: option 'iterations' is unknown; choose from: noise, scale"):
        semrt.infer("wedge", series(), iterations=5)
    found = semrt.infer("wedge", series(), fallback="classical", iterations=5)  # for the case that total variation runs
    assert found.provenance["model"]["task"] == "wedge-network"


def test_options_of_the_other_kind_of_input_are_refused():
    with pytest.raises(InvalidOption, match="weighted: is for a tomogram"):
        semrt.infer("wedge", series(), weighted=True)
    with pytest.raises(InvalidOption, match="thickness: is for a tilt series; this tomogram is 32 px high"):
        semrt.infer("wedge", back_projected(series()), thickness=20)
    with pytest.raises(InvalidOption, match="thickness: expected 1 px or more, got 0"):
        semrt.infer("wedge", series(), thickness=0)
    with pytest.raises(InvalidOption, match="filter 'han' is unknown; did you mean 'hann'"):
        semrt.infer("wedge", series(), solver="wbp", filter="han")
    with pytest.raises(InvalidValue, match="expected a TiltSeries or a Tomogram, got a ndarray"):
        semrt.infer("wedge", truth())


@pytest.mark.filterwarnings("ignore:the result leaves")
def test_progress_counts_slices_and_may_end_the_work():
    told = []
    semrt.infer("wedge", series(), solver="tv", iterations=5, threads=1, progress=lambda *said: told.append(said))
    done = [at for at, _, _ in told]
    assert done == sorted(done)
    assert set(done) == {0, 1, 2, 3}
    assert {said[1:] for said in told} == {(3, "slice")}

    def enough(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        semrt.infer("wedge", series(), progress=enough)
