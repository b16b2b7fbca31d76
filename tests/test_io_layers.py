"""Images at beam energies, maps of layers and their voxels in files: what goes in comes back, elsewhere what fits."""

import json
import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from io_samples import METADATA, PROVENANCE
from layer_samples import ENERGIES, a_map, images, thickness
from semrt import io
from semrt.data import EnergyStack, LabelVolume, LayerMap, Volume
from semrt.errors import InvalidShape, InvalidValue, UnsupportedFormat

KNOWN = {"pixel_size": (3.0, 2.0), "metadata": METADATA, "provenance": PROVENANCE}


def voxels(**known):
    """Three slices of two materials, all different."""
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[0, :2], labels[1, 0], labels[1, 1:3, 2] = 1, 2, 2
    return LabelVolume(labels, ("gold", "aluminium"), (3.0, 2.0), 10.0, METADATA, PROVENANCE, **known)


# --- NPZ holds all


def test_an_npz_gives_images_at_energies_back_with_their_calibration(tmp_path):
    stack = images(**KNOWN)
    io.write(tmp_path / "a µ.npz", stack)
    got = io.read(tmp_path / "a µ.npz")
    assert isinstance(got, EnergyStack)
    np.testing.assert_array_equal(got.intensity, stack.intensity)
    np.testing.assert_array_equal(got.energies, ENERGIES)
    assert (got.pixel_size, got.provenance) == ((3, 2), PROVENANCE)
    assert {key: got.metadata[key] for key in METADATA} == METADATA
    assert io.read(tmp_path / "a µ.npz", pixel_size="5nm").pixel_size == (5, 5)


def test_an_npz_gives_a_map_of_layers_back_whole(tmp_path):
    found = a_map(notes=("one", "two"), names=("gold", "tin"), **KNOWN)
    io.write(tmp_path / "a.npz", found)
    got = io.read(tmp_path / "a.npz")
    assert isinstance(got, LayerMap)
    for name in ("thickness", "sigma", "residual", "energies"):
        np.testing.assert_array_equal(getattr(got, name), getattr(found, name), err_msg=name)
    assert (got.names, got.notes, got.pixel_size) == (("gold", "tin"), ("one", "two"), (3, 2))
    assert got.provenance == PROVENANCE


def test_what_a_map_does_not_know_stays_unknown_in_an_npz(tmp_path):
    io.write(tmp_path / "a.npz", LayerMap(thickness()))
    got = io.read(tmp_path / "a.npz")
    assert (got.sigma, got.residual, got.energies, got.pixel_size, got.notes) == (None, None, None, None, ())
    assert got.names == ("gold", "aluminium")


def test_a_plain_npz_of_two_arrays_is_images_at_energies(tmp_path):
    np.savez(tmp_path / "a.npz", intensity=images().intensity, energies_keV=np.arange(5, 36))
    got = io.read(tmp_path / "a.npz")
    assert isinstance(got, EnergyStack)
    assert got.energies.dtype == np.float64
    np.testing.assert_array_equal(got.energies, ENERGIES)


# --- elsewhere it is a stack


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".mrc"])
def test_thickness_is_a_stack_of_two_slices_that_says_what_they_are(suffix, tmp_path):
    io.write(tmp_path / f"a{suffix}", a_map(notes=("mind",), **KNOWN))
    got = io.read(tmp_path / f"a{suffix}")
    assert isinstance(got, Volume)
    np.testing.assert_array_equal(got.intensity, thickness())  # gold below, so first
    assert got.pixel_size == pytest.approx((3, 2), rel=1e-6)
    assert got.metadata["slices"] == ["gold", "aluminium"]
    assert (got.metadata["quantity"], got.metadata["notes"]) == ("thickness, nm", ["mind"])
    assert got.provenance == PROVENANCE


def test_images_at_energies_are_a_stack_elsewhere_whose_metadata_name_the_energies(tmp_path):
    for suffix in (".tif", ".mrc"):
        io.write(tmp_path / f"a{suffix}", images(**KNOWN))
        got = io.read(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(EnergyStack.from_volume(got).energies, ENERGIES)
        np.testing.assert_array_equal(got.intensity, images().intensity)


def test_neither_goes_into_a_format_of_single_images_or_scan_paths(tmp_path):
    for data in (images(), a_map(), voxels()):
        with pytest.raises(UnsupportedFormat, match="holds one image, not a stack"):
            io.write(tmp_path / "a.png", data)
    for data in (images(), voxels()):
        with pytest.raises(UnsupportedFormat, match=r"a\.csv"):
            io.write(tmp_path / "a.csv", data)
    assert list(tmp_path.iterdir()) == []


# --- voxels


def test_voxels_are_bytes_in_an_mrc_with_their_height_in_its_header(tmp_path):
    io.write(tmp_path / "a.mrc", voxels())
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.data.dtype == np.int8  # mode 0
        np.testing.assert_array_equal(file.data, voxels().labels)
        assert [float(file.voxel_size[axis]) for axis in "xyz"] == pytest.approx([20, 30, 100])  # Å
        assert (int(file.header.dmin), int(file.header.dmax)) == (0, 2)
    got = io.read(tmp_path / "a.mrc")
    np.testing.assert_array_equal(got.intensity, voxels().labels)
    assert (got.slice_thickness, got.pixel_size) == (pytest.approx(10), pytest.approx((3, 2)))


def test_voxels_are_bytes_in_a_tiff_as_imagej_reads_it(tmp_path):
    io.write(tmp_path / "a.tif", voxels())
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert (tiff.series[0].dtype, tiff.series[0].axes) == (np.uint8, "ZYX")
        assert (tiff.imagej_metadata["spacing"], tiff.imagej_metadata["unit"]) == (10.0, "nm")
        np.testing.assert_array_equal(tiff.asarray(), voxels().labels)
    assert io.read(tmp_path / "a.tif").slice_thickness == pytest.approx(10)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_voxels_are_bytes_in_numpys_formats(suffix, tmp_path):
    io.write(tmp_path / f"a{suffix}", voxels())
    held = np.load(tmp_path / f"a{suffix}")
    labels = held if suffix == ".npy" else held["intensity"]
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, voxels().labels)


def test_labels_without_a_name_are_refused():
    with pytest.raises(InvalidValue, match="labels: expected uint8 up to 1, one for each name, got uint8 up to 2"):
        LabelVolume(voxels().labels, ("gold",))
    with pytest.raises(InvalidValue, match="got int64 up to 2"):
        LabelVolume(voxels().labels.astype(np.int64), ("gold", "tin"))
    with pytest.raises(InvalidShape, match=r"labels: expected shape \(nz, ny, nx\)"):
        LabelVolume(voxels().labels[0], ("gold", "tin"))


# --- the residual


def test_the_csv_of_a_map_is_its_residual_energy_by_energy(tmp_path):
    io.write(tmp_path / "a.csv", a_map(residual=(0.02, 0.0312, 0.5), energies=(5, 7.5, 30)))
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert text == "energy_keV,rms_relative_residual\n5,0.02\n7.5,0.0312\n30,0.5\n"
    with pytest.raises(InvalidValue, match=r"b\.csv: residual: expected one for each energy, got none"):
        io.write(tmp_path / "b.csv", LayerMap(thickness()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]


# --- bad files


def test_bad_images_at_energies_in_an_npz_are_refused_with_the_files_name(tmp_path):
    stack = images().intensity
    broken = stack.copy()
    broken[3, 1, 2] = broken[4, 1, 2] = broken[0, 5, 6] = np.nan
    dark = stack.copy()
    dark[:, 0, 0] = -0.01
    cases = {
        "turned": (np.moveaxis(stack, 0, -1), ENERGIES, InvalidShape, "its axes seem to be (ny, nx, n)"),
        "few": (stack, ENERGIES[:-1], InvalidShape, "energies: expected shape (31,), as intensity has, got (30,)"),
        "falling": (stack, ENERGIES[::-1], InvalidValue, "energies: expected rising values [keV]"),
        "gaps": (broken, ENERGIES, InvalidValue, "got NaN or infinite ones in 2 of 768 pixels; crop or fill them"),
        "dark": (dark, ENERGIES, InvalidValue, "got negative ones in 1 of 768 pixels; correct the detector's offset"),
        "counts": (60000 * stack, ENERGIES, InvalidValue, "fractions of the beam, 0 to 1, got counts of"),
        "single": (stack[0], ENERGIES[:1], InvalidShape, "an image for each of two beam energies or more"),
    }
    for name, (intensity, energies, error, said) in cases.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, intensity=intensity, energies_keV=energies)
        with pytest.raises(error) as caught:
            io.read(path)
        assert str(caught.value).startswith(f"{path}: "), name
        assert said in str(caught.value), name


def test_a_bad_map_is_refused_with_the_files_name(tmp_path):
    np.savez(tmp_path / "a.npz", thickness=thickness()[0])
    with pytest.raises(InvalidShape, match=r"a\.npz: thickness: expected shape \(2, ny, nx\)"):
        io.read(tmp_path / "a.npz")


def test_images_at_energies_are_no_mask(tmp_path):
    io.write(tmp_path / "mask.npz", images())
    io.write(tmp_path / "a.tif", Volume(images().intensity))
    with pytest.raises(InvalidValue, match=r"mask .*: expected an image, a stack or a scan path, got a EnergyStack"):
        io.read(tmp_path / "a.tif", mask=tmp_path / "mask.npz")


@pytest.mark.parametrize(
    ("shape", "n", "order"),
    [
        ((128, 120, 31), 31, r"\(ny, nx, n\).*stack, -1, 0"),
        ((128, 31, 120), 31, r"\(ny, n, nx\).*stack, 1, 0"),
        ((128, 120, 31), 30, r"\(ny, nx, n\)"),  # which is not the number of energies, but far the shortest
        ((128, 120, 90), 31, None),
        ((30, 128, 128), 31, None),
    ],
)
def test_axes_in_another_order_are_suspected_where_they_give_themselves_away(shape, n, order):
    with pytest.raises(InvalidShape) as caught:
        EnergyStack(np.full(shape, 0.5, np.float32), np.arange(1, n + 1))
    assert ("its axes seem to be" in str(caught.value)) == (order is not None)
    if order:
        assert re.search(order, str(caught.value))


# --- folders


def test_a_folder_of_results_and_of_simulated_images_holds_only_its_inputs(tmp_path):
    for name in ("a.tif", "a_truth.tif", "b_truth.tif", "c.tif", "c_layers.tif"):
        io.write(tmp_path / name, a_map())
    for ending in ("sigma.tif", "voxels.tif"):
        io.write(tmp_path / f"c_layers_{ending}", a_map())
    io.write(tmp_path / "c_layers_residual.csv", a_map())
    (tmp_path / "c_layers.semrt.json").write_text(json.dumps({}), encoding="utf-8")
    found = [path.name for path in io.expand_inputs([tmp_path])]
    assert found == ["a.tif", "b_truth.tif", "c.tif"], "the truth of a.tif is no input; that of nothing is"
    assert io.expand_inputs([tmp_path / "a_truth.tif"]) == [Path(tmp_path / "a_truth.tif")]
