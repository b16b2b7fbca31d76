from io import BytesIO

import numpy as np
import pytest
import tifffile

from semrt.errors import InvalidOption, InvalidValue, OutputExists
from semrt.io.scan_export import export_scan
from semrt.scan import INSTRUMENTS, PATTERNS, ScanPath, generate


def path_of(positions, shape, **known):
    n = len(positions)
    known = {"dwell_time": np.ones(n), "blank": np.zeros(n, bool), **known}
    return ScanPath(np.asarray(positions, float), shape, **known)


def numbers(content, separator):
    return np.array(
        [[int(number) for number in line.split(separator)] for line in content.decode("ascii").splitlines()]
    )


@pytest.mark.parametrize("instrument", sorted(INSTRUMENTS))
@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_every_pattern_goes_to_every_instrument(tmp_path, instrument, pattern):
    kept = {"keep_outside": True} if "keep_outside" in PATTERNS[pattern].parameters else {}
    path = generate(pattern, (30, 40), 0.2, **kept)
    target = tmp_path / f"scan{INSTRUMENTS[instrument].suffix}"
    export_scan(target, path, instrument)
    assert target.read_bytes() == INSTRUMENTS[instrument].encode(path)
    assert [file.name for file in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("instrument", sorted(set(INSTRUMENTS) - {"npy", "mask"}))
def test_every_instrument_gets_the_pixels_in_the_order_of_the_scan(instrument):
    path = generate("random", (64, 128), 0.3)
    content = INSTRUMENTS[instrument].encode(path)
    if instrument == "de-freescan":
        xy = np.load(BytesIO(content)).astype(float)
    elif instrument == "open-beam-interface":
        xy = (numbers(content, ",")[:, :2] - 8191.5) * 128 / 16384 + [63.5, 31.5]
    else:
        xy = (numbers(content.split(b"\n", 3)[3], " ")[:, 1:] - 32767.5) * 128 / 65536 + [63.5, 31.5]
    np.testing.assert_allclose(xy[:, ::-1], path.positions, atol=0.005)


def test_the_open_beam_interface_gets_codes_of_14_bit_and_counts_of_125_ns():
    path = path_of([[0, 0], [3, 3], [1.5, 1.5], [-0.5, 3.49]], (4, 4), dwell_time=[0.125, 1.0, 8192.0, 2.06])
    rows = numbers(INSTRUMENTS["open-beam-interface"].encode(path), ",")
    np.testing.assert_array_equal(
        rows, [[2048, 2048, 1], [14336, 14336, 8], [8192, 8192, 65536], [16343, 0, 16]]
    )  # pixels are 4096 codes wide: the first one's centre lies at 2047.5


@pytest.mark.parametrize("dwell_time", [0.05, 9000.0, 0.0])
def test_dwell_times_that_the_open_beam_interface_cannot_count_are_refused(dwell_time):
    with pytest.raises(InvalidValue, match=r"0\.125 to 8192 µs"):
        INSTRUMENTS["open-beam-interface"].encode(path_of([[0, 0]], (4, 4), dwell_time=[dwell_time]))


def test_a_stream_file_starts_with_its_kind_repeats_and_length():
    path = path_of([[0, 0], [1, 3]], (2, 4), dwell_time=[1.0, 25.0])
    lines = INSTRUMENTS["fei-stream"].encode(path, repeats=3).decode().splitlines()
    assert lines[:3] == ["s16", "3", "2"]
    # 16384 codes a pixel; the middle of the field is that of the range, 32767.5.
    assert lines[3:] == ["10 8192 24576", "250 57344 40960"]
    with pytest.raises(InvalidOption, match="repeats"):
        INSTRUMENTS["fei-stream"].encode(path, repeats=0)


@pytest.mark.parametrize("shape", [(50, 50), (80, 20), (20, 80)])
def test_a_stream_file_stays_in_the_range_of_the_patterning_engine(shape):
    corners = [(-0.5, -0.5), (shape[0] - 0.501, shape[1] - 0.501)]
    rows = numbers(INSTRUMENTS["fei-stream"].encode(path_of(corners, shape)).split(b"\n", 3)[3], " ")
    dwell, x, y = rows.T
    assert x.min() >= 0
    assert x.max() <= 65535
    assert y.min() >= 4480  # 16 times the 280 to 3816 of the older 12 bit
    assert y.max() <= 61056
    np.testing.assert_array_equal(dwell, 10)


def test_freescan_gets_int32_points_x_then_y():
    path = path_of([[0, 2], [1.3, 0.1]], (2, 3))
    points = np.load(BytesIO(INSTRUMENTS["de-freescan"].encode(path)))
    assert points.dtype == np.int32
    np.testing.assert_array_equal(points, [[2, 0], [0, 1]])
    finer = np.load(BytesIO(INSTRUMENTS["de-freescan"].encode(path, subdivision=10)))
    np.testing.assert_array_equal(finer, [[25, 5], [6, 18]])  # of 30 × 20 points
    with pytest.raises(InvalidOption, match="subdivision"):
        INSTRUMENTS["de-freescan"].encode(path, subdivision=0)
    with pytest.raises(InvalidValue, match="one time for all"):
        INSTRUMENTS["de-freescan"].encode(path_of([[0, 2], [1, 0]], (2, 3), dwell_time=[1.0, 2.0]))


def test_instruments_get_what_is_asked_for_and_not_what_comes_of_it():
    path = generate("random", (40, 40), 0.1)
    lagging = path.with_coil_lag(time_constant=4.0)
    for name in sorted(set(INSTRUMENTS) - {"mask"}):
        assert INSTRUMENTS[name].encode(lagging) == INSTRUMENTS[name].encode(path)


def test_blanked_samples_are_left_out():
    path = path_of([[0, 0], [9, 9], [1, 1]], (2, 3), blank=[False, True, False])
    np.testing.assert_array_equal(np.load(BytesIO(INSTRUMENTS["npy"].encode(path))), [[0, 0], [1, 1]])
    assert len(numbers(INSTRUMENTS["open-beam-interface"].encode(path), ",")) == 2


@pytest.mark.parametrize("instrument", ["open-beam-interface", "fei-stream", "de-freescan"])
def test_what_lies_outside_the_field_cannot_be_reached(tmp_path, instrument):
    with pytest.raises(InvalidValue, match="1 of 2 outside"):
        export_scan(tmp_path / "scan", path_of([[0, 0], [2, 0]], (2, 3)), instrument)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_is_white_where_the_probe_went_and_has_its_pixel_size():
    path = path_of([[0, 0], [1, 2]], (2, 3), pixel_size=(0.5, 0.25))
    with tifffile.TiffFile(BytesIO(INSTRUMENTS["mask"].encode(path))) as tiff:
        np.testing.assert_array_equal(tiff.asarray(), [[255, 0, 0], [0, 0, 255]])
        assert tiff.imagej_metadata["unit"] == "nm"
        pixels, nm = tiff.pages[0].tags["XResolution"].value
        assert pixels / nm == pytest.approx(4)
        assert tiff.asarray().dtype == np.uint8
    with tifffile.TiffFile(BytesIO(INSTRUMENTS["mask"].encode(path_of([[0, 0]], (2, 3))))) as tiff:
        assert "unit" not in tiff.imagej_metadata


def test_unknown_instruments_and_files_that_are_there_are_refused(tmp_path):
    path = generate("raster", (3, 3))
    with pytest.raises(InvalidOption, match="instrument 'mas' is unknown; did you mean 'mask'"):
        export_scan(tmp_path / "a.tif", path, "mas")
    export_scan(tmp_path / "a.tif", path, "mask")
    with pytest.raises(OutputExists):
        export_scan(tmp_path / "a.tif", path, "mask")
    export_scan(tmp_path / "a.tif", path, "mask", overwrite=True)
