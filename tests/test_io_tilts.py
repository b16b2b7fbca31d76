"""Tilt series and tomograms in files: what goes in comes back, elsewhere as stacks that say what they are."""

import struct
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest

from io_samples import METADATA, PROVENANCE
from semrt import io
from semrt.data import Micrograph, OnDisk, TiltSeries, Tomogram, Volume
from semrt.errors import InvalidOption, InvalidShape, InvalidValue, UnsupportedFormat
from semrt.io.mrc_tilts import tilt_angles

ANGLES = np.array([-60.0, -20.5, 0.25, 40.0])
KNOWN = {"metadata": METADATA, "provenance": PROVENANCE}


def a_series(**more):
    intensity = np.random.default_rng(0).random((4, 3, 5), np.float32)
    return TiltSeries(intensity, ANGLES, (3.0, 2.0), 0.5, **KNOWN | more)


def a_tomogram(**more):
    density, inferred = np.random.default_rng(1).random((2, 4, 3, 5), np.float32)
    given = {"inferred": inferred, "notes": ("one", "two"), **KNOWN}
    return Tomogram(density, (-60, 40.5), (2.0, 3.0, 2.0), **given | more)


# --- NPZ holds all


def test_an_npz_gives_a_tilt_series_back_whole(tmp_path):
    io.write(tmp_path / "a µ.npz", a_series())
    got = io.read(tmp_path / "a µ.npz")
    assert isinstance(got, TiltSeries)
    np.testing.assert_array_equal(got.intensity, a_series().intensity)
    np.testing.assert_array_equal(got.angles, ANGLES)
    assert (got.pixel_size, got.axis_offset, got.provenance) == ((3, 2), 0.5, PROVENANCE)
    assert {key: got.metadata[key] for key in METADATA} == METADATA
    assert io.read(tmp_path / "a µ.npz", pixel_size="5nm").pixel_size == (5, 5)


def test_an_npz_gives_a_tomogram_back_whole(tmp_path):
    io.write(tmp_path / "a.npz", a_tomogram())
    got = io.read(tmp_path / "a.npz")
    assert isinstance(got, Tomogram)
    for name in ("density", "inferred"):
        np.testing.assert_array_equal(getattr(got, name), getattr(a_tomogram(), name))
    assert (got.tilt_range, got.voxel_size, got.notes) == ((-60, 40.5), (2, 3, 2), ("one", "two"))
    assert got.provenance == PROVENANCE
    assert io.read(tmp_path / "a.npz", pixel_size=(7, 5)).voxel_size == (5, 7, 5)


def test_what_neither_knows_stays_unknown_in_an_npz(tmp_path):
    np.savez(tmp_path / "s.npz", intensity=a_series().intensity, tilt_angles=ANGLES)
    series = io.read(tmp_path / "s.npz")
    assert (series.pixel_size, series.axis_offset) == (None, 0)
    np.savez(tmp_path / "t.npz", density=a_tomogram().density)
    tomogram = io.read(tmp_path / "t.npz")
    assert (tomogram.tilt_range, tomogram.voxel_size, tomogram.inferred, tomogram.notes) == (None, None, None, ())


def test_bad_ones_in_an_npz_are_refused_with_the_files_name(tmp_path):
    np.savez(tmp_path / "s.npz", intensity=a_series().intensity, tilt_angles=ANGLES[:3])
    with pytest.raises(InvalidShape, match=r"s.npz: angles: expected shape \(4,\)"):
        io.read(tmp_path / "s.npz")
    np.savez(tmp_path / "t.npz", density=a_tomogram().density, tilt_range=[60, -60])
    with pytest.raises(InvalidValue, match=r"t.npz: tilt_range: .* low below high"):
        io.read(tmp_path / "t.npz")


# --- elsewhere they are stacks


@pytest.mark.parametrize("suffix", [".mrc", ".tif"])
def test_elsewhere_a_stack_says_what_it_is(tmp_path, suffix):
    io.write(tmp_path / f"s{suffix}", a_series())
    stack = io.read(tmp_path / f"s{suffix}")
    assert isinstance(stack, Volume)
    got = TiltSeries.from_volume(stack)
    np.testing.assert_array_equal(got.intensity, a_series().intensity)
    np.testing.assert_array_equal(got.angles, ANGLES)
    assert (got.axis_offset, got.pixel_size) == (0.5, pytest.approx((3, 2)))
    io.write(tmp_path / f"t{suffix}", a_tomogram())
    got = Tomogram.from_volume(io.read(tmp_path / f"t{suffix}"))
    np.testing.assert_array_equal(got.density, a_tomogram().density)
    assert (got.tilt_range, got.voxel_size) == ((-60, 40.5), pytest.approx((2, 3, 2)))
    assert got.metadata["notes"] == ["one", "two"]


@pytest.mark.parametrize("suffix", [".mrc", ".tif"])
def test_a_tomogram_keeps_the_order_of_axes_that_its_file_had(tmp_path, suffix):
    slices_along_y = Volume(a_tomogram().density.swapaxes(0, 1), (2.0, 2.0), 3.0)
    given = Tomogram.from_volume(slices_along_y, (-60, 40.5), "yzx")
    np.testing.assert_array_equal(given.density, a_tomogram().density)
    assert given.voxel_size == (2, 3, 2)
    io.write(tmp_path / f"t{suffix}", given)
    stack = io.read(tmp_path / f"t{suffix}")
    np.testing.assert_array_equal(stack.intensity, slices_along_y.intensity)
    assert (stack.pixel_size, stack.slice_thickness) == (pytest.approx((2, 2)), pytest.approx(3))
    again = Tomogram.from_volume(stack)
    np.testing.assert_array_equal(again.density, given.density)
    assert again.voxel_size == pytest.approx((2, 3, 2))
    with pytest.raises(InvalidOption, match="axes 'xyz' is unknown"):
        Tomogram.from_volume(stack, axes="xyz")


def test_neither_goes_into_a_format_of_single_images(tmp_path):
    for held in (a_series(), a_tomogram()):
        with pytest.raises(UnsupportedFormat, match="holds one image, not a stack"):
            io.write(tmp_path / "a.png", held)
        assert not (tmp_path / "a.png").exists()


def test_neither_is_a_mask(tmp_path):
    io.write(tmp_path / "s.npz", a_series())
    io.write(tmp_path / "a.tif", Micrograph(np.ones((3, 5))))
    with pytest.raises(InvalidValue, match="expected an image, a stack or a scan path, got a TiltSeries"):
        io.read(tmp_path / "a.tif", mask=tmp_path / "s.npz")


def test_the_origin_of_an_mrc_is_in_the_header_of_the_next(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(a_tomogram().density)
        file.set_volume()
        file.header.origin.x, file.header.origin.z = 3.5, -70
    io.write(tmp_path / "b.mrc", io.read(tmp_path / "a.mrc"))
    with mrcfile.open(tmp_path / "b.mrc") as file:
        assert [float(file.header.origin[axis]) for axis in "xyz"] == [3.5, 0, -70]


# --- angles in the header of an MRC


def header(kind, *, n=4, flags=(0, 0), order="<"):
    extra = bytearray(84)
    extra[16:20] = struct.pack(f"{order}hh", *flags)
    return SimpleNamespace(nz=n, mode=np.zeros((), f"{order}i4"), exttyp=kind, extra2=bytes(extra))


@pytest.mark.parametrize("order", ["<", ">"])
def test_angles_of_serial_em_are_hundredths_of_degrees(order):
    records = b"".join(struct.pack(f"{order}hhh", round(100 * angle), 7, 7) for angle in ANGLES)
    assert tilt_angles(header(b"SERI", flags=(6, 3), order=order), records) == ANGLES.tolist()
    assert tilt_angles(header(b"SERI", flags=(6, 2), order=order), records) is None  # its flags tell of no tilts


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [b"FEI1", b"FEI2"])
def test_angles_of_fei_are_doubles_of_records_that_tell_their_length(kind, order):
    records = b"".join(struct.pack(f"{order}i96xd20x", 128, angle) for angle in ANGLES)
    assert tilt_angles(header(kind, order=order), records) == ANGLES.tolist()


@pytest.mark.parametrize(
    ("held", "extended"),
    [
        (header(b"SERI", flags=(6, 1)), bytes(20)),  # shorter than four records
        (header(b"SERI", flags=(0, 1)), bytes(24)),
        (header(b"FEI1"), b""),
        (header(b"FEI1"), struct.pack("<i", 8) + bytes(600)),
        (header(b"SERI", flags=(6, 1)), bytes(24)),  # all the same
        (header(b"SERI", flags=(2, 1)), struct.pack("<hhhh", 100, 200, 20000, 0)),  # 200 degrees
        (header(b"CCP4"), bytes(100)),
        (header(bytes(4)), b""),
    ],
)
def test_headers_that_hold_no_angles_worth_the_name_are_passed_over(held, extended):
    assert tilt_angles(held, extended) is None


# --- left where they lie


def test_a_large_mrc_is_mapped_and_no_other_file(tmp_path, monkeypatch):
    io.write(tmp_path / "a.mrc", Volume(a_tomogram().density, (3.0, 2.0), 2.0, metadata=METADATA))
    assert io.mapped(tmp_path / "a.mrc") is None  # small
    monkeypatch.setattr(io, "MAPPED_FROM", 0)
    pixels, volume_of = io.mapped(tmp_path / "a.mrc")
    assert isinstance(pixels, np.memmap)
    part = volume_of(np.array(pixels[:, :2]))
    np.testing.assert_array_equal(part.intensity, a_tomogram().density[:, :2])
    assert (part.pixel_size, part.slice_thickness) == (pytest.approx((3, 2)), pytest.approx(2))
    assert {key: part.metadata[key] for key in METADATA} == METADATA
    io.write(tmp_path / "image.mrc", Micrograph(np.ones((3, 5))))
    io.write(tmp_path / "a.tif", Volume(a_tomogram().density))
    for name in ("image.mrc", "a.tif", "not there.mrc"):
        assert io.mapped(tmp_path / name) is None


@pytest.mark.parametrize("axis", [0, 1])
def test_a_measurement_on_disk_is_made_slab_by_slab(axis):
    whole = (100 * a_series().intensity).astype(np.int16)
    asked = []

    def made(part):
        asked.append((part.shape, part.dtype))
        return TiltSeries(part.swapaxes(0, 1) if axis == 0 else part, ANGLES)

    held = OnDisk(whole.swapaxes(0, 1) if axis == 0 else whole, axis, made)
    assert held.n_slices == 3
    np.testing.assert_array_equal(held.slab(slice(1, 3)).intensity, whole[:, 1:3])
    np.testing.assert_array_equal(held.slab(np.array([2, 0])).intensity, whole[:, [2, 0]])
    assert {dtype for _, dtype in asked} == {np.dtype(np.float32)}
    assert sum(plane.size for plane in held.planes()) == whole.size
