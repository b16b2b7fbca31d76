"""The sibling of infill that learns to look as recorded: its task, network, objective and recipe."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import semrt
from semrt import scan
from semrt.data import SparseScan
from semrt.errors import InvalidOption
from semrt.metrics import blur_5x5, spectral_distance
from semrt.simulate import micrographs
from semrt.tasks.infill import INPUT_CHANNELS as KNOWN
from semrt.tasks.infill import Infill
from semrt.tasks.realistic_infill import INPUT_CHANNELS, RealisticInfill
from semrt_export.data.pool import SamplePool
from semrt_export.data.sparse_scans import SparseScanMaker
from semrt_export.networks.realistic_infill_net import RealisticInfillNet
from semrt_export.realism_objective import N_BANDS, RealismObjective, band_powers
from semrt_export.recipes.realistic_infill import FIRST_GUESS, FIRST_GUESS_ERROR, RealisticInfillRecipe
from semrt_export.run_folder import RunFolder, load
from semrt_export.schedule import Budget, Schedule
from semrt_export.train import train
from toy_recipe import PressesCtrlC


def quiet(_line):
    pass


def small(**options):
    given = {"side": 96, "widths": (8, 8, 8, 8), "held_out_side": 96, "held_out_draws": 1, "opponent_width": 1 / 16}
    return RealisticInfillRecipe(**given | options)


def sparse_scan(seed=0, side=96):
    rng = np.random.default_rng(seed)
    image = micrographs.draw(rng, (side, side), "grains") + 0.05 * rng.standard_normal((side, side), np.float32)
    return SparseScan(image, scan.generate("random", image.shape, 0.1, seed=seed).visited)


# --- task


def test_the_network_sees_what_infill_sees_and_random_numbers_of_a_seed():
    sparse, task = sparse_scan(), RealisticInfill()
    first, again, other = task.prepare(sparse), task.prepare(sparse), task.prepare(sparse, seed=1)
    assert (*KNOWN, "random") == INPUT_CHANNELS
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:-1], Infill().prepare(sparse))
    assert not np.array_equal(first[-1], other[-1])
    assert (first[-1].mean(), first[-1].std()) == pytest.approx((0, 1), abs=0.05)


def test_a_seed_below_zero_is_refused():
    with pytest.raises(InvalidOption, match="seed: expected zero"):
        RealisticInfill().prepare(sparse_scan(), seed=-1)


# --- network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = RealisticInfillNet(widths=(8, 8, 8, 8)).double().eval()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return made


def test_the_random_map_changes_what_is_near_it_alone_and_tiles_replace_the_whole(network):
    halo = network.receptive_field_radius()
    channels = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 10, 64 + 2 * halo + 128, 64)))
    channels[:, 6:9] = channels[:, 6:9, :1, :1]
    other = channels.clone()
    other[:, -1, 200, 30] += 1
    with torch.no_grad():
        whole, tile = network(channels), network(channels[:, :, 64 : 64 + 2 * halo + 64])
        moved = (network(other) - whole).abs().sum((0, 1, 3)).nonzero()
    torch.testing.assert_close(tile[:, :, halo : halo + 64], whole[:, :, 64 + halo : 128 + halo], rtol=0, atol=1e-12)
    assert 0 < (moved - 200).abs().max() < 24
    assert network.in_channels == 10


# --- objective


def test_powers_of_bands_are_those_of_the_metric():
    images = np.random.default_rng(0).standard_normal((2, 1, 96, 96)) * np.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    powers = 10 * band_powers(torch.from_numpy(images), floor=0.0).log10()
    by_torch = (powers[1] - powers[0]).square().mean().sqrt().item()
    assert powers.shape == (2, N_BANDS)
    assert by_torch == pytest.approx(spectral_distance(images[1, 0], images[0, 0]), abs=0.3)


def recipe_batch(recipe, n=2):
    samples = [recipe.sample_maker()(number) for number in range(n)]
    stacked = (np.stack([getattr(sample, part) for sample in samples]) for part in ("inputs", "target"))
    return tuple(map(torch.from_numpy, stacked))


def test_the_recorded_image_itself_differs_in_nothing_and_a_smooth_one_in_its_spectrum():
    recipe = small()
    inputs, target = recipe_batch(recipe)
    objective = recipe.objective()
    stated = torch.ones_like(target[:, :1])
    objective(torch.cat((target[:, 1:], stated), 1), inputs, target, 0.5, np.random.default_rng(0))
    assert objective.figures()["spectral_db"] == pytest.approx(0, abs=1e-4)
    guess = inputs[:, FIRST_GUESS : FIRST_GUESS + 1]
    objective(torch.cat((guess, stated), 1), inputs, target, 0.5, np.random.default_rng(0))
    assert objective.figures()["spectral_db"] > 1
    assert objective.figures()["gain_db"] == pytest.approx(0, abs=1e-5)


def test_the_opponent_counts_only_once_it_has_learnt_alone():
    recipe = small()
    inputs, target = recipe_batch(recipe)
    image = torch.cat((inputs[:, FIRST_GUESS : FIRST_GUESS + 1], torch.ones_like(target[:, :1])), 1).requires_grad_()
    gradients = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        objective = RealismObjective(recipe.bounds, FIRST_GUESS, adversarial_weight=weight, width=1 / 16, crop=46)
        for spent in (0.01, 0.5):
            (gradients[weight, spent],) = torch.autograd.grad(
                objective(image, inputs, target, spent, np.random.default_rng(1)), image
            )
    assert torch.equal(gradients[0.0, 0.01], gradients[1.0, 0.01])
    assert not torch.equal(gradients[0.0, 0.5], gradients[1.0, 0.5])


@dataclass(frozen=True)
class Interrupted(PressesCtrlC, RealisticInfillRecipe):
    pass


@pytest.mark.slow
def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not(tmp_path):
    def run(folder, interrupt_at=-1, **options):
        recipe = Interrupted(**{**vars_of(small(pool_size=6)), "interrupt_at": interrupt_at})
        list(SamplePool(folder / "pool", 6).fill(recipe.sample_maker(), 6))
        train(recipe, folder, budget=Budget(steps=6), workers=0, threads=1, report=quiet, **options)
        return load(RunFolder(folder).checkpoint)

    straight = run(tmp_path / "straight")
    assert run(tmp_path / "stopped", interrupt_at=13)["step"] == 4
    resumed = run(tmp_path / "stopped", resume=True)
    for part in ("network", "averaged", "objective"):
        for name, value in straight[part].items():
            if not name.endswith("_extra_state"):
                assert torch.equal(resumed[part][name], value), name


def vars_of(recipe):
    return {name: value for name, value in recipe.options().items() if name != "schedule"}


# --- recipe


def test_a_sample_has_two_truths_in_one_scale():
    plain = SparseScanMaker(side=64, coverage=(0.1, 0.2), seed=3)
    for index in range(4):
        inputs, target = replace(plain, realistic=True)(index)
        assert inputs.shape == (len(INPUT_CHANNELS), 64, 64)
        np.testing.assert_array_equal(target[:1], plain(index).target)
        visited = inputs[1] == 1
        np.testing.assert_allclose(target[1][visited], inputs[0][visited], atol=1e-3)


def test_the_recorded_image_scores_best_and_the_first_guess_is_not_published():
    recipe = small()
    held_out = recipe.held_out()
    recorded = {scan.sample.inputs.tobytes(): scan.sample.target[1:] for scan in held_out}
    guess = recipe.evaluate(lambda channels: channels[:, [FIRST_GUESS, FIRST_GUESS_ERROR]], held_out)
    best = recipe.evaluate(lambda channels: np.stack([recorded[channels[0].tobytes()]] * 2, axis=1), held_out)
    assert guess.score < best.score
    assert all(row["spectral_distance_db"] == 0 for row in best.table)
    assert recipe.objection(best) is None
    assert "line-hop" in recipe.objection(guess)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("crop", 10, "crop: expected 46"), ("crop", 48, "less than half"), ("spectral_weight", -1.0, "zero or above")],
)
def test_options_that_make_no_sense_are_refused(option, value, said):
    with pytest.raises(InvalidOption, match=said):
        small(**{option: value})


def test_a_few_steps_bring_the_spectrum_nearer(tmp_path):
    recipe = replace(small(pool_size=6), schedule=Schedule(batch=2, learning_rate=3e-3, warm_up=5))
    list(SamplePool(tmp_path / "pool", 6).fill(recipe.sample_maker(), 6))
    train(recipe, tmp_path, budget=Budget(steps=100), workers=0, threads=1, report=quiet)
    first, last = RunFolder(tmp_path).rows("curve")
    assert last["spectral_db"] < first["spectral_db"]
    assert np.isfinite(last["opponent_loss"])


# --- the shipped model


@pytest.mark.slow
def test_the_shipped_model_looks_more_as_recorded_than_infill_and_about_as_much_as_infill_with_white_noise():
    distances, errors = [], []
    for number, kind in enumerate(("grains", "nanoparticles", "grains", "nanoparticles")):
        rng = np.random.default_rng((20_261_122, number))
        clean = micrographs.draw(rng, (256, 256), kind)
        recorded = clean + 0.06 * rng.standard_normal(clean.shape, np.float32)
        sparse = SparseScan(recorded, scan.generate("archimedean", clean.shape, 1 / 15, seed=number).visited)
        smooth = semrt.infer("infill", sparse).intensity
        noise = np.where(sparse.visited, 0, 0.06 * rng.standard_normal(clean.shape, np.float32))
        made = semrt.infer("infill-adversarial", sparse, seed=number).intensity
        distances.append([spectral_distance(image, recorded) for image in (made, smooth + noise, smooth)])
        errors.append([np.mean(blur_5x5(image - clean) ** 2) for image in (made, smooth + noise, smooth)])
    as_made, with_noise, as_inferred = np.mean(distances, axis=0)
    assert as_made < as_inferred - 2
    assert as_made < with_noise + 0.5
    made, noisy, _ = np.mean(errors, axis=0)
    assert made < 1.1 * noisy


def test_the_shipped_model_gives_other_noise_with_another_seed_and_the_same_with_the_same():
    sparse = sparse_scan()
    one, again, other = (semrt.infer("infill-adversarial", sparse, seed=seed).intensity for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    unvisited = ~sparse.visited
    assert np.std((one - other)[unvisited]) > 0.003
    np.testing.assert_array_equal(one[sparse.visited], sparse.intensity[sparse.visited])
