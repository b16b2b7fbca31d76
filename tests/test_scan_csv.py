import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt import io
from semrt.data import Micrograph, SparseScan
from semrt.errors import (
    EmptyScan,
    InvalidShape,
    InvalidValue,
    OutputExists,
    UnreadableFile,
    UnsupportedFormat,
)
from semrt.io import scan_csv
from semrt.scan import PATTERNS, ScanPath, generate

HEADER = "index,x_px,y_px,dwell_us,blank\n"
SHAPE = '{"shape": [2, 3]}'


def file_of(folder, text, beside=SHAPE, name="scan.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    if beside is not None:
        path.with_suffix(".json").write_text(beside, encoding="utf-8")
    return path


def assert_same_path(got, expected):
    for name in ("positions", "dwell_time", "blank"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    assert (got.nominal is None) == (expected.nominal is None)
    if expected.nominal is not None:
        np.testing.assert_array_equal(got.nominal, expected.nominal)
    for name in ("shape", "pattern", "seed", "flyback_time", "settle_time", "rotation", "pixel_size"):
        assert getattr(got, name) == getattr(expected, name)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_every_pattern_comes_back_from_its_file_to_the_last_bit(pattern, tmp_path):
    path = generate(pattern, (30, 40), 0.2, seed=2**63 + 7, dwell_time=0.7)
    io.write(tmp_path / "scan.csv", path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["scan.csv", "scan.json"]
    back = io.read(tmp_path / "scan.csv")
    assert_same_path(back, path)
    assert back.parameters == path.parameters


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 4, st.floats(0, 1e9), st.booleans()),
        min_size=1,
        max_size=20,
    )
)
def test_any_path_comes_back_to_the_last_bit(tmp_path_factory, samples):
    columns = np.array(samples, float)
    path = ScanPath(
        positions=columns[:, :2],
        shape=(7, 9),
        dwell_time=columns[:, 4],
        blank=columns[:, 5] != 0,
        nominal=columns[:, 2:4],
        flyback_time=12.5,
        settle_time=0.1,
        pixel_size=(0.1, 0.3),
        rotation=-33.0,
    )
    target = tmp_path_factory.mktemp("any") / "scan.csv"
    scan_csv.write(target, path)
    target.with_suffix(".json").write_text(
        json.dumps(
            {
                "shape": path.shape,
                "flyback_time_us": 12.5,
                "settle_time_us": 0.1,
                "pixel_size_nm": [0.1, 0.3],
                "rotation_deg": -33.0,
            }
        )
    )
    assert_same_path(scan_csv.read(target), path)


def test_the_file_is_what_a_spreadsheet_expects(tmp_path):
    path = ScanPath(np.array([[0.0, 2.0], [1.5, 0.25]]), (2, 3), np.array([1.0, 2.5]), np.array([False, True]))
    scan_csv.write(tmp_path / "scan.csv", path, intensities=np.array([7.0, 0.1], np.float32))
    text = (tmp_path / "scan.csv").read_bytes().decode("ascii")
    assert text == "index,x_px,y_px,dwell_us,blank,intensity\n0,2.0,0.0,1.0,0,7\n1,0.25,1.5,2.5,1,0.100000001\n"


def test_the_json_file_says_what_the_instrument_must_know(tmp_path):
    path = generate("raster", (10, 20), dwell_time=3.0)
    scan_csv.save(tmp_path / "scan.csv", path, pixel_size=(0.2, 0.1), probe_current=25.0)
    known = json.loads((tmp_path / "scan.json").read_text(encoding="utf-8"))
    assert known["shape"] == [10, 20]
    assert known["field_of_view_nm"] == [2.0, 2.0]
    assert known["origin"] == "centre of the top-left pixel"
    assert (known["pattern"], known["seed"], known["parameters"]) == ("raster", 0, {"coverage": 1.0})
    assert known["probe_current_pA"] == 25
    statistics = known["statistics"]
    assert statistics["coverage"] == 1
    assert statistics["total_time_us"] == 600
    assert statistics["largest_step_px"] == pytest.approx(math.hypot(19, 1))
    assert {"largest_velocity_px_per_us", "largest_acceleration_px_per_us2"} <= set(statistics)
    assert statistics["fluence_e_per_A2"] == pytest.approx(25e-12 * 600e-6 / 1.602176634e-19 / 400)


def test_a_lagging_path_keeps_what_was_asked_for_and_what_came_of_it(tmp_path):
    path = generate("clv", (30, 40), 0.1, keep_outside=True).with_coil_lag(time_constant=4.0)
    io.write(tmp_path / "scan.csv", path)
    assert_same_path(io.read(tmp_path / "scan.csv"), path)


def test_measured_samples_become_a_sparse_scan(tmp_path):
    path = generate("random", (30, 40), 0.1, seed=3)
    intensities = np.random.default_rng(0).normal(100, 10, len(path.positions))
    scan_csv.save(tmp_path / "scan.csv", path, intensities=intensities, pixel_size=(0.2, 0.1))
    scan = io.read(tmp_path / "scan.csv")
    assert isinstance(scan, SparseScan)
    np.testing.assert_array_equal(scan.visited, path.visited)
    y, x = path.positions.astype(int).T
    np.testing.assert_array_equal(scan.intensity[y, x], intensities.astype(np.float32))
    assert scan.pixel_size == (0.2, 0.1)
    assert scan.metadata["pattern"] == "random"
    assert scan.metadata["seed"] == 3


def test_blanked_samples_and_those_outside_are_not_gridded(tmp_path):
    text = "x_px,y_px,blank,intensity\n0,0,0,5\n1,0,1,6\n9,0,0,7\n"
    scan = io.read(file_of(tmp_path, text))
    np.testing.assert_array_equal(scan.intensity, [[5, 0, 0], [0, 0, 0]])
    assert scan.coverage == pytest.approx(1 / 6)
    with pytest.raises(EmptyScan):
        io.read(file_of(tmp_path, "x_px,y_px,intensity\n9,9,5\n"))


def test_a_scan_path_can_be_the_mask_of_an_image(tmp_path):
    path = generate("jittered-grid", (30, 40), 0.1)
    io.write(tmp_path / "path.csv", path)
    np.save(tmp_path / "image.npy", np.ones((30, 40)))
    scan = io.read(tmp_path / "image.npy", mask=tmp_path / "path.csv")
    np.testing.assert_array_equal(scan.visited, path.visited)


def test_two_columns_and_a_shape_are_enough(tmp_path):
    path = io.read(file_of(tmp_path, "\ufeffy_px, x_px\n1,2\n\n0,0.5\n"))  # as spreadsheets save it
    np.testing.assert_array_equal(path.positions, [[1, 2], [0, 0.5]])
    np.testing.assert_array_equal(path.dwell_time, [1, 1])
    assert not path.blank.any()


@pytest.mark.parametrize(
    ("text", "beside", "error", "words"),
    [
        (HEADER, SHAPE, UnreadableFile, "no samples"),
        (HEADER + "0,0,0,1,0\n1,0,zero,1,0\n", SHAPE, UnreadableFile, "zero"),
        (HEADER + "0,0,0,1,0\n1,0,0,1\n", SHAPE, UnreadableFile, "columns"),
        (HEADER + "0,0,0,1\n", SHAPE, UnreadableFile, "5 columns are named"),
        (HEADER + "1,0,0,1,0\n0,0,0,1,0\n", SHAPE, UnsupportedFormat, "out of order"),
        (HEADER + "0,0,0,1,2\n", SHAPE, UnsupportedFormat, "blank"),
        (HEADER + "0,nan,0,1,0\n", SHAPE, InvalidValue, "positions"),
        (HEADER + "0,0,0,-1,0\n", SHAPE, InvalidValue, "dwell_time"),
        ("x_px;y_px\n1;2\n", SHAPE, UnsupportedFormat, "unknown"),
        ("x,y\n1,2\n", SHAPE, UnsupportedFormat, "column 'x' is unknown"),
        ("index,x_px\n0,1\n", SHAPE, UnsupportedFormat, "x_px and y_px"),
        ("x_px,y_px,x_px\n0,1,0\n", SHAPE, UnsupportedFormat, "none twice"),
        ("x_px,y_px,x_nominal_px\n0,1,0\n", SHAPE, UnsupportedFormat, "both"),
        ("x_px,y_px,intensity\n0,1,inf\n", SHAPE, InvalidValue, "intensities"),
        ("x_px,y_px\n0,1\n", None, UnsupportedFormat, r"needs scan\.json beside it"),
        ("x_px,y_px\n0,1\n", "{", UnreadableFile, r"scan\.json"),
        ("x_px,y_px\n0,1\n", "[]", UnsupportedFormat, "shape of the field"),
        ("x_px,y_px\n0,1\n", '{"shape": [2]}', UnsupportedFormat, "shape of the field"),
        ("x_px,y_px\n0,1\n", '{"shape": [2, -3]}', UnsupportedFormat, "shape of the field"),
        ("x_px,y_px\n0,1\n", '{"shape": [2.5, 3]}', UnsupportedFormat, "shape of the field"),
        ("x_px,y_px\n0,1\n", '{"shape": [2, 3], "settle_time_us": -1}', InvalidValue, "settle_time"),
        ("x_px,y_px\n0,1\n", '{"shape": [2, 3], "settle_time_us": "long"}', UnsupportedFormat, "settle_time"),
        ("x_px,y_px\n0,1\n", '{"shape": [2, 3], "pixel_size_nm": [0, 1]}', InvalidValue, "pixel_size"),
        ("x_px,y_px\n0,1\n", '{"shape": [2, 3], "pixel_size_nm": 5}', UnsupportedFormat, "pixel_size"),
        ("x_px,y_px\n0,1\n", '{"shape": [2, 3], "seed": "seven"}', UnsupportedFormat, "seed"),
        ("x_px,y_px\n0,1\n", '{"shape": [2, 3], "parameters": 5}', UnsupportedFormat, "parameters"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tmp_path, text, beside, error, words):
    path = file_of(tmp_path, text, beside)
    for read in (scan_csv.read, io.read):
        with pytest.raises(error, match=words) as refused:
            read(path)
        assert "\n" not in str(refused.value)
        assert "scan." in str(refused.value) or read is scan_csv.read


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = file_of(tmp_path, "")
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)))
    with pytest.raises(UnsupportedFormat, match="not text"):
        io.read(path)


def test_what_is_there_already_is_kept_and_nothing_is_left_half_written(tmp_path):
    path = generate("random", (9, 9), 0.2)
    (tmp_path / "scan.json").write_text("mine")
    with pytest.raises(OutputExists, match=r"scan\.json"):
        io.write(tmp_path / "scan.csv", path)
    assert [file.name for file in tmp_path.iterdir()] == ["scan.json"]
    assert (tmp_path / "scan.json").read_text() == "mine"
    io.write(tmp_path / "scan.csv", path, overwrite=True)
    assert_same_path(io.read(tmp_path / "scan.csv"), path)
    with pytest.raises(OutputExists, match=r"scan\.csv"):
        io.write(tmp_path / "scan.csv", path)


def test_images_are_refused_with_the_name_of_the_file(tmp_path):
    for image in (Micrograph(np.ones((2, 3))), SparseScan(np.ones((2, 3)), np.ones((2, 3), bool))):
        with pytest.raises(UnsupportedFormat, match=r"[/\\]scan\.csv: holds scan paths"):
            io.write(tmp_path / "scan.csv", image)
    with pytest.raises(InvalidShape, match="intensities"):
        scan_csv.save(tmp_path / "scan.csv", generate("random", (9, 9), 0.2), intensities=[1.0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_million_samples_come_back(tmp_path):
    path = generate("clv", (1200, 1200), 0.6).with_coil_lag(time_constant=1.0)
    assert len(path.positions) > 800_000
    io.write(tmp_path / "scan.csv", path)
    assert_same_path(io.read(tmp_path / "scan.csv"), path)
