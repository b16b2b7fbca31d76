"""Images at many energies and maps of layers carry what is known of them; or say in one line what is wrong."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrt
from semrt.data import EnergyStack, LayerMap, Volume
from semrt.errors import InvalidOption, InvalidShape, InvalidValue

SHAPE = (3, 4, 5)
ENERGIES = (5.0, 9.0, 20.0)


def signals(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).uniform(0.4, 0.95, shape)


def a_map(lower, upper, **given):
    return LayerMap(np.array([lower, upper], float), **given)


# --- images at many energies


def test_a_stack_of_energies_keeps_what_it_was_given():
    measured = EnergyStack(signals(), ENERGIES, 2, {"detector": "BSE"}, {"simulated": True})
    assert measured.shape == SHAPE
    assert (measured.intensity.dtype, measured.energies.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(measured.intensity, signals().astype(np.float32))
    np.testing.assert_array_equal(measured.energies, ENERGIES)
    assert (measured.pixel_size, measured.metadata) == ((2, 2), {"detector": "BSE"})
    assert measured.provenance == {"simulated": True}
    assert semrt.EnergyStack is EnergyStack


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 0, 5), (2, 3, 4, 5), ()])
def test_fewer_than_two_images_are_no_stack_of_energies(shape):
    with pytest.raises(
        InvalidShape, match=r"intensity: expected shape \(n, ny, nx\), .* two beam energies or more, got"
    ):
        EnergyStack(np.ones(shape), ENERGIES)


def test_intensities_that_cannot_be_are_refused():
    for bad, said in ((np.nan, "finite values"), (np.inf, "finite values"), (-1e-3, "zero or more")):
        intensity = signals()
        intensity[1, 2, 3] = bad
        with pytest.raises(InvalidValue, match=rf"intensity: expected {said}"):
            EnergyStack(intensity, ENERGIES)
    with pytest.raises(InvalidValue, match="real numbers"):
        EnergyStack(signals().astype(complex), ENERGIES)


@pytest.mark.parametrize(
    ("energies", "said"),
    [
        ((5, 20, 9), "rising values"),
        ((5, 5, 9), "rising values"),
        ((0, 5, 9), "above zero"),
        ((5, 9, np.nan), "finite values"),
    ],
)
def test_energies_that_cannot_be_are_refused(energies, said):
    with pytest.raises(InvalidValue, match=rf"energies: expected .*{said}.* \[keV\]|energies: expected {said}"):
        EnergyStack(signals(), energies)


@pytest.mark.parametrize("energies", [(5.0, 9.0), (5.0, 9.0, 20.0, 30.0), 5.0, np.ones((3, 1))])
def test_each_image_has_one_energy(energies):
    with pytest.raises(InvalidShape, match=r"energies: expected shape \(3,\), as intensity has, got"):
        EnergyStack(signals(), energies)


def test_a_volume_becomes_a_stack_of_energies_by_those_named_or_its_own():
    volume = Volume(signals(), (3, 2), metadata={"energies_keV": list(ENERGIES), "detector": "BSE"})
    own = EnergyStack.from_volume(volume)
    np.testing.assert_array_equal(own.energies, ENERGIES)
    np.testing.assert_array_equal(own.intensity, volume.intensity)
    assert (own.pixel_size, own.metadata["detector"]) == ((3, 2), "BSE")
    np.testing.assert_array_equal(EnergyStack.from_volume(volume, (1, 2, 3)).energies, (1, 2, 3))
    with pytest.raises(InvalidValue, match=r"energies: expected one a slice \[keV\], got none; name them"):
        EnergyStack.from_volume(replace(volume, metadata={}))


# --- maps


def test_a_map_of_layers_keeps_what_it_was_given():
    thickness, sigma = signals((2, 4, 5)), signals((2, 4, 5), 1)
    sigma[0, 0, :2] = np.nan, np.inf
    found = LayerMap(thickness, sigma, residual=(0.01, 0.02, 0.03), energies=ENERGIES, pixel_size=2, notes=["by hand"])
    assert found.shape == (4, 5)
    np.testing.assert_array_equal(found.thickness, thickness.astype(np.float32))
    np.testing.assert_array_equal(found.sigma, sigma.astype(np.float32))
    np.testing.assert_array_equal(found.residual, (0.01, 0.02, 0.03))
    assert (found.names, found.pixel_size, found.notes) == (("gold", "aluminium"), (2, 2), ("by hand",))
    assert semrt.LayerMap is LayerMap


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (2, 0, 5), (1, 2, 4, 5)])
def test_what_is_no_pair_of_layers_is_refused(shape):
    with pytest.raises(InvalidShape, match=r"thickness: expected shape \(2, ny, nx\), lower and upper layer, got"):
        LayerMap(np.ones(shape))


def test_maps_that_cannot_be_are_refused():
    good = LayerMap(np.ones((2, 4, 5)), residual=np.ones(3))
    for bad in (-1, np.nan, np.inf):
        with pytest.raises(InvalidValue, match=r"thickness: expected finite values, zero or more \[nm\]"):
            replace(good, thickness=np.full((2, 4, 5), bad))
    with pytest.raises(InvalidShape, match=r"sigma: expected shape \(2, 4, 5\), as thickness has, got \(4, 5\)"):
        replace(good, sigma=np.ones((4, 5)))
    with pytest.raises(InvalidValue, match=r"sigma: expected zero or more \[nm\], got negative ones"):
        replace(good, sigma=-np.ones((2, 4, 5)))
    with pytest.raises(InvalidShape, match=r"residual: expected shape \(n,\), one an energy, got \(1, 3\)"):
        replace(good, residual=np.ones((1, 3)))
    with pytest.raises(InvalidShape, match=r"energies: expected shape \(3,\), as residual has, got \(2,\)"):
        replace(good, energies=(5, 6))
    with pytest.raises(InvalidValue, match="pixel_size"):
        replace(good, pixel_size=0)
    for names in (("gold",), ("gold", "gold")):
        with pytest.raises(InvalidValue, match="names: expected two materials, the lower and the upper"):
            replace(good, names=names)


# --- voxels


def test_voxels_are_filled_from_the_bottom_by_what_fills_them():
    # 25 nm of gold fill two voxels of 10 nm, 39.9 nm of aluminium three above them; 9.9 nm fill none.
    volume = a_map([[25.0, 9.9, 0.0]], [[39.9, 10.0, 0.0]]).voxels(10)
    assert (volume.shape, volume.dtype) == ((16, 1, 3), np.uint8)
    np.testing.assert_array_equal(volume[:, 0, 0], [1, 1, 2, 2, 2] + [0] * 11)
    np.testing.assert_array_equal(volume[:, 0, 1], [2] + [0] * 15)
    assert not volume[:, 0, 2].any()


@pytest.mark.parametrize(("thickness", "filled"), [(10.0, 1), (9.9999, 1), (9.99, 0), (29.9995, 3), (29.99, 2)])
def test_a_layer_that_rounding_made_thinner_still_fills_its_voxel(thickness, filled):
    for lower, upper in ((thickness, 0.0), (0.0, thickness)):
        assert np.count_nonzero(a_map([[lower]], [[upper]]).voxels(10)) == filled


@given(st.floats(0.5, 40), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_voxels_count_the_whole_heights_of_each_layer(height, seed):
    thickness = np.random.default_rng(seed).uniform(0, 1, (2, 3, 4)) * np.array([15, 150])[:, None, None]
    found = LayerMap(thickness)
    volume = found.voxels(height)
    lower, upper = (np.floor(layer / height + 1e-4) for layer in found.thickness.astype(float))
    np.testing.assert_array_equal((volume == 1).sum(0), lower)
    np.testing.assert_array_equal((volume == 2).sum(0), upper)
    order = np.array([1, 2, 0])  # from the bottom: gold, aluminium, nothing
    rank = np.argsort(order)[volume]
    assert (np.diff(rank.astype(int), axis=0) >= 0).all()


def test_the_volume_is_as_high_as_asked_or_as_the_layers_need():
    high = a_map([[50.0]], [[250.0]])
    assert high.voxels(10).shape == (30, 1, 1)
    assert high.voxels(7).shape == (42, 1, 1)  # 7 and 35 of 7 nm are more than 160 nm
    assert high.voxels(10, total=165).shape == (17, 1, 1)
    np.testing.assert_array_equal(high.voxels(100, total=200)[:, 0, 0], [2, 2])
    flat = a_map([[0.0]], [[0.0]])
    assert flat.voxels(10).shape == (16, 1, 1)
    assert flat.voxels(5).shape == (32, 1, 1)
    assert flat.voxels(0.1, total=1.1).shape == (11, 1, 1)  # not 12, though 1.1 / 0.1 is above 11 in float64


@pytest.mark.parametrize("lengths", [{"height": 0}, {"height": np.nan}, {"height": 10, "total": -1}])
def test_heights_that_mean_nothing_are_refused(lengths):
    with pytest.raises(InvalidOption, match="expected above zero nm"):
        a_map([[1.0]], [[1.0]]).voxels(**lengths)
