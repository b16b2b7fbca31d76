"""semrt infer wedge: tilt series and tomograms of every make in, restored tomograms out."""

import _thread
import json
import shutil
import struct
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import semrt
from command import fails, run
from semrt import io
from semrt.data import TiltSeries, Tomogram, Volume
from semrt.engine import slabs
from test_wedge_slabs import write_network
from wedge_samples import ANGLES, back_projected, listed, mrc, result, series, wedge

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


# --- a tilt series


@pytest.mark.parametrize("told", ["tlt", "rawtlt", "range", "list", "long list"])
def test_a_tilt_series_becomes_a_tomogram(tilts, tmp_path, told):
    angles = {
        "tlt": listed(tmp_path / "of it.tlt"),
        "rawtlt": listed(tmp_path / "of it.rawtlt"),
        "range": "-60:60:4",
        "list": ",".join(map(str, ANGLES)),
        "long list": ",".join(f"{angle:.12f}" for angle in ANGLES),  # longer than the name of a file may be
    }[told]
    done = wedge(tilts, "--angles", angles, "-o", tmp_path / "out")
    found = result(done)
    assert done.stdout == f"{tmp_path / 'out' / 'tilts_wedge.mrc'}\n"
    assert done.stderr.startswith("1 tomogram with wedge on cpu")
    expected = semrt.infer("wedge", series())
    np.testing.assert_allclose(found.intensity, expected.density, atol=1e-5)
    assert (found.pixel_size, found.slice_thickness) == (pytest.approx((0.5, 0.5)), pytest.approx(0.5))
    assert found.metadata["tilt_range"] == [-60, 60]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["tilts_wedge.mrc", "tilts_wedge.semrt.json"]
    made = json.loads((tmp_path / "out" / "tilts_wedge.semrt.json").read_text())
    assert made["measured"]["kind"] == "tilt series"
    assert made["measured"]["tilts"] == 31
    assert made["tomogram"]["shape"] == [32, 3, 32]
    assert 0 < made["tomogram"]["inferred_share"] < 1
    assert 0 < made["misfit"]["chi2"] < 2


def test_a_list_of_angles_of_the_files_own_name_beside_it_is_its_own(tilts, tmp_path):
    listed(tmp_path / "tilts.rawtlt", ANGLES + 1)
    assert result(wedge(tilts, "-o", tmp_path / "a", *QUICK)).metadata["tilt_range"] == [-59, 61]
    listed(tmp_path / "tilts.tlt")  # aligned angles go before those of the microscope
    assert result(wedge(tilts, "-o", tmp_path / "b", *QUICK)).metadata["tilt_range"] == [-60, 60]
    assert result(wedge(tilts, "-o", tmp_path / "c", *QUICK, "--angles", "-30:30:2")).metadata["tilt_range"] == [
        -30,
        30,
    ]


@pytest.mark.parametrize("kind", ["FEI1", "SERI"])
def test_angles_in_the_header_of_the_microscope_are_taken(tmp_path, kind):
    if kind == "FEI1":
        records = [bytearray(struct.pack("<i", 768) + bytes(764)) for _ in ANGLES]
        for record, angle in zip(records, ANGLES, strict=True):
            record[100:108] = struct.pack("<d", angle)
    else:
        records = [struct.pack("<hi", round(100 * angle), 7) for angle in ANGLES]
    path = mrc(tmp_path / "a.st", series().intensity)
    with mrcfile.open(path, "r+") as file:
        file.set_extended_header(np.frombuffer(b"".join(records), "V1"))
        file.header.exttyp = kind.encode()
        extra = bytearray(bytes(file.header.extra2))
        extra[16:20] = struct.pack("<hh", 6, 1)  # bytes of a record, and that it begins with a tilt
        file.header.extra2 = bytes(extra)
    assert io.read(path).metadata["tilt_angles"] == pytest.approx(ANGLES.tolist())
    assert result(wedge(path, "-o", tmp_path / "out", *QUICK)).metadata["tilt_range"] == [-60, 60]


@pytest.mark.parametrize("suffix", ["mrc", "tif"])
def test_what_semrt_simulates_is_read_as_it_is(tmp_path, suffix):
    how = ("--shape", "32", "--slices", "3", "--kind", "shells", "--step", "5", "--format", suffix)
    run("simulate", "tomograms", "-o", tmp_path / "lib", "-n", 2, *how)
    done = wedge(tmp_path / "lib", "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)["results"]
    assert [entry["measured"]["kind"] for entry in told] == ["tilt series"] * 2  # and no truth among them
    assert [entry["tomogram"]["shape"] for entry in told] == [[32, 3, 32]] * 2
    for path in (tmp_path / "lib").glob("*.tlt"):
        path.unlink()  # the angles stand in the file too
    assert wedge(tmp_path / "lib", "-o", tmp_path / "again").exit_code == 0


def test_flags_of_a_series_reach_it(tilts, tmp_path):
    found = result(
        wedge(tilts, "--angles", "-60:60:4", "-o", tmp_path, "--thickness", 20, "--axis-offset", 1.5, *QUICK)
    )
    series_of_it = TiltSeries(series().intensity, ANGLES, axis_offset=1.5)
    expected = semrt.infer("wedge", series_of_it, solver="sirt", iterations=5, thickness=20)
    np.testing.assert_allclose(found.intensity, expected.density, atol=1e-5)


@pytest.mark.parametrize("solver", ["wbp", "sirt", "tv"])
def test_each_solver_names_its_results(tilts, tmp_path, solver):
    found = result(wedge(tilts, "--angles", "-60:60:4", "-o", tmp_path, "--solver", solver))
    assert (tmp_path / f"tilts_wedge-{solver}.mrc").exists()
    np.testing.assert_allclose(found.intensity, semrt.infer("wedge", series(), solver=solver).density, atol=1e-5)


def test_a_trained_network_of_the_name_takes_the_place_of_total_variation(tilts, tmp_path, monkeypatch):
    write_network(tmp_path / "models" / "wedge")
    monkeypatch.setenv("SEMRT_MODELS", str(tmp_path / "models"))
    found = result(wedge(tilts, "--angles", "-60:60:4", "-o", tmp_path))
    assert found.provenance["model"]["task"] == "wedge-network"
    assert (tmp_path / "tilts_wedge.mrc").exists()
    for solver, task in (("network", "wedge-network"), ("tv", "wedge-tv"), ("wbp", "wedge-wbp")):
        found = result(wedge(tilts, "--angles", "-60:60:4", "-o", tmp_path / solver, "--solver", solver))
        assert found.provenance["model"]["task"] == task
    narrow = wedge(tilts, "--angles", "-30:30:2", "-o", tmp_path / "narrow")
    assert "trained on tilts over 95 to 155 degrees, not 60; wedge-tv runs instead" in narrow.stderr
    assert result(narrow).provenance["fallback"]["solver"] == "wedge-tv"
    assert fails(
        wedge(tilts, "--angles", "-30:30:2", "-o", tmp_path / "n", "--fallback", "none"), MODEL, "degrees, not 60"
    )


# --- a tomogram


def test_a_tomogram_is_restored_where_it_lies(volume, tmp_path):
    done = wedge(volume, "--tilt-range", -60, 60, "-o", tmp_path / "out", "--save", "inferred")
    found = result(done)
    given = Tomogram(back_projected(series()).density, (-60, 60))
    expected = semrt.infer("wedge", given)
    np.testing.assert_allclose(found.intensity, expected.density, atol=1e-5)
    with mrcfile.open(tmp_path / "out" / "volume_wedge.mrc") as file:
        assert file.data.dtype == np.float32
        assert file.is_volume()
        assert [float(file.voxel_size[axis]) for axis in "xyz"] == pytest.approx([5, 5, 5])
        assert [float(file.header.origin[axis]) for axis in "xyz"] == [7, -8, 9]
    inferred = io.read(tmp_path / "out" / "volume_wedge_inferred.mrc")
    np.testing.assert_allclose(inferred.intensity, expected.inferred, atol=1e-5)
    assert inferred.slice_thickness == pytest.approx(0.5)
    again = wedge(tmp_path / "out" / "volume_wedge.mrc", "-o", tmp_path / "again", *QUICK)
    assert result(again).metadata["tilt_range"] == [-60, 60]  # which the result told


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float32])
def test_tomograms_of_whole_numbers_come_back_in_their_units(tmp_path, dtype):
    scaled = (100 * back_projected(series()).density).round()
    scaled = np.clip(scaled, 0 if np.dtype(dtype).kind == "u" else -100, 127)
    path = mrc(tmp_path / "v.mrc", scaled.astype(dtype))
    found = result(wedge(path, "--tilt-range", -60, 60, "-o", tmp_path / "out"))
    expected = semrt.infer("wedge", Tomogram(scaled.astype(np.float32), (-60, 60)))
    np.testing.assert_allclose(found.intensity, expected.density, atol=1e-3)
    assert found.intensity.dtype == np.float32
    assert 50 < found.intensity.max() < 200


def test_a_tomogram_whose_slices_lie_along_the_tilt_axis_comes_back_so(tmp_path):
    given = back_projected(series())
    path = mrc(tmp_path / "imod.rec", given.density.swapaxes(0, 1), voxel=(5.0, 5.0, 30.0))  # x, z, y of the specimen
    found = result(wedge(path, "--tilt-range", -60, 60, "--axes", "yzx", "-o", tmp_path / "out"))
    expected = semrt.infer("wedge", Tomogram(given.density, (-60, 60)))
    np.testing.assert_allclose(found.intensity, expected.density.swapaxes(0, 1), atol=1e-5)
    assert (found.pixel_size, found.slice_thickness) == (pytest.approx((0.5, 0.5)), pytest.approx(3))
    again = result(wedge(tmp_path / "out" / "imod_wedge.mrc", "-o", tmp_path / "again", *QUICK))
    assert again.shape == (3, 32, 32)  # and tells it itself from then on


def test_a_series_may_become_a_tomogram_whose_slices_lie_along_the_tilt_axis(tilts, tmp_path):
    how = ("--angles", "-60:60:4", *QUICK)
    plain = result(wedge(tilts, "-o", tmp_path / "a", *how))
    turned = result(wedge(tilts, "-o", tmp_path / "b", *how, "--axes", "yzx"))
    np.testing.assert_array_equal(turned.intensity, plain.intensity.swapaxes(0, 1))


@pytest.mark.parametrize("suffix", [".tif", ".npz"])
def test_other_formats_hold_tomograms_and_series_too(tmp_path, suffix):
    given = back_projected(series())
    source = tmp_path / f"v{suffix}"
    io.write(source, given if suffix == ".npz" else Volume(given.density))
    range_ = () if suffix == ".npz" else ("--tilt-range", -60, 60)
    out = tmp_path / f"out{suffix}"
    done = wedge(source, *range_, "-o", out, *QUICK)
    assert done.exit_code == 0, done.stderr
    found = io.read(out)
    density = found.density if suffix == ".npz" else found.intensity
    np.testing.assert_allclose(density, semrt.infer("wedge", given, solver="sirt", iterations=5).density, atol=1e-5)
    if suffix == ".npz":
        assert found.inferred is not None
    io.write(tmp_path / f"s{suffix}", series())
    assert wedge(tmp_path / f"s{suffix}", "-o", tmp_path / "series", *QUICK).exit_code == 0


def test_a_pixel_size_that_is_typed_holds_for_all_three_axes(volume, tmp_path):
    found = result(wedge(volume, "--tilt-range", -60, 60, "-o", tmp_path, "--pixel-size", "0.7x0.3nm", *QUICK))
    assert (found.slice_thickness, found.pixel_size) == (pytest.approx(0.3), pytest.approx((0.7, 0.3)))


def test_a_preview_lies_beside_the_result(volume, tmp_path):
    done = wedge(volume, "--tilt-range", -60, 60, "-o", tmp_path / "out", "--preview", *QUICK)
    assert done.exit_code == 0, done.stderr
    picture = tmp_path / "out" / "volume_wedge-sirt_preview.png"
    assert picture.read_bytes()[1:4] == b"PNG"


def test_info_tells_what_a_file_of_tilts_holds(tmp_path):
    io.write(tmp_path / "s.npz", series(pixel_size=0.5))
    told = json.loads(run("info", tmp_path / "s.npz", "--json").stdout)
    assert (told["kind"], told["tilts"], told["tilt_range_degrees"]) == ("tilt series", 31, [-60, 60])
    io.write(tmp_path / "t.npz", back_projected(series(), voxel_size=0.5))
    told = json.loads(run("info", tmp_path / "t.npz", "--json").stdout)
    assert (told["kind"], told["shape"], told["tilt_range_degrees"]) == ("tomogram", [32, 3, 32], [-60, 60])
    assert "tomogram" in run("info", tmp_path / "t.npz").stdout


# --- larger than memory


@pytest.fixture
def few(monkeypatch):
    """Files count as large, and slabs are of two slices."""
    monkeypatch.setattr(io, "MAPPED_FROM", 0)
    monkeypatch.setattr(slabs, "AT_ONCE", 2)


@pytest.mark.parametrize("axes", ["zyx", "yzx"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_large_tomogram_is_never_in_memory_and_comes_out_the_same(tmp_path, monkeypatch, axes, dtype):
    given = (200 * back_projected(series(ny=5)).density).astype(dtype)
    path = mrc(tmp_path / "v.mrc", given if axes == "zyx" else given.swapaxes(0, 1))
    how = ("--tilt-range", -60, 60, "--axes", axes, "--preview", "--save", "inferred")
    whole = result(wedge(path, *how, "-o", tmp_path / "whole"))
    monkeypatch.setattr(io, "MAPPED_FROM", 0)
    monkeypatch.setattr(slabs, "AT_ONCE", 2)
    monkeypatch.setattr(io, "read", None)  # which would read all of it
    done = wedge(path, *how, "-o", tmp_path / "large")
    assert done.exit_code == 0, done.stderr
    monkeypatch.undo()
    large = result(done)
    np.testing.assert_array_equal(large.intensity, whole.intensity)
    for name in ("v_wedge_inferred.mrc", "v_wedge_preview.png"):
        one, other = (tmp_path / folder / name for folder in ("whole", "large"))
        if name.endswith("mrc"):
            np.testing.assert_array_equal(io.read(one).intensity, io.read(other).intensity)
        assert other.stat().st_size > 0
    assert not list((tmp_path / "large").glob("*.partial"))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs a system that tells what is mapped")
def test_what_slabs_were_kept_in_is_removed_when_nothing_of_it_is_mapped_any_more(tmp_path, few, monkeypatch):
    path = mrc(tmp_path / "t.mrc", series(ny=5).intensity)
    remove, mapped = shutil.rmtree, []

    def rmtree(folder, **how):
        mapped.append([line for line in Path("/proc/self/maps").read_text().splitlines() if ".partial" in line])
        remove(folder, **how)

    monkeypatch.setattr(shutil, "rmtree", rmtree)  # on Windows nothing that is mapped can be removed
    how = ("--angles", "-60:60:4", "--preview", "--save", "inferred", *QUICK)
    for name in ("a.mrc", "b.npz"):
        done = wedge(path, *how, "-o", tmp_path / "out" / name)
        assert done.exit_code == 0, done.stderr
    assert mapped == [[], []]
    assert not list((tmp_path / "out").glob("*.partial"))


def test_a_large_series_is_interrupted_and_goes_on(tmp_path, few, monkeypatch):
    path = mrc(tmp_path / "t.mrc", series(ny=9).intensity)
    whole = semrt.infer("wedge", series(ny=9))
    kept = slabs.Ledger.keep

    def keep(ledger, told):
        kept(ledger, told)
        if len(told) == 2:
            _thread.interrupt_main()
            time.sleep(1)

    monkeypatch.setattr(slabs.Ledger, "keep", keep)
    stopped = wedge(path, "--angles", "-60:60:4", "-o", tmp_path / "out")
    assert stopped.exit_code == 130, stopped.stderr
    assert not (tmp_path / "out" / "t_wedge.mrc").exists()
    assert (tmp_path / "out" / "t_wedge.partial" / "ledger.json").exists()
    monkeypatch.setattr(slabs.Ledger, "keep", kept)
    done = wedge(path, "--angles", "-60:60:4", "-o", tmp_path / "out", "--skip-existing", "--json")
    assert done.exit_code == 0, done.stderr
    (entry,) = json.loads(done.stdout)["results"]
    found = io.read(entry["output"])
    np.testing.assert_allclose(found.intensity, whole.density, atol=1e-5)
    assert found.provenance["details"]["resumed_at_slice"] in (3, 4)  # nine slices in slabs of 1, 2, 2, 2, 2
    assert not list((tmp_path / "out").glob("*.partial"))
