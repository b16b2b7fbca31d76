"""The infill task around its network, and the shipped model on scans that training never drew."""

import numpy as np
import pytest

import semrt
from semrt import models, scan, tiling
from semrt.data import SparseScan
from semrt.errors import ModelUnsuitable
from semrt.kernels import distance_to_sample
from semrt.metrics import psnr
from semrt.models import Manifest
from semrt.simulate import detector, micrographs
from semrt.tasks.infill import INPUT_CHANNELS, Infill, standardisation
from semrt.tasks.wiener import wiener_estimate

HELD_OUT_SEED = 987_654_321


def simulated_scan(number, side, pattern, coverage, noisy=True):
    """A scan of a simulated micrograph, and the micrograph without noise."""
    rng = np.random.default_rng((HELD_OUT_SEED, number))
    clean = micrographs.draw(rng, (side, side))
    seen = detector.random_noise(clean, rng) if noisy else clean
    visited = scan.generate(pattern, clean.shape, coverage, seed=number).visited
    return SparseScan(seen, visited, pixel_size=(0.5, 0.5)), clean


def test_the_network_sees_the_scan_in_spreads_about_its_mean():
    sparse, _ = simulated_scan(0, 64, "random", 0.1)
    prepared = dict(zip(INPUT_CHANNELS, Infill().prepare(sparse), strict=True))
    measured = prepared["intensity"][sparse.visited]
    assert measured.mean() == pytest.approx(0, abs=1e-4)
    assert measured.std() == pytest.approx(1, abs=1e-4)
    assert not prepared["intensity"][~sparse.visited].any()
    np.testing.assert_array_equal(prepared["exposure"], sparse.visited)
    np.testing.assert_allclose(np.expm1(prepared["distance"]), distance_to_sample(sparse.visited), atol=1e-4)

    mean, spread = standardisation(sparse)
    classical = wiener_estimate(sparse)
    np.testing.assert_allclose(prepared["first_guess"] * spread + mean, classical.estimate, atol=1e-5)
    np.testing.assert_allclose(
        (prepared["first_guess"] + prepared["smooth_guess"]) * spread + mean, classical.smooth, atol=1e-5
    )
    assert np.ptp(prepared["noise"]) == np.ptp(prepared["correlation_range"]) == np.ptp(prepared["misfit"]) == 0
    assert np.exp(prepared["misfit"][0, 0]) == pytest.approx(classical.misfit, rel=1e-5)


def test_preparing_does_not_depend_on_contrast_and_offset_of_the_detector():
    sparse, _ = simulated_scan(1, 64, "jittered-grid", 0.1)
    other = SparseScan(1000 + 250 * sparse.intensity, sparse.visited)
    np.testing.assert_allclose(Infill().prepare(other), Infill().prepare(sparse), atol=5e-3)


def test_finishing_turns_back_what_preparing_did_and_keeps_what_was_measured():
    sparse, _ = simulated_scan(2, 48, "random", 0.2)
    prepared = Infill().prepare(sparse)
    first_guess = prepared[[INPUT_CHANNELS.index(name) for name in ("first_guess", "first_guess_error")]]
    kept, denoised = (Infill().finish(first_guess, prepared, sparse, denoise=denoise) for denoise in (False, True))
    np.testing.assert_array_equal(kept.intensity[sparse.visited], sparse.intensity[sparse.visited])
    np.testing.assert_allclose(denoised.intensity, wiener_estimate(sparse).estimate, atol=1e-5)
    assert kept.pixel_size == (0.5, 0.5)
    np.testing.assert_allclose(denoised.error, wiener_estimate(sparse).error, atol=1e-5)


def test_a_scan_of_one_single_value_is_completed_with_it():
    visited = scan.generate("random", (64, 64), 0.1).visited
    with pytest.warns(UserWarning, match="unlike the training"):
        result = semrt.infer("infill", SparseScan(np.full((64, 64), 7.0), visited))
    np.testing.assert_allclose(result.intensity, 7, atol=0.5)


@pytest.mark.parametrize(
    ("coverage", "gap", "reason"),
    [(0.02, 40, None), (0.5, 5, "coverage 1/2 lies outside"), (0.02, 10, "largest gap")],
)
def test_a_scan_unlike_the_training_is_told_by_coverage_or_gap(coverage, gap, reason):
    sparse, _ = simulated_scan(3, 64, "random", coverage)
    said = Infill().outside_domain(sparse, {"coverage": [1 / 120, 1 / 4], "largest_gap": gap})
    assert (said is None) if reason is None else (reason in said)


class TestTheShippedModel:
    def test_is_the_one_its_manifest_describes_and_was_trained_on_these_channels(self):
        folder = models.find("infill")
        manifest = Manifest.read(folder)
        manifest.verify(folder)
        assert tuple(manifest.input_channels) == INPUT_CHANNELS
        assert manifest.domain["coverage"][0] <= 1 / 100 < 1 / 10 <= manifest.domain["coverage"][1]
        assert "Licence" in (folder / "CARD.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("model", ["infill", "infill-adversarial"])
    def test_says_whether_a_lattice_was_continued(self, model):
        y, x = np.indices((128, 128))
        lattice = np.cos(2 * np.pi * x / 11) + np.cos(2 * np.pi * y / 13)
        visited = scan.generate("random", lattice.shape, 1 / 20, seed=1).visited
        first_guesses = []
        for image in (lattice, (x + y) / 64):
            recorded = image + 0.2 * np.random.default_rng(2).standard_normal(image.shape)
            made = semrt.infer(model, SparseScan(recorded, visited), device="cpu")
            first_guesses.append(made.provenance["details"]["first_guess"])
        assert first_guesses == ["learnt spectrum", "kriging"]

    def test_keeps_absolute_intensity(self):
        sparse, _ = simulated_scan(4, 128, "archimedean", 1 / 20)
        one = semrt.infer("infill", sparse, device="cpu").intensity
        other = semrt.infer("infill", SparseScan(300 + 50 * sparse.intensity, sparse.visited), device="cpu").intensity
        np.testing.assert_allclose((other - 300) / 50, one, atol=0.02 * np.ptp(one))

    def test_refuses_a_scan_outside_its_training_unless_a_classical_method_may_stand_in(self):
        sparse, _ = simulated_scan(5, 64, "random", 0.6)
        with pytest.raises(ModelUnsuitable, match="coverage"):
            semrt.infer("infill", sparse, fallback="none")
        result = semrt.infer("infill", sparse, fallback="classical")
        assert result.provenance["model"]["name"] == "wiener"
        assert "coverage" in result.provenance["fallback"]["why"]

    @pytest.mark.slow
    def test_tiled_equals_untiled(self):
        manifest = Manifest.read(models.find("infill"))
        rng = np.random.default_rng(6)
        channels = rng.standard_normal((len(INPUT_CHANNELS), 640, 640)).astype(np.float32)
        with semrt.open_session("infill", "cpu") as session:
            whole, tiled = (
                tiling.run(session.run, channels, tile=tile, halo=manifest.halo, multiple=manifest.multiple, batch=2)
                for tile in (640, 448)
            )
        assert np.abs(whole - tiled).max() < 1e-5 * np.abs(whole).max()

    @pytest.mark.slow
    @pytest.mark.parametrize("pattern", ["archimedean", "jittered-grid", "random", "line-hop"])
    def test_beats_its_first_guess_on_simulated_micrographs_that_training_never_drew(self, pattern):
        gains = []
        for number in range(6):
            for inverse in (10, 20, 40):
                sparse, clean = simulated_scan(100 + number, 192, pattern, 1 / inverse)
                classical, inferred = (
                    semrt.infer(model, sparse, denoise=True).intensity for model in ("wiener", "infill")
                )
                gains.append(psnr(inferred, clean) - psnr(classical, clean))
        assert np.median(gains) > 0.05
        assert np.mean(gains) > 0.2
