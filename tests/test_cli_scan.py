"""semrt scan writes paths that instruments and semrt read, and scans images."""

import json

import numpy as np
import pytest

from command import fails, run, waves
from semrt import io
from semrt.data import Micrograph, SparseScan
from semrt.scan import INSTRUMENTS, PATTERNS, generate


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_is_listed_with_its_parameters_and_drawn(tmp_path, pattern):
    listed = run("scan", "--list").stdout
    assert PATTERNS[pattern].summary in listed
    assert all(f"--set {name}=" in listed for name in PATTERNS[pattern].parameters)
    assert PATTERNS[pattern].summary in " ".join(run("scan", "--help").stdout.split())
    result = run("scan", pattern, "--shape", "32x40", "-o", tmp_path / "p.csv", "--seed", 3)
    assert result.exit_code == 0, result.stderr
    held, drawn = io.read(tmp_path / "p.csv"), generate(pattern, (32, 40), seed=3)
    np.testing.assert_array_equal(held.positions, drawn.positions)
    np.testing.assert_array_equal(io.read(tmp_path / "p_mask.tif").intensity > 0, drawn.visited)


def test_the_path_has_the_coverage_dwell_time_and_parameters_that_were_asked_for(tmp_path):
    result = run(
        *("scan", "clv", "--shape", "64", "--coverage", "1/8", "--dwell-time", 2.5, "--set", "angle=90"),
        *("--set", "centre=20,30", "--pixel-size", "0.1nm", "-o", tmp_path / "p.csv", "--json"),
    )
    told = json.loads(result.stdout)
    path = io.read(tmp_path / "p.csv")
    assert path.coverage == pytest.approx(1 / 8, rel=0.01)
    assert set(path.dwell_time) == {2.5}
    np.testing.assert_allclose(path.positions[0], (20, 30), atol=1)
    assert path.pixel_size == pytest.approx((0.1, 0.1))
    assert told["field_of_view_nm"] == pytest.approx([6.4, 6.4])
    assert told["statistics"]["total_time_us"] == pytest.approx(2.5 * len(path.positions))


def test_an_image_is_scanned_into_what_infer_reads(tmp_path):
    io.write(tmp_path / "image.tif", Micrograph(waves(), pixel_size=(2.0, 2.0)))
    result = run("scan", "random", "--coverage", "20%", "--sample", tmp_path / "image.tif", "-o", tmp_path / "s.csv")
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path) == ["image.tif", "s.csv", "s.json", "s.npz", "s_mask.tif"]
    by_table, by_image = (io.read(tmp_path / name) for name in ("s.csv", "s.npz"))
    for scan in (by_table, by_image):
        assert isinstance(scan, SparseScan)
        assert scan.pixel_size == pytest.approx((2.0, 2.0))
        np.testing.assert_allclose(scan.intensity[scan.visited], waves()[scan.visited], atol=1e-6)
    np.testing.assert_array_equal(by_table.visited, by_image.visited)
    assert run("infer", "kriging", tmp_path / "s.csv", "-o", tmp_path / "out.tif").exit_code == 0


def test_coils_that_lag_leave_true_positions_beside_the_nominal_ones_and_a_warning(tmp_path):
    result = run("scan", "snake", "--shape", "64", "--lag", 4, "-o", tmp_path / "p.csv")
    assert "semrt: note: the probe lags" in result.stderr
    path = io.read(tmp_path / "p.csv")
    np.testing.assert_array_equal(path.nominal, generate("snake", (64, 64)).positions)
    assert np.hypot(*(path.positions - path.nominal).T).max() > 1


def test_samples_can_be_visited_in_an_order_without_long_jumps(tmp_path):
    plain, ordered = (
        json.loads(run("scan", "random", "--shape", "64", "--coverage", "1/20", "-o", out, "--json", *more).stdout)
        for out, more in ((tmp_path / "a.csv", ()), (tmp_path / "b.csv", ("--order", "nearest")))
    )
    assert ordered["statistics"]["path_length_px"] < 0.3 * plain["statistics"]["path_length_px"]
    assert ordered["statistics"]["coverage"] == plain["statistics"]["coverage"]


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_instrument_gets_its_file(tmp_path, instrument):
    result = run("scan", "clv", "--shape", "32", "--coverage", "1/4", "-o", tmp_path / "p.csv", "--export", instrument)
    assert result.exit_code == 0, result.stderr
    exported = tmp_path / f"p_{instrument}{INSTRUMENTS[instrument].suffix}"
    assert str(exported) in result.stdout.splitlines()
    assert exported.read_bytes() == INSTRUMENTS[instrument].encode(io.read(tmp_path / "p.csv"))


def test_an_instrument_has_a_short_name(tmp_path):
    run("scan", "clv", "--shape", "32", "-o", tmp_path / "p.csv", *("--export", "obi", "--export", "fei"))
    assert {"p_open-beam-interface.csv", "p_fei-stream.str"} <= set(names(tmp_path))


def test_the_dose_follows_from_the_current(tmp_path):
    arguments = ("scan", "raster", "--shape", "10", "--pixel-size", "0.1nm", "--probe-current", 16.02176634, "--json")
    told = json.loads(run(*arguments, "-o", tmp_path / "p.csv").stdout)
    # 16.02 pA are 100 electrons in each of 100 µs, on a field of 10 Å x 10 Å.
    assert told["statistics"]["fluence_e_per_A2"] == pytest.approx(100)


def test_no_file_is_replaced_unasked(tmp_path):
    (tmp_path / "p_mask.tif").write_bytes(b"precious")
    call = ("scan", "raster", "--shape", "8", "-o", tmp_path / "p.csv")
    assert fails(run(*call), 3, "p_mask.tif: already exists; use --overwrite to replace it, or choose another")
    assert names(tmp_path) == ["p_mask.tif"]
    assert run(*call, "--overwrite").exit_code == 0
    assert len(names(tmp_path)) == 3


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["zigzag"], 2, "zigzag"),
        (["clv", "--coverage", "0"], 2, "fraction"),
        (["clv", "--shape", "0x4"], 2, "512x512"),
        (["clv", "--set", "speed=3"], 2, "'speed' is unknown"),
        (["clv", "--set", "seed=3"], 2, "--set seed"),
        (["random", "--seed", "-1"], 2, "'--seed': -1 is not in the range"),
        (["clv", "--set", "angle"], 2, "NAME=VALUE"),
        (["clv", "--export", "magic"], 2, "'magic' is unknown"),
        (["clv", "--order", "alphabetical"], 2, "'alphabetical' is unknown"),
        (["clv", "--dwell-time", "-1"], 2, "--dwell-time"),
        (["clv", "--probe-sigma", "1"], 2, "--sample"),
        (["clv", "--sample", "nowhere.tif"], 3, "nowhere.tif"),
        (["clv", "-o", "path.tif"], 2, "path.csv"),
        (["clv", "--pixel-size", "3"], 2, "a length with its unit"),
        (["clv", "--probe-current", "-3"], 2, "probe_current"),
        (["clv", "--dwell-time", "0.01", "--export", "fei-stream"], 3, "dwell_time"),
        ([], 2, "PATTERN"),
    ],
)
def test_a_scan_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    assert fails(run("scan", *words), code, said)
    assert not list(tmp_path.iterdir())


def test_an_image_of_another_shape_is_refused(tmp_path):
    io.write(tmp_path / "image.tif", Micrograph(waves()))
    result = run("scan", "clv", "--shape", "64", "--sample", tmp_path / "image.tif", "-o", tmp_path / "p.csv")
    assert fails(result, 3, "(64, 64)", "(40, 48)")
    assert names(tmp_path) == ["image.tif"]
