"""The library of simulated tomograms: splits that share nothing, a fixed test set, and the command that writes all."""

import json

import numpy as np
import pytest

from command import fails, run
from semrt import io
from semrt.data import TiltSeries, Volume
from semrt.errors import InvalidOption
from semrt.simulate import tomograms
from semrt.simulate.tomograms import CONDITIONS, KINDS, SPLITS, Grid, Recording, cases, draw, phantom, split_seed

CASES = cases(0)
ANGLES = np.arange(-60.0, 61, 2)


def rng(seed=0):
    return np.random.default_rng(seed)


# --- splits


def test_train_validation_and_test_share_no_phantoms():
    drawn = {}
    for split in SPLITS:
        for number in range(60):
            density, _ = phantom(split_seed(split, number), Grid((32, 1, 32)), "varied")
            drawn.setdefault(density.tobytes(), set()).add((split, number))
    assert len(drawn) == 180


def test_no_case_shares_a_seed_with_a_split_or_with_the_command():
    splits = {split_seed(split, number).bytes(16) for split in SPLITS for number in range(500)}
    libraries = {rng([seed, k]).bytes(16) for seed in range(20) for k in range(20)}
    judged = set()
    for seed in range(20):
        for case in cases(seed).values():
            judged |= {case._generator(1).bytes(16), case._generator(32).bytes(16)}
            judged |= {case._generator(1, 1 + k).bytes(16) for k in range(len(CONDITIONS))}
    assert len(judged) == 20 * len(KINDS) * (2 + len(CONDITIONS))
    assert not judged & (splits | libraries)
    assert not splits & libraries


def test_a_sample_of_a_split_is_the_same_each_time():
    for split in SPLITS:
        first, again = (draw(split_seed(split, 7), (24, 2, 24)).series for _ in range(2))
        np.testing.assert_array_equal(first, again)
    with pytest.raises(InvalidOption, match="split 'tests' is unknown; did you mean 'test'"):
        split_seed("tests", 0)


# --- cases


def test_the_test_set_spans_what_it_promises():
    for kind in KINDS:
        low, high = CASES[f"{kind}-60-lo"], CASES[f"{kind}-70-hi"]
        assert low.shape == high.shape == (256, 1, 256)
        for case, limit, counts in ((low, 60, 100), (high, 70, 1000)):
            np.testing.assert_array_equal(case.condition.angles, np.arange(-limit, limit + 1, 2))
            assert case.condition.recording == Recording(counts)
    lopsided = CASES["shells-lopsided"].condition.angles
    assert (lopsided[0], lopsided[-1]) == (-50, 68)
    assert CASES["porous-misaligned"].condition.recording.misalignment > 0
    assert sum(case.shape[1] > 1 for case in CASES.values()) == 3


def test_a_case_is_the_same_each_time_and_shares_its_phantom_with_the_other_conditions():
    case = CASES["porous-60-lo"]
    sample, again, high = case.sample(), case.sample(), CASES["porous-70-hi"].sample()
    np.testing.assert_array_equal(sample.series, again.series)
    np.testing.assert_array_equal(sample.truth, high.truth)
    assert np.abs(sample.truth - cases(1)["porous-60-lo"].sample().truth).max() > 0.2
    assert sample.expected.max() * sample.settings["dose"] == pytest.approx(100, rel=1e-5)
    shared = high.expected[5:-5]  # the same tilts
    np.testing.assert_allclose(shared, sample.expected, atol=1e-4 * shared.max())
    noise = [(s - e).ravel() for s, e in ((sample.series, sample.expected), (high.series[5:-5], shared))]
    assert abs(np.corrcoef(*noise)[0, 1]) < 0.03


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("60-lo")])
def test_every_case_shows_something_within_the_circle(name):
    truth = CASES[name].sample().truth
    assert 0.01 < (truth > 0.04).mean() < 0.9
    assert truth.max() > 0.3
    z, x = np.ogrid[-127.5:128, -127.5:128]
    inside = z * z + x * x < 128**2
    assert truth[:, 0][inside].sum() > 0.9 * truth.sum()


# --- the command


def simulate(folder, *more):
    return run("simulate", "tomograms", "-n", 3, "--seed", 7, "--shape", "20x24", "-o", folder, *more)


@pytest.mark.parametrize("suffix", ["mrc", "tif"])
def test_a_library_is_written_with_angles_and_truth_beside_each_series(tmp_path, suffix):
    result = simulate(tmp_path, "--slices", 2, "--format", suffix)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [str(tmp_path / f"tomogram_0000{k}.{suffix}") for k in range(3)]
    for k in range(3):
        drawn = draw(rng([7, k]), (20, 2, 24), angles=ANGLES, recording=Recording(), margin=0)
        held = io.read(tmp_path / f"tomogram_0000{k}.{suffix}")
        assert isinstance(held, Volume)
        np.testing.assert_array_equal(held.intensity, drawn.series)
        np.testing.assert_array_equal(TiltSeries.from_volume(held).angles, ANGLES)  # the file says its tilts
        truth = io.read(tmp_path / f"tomogram_0000{k}_truth.{suffix}")
        np.testing.assert_array_equal(truth.intensity, drawn.truth)
        assert "tilt_angles" not in truth.metadata  # else it would be taken for a series
        angles = (tmp_path / f"tomogram_0000{k}.tlt").read_text(encoding="utf-8")
        np.testing.assert_allclose([float(line) for line in angles.splitlines()], ANGLES)
        told = json.loads((tmp_path / f"tomogram_0000{k}.json").read_text(encoding="utf-8"))
        assert (told["seed"], told["number"]) == (7, k)
        assert {name: told[name] for name in drawn.settings} == drawn.settings


def test_options_say_what_is_drawn_and_how_it_is_recorded(tmp_path):
    how = ["--peak-counts", 80, "--misalignment", 0.4, "--drift", 0.3, "--axis-offset", -0.7]
    how += ["--tilt-error", 0.2, "--gain", 0.02, "--read-noise", 1.5]
    result = simulate(tmp_path, "--kind", "shells", "--first", -50, "--last", 69, "--step", 3, *how)
    assert result.exit_code == 0, result.stderr
    recording = Recording(80, 0.4, 0.3, -0.7, 0.2, 0.02, 1.5)
    angles = np.arange(-50.0, 68, 3)  # 67 is the last that fits
    drawn = draw(rng([7, 2]), (20, 1, 24), "shells", angles=angles, recording=recording, margin=0)
    np.testing.assert_array_equal(io.read(tmp_path / "tomogram_00002.mrc").intensity, drawn.series)
    told = json.loads((tmp_path / "tomogram_00002.json").read_text(encoding="utf-8"))
    assert (told["kind"], told["recording"]["tilt_error"], len(told["shifts_px"])) == ("shells", 0.2, 40)


def test_a_library_is_resumed_and_never_replaced_unasked(tmp_path):
    assert simulate(tmp_path).exit_code == 0
    kept = (tmp_path / "tomogram_00000.mrc").read_bytes()
    angles = (tmp_path / "tomogram_00001.tlt").read_text()
    assert fails(simulate(tmp_path), 3, "tomogram_00000.mrc", "--skip-existing")
    (tmp_path / "tomogram_00001.mrc").unlink()  # as an interruption leaves it: all but the series
    (tmp_path / "tomogram_00001.tlt").write_text("stale")
    (tmp_path / "tomogram_00000.mrc").write_bytes(b"precious")
    told = json.loads(simulate(tmp_path, "--skip-existing", "--json").stdout)
    assert told["written"] == [str(tmp_path / "tomogram_00001.mrc")]
    assert (tmp_path / "tomogram_00001.tlt").read_text() == angles
    assert (tmp_path / "tomogram_00000.mrc").read_bytes() == b"precious"
    assert simulate(tmp_path, "--overwrite").exit_code == 0
    assert (tmp_path / "tomogram_00000.mrc").read_bytes() == kept


@pytest.mark.parametrize("left", ["tomogram_00002_truth.mrc", "tomogram_00002.json", "tomogram_00002.tlt"])
def test_what_is_left_beside_a_series_is_not_replaced_unasked(tmp_path, left):
    (tmp_path / left).write_text("precious")
    assert fails(simulate(tmp_path), 3, left, "already exists")
    assert [path.name for path in tmp_path.iterdir()] == [left]


def test_ctrl_c_leaves_the_finished_series_whole(tmp_path, monkeypatch):
    def interrupted(generator, *more, **settings):
        if (tmp_path / "tomogram_00001.mrc").exists():
            raise KeyboardInterrupt
        return draw(generator, *more, **settings)

    monkeypatch.setattr(tomograms, "draw", interrupted)
    result = simulate(tmp_path)
    assert result.exit_code == 130
    assert "--skip-existing goes on from there" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"tomogram_0000{k}{ending}" for k in range(2) for ending in (".json", ".mrc", ".tlt", "_truth.mrc")
    ]


def test_the_test_set_is_written_by_name(tmp_path):
    for name in CASES.keys() - {"atoms-70-hi", "shells-lopsided"}:
        (tmp_path / f"tomogram_{name}.mrc").touch()
    result = run("simulate", "tomograms", "--cases", "-o", tmp_path, "--skip-existing")
    assert result.exit_code == 0, result.stderr
    assert {line.rpartition("_")[2] for line in result.stdout.splitlines()} == {
        "atoms-70-hi.mrc",
        "shells-lopsided.mrc",
    }
    series = io.read(tmp_path / "tomogram_shells-lopsided.mrc").intensity
    np.testing.assert_array_equal(series, CASES["shells-lopsided"].sample().series)
    assert (tmp_path / "tomogram_atoms-70-hi.tlt").read_text().split()[0] == "-70.000"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-n", 0], "-n"),
        (["--kind", "shell"], "did you mean 'shells'?"),
        (["--slices", 0], "--slices"),
        (["--first", -91], "--first"),
        (["--first", 10, "--last", 0], "--last: expected at least --first"),
        (["--step", 0], "--step"),
        (["--step", "nan"], "--step"),
        (["--peak-counts", 0], "peak_counts: expected above 0"),
        (["--misalignment", -0.1], "--misalignment"),
        (["--drift", "nan"], "drift: expected zero or more, got nan"),
        (["--axis-offset", "inf"], "axis_offset: expected px"),
        (["--format", "png"], "--format"),
        (["--cases", "--slices", 3], "leave out --slices"),
        (["--cases", "--peak-counts", 1000], "leave out --peak-counts"),
        (["--skip-existing", "--overwrite"], "contradict"),
    ],
)
def test_a_library_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, words, said):
    assert fails(run("simulate", "tomograms", *words, "-o", tmp_path), 2, said)
    assert not list(tmp_path.iterdir())
