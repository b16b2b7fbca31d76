"""The recipe of wedge: its samples, its network, and by what it is judged."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from semrt.errors import InvalidOption
from semrt.simulate.tomograms import cases, draw
from semrt.tasks.wedge_input import INPUT_CHANNELS, MAPS, NEIGHBOURS, OUTPUT_CHANNELS
from semrt_export import recipes
from semrt_export.data.pool import Sample, SamplePool
from semrt_export.data.tilt_series import SIDES, TiltSeriesMaker, cropped, mirrored
from semrt_export.losses import unmeasured_gain
from semrt_export.networks.wedge_net import WedgeNet
from semrt_export.recipes.wedge import WedgeRecipe
from semrt_export.run_folder import RunFolder
from semrt_export.schedule import Budget, Schedule
from semrt_export.train import train

FIRST_GUESS = MAPS.index("tv +0")
LOW, HIGH = INPUT_CHANNELS.index("lowest"), INPUT_CHANNELS.index("highest")


def quiet(_line):
    pass


def small(**options):
    return WedgeRecipe(widths=(8, 8, 8), bottom=1, held_out_conditions=("lopsided",), **options)


@pytest.fixture(scope="module")
def samples():
    make = small().sample_maker()
    return [make(index) for index in range(4)]


@pytest.fixture(scope="module")
def held_out():
    return small().held_out()


def wave(kz, kx, n=32):
    z, x = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    return torch.cos(2 * torch.pi * (kz * z + kx * x) / n)[None, None]


def test_a_sample_is_the_same_whoever_makes_it(samples):
    again = TiltSeriesMaker()(2)
    assert np.array_equal(samples[2].inputs, again.inputs)
    assert not np.array_equal(samples[1].inputs, samples[2].inputs)
    for inputs, target in samples:
        assert len(inputs) == len(INPUT_CHANNELS)
        assert target.shape == (1, *inputs.shape[1:])
        assert min(target.shape[1:]) >= SIDES[0]
        assert np.isfinite(inputs).all()
        # The first guess is an estimate of the target, in its units.
        assert np.corrcoef(inputs[FIRST_GUESS].ravel(), target.ravel())[0, 1] > 0.5


def test_some_samples_are_of_single_slices_and_some_of_volumes(samples):
    make = small().sample_maker()
    more = samples + [make(index) for index in range(4, 16)]
    alone = [np.array_equal(sample.inputs[0], sample.inputs[2 * NEIGHBOURS]) for sample in more]
    of_volume = [float(sample.inputs[-1, 0, 0]) for sample in more]
    assert 0 < sum(alone) < len(more)
    assert set(of_volume) == {0.0, 1.0}


def test_a_kind_left_out_is_never_drawn(monkeypatch):
    drawn = []

    def seen(rng, shape, kind, **settings):
        drawn.append(kind)
        return draw(rng, (32, shape[1], 32), kind, **settings)

    monkeypatch.setattr("semrt_export.data.tilt_series.SIDES", (32,))
    monkeypatch.setattr("semrt_export.data.tilt_series.SHARES", (1.0,))
    monkeypatch.setattr("semrt_export.data.tilt_series.draw", seen)
    make = TiltSeriesMaker(without=("porous", "varied"))
    for index in range(30):
        make(index)
    assert len(set(drawn)) > 4
    assert set(drawn).isdisjoint({"porous", "varied"})


def test_a_mirror_image_is_that_of_the_mirrored_tilts():
    # Solvers commute with mirrors, so what is mirrored must be what a mirrored specimen's series would have given.
    make = np.random.default_rng(3)
    inputs = make.standard_normal((len(INPUT_CHANNELS), 8, 8)).astype(np.float32)
    inputs[LOW], inputs[HIGH] = -0.5, 0.7
    target = make.standard_normal((1, 8, 8)).astype(np.float32)
    seen = set()
    for _ in range(60):
        turned = mirrored(Sample(inputs, target), make)
        along_z = along_x = False
        for along_z, along_x in ((a, b) for a in (False, True) for b in (False, True)):
            if np.array_equal(turned.target, target[:, :: -1 if along_z else 1, :: -1 if along_x else 1]):
                break
        leant = turned.inputs[LOW, 0, 0], turned.inputs[HIGH, 0, 0]
        assert leant == pytest.approx((-0.7, 0.5) if along_z != along_x else (-0.5, 0.7))
        steps = slice(None, None, -1 if along_z else 1), slice(None, None, -1 if along_x else 1)
        assert np.array_equal(turned.inputs[FIRST_GUESS], inputs[FIRST_GUESS][steps])
        other_side = np.array_equal(turned.inputs[0], inputs[2 * NEIGHBOURS][steps])
        seen.add((along_z, along_x, other_side))
        assert other_side or np.array_equal(turned.inputs[0], inputs[0][steps])
    assert len(seen) == 8


def test_a_crop_shows_the_same_place_of_all_and_keeps_to_the_grid(samples):
    rng = np.random.default_rng(0)
    inputs, target = samples[0]
    places = np.stack(np.meshgrid(*map(np.arange, target.shape[1:]), indexing="ij"))
    for _ in range(10):
        crop = cropped(Sample(places, target), rng, 64)
        top, left = crop.inputs[:, 0, 0]
        assert top % 2 == left % 2 == 0
        assert np.array_equal(crop.target, target[:, top : top + 64, left : left + 64])
    assert small().augment(samples[0], rng).inputs.shape == (len(inputs), 128, 128)


def test_only_what_no_tilt_measured_counts_as_unmeasured():
    low, high = torch.tensor([-60.0]), torch.tensor([60.0])
    seen, unseen = wave(0, 4), wave(4, 0)
    target = torch.zeros_like(seen)
    first_guess = seen + unseen
    gain = unmeasured_gain(seen + 0.5 * unseen, first_guess, target, low, high, floor=0)
    assert gain.item() == pytest.approx(-20 * np.log10(2), rel=1e-4)
    assert unmeasured_gain(0.1 * seen + unseen, first_guess, target, low, high, floor=0).item() == pytest.approx(0)
    # Along 45 degrees; mirrored, along -45 degrees, which these tilts did measure.
    leaning = torch.tensor([-70.0]), torch.tensor([30.0])
    mixed = wave(4, 4) + wave(4, -4) + unseen
    gain = unmeasured_gain(mixed - wave(4, 4), mixed, target, *leaning, floor=0).item()
    assert gain == pytest.approx(10 * np.log10(1 / 2), rel=1e-4)
    assert unmeasured_gain(mixed - wave(4, -4), mixed, target, *leaning, floor=0).item() == pytest.approx(0, abs=1e-5)


def test_a_new_network_says_what_total_variation_says_and_sees_no_farther_than_it_tells():
    network = WedgeNet(len(MAPS), len(INPUT_CHANNELS) - len(MAPS), first_guess=FIRST_GUESS, widths=(4, 6, 8), bottom=1)
    rng = torch.Generator().manual_seed(0)
    channels = torch.randn(1, len(INPUT_CHANNELS), 160, 16, generator=rng)
    channels[:, FIRST_GUESS] = channels[:, FIRST_GUESS].abs()  # no density is below zero
    with torch.no_grad():
        torch.testing.assert_close(network(channels), channels[:, FIRST_GUESS : FIRST_GUESS + 1])
        for parameter in network.parameters():
            parameter.uniform_(-0.3, 0.3, generator=rng)
        reach = network.receptive_field_radius()
        assert reach % network.multiple == 0
        assert reach < 80
        changed = channels.clone()
        changed[:, :, 80] += 1
        differs = (network(changed) != network(channels)).any(-1)[0, 0].nonzero().ravel()
    assert 80 - reach <= differs.min()
    assert differs.max() <= 80 + reach


def test_the_truth_scores_best_and_the_first_guess_is_not_published(held_out):
    recipe = small(without=("shells",))
    truths = {of.planes.tobytes(): of.truth for of in held_out}
    perfect = recipe.evaluate(lambda batch: truths[batch[0].tobytes()][None, None] + 1e-3, held_out)
    assert recipe.objection(perfect) is None
    assert perfect.score > 20
    rows = {row["images"]: row for row in perfect.table}
    assert rows["lopsided"]["number"] == 3
    assert rows["shells, never seen, lopsided"]["number"] == 1
    assert rows["lopsided"]["ssim"]["worst"] > 0.99
    same = recipe.evaluate(lambda batch: batch[:, FIRST_GUESS : FIRST_GUESS + 1], held_out)
    assert same.score == pytest.approx(0, abs=1e-6)
    assert "no better" in recipe.objection(same)


def test_a_slice_worse_than_simultaneous_iterations_is_an_objection(held_out):
    recipe, worst = small(), held_out[0]
    truths = {of.planes.tobytes(): of.truth for of in held_out}

    def run(batch):
        is_worst = batch[0].tobytes() == worst.planes.tobytes()
        return (0 if is_worst else 1) * truths[batch[0].tobytes()][None, None] + 1e-4

    evaluation = recipe.evaluate(run, held_out)
    assert evaluation.figures["least_over_sirt_db"] < 0
    assert "below SIRT" in recipe.objection(evaluation)


def test_no_held_out_phantom_is_one_of_the_benchmark(held_out):
    assert small().held_out_seed != 0  # that of the benchmark
    judged = cases(0)
    for of in held_out:
        true = judged[f"{of.kind}-{of.condition}"].sample().truth[:, 0]
        assert not np.allclose(of.truth / of.truth.max(), true / true.max(), atol=0.1)


def test_the_recipe_survives_its_own_json_and_refuses_what_there_is_not():
    recipe = small(without=("atoms",))
    assert recipes.recipe("wedge", json.loads(json.dumps(recipe.options()))) == recipe
    with pytest.raises(InvalidOption, match="did you mean 'porous'"):
        WedgeRecipe(without=("poros",))
    with pytest.raises(InvalidOption, match="held_out_conditions"):
        WedgeRecipe(held_out_conditions=("80-lo",))
    assert json.loads(json.dumps(recipe.domain()))["span_deg"] == [95, 155]
    assert recipe.output_channels == OUTPUT_CHANNELS
    assert list(recipe.image_names()) == []


def test_a_few_steps_lower_the_loss(tmp_path):
    recipe = replace(small(), pool_size=4, side=64, schedule=Schedule(batch=2, learning_rate=3e-3, warm_up=5))
    list(SamplePool(tmp_path / "pool", 4).fill(recipe.sample_maker(), 4))
    evaluation = train(recipe, tmp_path, budget=Budget(steps=100), workers=0, report=quiet)
    before, after = (row["loss"] for row in RunFolder(tmp_path).rows("curve"))
    assert after < before - 0.3
    assert set(evaluation.figures) >= {"lopsided_psnr", "lopsided_psnr_of_tv", "least_over_sirt_db"}
