"""Stacks of slices from files and into files, with where the probe went and how large a voxel is."""

import logging
from pathlib import Path

import cv2
import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from io_samples import ANISOTROPIC, METADATA, PROVENANCE
from semrt import io
from semrt.data import Micrograph, SparseScan, SparseVolume, Volume
from semrt.errors import InvalidValue, UnreadableFile, UnsupportedFormat
from volume_samples import SHAPE, STACKS, THICKNESS, a_mask, counts, sparse, whole


@pytest.mark.parametrize("suffix", STACKS)
def test_every_format_of_stacks_gives_back_voxels_and_what_is_known_of_them(suffix, tmp_path):
    path = tmp_path / f"spruce [1] µ{suffix}"
    volume = whole(pixel_size=ANISOTROPIC, slice_thickness=THICKNESS, metadata=METADATA, provenance=PROVENANCE)
    io.write(path, volume)
    got = io.read(path)
    assert isinstance(got, Volume)
    np.testing.assert_array_equal(got.intensity, volume.intensity)
    if suffix == ".npy":  # has no place for them
        assert (got.pixel_size, got.slice_thickness) == (None, None)
        return
    assert got.pixel_size == pytest.approx(ANISOTROPIC, rel=1e-6)
    assert got.slice_thickness == pytest.approx(THICKNESS, rel=1e-6)
    assert {key: got.metadata[key] for key in METADATA} == METADATA
    assert got.provenance == PROVENANCE


@pytest.mark.parametrize("suffix", STACKS)
def test_a_sparse_stack_keeps_its_gaps_in_every_format(suffix, tmp_path):
    volume = sparse(pixel_size=ANISOTROPIC, slice_thickness=THICKNESS, metadata=METADATA)
    assert (volume.intensity[volume.visited] < 0).any()  # a gap must not be taken for a low count
    io.write(tmp_path / f"a{suffix}", volume)
    got = io.read(tmp_path / f"a{suffix}")
    assert isinstance(got, SparseVolume)
    np.testing.assert_array_equal(got.visited, volume.visited)
    np.testing.assert_array_equal(got.intensity, volume.intensity)
    if suffix != ".npy":
        assert got.pixel_size == pytest.approx(ANISOTROPIC, rel=1e-6)
        assert got.slice_thickness == pytest.approx(THICKNESS, rel=1e-6)
        assert {key: got.metadata[key] for key in METADATA} == METADATA


@pytest.mark.parametrize("suffix", STACKS)
@pytest.mark.parametrize("known", [{}, {"pixel_size": 2}, {"slice_thickness": THICKNESS}], ids=["nothing", "yx", "z"])
def test_a_length_that_nobody_said_stays_unknown_beside_one_that_somebody_did(suffix, known, tmp_path):
    io.write(tmp_path / f"a{suffix}", whole(**known))
    got = io.read(tmp_path / f"a{suffix}")
    said = {} if suffix == ".npy" else known
    assert got.pixel_size == ((2, 2) if "pixel_size" in said else None)
    assert got.slice_thickness == said.get("slice_thickness")


@settings(deadline=None, max_examples=20)
@given(st.tuples(st.integers(2, 5), st.integers(1, 9), st.integers(1, 9)), st.sampled_from(STACKS), st.integers(0, 9))
def test_stacks_of_any_shape_survive_but_for_those_that_look_like_colours(tmp_path_factory, shape, suffix, seed):
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    io.write(path, whole(shape, seed))
    if shape[2] in (3, 4) and min(shape[:2]) > 4:
        with pytest.raises(UnsupportedFormat, match="colour"):
            io.read(path)
    else:
        got = io.read(path)
        assert isinstance(got, Volume)
        np.testing.assert_array_equal(got.intensity, counts(shape, seed))


@pytest.mark.parametrize("suffix", STACKS)
def test_a_stack_of_one_slice_is_read_as_the_image_it_is(suffix, tmp_path):
    io.write(tmp_path / f"a{suffix}", whole((1, 4, 5), pixel_size=2, slice_thickness=5))
    io.write(tmp_path / f"b{suffix}", sparse((1, 4, 5)))
    image, scan = io.read(tmp_path / f"a{suffix}"), io.read(tmp_path / f"b{suffix}")
    assert isinstance(image, Micrograph)
    np.testing.assert_array_equal(image.intensity, counts((1, 4, 5))[0])
    assert isinstance(scan, SparseScan)
    np.testing.assert_array_equal(scan.visited, a_mask((1, 4, 5))[0])


def test_an_error_map_goes_into_an_npz_and_beside_everything_else(tmp_path):
    volume = whole(error=counts(seed=3), slice_thickness=THICKNESS, provenance=PROVENANCE)
    io.write(tmp_path / "a.npz", volume)
    np.testing.assert_array_equal(io.read(tmp_path / "a.npz").error, volume.error)
    assert io.companions(tmp_path / "a.npz", volume) == {}
    assert list(io.companions("a.ome.tif", volume)) == [Path("a_error.ome.tif")]
    ((beside, error),) = io.companions(tmp_path / "a.mrc", volume).items()
    assert beside == tmp_path / "a_error.mrc"
    io.write(beside, error)
    np.testing.assert_array_equal(io.read(beside).intensity, volume.error)
    assert io.read(beside).slice_thickness == THICKNESS
    assert io.companions("a.tif", whole()) == {}


def test_a_png_says_why_it_takes_no_stack_and_what_does(tmp_path):
    for stack in (whole(), sparse()):
        with pytest.raises(UnsupportedFormat, match=r"a\.png: a \.png holds one image, not a stack; write \.tif"):
            io.write(tmp_path / "a.png", stack)
    assert list(tmp_path.iterdir()) == []


def test_a_stack_with_nan_is_not_written_as_if_it_were_whole(tmp_path):
    volume = whole()
    volume.intensity[3, 2, 1] = np.nan
    with pytest.raises(InvalidValue, match=r"finite values.*write a SparseVolume"):
        io.write(tmp_path / "a.tif", volume)


# What other programs read and write


def test_a_written_tiff_is_a_calibrated_stack_to_imagej_digital_micrograph_and_ome_readers(tmp_path):
    io.write(tmp_path / "a.tif", whole(pixel_size=ANISOTROPIC, slice_thickness=THICKNESS))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        told, tags = tiff.imagej_metadata, tiff.pages[0].tags
        assert (told["slices"], told["spacing"], told["unit"]) == (5, THICKNESS, "nm")
        assert tiff.series[0].axes == "ZYX"
        assert [tags[tag].value for tag in (65004, 65010, 65005, 65011)] == ["nm", 0.031, "nm", THICKNESS]
    io.write(tmp_path / "a.ome.tif", whole(pixel_size=ANISOTROPIC, slice_thickness=THICKNESS))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert 'SizeZ="5"' in tiff.ome_metadata
        assert 'PhysicalSizeZ="7.5"' in tiff.ome_metadata
        assert 'PhysicalSizeZUnit="nm"' in tiff.ome_metadata


def test_a_written_mrc_is_a_volume_with_its_voxels_in_angstrom(tmp_path):
    io.write(tmp_path / "a.mrc", whole(pixel_size=(0.3, 0.2), slice_thickness=THICKNESS))
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.is_volume()
        assert [float(file.voxel_size[axis]) for axis in "xyz"] == pytest.approx([2, 3, 75])
        np.testing.assert_array_equal(file.data, counts())


def test_the_header_of_an_mrc_tells_of_all_that_was_measured_in_the_stack(tmp_path):
    volume = sparse()
    io.write(tmp_path / "a.mrc", volume)
    measured = volume.intensity[volume.visited].astype(float)
    with mrcfile.open(tmp_path / "a.mrc", header_only=True) as file:
        told = [float(file.header[name]) for name in ("dmin", "dmax", "dmean", "rms")]
    assert told == pytest.approx([measured.min(), measured.max(), measured.mean(), measured.std()], rel=1e-6)


@pytest.mark.parametrize("stack", [True, False], ids=["image stack", "volume"])
def test_only_an_mrc_volume_says_how_thick_its_slices_are(stack, tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.zeros((3, 4, 5), np.int16))
        (file.set_image_stack if stack else file.set_volume)()
        file.voxel_size = (20, 20, 300)  # x, y, z
        file.header.origin.z = 7
    got = io.read(tmp_path / "a.mrc")
    assert got.pixel_size == (2, 2)
    assert got.slice_thickness == (None if stack else 30)
    assert got.metadata["axes"]["z"] == {"unit": "Å", "origin": 7}


SPACED = {
    "ImageJ": ({"imagej": True, "resolution": (10, 10), "metadata": {"unit": "um", "spacing": 0.05}}, 50),
    "ImageJ turned round": ({"imagej": True, "metadata": {"unit": "nm", "spacing": -5.0}}, 5),
    "ImageJ z unit": ({"imagej": True, "metadata": {"unit": "nm", "zunit": "um", "spacing": 0.5}}, 500),
    "ImageJ pixels": ({"imagej": True, "metadata": {"unit": "pixel", "spacing": 2.0}}, None),
    "ImageJ words": ({"imagej": True, "metadata": {"unit": "nm", "spacing": "some"}}, None),
    "ImageJ silent": ({"imagej": True, "metadata": {"unit": "nm"}}, None),
    "ImageJ from a 300 dpi scan": ({"imagej": True, "metadata": {"unit": "inch", "spacing": 1.0}}, None),
    "OME": ({"ome": True, "metadata": {"PhysicalSizeZ": 40, "PhysicalSizeZUnit": "Å"}}, 4),
    "OME default unit": ({"ome": True, "metadata": {"PhysicalSizeZ": 0.03}}, 30),
    "Gatan": ({"extratags": [(65005, 2, 0, "µm".encode(), True), (65011, 12, 1, 0.02, True)]}, 20),
    "nothing": ({}, None),
}


@pytest.mark.parametrize(("written", "expected"), SPACED.values(), ids=SPACED.keys())
def test_a_slice_thickness_is_read_from_each_dialect_and_never_guessed(written, expected, tmp_path):
    written = {**written, "metadata": {"axes": "ZYX", **written.get("metadata", {})}}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 5, 6), np.uint16), photometric="minisblack", **written)
    got = io.read(tmp_path / "a.tif").slice_thickness
    assert got == (None if expected is None else pytest.approx(expected, rel=1e-6))


STACK = np.random.default_rng(5).integers(0, 60000, SHAPE).astype(np.uint16)


def one_by_one(path, **how):
    with tifffile.TiffWriter(path) as file:
        for page in STACK:
            file.write(page, **how)


def is_refused_when_cut(path):
    """Wherever the file is cut, unless all that is missing are a few bytes at its end that nobody needs."""
    content, refused = path.read_bytes(), []
    cut = path.with_name(f"cut{path.name.removeprefix(path.stem.partition('.')[0])}")
    lengths = range(8, len(content), 211)
    for length in lengths:
        cut.write_bytes(content[:length])
        try:
            np.testing.assert_array_equal(io.read(cut).intensity, STACK)
        except (UnreadableFile, UnsupportedFormat) as error:
            refused.append(str(error).startswith(f"{cut}: "))
    assert all(refused)
    assert len(refused) >= len(lengths) - 1


FOREIGN = {
    "ImageJ": lambda path: tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "ZYX"}),
    "ImageJ with one directory": lambda path: tifffile.imwrite(path, STACK, imagej=True, truncate=True),
    "OME": lambda path: tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "ZYX"}),
    "tifffile": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack"),
    "pages": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack", metadata=None),
    "zlib": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack", compression="zlib"),
    "one by one": one_by_one,
    "one by one without a word": lambda path: one_by_one(path, metadata=None),
    "OpenCV, LZW": lambda path: cv2.imwritemulti(str(path), list(STACK)),
}


@pytest.mark.parametrize("write", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_multi_page_tiff_is_a_stack_however_it_was_written_and_never_a_part_of_it(write, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "a.tif"
    write(path)
    got = io.read(path)
    assert isinstance(got, Volume)
    np.testing.assert_array_equal(got.intensity, STACK)
    assert got.metadata["dtype"] == "uint16"
    is_refused_when_cut(path)
    assert caplog.get_records("call") == []


@pytest.mark.parametrize("suffix", STACKS)
def test_a_truncated_stack_is_not_taken_for_one_of_fewer_slices(suffix, tmp_path):
    io.write(tmp_path / f"a{suffix}", Volume(STACK, pixel_size=2, slice_thickness=5))
    is_refused_when_cut(tmp_path / f"a{suffix}")


def test_frames_in_time_are_a_stack_that_says_so(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "TYX"})
    assert io.read(tmp_path / "a.tif").metadata["stacked_along"] == "time"
    tifffile.imwrite(tmp_path / "b.tif", STACK, imagej=True, metadata={"axes": "ZYX"})
    assert "stacked_along" not in io.read(tmp_path / "b.tif").metadata


def test_the_origin_of_the_third_axis_is_kept_of_a_stack_alone(tmp_path):
    told = {"unit": "nm", "xorigin": 1.0, "yorigin": 2.0, "zorigin": 3.0}
    for name, pixels in (("stack.tif", STACK), ("image.tif", STACK[0])):
        tifffile.imwrite(tmp_path / name, pixels, imagej=True, metadata={"axes": "ZYX"[-pixels.ndim :], **told})
    assert io.read(tmp_path / "stack.tif").metadata["axes"]["z"] == {"unit": "nm", "origin": 3.0}
    assert set(io.read(tmp_path / "image.tif").metadata["axes"]) == {"x", "y"}


def test_a_thumbnail_does_not_join_the_stack(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in STACK:
            file.write(page)
            file.write(page[::4, ::4])
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif").intensity, STACK)


def test_grey_stacks_saved_as_rgb_are_grey_and_coloured_ones_are_refused(tmp_path):
    grey = (STACK >> 8).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", np.stack([grey] * 3, -1), photometric="rgb")
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif").intensity, grey)
    tifffile.imwrite(tmp_path / "b.tif", np.stack([grey, grey, 255 - grey], -1), photometric="rgb")
    with pytest.raises(UnsupportedFormat, match=r"b\.tif: is a colour image"):
        io.read(tmp_path / "b.tif")


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".npz"])
def test_an_array_with_colours_as_its_last_axis_is_no_stack(suffix, tmp_path):
    path, colour = tmp_path / f"a{suffix}", np.zeros((24, 17, 3), np.uint8)
    match suffix:
        case ".tif":
            tifffile.imwrite(path, colour, photometric="minisblack")
        case ".npy":
            np.save(path, colour)
        case ".npz":
            np.savez(path, intensity=colour)
    with pytest.raises(UnsupportedFormat, match=r"shape \(24, 17, 3\) is that of a colour image"):
        io.read(path)
