"""TIFF: calibrations and dialects, of instruments and of other programs."""

import logging
import threading
import tracemalloc

import cv2
import numpy as np
import pytest
import tifffile

from io_samples import ANISOTROPIC, METADATA, micrograph
from semrt import io


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


def test_three_slices_that_tifffile_wrote_as_colours_are_a_stack_where_they_are_floats(tmp_path):
    slices = np.random.default_rng(0).random((3, 6, 7), np.float32)
    # Which is what it does unless told otherwise, up to 2026.
    tifffile.imwrite(tmp_path / "a.tif", slices, photometric="rgb", planarconfig="SEPARATE")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.series[0].axes == "SYX"
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif").intensity, slices)


def test_threads_that_read_leave_the_log_of_tifffile_as_it_was(tmp_path, caplog):
    io.write(tmp_path / "a.tif", micrograph())
    threads = [threading.Thread(target=io.read, args=(tmp_path / "a.tif",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logging.getLogger("tifffile").error("heard")
    assert [record.message for record in caplog.records] == ["heard"]


def test_reading_a_large_tiff_needs_little_more_than_the_file_and_the_image(tmp_path):
    counts = np.random.default_rng(0).integers(0, 2**16, (2048, 2048), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", counts)
    io.read(tmp_path / "a.tif")  # so that imports are not counted
    tracemalloc.start()
    image = io.read(tmp_path / "a.tif").intensity
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.6 * image.nbytes  # half of it for the file's 16 bit
