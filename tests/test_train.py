"""The training loop, which can be stopped anywhere and gone on with, and its command."""

import signal
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from semrt.errors import DeviceUnavailable, InputNotFound, InvalidOption, SemrtError, UnreadableFile
from semrt_export.cli import train as train_command
from semrt_export.data.pool import SamplePool
from semrt_export.recipes.infill import InfillRecipe
from semrt_export.run_folder import RunFolder, load
from semrt_export.schedule import Budget
from semrt_export.train import make_pool, train
from toy_recipe import ToyNet, ToyRecipe


class DroppingRecipe(ToyRecipe):
    def network(self):
        return ToyNet(dropout=0.3)


def quiet(_line):
    pass


def trained(folder, recipe=None, steps=10, **options):
    recipe = recipe or ToyRecipe()
    options.setdefault("workers", 0)
    for _ in SamplePool(folder / "pool", recipe.pool_size).fill(recipe.sample_maker(), recipe.pool_size):
        pass
    return train(recipe, folder, budget=Budget(steps=steps), report=quiet, **options)


def test_training_sharpens_what_was_blurred(tmp_path):
    evaluation = trained(tmp_path, steps=150)
    assert evaluation.score > 1.0
    rows = RunFolder(tmp_path).rows("curve")
    assert [row["step"] for row in rows] == [50, 100, 150]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_was_interrupted_and_resumed_ends_as_one_that_was_not(tmp_path):
    trained(tmp_path / "straight", steps=12)
    trained(tmp_path / "stopped", ToyRecipe(interrupt_at=9), steps=12)  # the second sample of the fifth step
    stopped = load(RunFolder(tmp_path / "stopped").checkpoint)
    assert stopped["step"] == 5
    trained(tmp_path / "stopped", steps=12, resume=True)
    straight, resumed = (load(RunFolder(tmp_path / name).checkpoint) for name in ("straight", "stopped"))
    assert straight["step"] == resumed["step"] == 12
    for part in ("network", "averaged"):
        for name, weight in straight[part].items():
            torch.testing.assert_close(resumed[part][name], weight, rtol=1e-6, atol=1e-7)


def test_a_network_that_drops_out_at_random_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    trained(tmp_path / "straight", DroppingRecipe(), steps=6)
    trained(tmp_path / "stopped", DroppingRecipe(interrupt_at=5), steps=6)  # in the third step
    trained(tmp_path / "stopped", DroppingRecipe(), steps=6, resume=True)
    straight, resumed = (load(RunFolder(tmp_path / name).checkpoint)["network"] for name in ("straight", "stopped"))
    for name, weight in straight.items():
        torch.testing.assert_close(resumed[name], weight, rtol=1e-6, atol=1e-7)


def test_a_run_that_goes_on_keeps_its_seed(tmp_path):
    trained(tmp_path / "straight", steps=6, seed=7)
    trained(tmp_path / "stopped", ToyRecipe(interrupt_at=5), steps=6, seed=7)
    trained(tmp_path / "stopped", steps=6, resume=True)
    assert RunFolder(tmp_path / "stopped").read_config()["seed"] == 7
    straight, resumed = (load(RunFolder(tmp_path / name).checkpoint)["network"] for name in ("straight", "stopped"))
    torch.testing.assert_close(resumed, straight, rtol=1e-6, atol=1e-7)


def test_making_further_samples_leaves_what_is_known_of_a_run(tmp_path):
    trained(tmp_path, steps=2, seed=7)
    run = RunFolder(tmp_path)
    before = run.config.read_bytes()
    make_pool(ToyRecipe(), tmp_path, count=2, workers=1, report=quiet)
    assert run.config.read_bytes() == before
    with pytest.raises(InvalidOption, match="holds a run with other options"):
        make_pool(ToyRecipe(seed=4), tmp_path, count=2, workers=1, report=quiet)


def test_a_row_that_a_kill_broke_off_is_forgotten(tmp_path):
    trained(tmp_path, steps=50)
    table = tmp_path / "held_out.csv"
    whole = table.read_bytes()
    table.write_bytes(whole + b"99,12.3")
    assert [row["step"] for row in RunFolder(tmp_path).rows("held_out")] == [50]
    trained(tmp_path, steps=51, resume=True)
    assert table.read_bytes().startswith(whole)
    assert [row["step"] for row in RunFolder(tmp_path).rows("held_out")] == [50, 51]


def test_ctrl_c_works_as_before_once_training_is_over(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    trained(tmp_path, ToyRecipe(interrupt_at=3))
    assert signal.getsignal(signal.SIGINT) is before


def test_resuming_forgets_what_was_logged_after_the_checkpoint(tmp_path):
    trained(tmp_path, steps=50)
    run = RunFolder(tmp_path)
    run.append("curve", {**run.rows("curve")[0], "step": 100})  # logged, and lost before it was saved
    trained(tmp_path, steps=100, resume=True)
    assert [row["step"] for row in run.rows("curve")] == [50, 100]


def test_the_same_seed_gives_the_same_weights_and_another_seed_other_samples(tmp_path):
    first, again, other = ToyRecipe(), ToyRecipe(), ToyRecipe()
    trained(tmp_path / "a", first, seed=1)
    trained(tmp_path / "b", again, seed=1)
    trained(tmp_path / "c", other, seed=2)
    assert first.drawn == again.drawn != other.drawn


def test_the_best_weights_are_kept_when_later_ones_are_worse(tmp_path):
    good = trained(tmp_path, steps=100)
    spoiling = ToyRecipe(loss_factor=-1.0)  # climbs instead of descending
    assert trained(tmp_path, spoiling, steps=200, resume=True).score < good.score
    assert load(RunFolder(tmp_path).best)["step"] == 100


def test_no_step_is_judged_twice(tmp_path):
    last = trained(tmp_path, steps=3, evaluate_every=0)  # due after the last step as well
    rows = RunFolder(tmp_path).rows("held_out")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[-1]["score"] == pytest.approx(last.score, rel=1e-5)


def test_a_folder_with_a_run_is_not_trained_into_again_unasked(tmp_path):
    trained(tmp_path, steps=2)
    with pytest.raises(InvalidOption, match="--resume"):
        trained(tmp_path, steps=4)
    with pytest.raises(InvalidOption, match="other options"):
        trained(tmp_path, ToyRecipe(seed=9), steps=4, resume=True)


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    with pytest.raises(SemrtError, match="step 0: the gradient is not finite"):
        trained(tmp_path, ToyRecipe(loss_factor=float("nan")))


def test_a_damaged_checkpoint_is_named(tmp_path):
    trained(tmp_path, steps=2)
    RunFolder(tmp_path).checkpoint.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(UnreadableFile, match=r"checkpoint\.pt"):
        trained(tmp_path, steps=4, resume=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DeviceUnavailable, match="--device cpu"):
        train(ToyRecipe(), tmp_path / "run", budget=Budget(steps=1), device="cuda", report=quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_in_bfloat16_on_a_gpu_learns_as_well(tmp_path):
    assert trained(tmp_path, steps=150, device="cuda").score > 1.0


def test_training_needs_an_end():
    done = CliRunner().invoke(train_command, ["infill", "--out", "never"])
    assert isinstance(done.exception, InvalidOption)
    assert not Path("never").exists()


@pytest.mark.parametrize("limit", [("--max-seconds", "nan"), ("--max-steps", "1", "--evaluate-every", "nan")])
def test_a_time_that_never_comes_is_refused(tmp_path, limit):
    done = CliRunner().invoke(train_command, ["infill", "--out", str(tmp_path / "never"), "--resume", *limit])
    assert done.exit_code == 2
    assert "expected a finite number, got nan" in done.output


def test_a_resumed_run_takes_its_images_from_its_folder(tmp_path):
    arguments = ["infill", "--out", str(tmp_path), "--max-steps", "1", "--resume"]
    with_images = CliRunner().invoke(train_command, [*arguments, "--images", str(tmp_path)])
    assert isinstance(with_images.exception, InvalidOption)
    nothing_there = CliRunner().invoke(train_command, arguments)
    assert isinstance(nothing_there.exception, InputNotFound)


@pytest.mark.slow
def test_the_command_makes_a_pool_and_goes_on_with_a_run(tmp_path):
    recipe = InfillRecipe(side=64, widths=(8, 8, 8, 8), held_out_side=64, held_out_draws=1, pool_size=8)
    make_pool(recipe, tmp_path, count=8, workers=1, report=quiet)
    train(recipe, tmp_path, budget=Budget(steps=2), workers=0, report=quiet)
    arguments = ["infill", "--out", str(tmp_path), "--max-steps", "4", "--workers", "0", "--resume"]
    done = CliRunner().invoke(train_command, arguments, catch_exceptions=False)
    assert "held out: score" in done.output
    assert load(RunFolder(tmp_path).checkpoint)["step"] == 4
