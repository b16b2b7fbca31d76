"""The library of simulated layers as one command writes it: stacks that semrt reads, with the truth beside each."""

import json

import numpy as np
import pytest

from command import fails, run
from semrt import io
from semrt.data import EnergyStack, Volume
from semrt.simulate import layers
from semrt.simulate.layers import Recording, draw


def rng(seed=0):
    return np.random.default_rng(seed)


def simulate(folder, *more):
    return run("simulate", "layers", "-n", 3, "--seed", 7, "--shape", "20x24", "-o", folder, *more)


@pytest.mark.parametrize("suffix", ["tif", "npz"])
def test_a_library_is_written_with_the_thickness_beside_each_stack(tmp_path, suffix):
    result = simulate(tmp_path, "--format", suffix)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [str(tmp_path / f"layers_0000{k}.{suffix}") for k in range(3)]
    for k in range(3):
        drawn = draw(rng([7, k]), (20, 24))
        held = io.read(tmp_path / f"layers_0000{k}.{suffix}")
        assert isinstance(held, Volume)
        measured = EnergyStack.from_volume(held)  # the file says its energies
        np.testing.assert_array_equal(measured.intensity, drawn.intensity)
        np.testing.assert_array_equal(measured.energies, range(5, 36))
        truth = io.read(tmp_path / f"layers_0000{k}_truth.{suffix}")
        np.testing.assert_array_equal(truth.intensity, drawn.thickness)
        assert truth.metadata["layers"] == ["gold", "aluminium", "silicon"]
        told = json.loads((tmp_path / f"layers_0000{k}.json").read_text(encoding="utf-8"))
        assert (told["seed"], told["number"]) == (7, k)
        assert {name: told[name] for name in drawn.settings} == drawn.settings


def test_options_say_what_is_drawn_and_how_it_is_recorded(tmp_path):
    recorded = ["--noise", 0.03, "--offset", -0.01, "--gain", 0.02, "--blur", 0.6, "--drift", 0.4]
    result = simulate(tmp_path, "--kind", "strips", "--variant", "phys", *recorded)
    assert result.exit_code == 0, result.stderr
    recording = Recording(noise=0.03, offset=-0.01, gain=0.02, blur=0.6, drift=0.4)
    drawn = draw(rng([7, 2]), (20, 24), "strips", recording=recording, variant="phys")
    np.testing.assert_array_equal(io.read(tmp_path / "layers_00002.tif").intensity, drawn.intensity)
    told = json.loads((tmp_path / "layers_00002.json").read_text(encoding="utf-8"))
    assert (told["kind"], told["variant"], told["recording"]["blur"]) == ("strips", "phys", 0.6)
    assert np.std(told["gains"]) == pytest.approx(0.02, rel=0.5)
    assert np.shape(told["shifts_px"]) == (31, 2)


def test_stacks_are_as_large_as_the_published_ones_unless_asked_otherwise(tmp_path):
    assert run("simulate", "layers", "-n", 1, "-o", tmp_path).exit_code == 0
    assert io.read(tmp_path / "layers_00000.tif").shape == (31, 128, 128)


def test_a_library_is_resumed_and_never_replaced_unasked(tmp_path):
    assert simulate(tmp_path).exit_code == 0
    kept = (tmp_path / "layers_00000.tif").read_bytes()
    truth = (tmp_path / "layers_00001_truth.tif").read_bytes()
    assert fails(simulate(tmp_path), 3, "layers_00000.tif", "--skip-existing")
    (tmp_path / "layers_00001.tif").unlink()  # as an interruption leaves it: the truth without its stack
    (tmp_path / "layers_00001_truth.tif").write_text("stale")
    (tmp_path / "layers_00000.tif").write_bytes(b"precious")
    told = json.loads(simulate(tmp_path, "--skip-existing", "--json").stdout)
    assert told["written"] == [str(tmp_path / "layers_00001.tif")]
    assert len(told["skipped"]) == 2
    assert (tmp_path / "layers_00001_truth.tif").read_bytes() == truth
    assert (tmp_path / "layers_00000.tif").read_bytes() == b"precious"
    assert simulate(tmp_path, "--overwrite").exit_code == 0
    assert (tmp_path / "layers_00000.tif").read_bytes() == kept


@pytest.mark.parametrize("left", ["layers_00002_truth.tif", "layers_00002.json"])
def test_the_truth_that_is_left_of_a_stack_is_not_replaced_unasked(tmp_path, left):
    (tmp_path / left).write_text("precious")
    assert fails(simulate(tmp_path), 3, left, "already exists")
    assert [path.name for path in tmp_path.iterdir()] == [left]


def test_ctrl_c_leaves_the_finished_stacks_whole(tmp_path, monkeypatch):
    def interrupted(generator, *more, **settings):
        if (tmp_path / "layers_00001.tif").exists():
            raise KeyboardInterrupt
        return draw(generator, *more, **settings)

    monkeypatch.setattr(layers, "draw", interrupted)
    result = simulate(tmp_path)
    assert result.exit_code == 130
    assert "--skip-existing goes on from there" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"layers_0000{k}{ending}" for k in range(2) for ending in (".json", ".tif", "_truth.tif")
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-n", 0], "-n"),
        (["--kind", "perlyn"], "did you mean 'perlin'?"),
        (["--variant", "physics"], "did you mean 'phys'?"),
        (["--noise", -0.1], "--noise"),
        (["--blur", "nan"], "blur: expected zero or more, got nan"),
        (["--offset", "inf"], "offset: expected a fraction of the beam"),
        (["--format", "png"], "--format"),
        (["--skip-existing", "--overwrite"], "contradict"),
    ],
)
def test_a_library_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, words, said):
    assert fails(run("simulate", "layers", *words, "-o", tmp_path), 2, said)
    assert not list(tmp_path.iterdir())
