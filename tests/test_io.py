import struct
import subprocess
import sys
import threading
import tracemalloc
import zlib
from pathlib import Path

import cv2
import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from semrt import io
from semrt.data import Micrograph, SparseScan
from semrt.errors import (
    EmptyScan,
    InputNotFound,
    InvalidOption,
    InvalidShape,
    InvalidValue,
    UnreadableFile,
    UnsupportedFormat,
)
from semrt.io.description import plain
from semrt.io.formats import format_of

IMAGE_FORMATS = sorted(set(io.FORMATS) - {".csv"})
WITH_GAPS = sorted(set(IMAGE_FORMATS) - {".png"})
ANISOTROPIC = (0.031, 0.02)  # (dy, dx) [nm]
METADATA = {"detector": "HAADF", "high_tension": 200.0, "stage µ": [1, 2, 3], "note": None}
PROVENANCE = {"model": {"name": "infill", "sha256": "0" * 64}, "tile": [256, 256]}


def micrograph(shape=(24, 17), seed=0, **known):
    return Micrograph(np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32), **known)


def sparse(shape=(24, 17), seed=0, **known):
    rng = np.random.default_rng(seed)
    return SparseScan(rng.normal(0, 1, shape).astype(np.float32), rng.random(shape) < 0.2, **known)


# Every entry of FORMATS


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


# Counts and dtypes


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


def test_reading_a_large_tiff_needs_little_more_than_the_file_and_the_image(tmp_path):
    counts = np.random.default_rng(0).integers(0, 2**16, (2048, 2048), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", counts)
    io.read(tmp_path / "a.tif")  # so that imports are not counted
    tracemalloc.start()
    image = io.read(tmp_path / "a.tif").intensity
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.6 * image.nbytes  # half of it for the file's 16 bit


# TIFF: calibrations, dialects


def test_a_written_tiff_tells_its_pixel_size_to_imagej_digital_micrograph_and_ome_readers(tmp_path):
    io.write(tmp_path / "a.tif", micrograph(pixel_size=ANISOTROPIC, metadata=METADATA))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        tags = tiff.pages[0].tags
        assert tiff.imagej_metadata["unit"] == "nm"
        x, y = tags["XResolution"].value, tags["YResolution"].value
        assert (y[1] / y[0], x[1] / x[0]) == pytest.approx(ANISOTROPIC, rel=1e-6)
        assert tags["ResolutionUnit"].value == 1  # none: ImageJ's unit counts
        assert [tags[tag].value for tag in (65003, 65009, 65004, 65010)] == ["nm", 0.02, "nm", 0.031]
        assert "HAADF" in tiff.imagej_metadata["Info"]
    io.write(tmp_path / "a.ome.tif", micrograph(pixel_size=ANISOTROPIC))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert 'PhysicalSizeY="0.031" PhysicalSizeYUnit="nm"' in " ".join(sorted(tiff.ome_metadata.split()))
        assert 'PhysicalSizeX="0.02"' in tiff.ome_metadata


def test_an_image_too_large_for_imagej_is_written_as_ome(tmp_path, monkeypatch):
    monkeypatch.setattr("semrt.io.tiff._LARGEST_IMAGEJ", 1000)
    given_ = micrograph(pixel_size=ANISOTROPIC, metadata=METADATA)
    io.write(tmp_path / "a.tif", given_)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_ome
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif").intensity, given_.intensity)
    assert io.read(tmp_path / "a.tif").pixel_size == ANISOTROPIC


IMAGE = np.zeros((4, 5), np.uint16)
# The first is the pixel of the monitor, the second that of the image.
ZEISS = "0\r\nAP_PIXEL_SIZE\r\nPixel Size = 264.6 µm\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 4.5 nm\r\n"
CALIBRATED = {
    # 10 pixels a micron are 100 nm each
    "ImageJ micron": ({"imagej": True, "resolution": (10, 5), "metadata": {"unit": "micron"}}, (200, 100)),
    "ImageJ escaped µm": ({"imagej": True, "resolution": (10, 10), "metadata": {"unit": "\\u00B5m"}}, (100, 100)),
    "ImageJ y unit": (
        {"imagej": True, "resolution": (10, 10), "metadata": {"unit": "um", "yunit": "nm"}},
        (0.1, 100),
    ),
    "ImageJ pixels": ({"imagej": True, "resolution": (1, 1), "metadata": {"unit": "pixel"}}, None),
    "ImageJ reciprocal": ({"imagej": True, "resolution": (9, 9), "metadata": {"unit": "1/nm"}}, None),
    "ImageJ from a 300 dpi scan": ({"imagej": True, "resolution": (300, 300), "metadata": {"unit": "inch"}}, None),
    "OME": (
        {
            "ome": True,
            "metadata": {"PhysicalSizeX": 2, "PhysicalSizeXUnit": "Å", "PhysicalSizeY": 3, "PhysicalSizeYUnit": "Å"},
        },
        (0.3, 0.2),
    ),
    "OME default unit": ({"ome": True, "metadata": {"PhysicalSizeX": 0.002, "PhysicalSizeY": 0.003}}, (3, 2)),
    # 1e6 pixels a centimetre are 10 nm each, 2.54e6 an inch likewise
    "resolution in cm": ({"resolution": (1e6, 5e5), "resolutionunit": "CENTIMETER"}, (20, 10)),
    "resolution in inch": ({"resolution": (2540000, 2540000), "resolutionunit": "INCH"}, (10, 10)),
    "screen resolution": ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
    "no unit": ({"resolution": (10, 10), "resolutionunit": "NONE"}, None),
    "zero": ({"extratags": [(282, 5, 1, (0, 1), True), (283, 5, 1, (0, 1), True)]}, None),
    "Gatan": (
        {
            "extratags": [
                (65003, 2, 0, "µm".encode(), True),
                (65004, 2, 0, "nm", True),
                (65009, 12, 1, 0.5, True),
                (65010, 12, 1, 0.25, True),
            ]
        },
        (0.25, 500),
    ),
    "Gatan diffraction": (
        {
            "extratags": [(t, 2, 0, "1/nm", True) for t in (65003, 65004)]
            + [(t, 12, 1, 2.0, True) for t in (65009, 65010)]
        },
        None,
    ),
    "Thermo Fisher": (
        {"extratags": [(34682, 2, 0, "[Beam]\nHV=notafloat\n[Scan]\nPixelWidth=2e-09\nPixelHeight=3e-09\n", True)]},
        (3, 2),
    ),
    "Zeiss": ({"extratags": [(34118, 2, 0, ZEISS.encode("cp1252"), True)]}, (4.5, 4.5)),
}


@pytest.mark.parametrize(("written", "expected"), CALIBRATED.values(), ids=CALIBRATED.keys())
def test_a_pixel_size_is_read_from_each_dialect_and_never_guessed(written, expected, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, **written)
    got = io.read(tmp_path / "a.tif").pixel_size
    assert got == (None if expected is None else pytest.approx(expected, rel=1e-6))


def test_what_an_instrument_wrote_into_its_tiff_is_kept(tmp_path):
    told = "[User]\nDate=2024\n[Beam]\nHV=notafloat\n[Scan]\nDwelltime=1e-06\n"
    tifffile.imwrite(
        tmp_path / "a.tif", IMAGE, software="xT", description="gold on carbon", extratags=[(34682, 2, 0, told, True)]
    )
    got = io.read(tmp_path / "a.tif").metadata
    assert got["format"] == "TIFF"
    assert got["software"] == "xT"
    assert got["description"] == "gold on carbon"
    assert got["fei_metadata"]["Scan"]["Dwelltime"] == 1e-6
    assert got["fei_metadata"]["Beam"]["HV"] == "notafloat"
    io.write(tmp_path / "b.tif", io.read(tmp_path / "a.tif"))
    assert io.read(tmp_path / "b.tif").metadata == got


def test_the_origin_and_unit_of_each_axis_are_kept(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        IMAGE,
        imagej=True,
        resolution=(10, 10),
        metadata={"unit": "um", "xorigin": 3.5, "yorigin": -2.0},
    )
    expected = {"x": {"unit": "um", "origin": 3.5}, "y": {"unit": "um", "origin": -2.0}}
    assert io.read(tmp_path / "a.tif").metadata["axes"] == expected


def test_of_twin_pages_the_one_with_more_bits_is_read(tmp_path):
    deep = np.arange(20, dtype=np.uint16).reshape(4, 5) * 1000
    with tifffile.TiffWriter(tmp_path / "jeol.tif") as file:
        file.write(np.zeros((2, 2), np.uint16))  # a thumbnail
        file.write((deep >> 8).astype(np.uint8))  # the view with a scale bar burnt in
        file.write(deep)
    np.testing.assert_array_equal(io.read(tmp_path / "jeol.tif").intensity, deep)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_lzw_tiff_as_opencv_writes_it_is_read(dtype, tmp_path, capfd):
    counts = np.random.default_rng(0).integers(0, 255, (20, 30)).astype(dtype)
    lzw = 5
    assert cv2.imwrite(str(tmp_path / "a.tif"), counts, [cv2.IMWRITE_TIFF_COMPRESSION, lzw])
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].compression == lzw
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif").intensity, counts)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("planar", ["CONTIG", "SEPARATE"])
def test_equal_colour_channels_are_taken_as_grey(planar, tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (6, 7), np.uint8)
    opaque = np.full_like(grey, 255)
    channels = [grey, grey, grey, opaque]
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.stack(channels, -1 if planar == "CONTIG" else 0),
        photometric="rgb",
        planarconfig=planar,
        extrasamples=["unassalpha"],
    )
    cv2.imwrite(str(tmp_path / "a.png"), np.stack(channels, -1))
    for name in ("a.tif", "a.png"):
        np.testing.assert_array_equal(io.read(tmp_path / name).intensity, grey)


def test_threads_that_read_leave_the_log_of_tifffile_as_it_was(tmp_path, caplog):
    import logging

    io.write(tmp_path / "a.tif", micrograph())
    threads = [threading.Thread(target=io.read, args=(tmp_path / "a.tif",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logging.getLogger("tifffile").error("heard")
    assert [record.message for record in caplog.records] == ["heard"]


# MRC


@pytest.mark.parametrize("cell", [0.0, -1.0])
def test_an_uncalibrated_mrc_has_no_pixel_size(cell, tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.zeros((3, 4), np.float32))
        file.header.cella.x = 4 * cell
        file.header.cella.y = 3 * cell
    assert io.read(tmp_path / "a.mrc").pixel_size is None


def test_an_mrc_voxel_is_in_angstrom(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.zeros((3, 4), np.int16))
        file.voxel_size = (2.5, 5, 1)  # x, y, z
        file.header.origin.x = 7
    got = io.read(tmp_path / "a.mrc")
    assert got.pixel_size == pytest.approx((0.5, 0.25))
    assert got.metadata["axes"]["x"] == {"unit": "Å", "origin": 7}


@pytest.mark.parametrize("dtype", ["<i1", "<i2", ">i2", "<u2", ">f4", "<f2"])
def test_every_real_mrc_mode_is_read_in_either_byte_order(dtype, tmp_path):
    counts = np.array([[0, 1, 2], [100, 50, 3]], dtype)
    with mrcfile.new(tmp_path / "a.rec") as file:
        file.set_data(counts)
    np.testing.assert_array_equal(io.read(tmp_path / "a.rec").intensity, counts.astype(float))
    assert io.read(tmp_path / "a.rec").metadata["dtype"] == np.dtype(dtype).newbyteorder("=").name


@pytest.mark.parametrize(("flags", "expected"), [(0, 200), (1, -56)])
def test_bytes_that_imod_wrote_as_unsigned_are_read_so(flags, expected, tmp_path):
    with mrcfile.new(tmp_path / "a.st") as file:
        file.set_data(np.array([[-56, 1]], np.int8))
        stamped = bytearray(bytes(file.header.extra2))
        stamped[40:48] = struct.pack("<ii", 1146047817, flags)
        file.header.extra2 = bytes(stamped)
    assert io.read(tmp_path / "a.st").intensity[0, 0] == expected


def test_a_written_mrc_is_valid_by_mrcfile_and_states_its_range(tmp_path):
    scan = sparse(pixel_size=(0.2, 0.2))
    io.write(tmp_path / "a.mrc", micrograph(pixel_size=(0.2, 0.2)))
    io.write(tmp_path / "b.mrc", scan)
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.voxel_size.x == pytest.approx(2)
    with mrcfile.open(tmp_path / "b.mrc") as file:
        assert float(file.header.dmin) == scan.intensity[scan.visited].min()


# PNG


def chunks(content):
    at, found = 8, []
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length)[0] == zlib.crc32(kind + data)
        found.append((kind, data))
        at += 12 + length
    return found


def with_chunk(content, kind, data):
    return (
        content[:33]
        + struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
        + content[33:]
    )


@pytest.mark.parametrize(("highest", "dtype"), [(255, np.uint8), (65535, np.uint16)])
def test_whole_counts_are_stored_in_a_png_as_they_are(highest, dtype, tmp_path):
    counts = np.array([[0, 17, highest]], np.float32)
    io.write(tmp_path / "a.png", Micrograph(counts))
    stored = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, counts)
    np.testing.assert_array_equal(io.read(tmp_path / "a.png").intensity, counts)


@pytest.mark.parametrize("value", [-3.25, 0.0, 1e6])
def test_a_flat_image_survives_a_png(value, tmp_path):
    io.write(tmp_path / "a.png", Micrograph(np.full((2, 3), value, np.float32)))
    np.testing.assert_array_equal(io.read(tmp_path / "a.png").intensity, np.float32(value))


def test_pixels_per_metre_are_written_where_a_png_can_hold_them(tmp_path):
    io.write(tmp_path / "sem.png", micrograph(pixel_size=(4, 2)))
    io.write(tmp_path / "stem.png", micrograph(pixel_size=(0.02, 0.02)))
    found = dict(chunks((tmp_path / "sem.png").read_bytes()))
    assert struct.unpack(">IIB", found[b"pHYs"]) == (500_000_000, 250_000_000, 1)  # x, y, metre
    assert b"pHYs" not in dict(chunks((tmp_path / "stem.png").read_bytes()))


@pytest.mark.parametrize(
    ("physical", "expected"),
    [((10**8, 5 * 10**7, 1), (20, 10)), ((2835, 2835, 1), None), ((10**8, 10**8, 0), None), ((0, 0, 1), None)],
    ids=["microscope", "72 dpi", "aspect only", "zero"],
)
def test_a_foreign_png_is_calibrated_only_by_a_believable_resolution(physical, expected, tmp_path):
    plain = cv2.imencode(".png", IMAGE)[1].tobytes()
    titled = with_chunk(plain, b"tEXt", b"Software\0Atlas")
    (tmp_path / "a.png").write_bytes(with_chunk(titled, b"pHYs", struct.pack(">IIB", *physical)))
    got = io.read(tmp_path / "a.png")
    assert got.pixel_size == expected
    assert got.metadata["software"] == "Atlas"


def test_a_colour_profile_does_not_make_the_decoder_complain(tmp_path, capfd):
    plain = cv2.imencode(".png", IMAGE)[1].tobytes()
    (tmp_path / "a.png").write_bytes(with_chunk(plain, b"iCCP", b"sRGB\0\0" + zlib.compress(b"no profile")))
    io.read(tmp_path / "a.png")
    assert capfd.readouterr() == ("", "")


# Where the probe went


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.arange(1, 21, dtype=np.uint16).reshape(4, 5))
    return path


VISITED = np.eye(4, 5, dtype=bool)


@pytest.mark.parametrize("kind", ["array", "counts", ".tif", ".png", ".npy", ".mrc", "mask.npz", "scan.npz", "NaN"])
def test_a_mask_says_where_the_probe_went(kind, image, tmp_path):
    mask = tmp_path / f"mask{kind}"
    match kind:
        case "array":
            mask = VISITED.tolist()
        case "counts":
            mask = VISITED * 0.25
        case ".tif":
            tifffile.imwrite(mask, VISITED * np.uint8(255))
        case ".png":
            cv2.imwrite(str(mask), np.repeat(VISITED[..., None] * np.uint8(255), 3, -1))
        case ".npy":
            np.save(mask, VISITED)
        case ".mrc":
            with mrcfile.new(mask) as file:
                file.set_data(VISITED.astype(np.int8))
        case "mask.npz":
            np.savez(mask, visited=VISITED)
        case "scan.npz":
            np.savez(mask, visited=VISITED, intensity=np.zeros((4, 5)))
        case "NaN":
            mask = np.where(VISITED, 1, np.nan)
    scan = io.read(image, mask=mask)
    assert isinstance(scan, SparseScan)
    np.testing.assert_array_equal(scan.visited, VISITED)
    np.testing.assert_array_equal(scan.intensity[VISITED], [1, 7, 13, 19])
    assert scan.metadata["dtype"] == "uint16"


def test_a_scan_path_survives_its_csv_and_serves_as_a_mask(image, tmp_path):
    from semrt.scan import generate

    planned = generate("random", (4, 5), 0.4, seed=3)
    io.write(tmp_path / "path.csv", planned)
    got = io.read(tmp_path / "path.csv")
    np.testing.assert_allclose(got.positions, planned.positions, atol=1e-3)
    np.testing.assert_array_equal(io.read(image, mask=tmp_path / "path.csv").visited, planned.visited)
    assert io.read(tmp_path / "path.csv", pixel_size="2nm").pixel_size == (2, 2)
    with pytest.raises(InvalidOption, match=r"path\.csv: says itself"):
        io.read(tmp_path / "path.csv", unvisited=0)
    with pytest.raises(UnsupportedFormat, match=r"write a \.csv"):
        io.write(tmp_path / "path.npz", planned)
    with pytest.raises(UnsupportedFormat):
        io.write(tmp_path / "image.csv", micrograph())
    assert not (tmp_path / "image.csv").exists()


def test_nan_and_a_chosen_value_mark_what_was_not_visited(tmp_path):
    values = np.array([[0, 1, np.nan], [2, np.nan, 0]], np.float32)
    np.save(tmp_path / "nan.npy", values)
    np.testing.assert_array_equal(io.read(tmp_path / "nan.npy").visited, [[1, 1, 0], [1, 0, 1]])
    np.save(tmp_path / "zero.npy", np.nan_to_num(values))
    np.testing.assert_array_equal(io.read(tmp_path / "zero.npy", unvisited=0).visited, [[0, 1, 0], [1, 0, 0]])
    assert isinstance(io.read(tmp_path / "zero.npy"), Micrograph)


@pytest.mark.parametrize("given_", [(0.3, 0.2), "0.3x0.2nm", "3 × 2 Å", "0.0003x0.0002µm"])
def test_a_given_pixel_size_replaces_that_of_the_file(given_, tmp_path):
    io.write(tmp_path / "a.tif", micrograph(pixel_size=(9, 9)))
    assert io.read(tmp_path / "a.tif", pixel_size=given_).pixel_size == pytest.approx((0.3, 0.2))


def test_a_number_is_a_square_pixel_in_nm(tmp_path):
    io.write(tmp_path / "a.npz", sparse())
    assert io.read(tmp_path / "a.npz", pixel_size=0.5).pixel_size == (0.5, 0.5)
    assert io.read(tmp_path / "a.npz", pixel_size="20pm").pixel_size == pytest.approx((0.02, 0.02))


@pytest.mark.parametrize("text", ["0.02", "nm", "0.02 furlong", "-1nm", "0nm", "1..2nm"])
def test_a_pixel_size_without_a_length_is_refused(text, image):
    with pytest.raises(InvalidOption, match=r"such as 0\.02nm"):
        io.read(image, pixel_size=text)


def test_a_mask_of_another_shape_is_refused_and_both_files_named(image, tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((5, 4)))
    with pytest.raises(
        InvalidShape, match=r"mask.*mask\.npy: expected shape \(4, 5\), as .*image\.tif has, got \(5, 4\)"
    ):
        io.read(image, mask=tmp_path / "mask.npy")


def test_a_scan_that_visited_nothing_is_refused_by_name(image, tmp_path):
    np.save(tmp_path / "blank.npy", np.zeros((4, 5)))
    with pytest.raises(EmptyScan, match=r"blank\.npy"):
        io.read(image, mask=tmp_path / "blank.npy")
    with pytest.raises(EmptyScan, match=r"blank\.npy"):
        io.read(tmp_path / "blank.npy", unvisited=0)
    np.save(tmp_path / "nothing.npy", np.full((4, 5), np.nan))
    with pytest.raises(EmptyScan, match=r"nothing\.npy"):
        io.read(tmp_path / "nothing.npy")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_visited_pixel_must_hold_a_number(bad, tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, bad]]))
    with pytest.raises(InvalidValue, match=r"a\.npy.*finite"):
        io.read(tmp_path / "a.npy", mask=np.ones((1, 2)))
    assert io.read(tmp_path / "a.npy", mask=[[1, 0]]).coverage == 0.5


def test_contradictory_words_on_what_was_visited_are_refused(image, tmp_path):
    io.write(tmp_path / "scan.npz", sparse())
    with pytest.raises(InvalidOption, match="one of them"):
        io.read(image, mask=VISITED, unvisited=0)
    with pytest.raises(InvalidOption, match=r"scan\.npz: says itself"):
        io.read(tmp_path / "scan.npz", unvisited=0)


def test_an_image_with_nan_is_not_written_as_if_it_were_whole(tmp_path):
    with pytest.raises(InvalidValue, match="finite"):
        io.write(tmp_path / "a.tif", Micrograph(np.array([[1, np.nan]])))
    with pytest.raises(UnsupportedFormat, match=r"\.npz or \.tif"):
        io.write(tmp_path / "a.png", sparse())
    assert list(tmp_path.iterdir()) == []


# Names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["s10.tif", "s2.TIF", "S1.tif", "notes.txt", ".hidden.tif", "run.semrt.json", "below/s3.png", "old.tif"]
    for name in [*names, "old.semrt.json", "old_error.tif", "old_preview.png", "µ [1].tif", "below/deep/s4.mrc"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(paths):
    return [path.as_posix() for path in paths]


def test_a_folder_stands_for_its_images_in_natural_order_without_what_semrt_wrote(folder):
    assert names(io.expand_inputs(["."])) == ["S1.tif", "s2.TIF", "s10.tif", "µ [1].tif"]
    assert names(io.expand_inputs(["below"], recursive=True)) == ["below/deep/s4.mrc", "below/s3.png"]


def test_patterns_are_expanded_for_shells_that_do_not(folder):
    assert names(io.expand_inputs(["s*.tif", "b*/*.png"])) == ["s10.tif", "below/s3.png"]
    assert names(io.expand_inputs(["**/*.mrc"])) == ["below/deep/s4.mrc"]
    assert names(io.expand_inputs(["s*"])) == ["s2.TIF", "s10.tif"]
    assert names(io.expand_inputs(["n*.txt"])) == ["notes.txt"]  # to be refused by read, which lists the known formats


def test_brackets_in_a_name_are_taken_literally_where_such_a_file_exists(folder):
    assert names(io.expand_inputs(["µ [1].tif"])) == ["µ [1].tif"]
    (folder / "set [a]").mkdir()
    (folder / "set [a]" / "x.npy").touch()
    assert names(io.expand_inputs(["set [a]/*.npy"])) == ["set [a]/x.npy"]
    assert names(io.expand_inputs(["s[12].[tT][iI][fF]"])) == ["s2.TIF"]


def test_each_input_comes_once_and_in_the_order_given(folder):
    given_ = ["s10.tif", "s2.TIF", str(folder / "s10.tif"), "."]
    assert names(io.expand_inputs(given_)) == ["s10.tif", "s2.TIF", "S1.tif", "µ [1].tif"]


@pytest.mark.parametrize("nothing", ["missing.tif", "*.npz", "missing/*.tif", "empty"])
def test_an_input_that_stands_for_nothing_is_an_error(nothing, folder):
    (folder / "empty").mkdir()
    with pytest.raises(InputNotFound, match=nothing.replace("*", r"\*")):
        io.expand_inputs(["s10.tif", nothing])


@pytest.mark.parametrize(
    ("source", "suffix", "expected"),
    [
        ("in/a.tif", None, "out/a_infill.tif"),
        ("in/a.MRC", None, "out/a_infill.mrc"),
        ("in/a.ome.tif", None, "out/a_infill.tif"),
        ("in/a.b.npz", None, "out/a.b_infill.npz"),
        ("in/a.png", None, "out/a_infill.tif"),  # a PNG would round what was measured
        ("in/a.csv", None, "out/a_infill.tif"),
        ("in/a.tif", ".png", "out/a_infill.png"),
    ],
)
def test_an_output_is_named_after_its_input_and_the_model(source, suffix, expected):
    assert io.output_path(source, "infill", "out", suffix).as_posix() == expected


def test_a_single_input_may_name_its_output_file(tmp_path):
    assert io.output_path("a.tif", "infill", "b.npz").as_posix() == "b.npz"
    (tmp_path / "folder.tif").mkdir()
    assert io.output_path("a.tif", "infill", tmp_path / "folder.tif") == tmp_path / "folder.tif" / "a_infill.tif"
    with pytest.raises(InvalidOption, match="2 inputs"):
        io.output_paths(["a.tif", "b.tif"], "infill", "c.tif")


def test_an_output_is_never_an_input(tmp_path):
    source = tmp_path / "a.tif"
    source.touch()
    (tmp_path / "link.tif").symlink_to(source)
    for out in (source, tmp_path / "." / "a.tif", tmp_path / "link.tif"):
        with pytest.raises(InvalidOption, match="is the input"):
            io.output_path(source, "infill", out)
    with pytest.raises(InvalidOption, match="one of the inputs"):
        io.output_paths([source, tmp_path / "a_infill.tif"], "infill", tmp_path)


def test_two_inputs_of_one_stem_are_refused_by_name():
    with pytest.raises(InvalidOption, match=r"x/a\.tif and y/A\.png"):
        io.output_paths(["x/a.tif", "y/A.png"], "infill", "out")
    batch = io.output_paths(["x/a.tif", "x/b.tif"], "infill", "out")
    assert names(batch.values()) == ["out/a_infill.tif", "out/b_infill.tif"]


@pytest.mark.parametrize("suffix", [".jpg", ".csv"])
def test_an_output_format_that_holds_no_image_is_refused_with_those_that_do(suffix):
    with pytest.raises(InvalidOption, match=rf"'\{suffix}' is unknown;.*\.tif"):
        io.output_path("a.tif", "infill", "out", suffix)


def test_an_output_file_of_another_format_than_asked_is_refused():
    with pytest.raises(InvalidOption, match=r"b\.npz: is not of the format \.png"):
        io.output_path("a.tif", "infill", "b.npz", ".png")


def test_importing_the_package_loads_none_of_the_libraries_of_the_formats():
    program = "import sys, semrt.io; print({'cv2', 'tifffile', 'mrcfile', 'semrt.io.tiff'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_name_that_no_file_system_allows_is_an_unreadable_input():
    with pytest.raises(UnreadableFile, match="too long"):
        io.expand_inputs(["a" * 300 + ".tif"])


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
