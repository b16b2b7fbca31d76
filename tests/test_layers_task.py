"""The layers task around its network: from its answer to thickness, and which stacks it was not trained for."""

import numpy as np
import pytest

import semrt
from semrt.data import EnergyStack, LayerMap, Volume
from semrt.errors import InvalidOption, InvalidValue
from semrt.kernels.layers import smooth_layers
from semrt.metrics import label_scores, thickness_mae
from semrt.physics.backscatter import ENERGIES, backscatter
from semrt.simulate.layers import Recording, draw, split_seed
from semrt.tasks.layer_input import LEAST_SIGMA, THICKEST
from semrt.tasks.layer_network import LayersByNetwork
from semrt.tasks.layer_solvers import SMOOTHNESS, LayersByMarkovField, layer_table

DOMAIN = {"energies_keV": ENERGIES.tolist()}
UNIT = np.array(THICKEST, np.float32)[:, None, None]


def drawn(number=0, shape=(40, 56), **recording):
    sample = draw(split_seed("test", number), shape, "perlin", recording=Recording(**recording))
    return sample, EnergyStack(sample.intensity, sample.energies, (2.0, 3.0), {"detector": "BSE"})


def answered(sample, stack, log_sigma=-3.0, **options):
    """What the task makes of a perfect network's answer."""
    thickness = sample.thickness / UNIT
    answer = np.concatenate([thickness, np.full_like(thickness, log_sigma)])
    return LayersByNetwork().finish(answer, LayersByNetwork().prepare(stack, **options), stack, **options)


def test_thickness_and_sigma_come_in_nanometres_with_what_the_stack_says_of_itself():
    sample, stack = drawn()
    result = answered(sample, stack)
    np.testing.assert_allclose(result.thickness, sample.thickness, rtol=1e-5)
    expected = np.hypot(np.exp(-3), LEAST_SIGMA) * np.array(THICKEST)
    np.testing.assert_allclose(result.sigma[:, 5, 5], expected, rtol=1e-5)
    assert result.pixel_size == (2.0, 3.0)
    assert result.metadata == {"detector": "BSE"}
    assert result.notes == ()


def test_no_thickness_is_negative():
    _, stack = drawn()
    result = LayersByNetwork().finish(
        np.full((4, *stack.shape[1:]), -0.1, np.float32), LayersByNetwork().prepare(stack), stack
    )
    assert result.thickness.max() == 0


@pytest.mark.parametrize("noise", [0.01, 0.04])
def test_the_residual_of_the_truth_is_the_noise(noise):
    sample, stack = drawn(noise=noise)
    result = answered(sample, stack)
    np.testing.assert_array_equal(result.energies, ENERGIES)
    np.testing.assert_allclose(result.residual, noise, rtol=0.1)


def test_the_variant_decides_what_the_residual_is_measured_against():
    sample, stack = drawn()
    wrong = answered(sample, stack, variant="phys").residual
    assert wrong.max() > 3 * answered(sample, stack).residual.max()


def test_a_detector_with_a_gain_of_its_own_at_an_energy_is_told_of():
    sample, stack = drawn(3)
    gains = np.ones(31)
    gains[12] = 1.05
    shaky = EnergyStack((stack.intensity * gains[:, None, None]).astype(np.float32), stack.energies)
    result = answered(sample, shaky)
    assert "at 17 keV" in result.notes[0]
    np.testing.assert_allclose(result.provenance["gain"], gains, atol=0.01)
    np.testing.assert_allclose(result.residual, 0.02, rtol=0.2)


@pytest.mark.parametrize("solver", ["ml", "mrf", "tikhonov"])
def test_a_solver_does_the_work_without_a_network(solver):
    sample, stack = drawn(4, (64, 64))
    result = semrt.infer("layers", stack, solver=solver)
    scores = label_scores(*(LayerMap(of).voxels(total=160.0) for of in (result.thickness, sample.thickness)))
    assert scores["miou"] > {"ml": 0.7, "mrf": 0.9, "tikhonov": 0.6}[solver]
    assert result.pixel_size == (2.0, 3.0)
    assert result.provenance["details"]["noise"] == pytest.approx(0.02, rel=0.1)
    assert result.provenance["details"]["chi2"] > 0.8


def test_any_energies_will_do_for_a_markov_field():
    energies = np.array([5.0, 7.0, 10.0, 14.0, 20.0, 25.0, 30.0])
    sample = draw(split_seed("test", 6), (64, 64), "perlin", energies=energies)
    result = semrt.infer("layers", EnergyStack(sample.intensity, energies), noise=0.02)
    assert thickness_mae(result.thickness, sample.thickness)[0] < 0.5


def test_an_offset_of_the_detector_is_no_film_on_the_bare_substrate():
    sample = draw(split_seed("test", 1), (96, 96), "strips", recording=Recording(offset=0.01))
    found = semrt.infer("layers", EnergyStack(sample.intensity, sample.energies))
    bare = (sample.thickness == 0).all(0)
    assert bare.mean() > 0.2
    assert (found.thickness[1][bare] < 1).mean() > 0.95


@pytest.mark.parametrize("variant", ["repo", "phys"])
def test_each_variant_of_the_physics_is_smoothed_as_suits_it(variant):
    sample = draw(split_seed("test", 2), (96, 96), "perlin", variant=variant)
    stack, table = EnergyStack(sample.intensity, sample.energies), layer_table(sample.energies, variant)
    found = LayersByMarkovField().solve(stack, variant=variant, noise=0.02, calibrate=False)
    # Regions are settled once more, which leaves most pixels where they are.
    own, usual = (
        np.abs(found.thickness - smooth_layers(stack.intensity, table, noise=0.02, smoothness=smoothness).thickness)
        for smoothness in (SMOOTHNESS[variant], None)
    )
    assert (own < 0.5).all(0).mean() > 0.9
    assert np.array_equal(own, usual) == (variant == "repo")
    assert own.sum() <= usual.sum()


def test_who_asks_for_a_network_is_told_that_none_ships():
    _, stack = drawn()
    with pytest.raises(InvalidOption, match=r"layers: solver 'network': no network for it ships.*mrf, ml, tikhonov"):
        semrt.infer("layers", stack, solver="network")


def test_a_stack_without_energies_is_refused_with_what_makes_one_of_it():
    _, stack = drawn()
    with pytest.raises(InvalidValue, match=r"expected an EnergyStack, got a Volume; make one by EnergyStack\.from_vol"):
        semrt.infer("layers", Volume(stack.intensity))


def test_layers_that_the_model_cannot_explain_are_told_of():
    _, stack = drawn(1)
    upside_down = EnergyStack(stack.intensity[::-1], stack.energies)  # from the highest energy to the lowest
    with pytest.warns(UserWarning, match="times the noise unexplained"):
        semrt.infer("layers-ml", upside_down)


def test_a_stack_of_the_trained_energies_is_inside_the_domain_and_another_says_both():
    _, stack = drawn()
    assert LayersByNetwork().outside_domain(stack, DOMAIN) is None
    thickness = np.zeros((2, 16, 16))
    few = EnergyStack(backscatter(thickness, ENERGIES[:20]).astype(np.float32), ENERGIES[:20])
    why = LayersByNetwork().outside_domain(few, DOMAIN)
    assert why == "trained on 31 energies from 5 to 35 keV, not 20 energies from 5 to 24 keV"
    shifted = EnergyStack(stack.intensity, stack.energies + 0.5)
    assert "from 5.5 to 35.5 keV" in LayersByNetwork().outside_domain(shifted, DOMAIN)
