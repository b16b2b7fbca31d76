"""Every format gives back what it was given, in the file's own counts."""

import subprocess
import sys
from pathlib import Path

import cv2
import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from io_samples import ANISOTROPIC, IMAGE_FORMATS, METADATA, PROVENANCE, WITH_GAPS, micrograph, sparse
from semrt import io
from semrt.data import Micrograph, SparseScan
from semrt.errors import InvalidValue, UnsupportedFormat
from semrt.io.description import plain
from semrt.io.formats import format_of


@pytest.mark.parametrize("suffix", io.FORMATS)
def test_every_format_is_registered_under_each_of_its_suffixes(suffix, tmp_path):
    module = format_of(tmp_path / f"scan{suffix.upper()}")
    assert suffix in module.SUFFIXES
    assert {entry: io.FORMATS[entry] for entry in module.SUFFIXES} == dict.fromkeys(module.SUFFIXES, module.__name__)


@pytest.mark.parametrize("suffix", [*IMAGE_FORMATS, ".ome.tif"])
def test_every_image_format_gives_back_pixels_pixel_size_and_metadata(suffix, tmp_path):
    path = tmp_path / f"adatoms on 20 µm [1]{suffix}"
    given_ = micrograph(pixel_size=ANISOTROPIC, metadata=METADATA, provenance=PROVENANCE)
    io.write(path, given_)
    got = io.read(path)
    # A PNG holds 65536 levels between the darkest and the brightest pixel; the others hold float32.
    step = (given_.intensity.max() - given_.intensity.min()) / 65535 if suffix == ".png" else 0
    np.testing.assert_allclose(got.intensity, given_.intensity, rtol=0, atol=0.51 * step)
    if suffix == ".npy":  # has no place for them
        assert got.pixel_size is None
        return
    assert got.pixel_size == pytest.approx(ANISOTROPIC, rel=1e-6)
    assert {key: got.metadata[key] for key in METADATA} == METADATA
    assert got.provenance == PROVENANCE


@pytest.mark.parametrize("suffix", [*IMAGE_FORMATS, ".ome.tif"])
def test_an_unknown_pixel_size_stays_unknown(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    io.write(path, micrograph())
    assert io.read(path).pixel_size is None


@pytest.mark.parametrize("suffix", WITH_GAPS)
def test_every_format_that_can_hold_gaps_gives_back_the_scan(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    scan = sparse(pixel_size=ANISOTROPIC, metadata=METADATA)
    assert (scan.intensity[scan.visited] < 0).any()  # a gap must not be taken for a low count
    io.write(path, scan)
    got = io.read(path)
    assert isinstance(got, SparseScan)
    np.testing.assert_array_equal(got.visited, scan.visited)
    np.testing.assert_array_equal(got.intensity, scan.intensity)
    if suffix != ".npy":
        assert got.pixel_size == pytest.approx(ANISOTROPIC, rel=1e-6)
        assert {key: got.metadata[key] for key in METADATA} == METADATA


@settings(deadline=None, max_examples=15)
@given(
    intensity=arrays(
        np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-(2.0**100), 2.0**100, width=32)
    ),
    suffix=st.sampled_from([".tif", ".ome.tif", ".mrc", ".npy", ".npz"]),
)
def test_images_of_any_shape_and_any_float_survive(tmp_path_factory, intensity, suffix):
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    io.write(path, Micrograph(intensity))
    np.testing.assert_array_equal(io.read(path).intensity, intensity)


@pytest.mark.parametrize("suffix", IMAGE_FORMATS)
def test_the_same_image_is_written_as_the_same_bytes(suffix, tmp_path):
    for name in ("first", "second"):
        io.write(tmp_path / f"{name}{suffix}", micrograph(pixel_size=ANISOTROPIC, metadata=METADATA))
    first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("first", "second"))
    if suffix == ".npz":  # the zip directory holds the time of day
        first, second = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("first", "second"))
        assert all(np.array_equal(first[key], second[key]) for key in first)
    else:
        assert first == second


def test_an_npz_holds_exposure_and_error_and_the_others_do_not_lose_them_silently(tmp_path):
    exposure = np.full((24, 17), 0.5, np.float32)
    scan = sparse(exposure=exposure)
    io.write(tmp_path / "scan.npz", scan)
    np.testing.assert_array_equal(io.read(tmp_path / "scan.npz").exposure, exposure)
    with pytest.raises(UnsupportedFormat, match=r"exposure.*\.npz"):
        io.write(tmp_path / "scan.tif", scan)

    inferred = micrograph(error=np.full((24, 17), 3, np.float32), pixel_size=ANISOTROPIC)
    io.write(tmp_path / "inferred.npz", inferred)
    np.testing.assert_array_equal(io.read(tmp_path / "inferred.npz").error, inferred.error)
    assert io.companions(tmp_path / "inferred.npz", inferred) == {}
    assert list(io.companions("inferred.ome.tif", inferred)) == [Path("inferred_error.ome.tif")]
    ((beside, error),) = io.companions(tmp_path / "inferred.tif", inferred).items()
    assert beside == tmp_path / "inferred_error.tif"
    np.testing.assert_array_equal(error.intensity, inferred.error)
    assert error.pixel_size == ANISOTROPIC
    assert io.companions(tmp_path / "a.tif", micrograph()) == {}


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64", "bool"]
)
@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_counts_are_read_as_they_are_and_their_dtype_is_remembered(dtype, suffix, tmp_path):
    counts = np.array([[0, 1, 1], [0, 1, 0]] if dtype == "bool" else [[0, 1, 5], [100, 37, 42]], dtype)
    path = tmp_path / f"counts{suffix}"
    (tifffile.imwrite if suffix == ".tif" else np.save)(path, counts)
    got = io.read(path)
    assert got.intensity.dtype == np.float32
    np.testing.assert_array_equal(got.intensity, counts.astype(float))
    assert got.metadata["dtype"] == dtype


def test_the_source_dtype_survives_an_output_of_another(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[1, 60000]], np.uint16))
    io.write(tmp_path / "b.tif", io.read(tmp_path / "a.png"))
    assert io.read(tmp_path / "b.tif").metadata["dtype"] == "uint16"
    assert io.read(tmp_path / "b.tif").metadata["format"] == "PNG"


def test_one_slice_of_a_stack_counts_as_an_image(tmp_path):
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "a.npy", image[None])
    tifffile.imwrite(tmp_path / "a.tif", image[None], imagej=True)
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(image[None])
        file.set_volume()
    for suffix in (".npy", ".tif", ".mrc"):
        np.testing.assert_array_equal(io.read(tmp_path / f"a{suffix}").intensity, image)


def test_importing_the_package_loads_none_of_the_libraries_of_the_formats():
    program = "import sys, semrt.io; print({'cv2', 'tifffile', 'mrcfile', 'semrt.io.tiff'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_whatever_a_record_holds_becomes_json(tmp_path):
    entries = {
        1: np.float32(2),
        "b": np.arange(2),
        "c": (True, None),
        "d": float("nan"),
        "e": tmp_path,
        "f": {"g": np.inf},
    }
    wanted = {"1": 2.0, "b": [0, 1], "c": [True, None], "d": None, "e": str(tmp_path), "f": {"g": None}}
    assert plain(entries) == wanted
    with pytest.raises(InvalidValue, match="JSON"):
        plain(object())
