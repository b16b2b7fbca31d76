"""Atomic columns as they flow: what they must fulfil, how far apart they are, and the files that hold them."""

import csv
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrt
from semrt import io
from semrt.data import AtomColumns, Micrograph
from semrt.errors import InvalidShape, InvalidValue, MissingDependency, OutputExists, UnsupportedFormat

HEADER = "index,y_px,x_px,sigma_y_px,sigma_x_px,intensity,background,score"


def columns(y=(1.25, 8.5, 4.0), x=(2.5, 3.0, 6.75), **changes):
    """A few columns in a field of 12 × 10 pixels."""
    n = len(y)
    rng = np.random.default_rng(0)
    given = {
        "sigma_y": rng.uniform(0.01, 0.1, n),
        "sigma_x": rng.uniform(0.01, 0.1, n),
        "intensity": rng.uniform(100, 200, n),
        "background": rng.uniform(5, 10, n),
        "score": rng.uniform(0, 1, n),
        "shape": (12, 10),
    }
    return AtomColumns(y, x, **(given | changes))


def test_columns_know_their_positions_and_their_number():
    found = columns()
    assert len(found) == 3
    np.testing.assert_array_equal(found.positions, [(1.25, 2.5), (8.5, 3.0), (4.0, 6.75)])
    assert found.y.dtype == np.float64
    assert found.shape == (12, 10)
    np.testing.assert_allclose(found.sigma**2, (found.sigma_y**2 + found.sigma_x**2) / 2)
    assert semrt.AtomColumns is AtomColumns


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sigma_x": [0.1]}, InvalidShape, r"sigma_x: expected shape \(3,\), as y has, got \(1,\)"),
        ({"x": np.zeros((3, 1))}, InvalidShape, r"x: expected shape \(3,\)"),
        ({"x": [0, 1, np.nan]}, InvalidValue, "x: expected finite values"),
        ({"score": [0, 1, np.inf]}, InvalidValue, "score: expected finite values"),
        ({"sigma_y": [0, 1, -1]}, InvalidValue, "sigma_y: expected zero or more"),
        ({"shape": (12,)}, InvalidShape, "shape: expected"),
        ({"shape": (12, 0)}, InvalidShape, "at least one pixel"),
        ({"pixel_size": -1}, InvalidValue, "pixel_size"),
        ({"column_map": np.zeros((10, 12))}, InvalidShape, r"column_map: expected shape \(12, 10\)"),
        ({"denoised": np.zeros(120)}, InvalidShape, "denoised: expected shape"),
    ],
)
def test_what_cannot_be_columns_is_refused_in_one_line(changes, error, message):
    with pytest.raises(error, match=message) as refused:
        columns(**changes)
    assert "\n" not in str(refused.value)


def test_a_position_without_a_fit_has_no_sigma():
    found = columns(sigma_y=[np.nan] * 3, background=[np.nan] * 3)
    assert np.isnan(found.sigma).all()


def test_the_spacing_of_a_lattice_is_its_own():
    y, x = (axis.ravel() for axis in np.meshgrid(7.0 * np.arange(9), 5.0 * np.arange(6), indexing="ij"))
    found = columns(y, x, shape=(64, 32), pixel_size=(0.01, 0.02))
    np.testing.assert_allclose(found.nearest_distances(), 5)
    assert found.spacing == 5
    # 7 px of 0.01 nm are nearer than 5 px of 0.02 nm.
    np.testing.assert_allclose(found.nearest_distances("nm"), 0.07)


def test_few_columns_have_no_spacing():
    assert columns((), ()).spacing is None
    assert columns((1,), (1,)).spacing is None
    assert columns((1,), (1,)).nearest_distances().tolist() == [np.inf]
    assert columns((1, 4), (1, 5)).spacing == 5
    with pytest.raises(InvalidValue, match="unknown"):
        columns().nearest_distances("nm")


@settings(deadline=None, max_examples=200)
@given(
    n=st.integers(2, 60),
    high=st.sampled_from([1e-3, 1.0, 300.0]),
    wide=st.sampled_from([0.0, 1.0, 300.0]),
    clusters=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_nearest_distances_are_those_of_a_look_at_all_pairs(n, high, wide, clusters, seed):
    rng = np.random.default_rng(seed)
    y, x = rng.uniform(0, high, n), rng.uniform(0, wide, n)
    if clusters:
        y, x = y + 1000 * rng.integers(0, 2, n), x + 1000 * rng.integers(0, 2, n)
    apart = np.hypot(y[:, None] - y, x[:, None] - x)
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_allclose(columns(y, x).nearest_distances(), apart.min(1), rtol=1e-12)


def test_the_table_comes_back_from_the_csv(tmp_path):
    found = columns(pixel_size=(0.01, 0.02), sigma_y=[0.01, np.nan, 0.02])
    io.write(tmp_path / "c.csv", found)
    held = np.genfromtxt(tmp_path / "c.csv", delimiter=",", names=True)
    for name, values in found.table().items():
        np.testing.assert_allclose(held[name], values, rtol=6e-3, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(held["x_nm"], 0.02 * found.x, rtol=1e-6)
    with (tmp_path / "c.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == [*HEADER.split(","), "y_nm", "x_nm"]
    assert io.write(tmp_path / "n.csv", columns((), ())) is None
    assert (tmp_path / "n.csv").read_text(encoding="utf-8") == HEADER + "\n"


def test_a_csv_that_is_there_is_not_replaced_unasked(tmp_path):
    (tmp_path / "c.csv").write_text("precious", encoding="utf-8")
    with pytest.raises(OutputExists):
        io.write(tmp_path / "c.csv", columns())
    io.write(tmp_path / "c.csv", columns(), overwrite=True)
    assert (tmp_path / "c.csv").read_text(encoding="utf-8").startswith(HEADER)


def test_points_for_imagej_are_those_of_another_reader(tmp_path):
    roifile = pytest.importorskip("roifile")
    found = columns()
    io.write(tmp_path / "c.zip", found)
    selection = roifile.roiread(tmp_path / "c.zip")
    (selection,) = selection if isinstance(selection, list) else [selection]
    assert selection.roitype == roifile.ROI_TYPE.POINT
    np.testing.assert_allclose(selection.coordinates(), found.positions[:, ::-1], atol=1e-6)
    io.write(tmp_path / "none.zip", columns((), ()))
    assert zipfile.ZipFile(tmp_path / "none.zip").namelist() == []


def test_more_points_than_a_selection_of_imagej_holds_are_shared_among_several(tmp_path):
    roifile = pytest.importorskip("roifile")
    y, x = np.divmod(np.arange(70_001.0), 300)
    io.write(tmp_path / "c.zip", columns(y, x, shape=(300, 300)))
    selections = roifile.roiread(tmp_path / "c.zip")
    assert [len(selection.coordinates()) for selection in selections] == [60_000, 10_001]


def test_without_roifile_a_line_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "roifile", None)
    with pytest.raises(MissingDependency, match=r"roifile.*semrt\[formats\]"):
        io.write(tmp_path / "c.zip", columns())
    assert not list(tmp_path.iterdir())


def test_columns_and_images_have_files_of_their_own(tmp_path):
    with pytest.raises(UnsupportedFormat, match=r"AtomColumns.*\.csv, \.zip"):
        io.write(tmp_path / "c.tif", columns())
    with pytest.raises(UnsupportedFormat, match=r"\.zip"):
        io.write(tmp_path / "c.zip", Micrograph(np.zeros((3, 3))))
    assert not list(tmp_path.iterdir())
