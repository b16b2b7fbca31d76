"""PNG: counts as they are or scaled, and calibrated only by what is believable."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from io_samples import micrograph
from semrt import io
from semrt.data import Micrograph

IMAGE = np.zeros((4, 5), np.uint16)


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
