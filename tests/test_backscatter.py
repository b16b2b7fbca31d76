"""Backscatter against the published formulas, written out here as scalars, and its slopes against differences."""

from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.physics.backscatter import (
    ENERGIES,
    GOLD_UNDER_ALUMINIUM,
    MATERIALS,
    VARIANTS,
    LayerStack,
    Material,
    backscatter,
    backscatter_slopes,
)

SWAPPED = LayerStack(MATERIALS["aluminium"], MATERIALS["gold"], MATERIALS["silicon"])


def published(gold, aluminium, energy, variant):
    """The signal of one pixel at one energy, as the report writes it; numbers, not the table of materials."""

    def psi(mass, beam):
        return mass / (74.0 * beam**1.55 - mass)

    def xi(atomic_number, loss):
        return 1 - exp(-exp(0.022 * (atomic_number + 2)) / 0.49 * loss)

    if variant == "repo" and gold == 0:
        phi = xi(13, psi(aluminium * 2.7**0.91, energy))
        return 0.49 * (1 - phi) + 0.90 * phi
    loss = psi(aluminium * 2.7**0.91, energy)
    above = xi(13, loss)
    below = energy * exp(-(loss**0.45))
    mass = gold * 19.3**0.91
    phi = (xi(79, psi(mass, below)) if 74.0 * below**1.55 > mass else 1.0) * (1 - above)
    if variant == "repo":
        return 0.49 * (1 - phi) + 0.90 * phi
    return 0.49 * (1 - phi - above) + 0.90 * phi + 0.47 * above


def some_thickness(n=60, seed=0):
    """(2, n) [nm]: both layers, either alone, none."""
    rng = np.random.default_rng(seed)
    thickness = rng.uniform(0, 1, (2, n)) * np.array([[15.0], [150.0]])
    thickness[0, : n // 3] = 0
    thickness[1, n // 4 : n // 2] = 0
    return thickness


# --- values


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_signal_is_the_published_one(variant):
    thickness = some_thickness()
    expected = [[published(*pixel, energy, variant) for pixel in thickness.T] for energy in range(5, 36)]
    signal = backscatter(thickness, variant=variant)
    assert signal.dtype == np.float64
    np.testing.assert_allclose(signal, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("gold", "aluminium", "energy", "repo", "phys"),
    [
        # m = 5 * 14.786 = 73.93, range 74 * 35.481 = 2625.6; psi = 73.93 / 2551.7 = 0.02897, A psi = 12.126 * 0.02897
        # = 0.35133, so 1 - exp(-0.35133) = 0.29625 comes back as from gold: 0.49 + 0.41 * 0.29625.
        (5, 0, 10, 0.61146, 0.61146),
        # m = 150 * 2.4690 = 370.35, range 74 * 12.117 = 896.7; psi = 370.35 / 526.3 = 0.7037, A psi = 2.8387 * 0.7037
        # = 1.9975, share 0.86433: 0.49 + 0.41 * 0.86433 in gold's place, 0.49 - 0.02 * 0.86433 as aluminium.
        (0, 150, 5, 0.84438, 0.47271),
        # Upper: m = 246.9 of 4922, psi = 0.05281, passes exp(-0.14991) = 0.86080; energy 15 * exp(-0.26622) = 11.494.
        # Lower: m = 147.9 of 3258, psi = 0.04754, passes exp(-0.57649) = 0.56187: phi = 0.43813 * 0.86080 = 0.37714.
        (10, 100, 15, 0.64463, 0.64184),
    ],
)
def test_the_signal_is_what_one_gets_by_hand(gold, aluminium, energy, repo, phys):
    for variant, expected in (("repo", repo), ("phys", phys)):
        assert backscatter([gold, aluminium], [energy], variant=variant) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_shows_the_substrate_and_thick_gold_shows_gold(variant):
    np.testing.assert_array_equal(backscatter([0, 0], variant=variant), 0.49)
    np.testing.assert_allclose(backscatter([1e4, 0], variant=variant), 0.90, atol=1e-15)


def test_thick_aluminium_shows_aluminium_where_it_has_its_own_signal():
    np.testing.assert_allclose(backscatter([0, 1e5], variant="phys"), 0.47, atol=1e-15)
    np.testing.assert_allclose(backscatter([0, 1e5], variant="repo"), 0.90, atol=1e-15)  # as the tables mean it


def test_aluminium_hides_gold_from_slow_beams_and_slows_fast_ones_for_it():
    bare, covered, thicker = backscatter(np.array([[10, 0], [10, 100], [15, 100]]).T).T
    slow = ENERGIES < 9
    assert (covered[slow] < bare[slow]).all()
    assert (covered[~slow][3:] > bare[~slow][3:]).all()  # slower electrons scatter more
    assert (thicker > covered).all()


def test_a_layer_below_the_other_is_not_the_other_below_it():
    thickness = [8.0, 60.0]
    swapped = backscatter(thickness[::-1], layers=SWAPPED)
    assert np.abs(backscatter(thickness) - swapped).max() > 0.1
    as_if_named_wrongly = backscatter(thickness[::-1])
    assert np.abs(backscatter(thickness) - as_if_named_wrongly).max() > 0.05


def test_each_pixel_and_each_energy_stands_where_it_was_asked_for():
    thickness = some_thickness(12).reshape(2, 3, 4)
    energies = [7.0, 21.0, 30.5]
    signal = backscatter(thickness, energies)
    assert signal.shape == (3, 3, 4)
    for k, y, x in np.ndindex(3, 3, 4):
        assert signal[k, y, x] == backscatter(thickness[:, y, x], energies[k : k + 1])[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_materials_follow_the_same_rule(variant):
    copper = Material("copper", 8.96, 29, 0.31)
    layers = LayerStack(copper, MATERIALS["gold"], MATERIALS["silicon"])
    np.testing.assert_allclose(backscatter([1e4, 0], variant=variant, layers=layers), 0.31, atol=1e-15)
    thick_upper = backscatter([0, 1e4], variant=variant, layers=layers)
    np.testing.assert_allclose(thick_upper, 0.31 if variant == "repo" else 0.90, atol=1e-15)


def test_published_factors_follow_from_density_and_atomic_number():
    gold, aluminium = MATERIALS["gold"], MATERIALS["aluminium"]
    assert (gold.mass_per_nm, aluminium.mass_per_nm) == pytest.approx((14.786, 2.469), abs=1e-3)
    assert (gold.scattering, aluminium.scattering) == pytest.approx((12.13, 2.839), abs=5e-3)
    assert (GOLD_UNDER_ALUMINIUM.lower.name, GOLD_UNDER_ALUMINIUM.upper.name) == ("gold", "aluminium")
    np.testing.assert_array_equal(ENERGIES, range(5, 36))


# --- the pole


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_stopped_beam_comes_back_whole(variant):
    # At 5 keV under 150 nm of aluminium, the mass range left is 238.8: 16.15 nm of gold.
    gold = np.array([16.14, 16.16, 17.0, 40.0, 1e6])
    thickness = np.stack([gold, np.full(5, 150.0)])
    signal, slopes = backscatter_slopes(thickness, [5.0], variant=variant)
    above = 1 - exp(-1.99752)
    expected = 0.49 + 0.41 * (1 - above) - (0.02 * above if variant == "phys" else 0)
    np.testing.assert_allclose(signal[0], expected, atol=1e-5)
    np.testing.assert_array_equal(slopes[0, 0, 1:], 0)


@given(st.floats(0, 1e7), st.floats(0, 1e7), st.floats(0.1, 300), st.sampled_from(VARIANTS))
@settings(deadline=None, max_examples=200)
def test_signal_and_slopes_are_finite_for_any_thickness(gold, aluminium, energy, variant):
    signal, slopes = backscatter_slopes([gold, aluminium], [energy], variant=variant)
    assert np.isfinite(slopes).all()
    assert 0.47 - 1e-12 <= signal[0] <= 0.90 + 1e-12


@pytest.mark.parametrize("variant", VARIANTS)
def test_slopes_are_finite_all_along_the_approach_to_the_pole(variant):
    gold = 10.0 ** np.linspace(-12, 6, 400)
    aluminium = 10.0 ** np.linspace(-12, 6, 400)
    for thickness in ([gold, np.zeros(400)], [np.zeros(400), aluminium], [gold, aluminium], [gold, aluminium[::-1]]):
        signal, slopes = backscatter_slopes(thickness, variant=variant)
        assert np.isfinite(signal).all()
        assert np.isfinite(slopes).all()


# --- slopes


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layers", [GOLD_UNDER_ALUMINIUM, SWAPPED], ids=["gold-below", "gold-above"])
def test_slopes_are_those_of_finite_differences(variant, layers):
    step = 1e-4
    thickness = np.random.default_rng(3).uniform(0.5, 1, (2, 40)) * np.array([[15.0], [140.0]])
    if layers is SWAPPED:
        thickness = thickness[::-1]
    signal, slopes = backscatter_slopes(thickness, variant=variant, layers=layers)
    np.testing.assert_array_equal(signal, backscatter(thickness, variant=variant, layers=layers))
    for layer in range(2):
        move = np.zeros((2, 1))
        move[layer] = step
        ahead, behind = (backscatter(thickness + way * move, variant=variant, layers=layers) for way in (1, -1))
        np.testing.assert_allclose(slopes[:, layer], (ahead - behind) / (2 * step), rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize("variant", VARIANTS)
def test_slopes_hold_where_a_layer_is_missing(variant):
    step = 1e-4
    gold_alone = np.array([[2.0, 7.0, 14.0], [0.0, 0.0, 0.0]])
    aluminium_alone = np.array([[0.0, 0.0, 0.0], [3.0, 50.0, 140.0]])
    up = step * np.array([[[1.0], [0.0]], [[0.0], [1.0]]])

    def difference(thickness, layer):
        ahead, behind = (backscatter(thickness + way * up[layer], variant=variant) for way in (1, -1))
        return (ahead - behind) / (2 * step)

    _, slopes = backscatter_slopes(aluminium_alone, variant=variant)
    np.testing.assert_allclose(slopes[:, 1], difference(aluminium_alone, 1), rtol=1e-5, atol=1e-9)
    if variant == "phys":
        ahead = backscatter(aluminium_alone + up[0], variant=variant)
        first = (ahead - backscatter(aluminium_alone, variant=variant)) / step
        np.testing.assert_allclose(slopes[:, 0], first, rtol=1e-3)
    else:
        np.testing.assert_array_equal(slopes[:, 0], 0)
    _, slopes = backscatter_slopes(gold_alone, variant=variant)
    thinnest = gold_alone + np.array([[0], [0.01]])  # which stands for all thinner ones
    for layer in range(2):
        np.testing.assert_allclose(slopes[:, layer], difference(thinnest, layer), rtol=1e-3)


# --- errors


def test_what_is_no_thickness_or_energy_is_refused_in_a_line():
    with pytest.raises(InvalidShape, match=r"thickness: expected shape \(2, \.\.\.\), lower and upper, got \(3, 4\)"):
        backscatter(np.zeros((3, 4)))
    with pytest.raises(InvalidShape, match=r"energies: expected shape \(n,\) with at least one, got \(0,\)"):
        backscatter(np.zeros(2), [])
    with pytest.raises(InvalidValue, match=r"thickness: expected finite values, zero or more \[nm\]"):
        backscatter([1.0, -1e-9])
    with pytest.raises(InvalidValue, match=r"thickness: expected finite"):
        backscatter([np.nan, 0])
    for energy in (0.0, -5.0, np.inf):
        with pytest.raises(InvalidValue, match=r"energies: expected finite values above zero \[keV\]"):
            backscatter([1.0, 1.0], [10.0, energy])
    with pytest.raises(InvalidOption, match="variant 'phyz' is unknown; did you mean 'phys'"):
        backscatter([1.0, 1.0], variant="phyz")
