"""Files as users really bring them: every one is either read or refused in one line that names it."""

import logging
import struct
import zlib

import cv2
import mrcfile
import numpy as np
import pytest
import tifffile

from semrt import io
from semrt.data import Micrograph
from semrt.errors import (
    InputNotFound,
    InvalidShape,
    InvalidValue,
    SemrtError,
    UnreadableFile,
    UnsupportedFormat,
)

IMAGE = np.arange(600, dtype=np.float32).reshape(20, 30)
IMAGE_FORMATS = sorted(set(io.FORMATS) - {".csv"})


@pytest.fixture(autouse=True)
def _silence(capfd, caplog):
    """Whatever is read in this module, no library may speak past the error."""
    caplog.set_level(logging.DEBUG)
    yield
    assert capfd.readouterr() == ("", "")
    assert caplog.get_records("call") == []


def refusal(path, error, **options):
    with pytest.raises(error) as refused:
        io.read(path, **options)
    message = str(refused.value)
    assert str(path) in message
    assert "\n" not in message
    assert refused.value.exit_code == 3
    return message


def test_a_missing_file_a_folder_and_a_file_as_folder_are_told_apart(tmp_path):
    refusal(tmp_path / "missing.tif", InputNotFound)
    refusal(tmp_path / "missing.xyz", InputNotFound)
    (tmp_path / "a.tif").touch()
    refusal(tmp_path / "a.tif" / "b.tif", InputNotFound)
    assert "folder" in refusal(tmp_path, UnsupportedFormat)
    refusal(tmp_path / ("a" * 300 + ".tif"), UnreadableFile)


@pytest.mark.parametrize("name", ["a.dm9", "a.jpeg", "a", "a.tif.gz"])
def test_an_unknown_format_is_refused_with_the_known_ones(name, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    message = refusal(tmp_path / name, UnsupportedFormat)
    assert all(suffix in message for suffix in io.FORMATS)


@pytest.mark.parametrize("suffix", IMAGE_FORMATS)
def test_an_empty_file_is_unreadable(suffix, tmp_path):
    (tmp_path / f"a{suffix}").touch()
    assert "empty" in refusal(tmp_path / f"a{suffix}", UnreadableFile)


@pytest.mark.parametrize("suffix", [*IMAGE_FORMATS, ".ome.tif"])
def test_a_truncated_file_is_refused_wherever_it_ends(suffix, tmp_path):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    io.write(whole, Micrograph(IMAGE + 0.5, pixel_size=(1, 1), metadata={"detector": "BF"}))
    content = whole.read_bytes()
    assert io.read(whole).shape == IMAGE.shape
    for length in {1, 3, 9, 100, 300, *range(1000, len(content), 97), len(content) - 1}:
        path.write_bytes(content[:length])
        refusal(path, (UnreadableFile, UnsupportedFormat))


@pytest.mark.parametrize("silence", [{"disabled": True}, {"level": logging.CRITICAL}])
def test_a_truncated_tiff_is_refused_even_where_an_application_silenced_the_log(silence, tmp_path, monkeypatch):
    io.write(tmp_path / "whole.ome.tif", Micrograph(IMAGE + 0.5, pixel_size=(1, 1)))
    (tmp_path / "cut.ome.tif").write_bytes((tmp_path / "whole.ome.tif").read_bytes()[:-1])
    for name, value in silence.items():
        monkeypatch.setattr(logging.getLogger("tifffile"), name, value)
    refusal(tmp_path / "cut.ome.tif", (UnreadableFile, UnsupportedFormat))
    assert {name: getattr(logging.getLogger("tifffile"), name) for name in silence} == silence


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_cut_in_its_pixels_is_not_filled_up(compression, tmp_path):
    tifffile.imwrite(tmp_path / "whole.tif", IMAGE, compression=compression, rowsperstrip=4)
    content = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) - 40])
    assert "ends before" in refusal(tmp_path / "cut.tif", UnreadableFile)


@pytest.mark.parametrize("suffix", IMAGE_FORMATS)
def test_a_file_of_another_kind_under_this_suffix_is_refused(suffix, tmp_path):
    for other in IMAGE_FORMATS:
        if io.FORMATS[other] == io.FORMATS[suffix]:
            continue
        io.write(tmp_path / f"other{other}", Micrograph(IMAGE))
        (tmp_path / f"a{suffix}").write_bytes((tmp_path / f"other{other}").read_bytes())
        refusal(tmp_path / f"a{suffix}", (UnsupportedFormat, UnreadableFile))
    for text in (b"index,x_px\n0,1\n" * 200, bytes(5000), b"II*\0" + b"\xff" * 50, b"\x89PNG\r\n\x1a\n" + bytes(40)):
        (tmp_path / f"a{suffix}").write_bytes(text)
        refusal(tmp_path / f"a{suffix}", (UnsupportedFormat, UnreadableFile, InvalidShape))


@pytest.mark.parametrize("suffix", IMAGE_FORMATS)
def test_a_damaged_file_raises_nothing_but_errors_of_semrt(suffix, tmp_path):
    io.write(tmp_path / f"whole{suffix}", Micrograph(IMAGE, pixel_size=(1, 1)))
    content = (tmp_path / f"whole{suffix}").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(30):
        damaged = bytearray(content)
        for at in rng.integers(0, min(len(content), 500), 4):
            damaged[at] = rng.integers(256)
        (tmp_path / f"a{suffix}").write_bytes(damaged)
        try:
            io.read(tmp_path / f"a{suffix}")
        except SemrtError as error:
            refused += "\n" not in str(error)
    assert refused > 10 if suffix == ".png" else refused > 0  # most of a PNG is under checksums


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".npz", ".mrc"])
def test_a_stack_of_stacks_is_refused_with_its_shape_before_it_is_read(suffix, tmp_path):
    path, stacks = tmp_path / f"a{suffix}", np.zeros((2, 3, 4, 5), np.float32)
    match suffix:
        case ".tif":
            tifffile.imwrite(path, stacks, imagej=True)
        case ".npy":
            np.save(path, stacks)
        case ".npz":
            np.savez(path, intensity=stacks)
        case ".mrc":
            with mrcfile.new(path) as file:
                file.set_data(stacks)
    assert "(ny, nx) or (nz, ny, nx) with at least one pixel, got (2, 3, 4, 5); choose one stack" in refusal(
        path, InvalidShape
    )


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (7,), (), (2, 3, 4, 5)])
def test_arrays_that_are_no_image_are_refused(shape, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    assert str(shape) in refusal(tmp_path / "a.npy", InvalidShape)


def test_complex_numbers_and_text_are_no_intensities(tmp_path):
    np.save(tmp_path / "complex.npy", np.zeros((3, 4), np.complex64))
    np.save(tmp_path / "text.npy", np.full((3, 4), "x"))
    np.save(tmp_path / "table.npy", np.zeros((3, 4), [("x", float)]))
    tifffile.imwrite(tmp_path / "complex.tif", np.zeros((3, 4), np.complex64))
    with mrcfile.new(tmp_path / "complex.mrc") as file:
        file.set_data(np.zeros((3, 4), np.complex64))
    for name in ("complex.npy", "text.npy", "table.npy", "complex.tif", "complex.mrc"):
        assert "real numbers" in refusal(tmp_path / name, InvalidValue)


def test_python_objects_are_never_unpickled(tmp_path):
    harmful = np.array([[print]], dtype=object)
    np.save(tmp_path / "a.npy", harmful, allow_pickle=True)
    np.savez(tmp_path / "a.npz", intensity=harmful)
    for name in ("a.npy", "a.npz"):
        assert "Python objects" in refusal(tmp_path / name, UnsupportedFormat)


def test_a_value_beyond_float32_is_refused_not_clipped(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1e300, 1.0]]))
    assert "finite" in refusal(tmp_path / "a.npy", InvalidValue)


def test_an_npz_tells_which_arrays_it_wants_and_which_it_has(tmp_path):
    np.savez(tmp_path / "a.npz", image=IMAGE)
    assert "expected the arrays intensity and visited, got: image" in refusal(tmp_path / "a.npz", UnsupportedFormat)
    np.savez(tmp_path / "b.npz", intensity=IMAGE, visited=np.ones((3, 3)))
    assert "visited: expected shape (20, 30)" in refusal(tmp_path / "b.npz", InvalidShape)
    np.savez(tmp_path / "c.npz", intensity=IMAGE, pixel_size=np.ones(3))
    assert "pixel_size" in refusal(tmp_path / "c.npz", InvalidShape)
    np.savez(tmp_path / "d.npz", intensity=IMAGE, pixel_size=-1.0)
    assert "pixel_size" in refusal(tmp_path / "d.npz", InvalidValue)


def test_colour_and_transparency_are_refused_with_what_to_do(tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (6, 7, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb")
    cv2.imwrite(str(tmp_path / "a.png"), colour)
    cv2.imwrite(str(tmp_path / "lzw.tif"), colour, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    for name in ("a.tif", "a.png", "lzw.tif"):
        assert "grey image" in refusal(tmp_path / name, UnsupportedFormat)
    see_through = np.full((6, 7, 4), 9, np.uint8)
    see_through[2, 3, 3] = 0
    cv2.imwrite(str(tmp_path / "b.png"), see_through)
    assert "transparent" in refusal(tmp_path / "b.png", UnsupportedFormat)
    tifffile.imwrite(tmp_path / "spectral.tif", np.zeros((6, 7, 5), np.uint8), planarconfig="CONTIG", photometric=1)
    assert "5" in refusal(tmp_path / "spectral.tif", (UnsupportedFormat, InvalidShape))


def test_a_compression_that_nothing_here_knows_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE.astype(np.uint16), compression="zlib")
    for code, name in ((50000, "ZSTD"), (34712, "JPEG2000"), (5, "LZW")):
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
            tiff.pages[0].tags["Compression"].overwrite(code)
        assert name in refusal(tmp_path / "a.tif", UnsupportedFormat)


def test_an_unknown_mrc_mode_is_named(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.zeros((3, 4), np.int8))
        file.header.mode = 101
    assert "mode 101" in refusal(tmp_path / "a.mrc", UnsupportedFormat)


def test_an_mrc_longer_than_its_header_says_is_read(tmp_path):
    io.write(tmp_path / "a.mrc", Micrograph(IMAGE))
    (tmp_path / "a.mrc").write_bytes((tmp_path / "a.mrc").read_bytes() + bytes(77))
    np.testing.assert_array_equal(io.read(tmp_path / "a.mrc").intensity, IMAGE)


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path):
    io.write(tmp_path / "a.png", Micrograph(IMAGE))
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[-20] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    assert "checksum" in refusal(tmp_path / "a.png", UnreadableFile)


def test_a_file_that_promises_more_than_memory_holds_is_refused(tmp_path):
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 16, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + end)
    refusal(tmp_path / "a.png", UnreadableFile)
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.zeros((3, 4), np.int8))
        file.header.nx = file.header.ny = 2**31 - 1
    refusal(tmp_path / "a.mrc", UnreadableFile)


def test_a_scan_path_or_any_other_thing_is_no_image(tmp_path):
    for suffix in IMAGE_FORMATS:
        with pytest.raises(UnsupportedFormat):
            io.write(tmp_path / f"a{suffix}", object())
    assert list(tmp_path.iterdir()) == []


def test_a_bad_mask_is_named_rather_than_the_image(tmp_path):
    io.write(tmp_path / "image.tif", Micrograph(IMAGE))
    (tmp_path / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UnreadableFile, match=r"mask\.png"):
        io.read(tmp_path / "image.tif", mask=tmp_path / "mask.png")
    with pytest.raises(InputNotFound, match=r"nowhere\.png"):
        io.read(tmp_path / "image.tif", mask=str(tmp_path / "nowhere.png"))
