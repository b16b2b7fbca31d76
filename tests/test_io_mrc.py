"""MRC: voxels in Å, modes, byte orders, IMOD's own ways."""

import struct

import mrcfile
import numpy as np
import pytest

from io_samples import micrograph, sparse
from semrt import io


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
