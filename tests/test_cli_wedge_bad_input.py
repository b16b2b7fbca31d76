"""semrt infer wedge: what is wrong with files and flags is told in a line."""

import json

import numpy as np
import pytest
import tifffile

from command import fails, run, waves
from semrt import io
from semrt.data import Micrograph
from wedge_samples import back_projected, mrc, series, truth, wedge

INPUT, USAGE, MODEL = 3, 2, 4
QUICK = ("--solver", "sirt", "--set", "iterations=5")

pytestmark = pytest.mark.filterwarnings("ignore:the result leaves")


@pytest.fixture
def tilts(tmp_path):
    """A bare tilt series."""
    return mrc(tmp_path / "tilts.mrc", series().intensity)


@pytest.fixture
def volume(tmp_path):
    """A bare tomogram, by weighted back projection."""
    return mrc(tmp_path / "volume.mrc", back_projected(series()).density, origin=(7.0, -8.0, 9.0))


def test_tilts_that_nobody_told(volume, tmp_path):
    assert fails(wedge(volume, "-o", tmp_path / "o"), INPUT, "volume.mrc", "--tilt-range -60 60", "--angles")
    path = volume.rename(tmp_path / "a.st")
    told = wedge(path, "-o", tmp_path / "o")
    assert fails(told, INPUT, "--angles tilts.tlt")
    assert "--tilt-range" not in told.stderr
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--angles", "-60:60:2"), INPUT, ("(61,)", "(31,), one for each projection")),
        (("--angles", "-1.05:1.05:0.07"), INPUT, ("look like radians", "180 / π")),
        (("--angles", "-60:60:-4"), USAGE, ("FIRST:LAST:STEP",)),
        (("--angles", "sixty"), USAGE, ("-60:60:2", ".tlt")),
        (("--angles", "nowhere.tlt"), USAGE, ("no such file",)),
        (("--angles", "-90:150:8"), INPUT, ("degrees from -90 to 90",)),
        (("--angles", "-60:60:4", "--tilt-range", "-60", "60"), USAGE, ("give one of them",)),
        (("--angles", "-60:60:4", "--thickness", "0"), USAGE, ("thickness: expected 1 px or more",)),
        (("--angles", "-60:60:4", "--axis-offset", "40"), INPUT, ("axis_offset", "from -16 to 16 px")),
        (("--angles", "-60:60:4", "--solver", "fbp"), USAGE, ("sirt, tv, wbp",)),
        (("--angles", "-60:60:4", "--set", "weighted=yes"), USAGE, ("weighted: is for a tomogram",)),
        (("--tilt-range", "60", "-60"), INPUT, ("low below high",)),
        (("--tilt-range", "-1.05", "1.05"), INPUT, ("look like radians",)),
        (("--tilt-range", "-60", "60", "--axis-offset", "1"), USAGE, ("--axis-offset: is for a tilt series",)),
        (("--tilt-range", "-60", "60", "--thickness", "8"), USAGE, ("thickness: is for a tilt series",)),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_flags_that_do_not_fit(tilts, tmp_path, words, code, said, large, monkeypatch):
    if large:
        monkeypatch.setattr(io, "MAPPED_FROM", 0)
    assert fails(wedge(tilts, *words, "-o", tmp_path / "out"), code, *said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "got none"), ("# comments alone\n", "got none"), ("-60\nabc\n", "'abc' in line 2"), ("-60\n1,5x\n", "'5x'")],
)
@pytest.mark.parametrize("beside", [False, True])
def test_a_list_of_angles_that_is_none(tilts, tmp_path, content, said, beside):
    path = tmp_path / ("tilts.tlt" if beside else "other.tlt")
    path.write_text(content)
    more = () if beside else ("--angles", path)
    assert fails(wedge(tilts, *more, "-o", tmp_path / "o"), INPUT, path.name, said)


def test_voxels_that_are_no_cubes_in_the_plane_of_the_tilts(tmp_path):
    path = mrc(tmp_path / "v.mrc", truth(), voxel=(5.0, 5.0, 10.0))
    told = wedge(path, "--tilt-range", -60, 60, "-o", tmp_path / "o")
    assert fails(told, INPUT, "dz 1 and dx 0.5 nm", "resample z to 64 slices")


@pytest.mark.parametrize("large", [False, True])
def test_a_file_that_is_cut_off(volume, tmp_path, large, monkeypatch):
    if large:
        monkeypatch.setattr(io, "MAPPED_FROM", 0)
    volume.write_bytes(volume.read_bytes()[:-100])
    assert fails(wedge(volume, "--tilt-range", -60, 60, "-o", tmp_path / "o"), INPUT, "volume.mrc", "promises 3072")


@pytest.mark.parametrize("large", [False, True])
def test_values_that_are_no_numbers(tmp_path, large, monkeypatch):
    if large:
        monkeypatch.setattr(io, "MAPPED_FROM", 0)
    path = mrc(tmp_path / "t.mrc", series().intensity)
    np.memmap(path, "<f4", "r+", 1024)[1000] = np.nan  # behind the header
    assert fails(wedge(path, "--angles", "-60:60:4", "-o", tmp_path / "o"), INPUT, "t.mrc", "NaN", "crop or fill them")


def test_what_is_no_stack(tmp_path):
    io.write(tmp_path / "image.tif", Micrograph(waves()))
    told = wedge(tmp_path / "image.tif", "--tilt-range", -60, 60, "-o", tmp_path / "o")
    assert fails(told, INPUT, "expected a tilt series or a tomogram, got a single image", "as one stack")
    tifffile.imwrite(tmp_path / "one.tif", series().intensity[:1], photometric="minisblack")  # one projection
    told = wedge(tmp_path / "one.tif", "--angles", "0", "-o", tmp_path / "o")
    assert fails(told, INPUT, "a single image", "save all projections")


def test_flags_of_tilts_are_for_models_that_take_them(tmp_path):
    io.write(tmp_path / "s.tif", Micrograph(waves()))
    for flag in (("--tilt-range", -60, 60), ("--angles", "-60:60:2"), ("--axes", "yzx")):
        told = run("infer", "columns", tmp_path / "s.tif", "-o", tmp_path, *flag)
        assert fails(told, USAGE, flag[0], "columns takes no tilt series or tomograms")
    assert fails(run("infer", "kriging", tmp_path / "s.tif", "--thickness", 3, "-o", tmp_path), USAGE, "thickness")


def test_a_series_is_no_input_of_other_models(tmp_path):
    io.write(tmp_path / "s.npz", series())
    told = run("infer", "columns", tmp_path / "s.npz", "-o", tmp_path)
    assert fails(told, INPUT, "a tilt series", "semrt infer wedge")


def test_flags_that_contradict_a_file_that_says_what_it_is(tmp_path):
    io.write(tmp_path / "s.npz", series())
    io.write(tmp_path / "t.npz", back_projected(series()))
    assert fails(wedge(tmp_path / "s.npz", "--tilt-range", -60, 60, "-o", tmp_path), USAGE, "this is a tilt series")
    assert fails(wedge(tmp_path / "t.npz", "--angles", "-60:60:4", "-o", tmp_path), USAGE, "this is a tomogram")
    assert fails(wedge(tmp_path / "t.npz", "-o", tmp_path / "x.png"), USAGE, "output format '.png'")


def test_bench_simulates_a_tilt_series_for_it():
    told = run("bench", "wedge", "--size", "24", "--runs", 10, "--at-most", 1, "--json")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["input"]["shape"] == [61, 1, 24]
