"""The published networks for layers: their recipes, the tasks that run them, and that both give the same."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import semrt
from command import run as semrt_command
from semrt import io
from semrt.backends import open_session
from semrt.data import EnergyStack, LayerMap, Volume
from semrt.errors import InvalidOption, ModelUnsuitable
from semrt.models import Manifest
from semrt.physics.backscatter import ENERGIES, backscatter
from semrt.simulate.layers import draw, split_seed
from semrt.tasks import NetworkTask, find_task
from semrt.tasks.published_layers import (
    INPUT_CHANNELS,
    VOXEL_CHANNELS,
    LayersByThickness,
    LayersByVoxels,
    thickness_of_voxels,
)
from semrt.tiling import padded_length
from semrt_export import recipes
from semrt_export.cli import train as train_command
from semrt_export.data.pool import SamplePool
from semrt_export.data.published_layers import layer_scores, voxel_labels
from semrt_export.recipes.published_layers import AS_PUBLISHED
from semrt_export.run_folder import RunFolder
from semrt_export.schedule import Budget
from semrt_export.train import train
from trained_models import trained_in_two_steps

THICKNESS = ("layers-3conv", "layers-unet-2d", "layers-stacked")
VOXELS = ("layers-unet-3d", "layers-hybrid")
NAMES = (*THICKNESS, *VOXELS)
SLOW = ("layers-unet-2d", "layers-stacked", "layers-hybrid")
DOMAIN = {"energies_keV": ENERGIES.tolist(), "variant": "repo"}


def quiet(_line):
    pass


def small(name, **options):
    width = 32 if name == "layers-hybrid" else 2
    return recipes.recipe(name, {"width": width, "side": 32, "pool_size": 8, "held_out_stacks": 1, **options})


def drawn(number=0, shape=(40, 56), **more):
    sample = draw(split_seed("test", number), shape, "perlin", **more)
    return sample, EnergyStack(sample.intensity, sample.energies, (2.0, 3.0), {"detector": "BSE"})


# --- recipes


def test_all_recipes_learn_from_the_same_stacks_of_their_variant():
    samples = {name: small(name).sample_maker()(3) for name in NAMES}
    for sample in samples.values():
        assert sample.inputs.shape == (31, 32, 32)
        np.testing.assert_array_equal(sample.inputs, samples["layers-3conv"].inputs)
        np.testing.assert_array_equal(sample.target, samples["layers-3conv"].target)
        # 2 % of noise about what the true layers give, each of 31 · 32 · 32 values off by itself.
        off = sample.inputs / backscatter(sample.target, ENERGIES) - 1
        assert off.std() == pytest.approx(0.02, rel=0.02)
    phys = small("layers-3conv", variant="phys").sample_maker()(3)
    np.testing.assert_array_equal(phys.target, samples["layers-3conv"].target)
    assert (phys.inputs / backscatter(phys.target, ENERGIES, variant="phys") - 1).std() == pytest.approx(0.02, rel=0.02)


def test_no_held_out_stack_is_one_of_the_training():
    recipe = small("layers-3conv", side=128, held_out_stacks=3)
    trained_on = {recipe.sample_maker()(index).target.tobytes() for index in range(3)}
    assert trained_on.isdisjoint(sample.thickness.tobytes() for sample in recipe.held_out())


def test_voxels_to_learn_are_those_of_the_result():
    rng = np.random.default_rng(5)
    thickness = np.stack([rng.uniform(0, 25, (3, 9, 7)), rng.uniform(0, 160, (3, 9, 7))], 1).astype(np.float32)
    labels = voxel_labels(torch.from_numpy(thickness)).numpy()
    for one, expected in zip(labels, thickness, strict=True):
        np.testing.assert_array_equal(one, LayerMap(expected).voxels(10, 160))


@pytest.mark.parametrize("name", THICKNESS)
def test_the_loss_of_thickness_weighs_aluminium(name):
    truth = torch.zeros(2, 2, 4, 4)
    off = torch.stack([torch.full((2, 4, 4), 1.0), torch.full((2, 4, 4), 20.0)], 1)  # 1 nm of gold, 20 of aluminium
    answers = off[:, None].expand(-1, 3, -1, -1, -1) if name == "layers-stacked" else off
    for weight in (1.0, 0.1, 0.01):
        loss = small(name, aluminium_weight=weight).loss(answers, truth, truth)
        assert float(loss) == pytest.approx((1 + 400 * weight) / 2)


def test_every_network_of_the_stack_is_judged():
    truth = torch.zeros(1, 2, 4, 4)
    answers = torch.zeros(1, 3, 2, 4, 4)
    answers[:, 0, 0] = 3.0  # the first one alone is wrong, by 3 nm of gold: (9 / 2 + 0 + 0) / 3
    assert float(small("layers-stacked").loss(answers, truth, truth)) == pytest.approx(1.5)


@pytest.mark.parametrize("name", VOXELS)
def test_the_loss_of_voxels_is_the_logarithm_of_how_unlikely_the_truth_was_thought(name):
    truth = torch.tensor([20.0, 30.0])[None, :, None, None].expand(1, 2, 4, 4)  # 2 voxels of gold, 3 of aluminium
    recipe = small(name)
    assert float(recipe.loss(torch.zeros(1, 48, 4, 4), truth, truth)) == pytest.approx(np.log(3))
    right = torch.zeros(1, 48, 4, 4)
    for channel, label in enumerate(VOXEL_CHANNELS):
        material, place = label.split(" ")[:2]
        at = int(place.split("-")[0]) // 10
        expected = "gold" if at < 2 else "aluminium" if at < 5 else "nothing"
        right[:, channel] = 30.0 * (material == expected)
    assert float(recipe.loss(right, truth, truth)) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_scores_as_far_as_the_output_can_say_it_and_nothing_is_refused(name):
    recipe = small(name, held_out_stacks=2)
    held_out = recipe.held_out()
    truth = {sample.intensity.tobytes(): sample.thickness for sample in held_out}

    def perfect(batch):
        thickness = truth[batch[0].tobytes()]
        if name in THICKNESS:
            return thickness[None]
        labels = LayerMap(thickness).voxels(10, 160)
        return np.concatenate([labels == material for material in range(3)]).astype(np.float32)[None]

    evaluation = recipe.evaluate(perfect, held_out)
    assert evaluation.score == 1
    assert (evaluation.figures["mae_gold_nm"] == 0) == (name in THICKNESS)
    assert recipe.objection(evaluation) is None
    nothing = np.zeros((1, len(recipe.output_channels), 128, 128), np.float32)  # equal logits: the first class
    empty = recipe.evaluate(lambda batch: nothing, held_out)
    assert empty.score == empty.figures["miou_of_nothing"]
    assert "no better than seeing nothing" in recipe.objection(empty)
    assert "NaN" in recipe.objection(recipe.evaluate(lambda batch: nothing + np.nan, held_out))


def test_scores_are_those_of_voxels_counted_by_hand():
    truth, found = np.zeros((2, 2, 1, 2), np.float32)
    truth[0, 0, 0], found[0, 0, 0] = 10, 9  # the first pixel: a voxel of gold, missed by 1 nm
    truth[1, 0, 1], found[1, 0, 1] = 20, 39  # the second: two of aluminium, and one more that is not there
    scores = layer_scores(found, truth)
    assert scores["iou_gold"] == 0
    assert scores["iou_aluminium"] == pytest.approx(2 / 3)
    # Of 32 voxels 29 are empty; 28 are found so, and the one of gold is taken for one.
    assert scores["miou"] == pytest.approx((28 / 30 + 0 + 2 / 3) / 3)
    assert scores["recall"] == pytest.approx((28 / 29 + 0 + 1) / 3)
    assert scores["accuracy"] == pytest.approx(30 / 32)
    assert (scores["mae_gold_nm"], scores["mae_aluminium_nm"]) == (0.5, 9.5)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("layers-3conv", 0.094e6),
        ("layers-unet-2d", 16.5e6),
        ("layers-stacked", 75e6),
        ("layers-unet-3d", 16.5e6),
        ("layers-hybrid", 3.5e6),
    ],
)
def test_the_published_options_give_the_published_training(name, published):
    kind = type(recipes.recipe(name, {}))
    recipe = recipes.recipe(name, kind.published())
    with torch.device("meta"):  # counted, not made
        network = recipe.network()
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(published, rel=0.01)
    assert recipe.schedule == AS_PUBLISHED
    assert {recipe.schedule.learning_rate_at(step, spent) for step, spent in ((0, 0.0), (500, 0.5), (900, 1.0))} == {
        3e-5
    }
    assert recipe.side == 128
    assert 150 * recipe.pool_size == 88125 * recipe.schedule.batch  # the steps that the docstring says
    drops = [part.p for part in network.modules() if isinstance(part, (torch.nn.Dropout, torch.nn.Dropout2d))]
    assert set(drops) == (set() if name in ("layers-3conv", "layers-hybrid") else {0.5})


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_its_own_json_and_its_tiles_hold_more_than_halo(name):
    recipe = small(name, variant="phys")
    assert recipes.recipe(name, json.loads(json.dumps(recipe.options()))) == recipe
    assert json.loads(json.dumps(recipe.domain())) == {**DOMAIN, "variant": "phys"}
    assert recipe.name == name
    network = recipe.network()
    assert recipe.tile - 2 * network.receptive_field_radius() >= 128
    assert recipe.tile % network.multiple == 0


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("layers-unet-2d", {"width": 0}, "width: expected 1 or more, got 0"),
        ("layers-hybrid", {"width": 40}, "width: expected a multiple of 32, got 40"),
        ("layers-unet-2d", {"side": 40}, "side: expected a multiple of 16 px, got 40"),
        ("layers-unet-2d", {"variant": "phsy"}, "did you mean"),
        ("layers-stacked", {"dropout": 1.0}, "dropout: expected a share from 0 to below 1, got 1.0"),
        ("layers-3conv", {"aluminium_weight": 0.0}, "aluminium_weight: expected above zero, got 0.0"),
        ("layers-3conv", {"dropout": 0.5}, "dropout"),
        ("layers-unet-3d", {"aluminium_weight": 0.1}, "aluminium_weight"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_a_line(name, options, says):
    with pytest.raises(InvalidOption, match=says) as refused:
        recipes.recipe(name, options)
    assert "\n" not in str(refused.value)


# --- options on the command line


def trained_by_command(out, *more, model="layers-3conv"):
    list(SamplePool(out / "pool", 8).fill(small(model).sample_maker(), 8))
    return CliRunner().invoke(
        train_command, [model, "--out", str(out), "--workers", "0", "--threads", "1", "--max-steps", "1", *more]
    )


def test_options_of_a_recipe_are_set_on_the_command_line_and_kept_with_the_run(tmp_path):
    given = {"width": "3", "side": "32", "held_out_stacks": "1", "aluminium_weight": "1", "published_schedule": "yes"}
    done = trained_by_command(tmp_path, *(word for pair in given.items() for word in ("--set", "=".join(pair))))
    assert done.exit_code == 0, done.output
    config = RunFolder(tmp_path).read_config()
    chosen = {"width": 3, "side": 32, "held_out_stacks": 1, "aluminium_weight": 1.0, "published_schedule": True}
    assert config["recipe"].items() >= chosen.items()
    assert config["schedule"]["learning_rate"] == 3e-5
    refused = trained_by_command(tmp_path, "--resume", "--set", "width=4")
    assert "leave --images, --held-out and --set away" in str(refused.exception)


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("widht=4", "did you mean 'width'"),
        ("schedule=fast", "schedule"),
        ("width=wide", "--set width: expected a value such as 32, got 'wide'"),
        ("width=1.5", "--set width: expected a value such as 32, got 1.5"),
        ("published_schedule=1", "--set published_schedule: expected a value such as False, got 1"),
        ("width", "expected NAME=VALUE"),
    ],
)
def test_an_option_that_the_recipe_does_not_know_stops_the_command(tmp_path, pair, says):
    done = trained_by_command(tmp_path, "--set", pair)
    assert isinstance(done.exception, InvalidOption)
    assert says in str(done.exception)
    assert not RunFolder(tmp_path).config.exists()


# --- tasks


@pytest.mark.parametrize("name", ["layers-thickness", "layers-voxels"])
def test_the_tasks_take_the_images_as_they_are_and_say_their_energies(name):
    task = find_task(name)
    assert isinstance(task, NetworkTask)
    assert (task.input_channels[0], task.input_channels[-1], len(task.input_channels)) == ("5 keV", "35 keV", 31)
    _, stack = drawn()
    np.testing.assert_array_equal(task.prepare(stack), stack.intensity)


def test_thickness_goes_through_and_none_is_negative():
    sample, stack = drawn()
    result = LayersByThickness().finish(sample.thickness - np.float32(0.5), stack.intensity, stack)
    np.testing.assert_array_equal(result.thickness, np.maximum(sample.thickness - np.float32(0.5), 0))
    assert result.sigma is None
    assert (result.pixel_size, result.metadata) == ((2.0, 3.0), {"detector": "BSE"})
    np.testing.assert_allclose(
        LayersByThickness().finish(sample.thickness, stack.intensity, stack).residual, 0.02, rtol=0.1
    )


def test_voxels_are_counted_in_each_column_wherever_they_lie():
    logits = np.zeros((48, 1, 3), np.float32)
    channel = {name: logits[k] for k, name in enumerate(VOXEL_CHANNELS)}
    for name in ("gold 0-10 nm", "gold 70-80 nm", "aluminium 10-20 nm"):
        channel[name][0, 1] = 1.0
    for name in VOXEL_CHANNELS[32:]:
        channel[name][0, 2] = 1.0
    expected = np.array([[[0, 20, 0]], [[0, 10, 160]]])
    np.testing.assert_array_equal(thickness_of_voxels(logits), expected)
    _, stack = drawn(shape=(1, 3))
    result = LayersByVoxels().finish(logits, stack.intensity, stack)
    np.testing.assert_array_equal(result.thickness, expected)
    assert result.sigma is None
    assert result.notes == ()


@pytest.mark.parametrize("task", [LayersByThickness(), LayersByVoxels()])
def test_other_energies_and_another_variant_lie_outside_the_training(task):
    _, stack = drawn()
    assert task.outside_domain(stack, DOMAIN) is None
    few = EnergyStack(stack.intensity[:20], stack.energies[:20])
    why = "trained on 31 energies from 5 to 35 keV, not 20 energies from 5 to 24 keV"
    assert task.outside_domain(few, DOMAIN) == why
    assert task.outside_domain(stack, DOMAIN, variant="phys") == "trained on the variant repo, not phys"
    assert task.outside_domain(stack, {**DOMAIN, "variant": "phys"}, variant="phys") is None


# --- from a recipe to an answer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Name -> a model after two steps of training, its recipe, and its network in PyTorch; each is made once."""

    @cache
    def of(name):
        recipe = small(name)
        folder, network = trained_in_two_steps(recipe, tmp_path_factory.mktemp(name))
        return folder, recipe, network

    return of


def in_torch(network, images):
    """The answer for images whose end mirrors them up to the size that the network needs."""
    more = [(0, padded_length(n, network.multiple) - n) for n in images.shape[1:]]
    padded = np.pad(images, ((0, 0), *more), mode="symmetric")
    with torch.inference_mode():
        answer = network(torch.from_numpy(padded)[None])[0].numpy()
    return padded, answer, answer[:, : images.shape[1], : images.shape[2]]


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in NAMES])
@pytest.mark.filterwarnings("ignore:.*times the noise unexplained")
def test_an_exported_network_gives_in_the_runtime_what_it_gives_in_torch_for_stacks_of_odd_sizes(made, name):
    folder, recipe, network = made(name)
    manifest = Manifest.read(folder)
    assert (manifest.name, manifest.task) == (recipe.name, recipe.task)
    assert manifest.input_channels == INPUT_CHANNELS
    assert 0 < manifest.variants["fp16"]["relative_rms"] < recipe.half_precision_limit
    for shape in ((37, 53), (17, 33)):
        _, stack = drawn(1, shape)
        padded, whole, answer = in_torch(network, stack.intensity)
        with open_session(folder, "cpu", threads=1) as session:
            np.testing.assert_allclose(session.run(padded[None])[0], whole, rtol=1e-4, atol=1e-4)
        result = semrt.infer(folder, stack, device="cpu", threads=1, fallback="none")
        assert result.shape == shape
        assert result.sigma is None
        if recipe.name in THICKNESS:
            np.testing.assert_allclose(result.thickness, answer, rtol=1e-4, atol=1e-4)
        else:  # two logits may be alike to the last digit
            assert np.mean(result.thickness != thickness_of_voxels(answer)) < 1e-3


@pytest.mark.filterwarnings("ignore:.*times the noise unexplained")
def test_what_the_network_was_not_trained_for_is_refused_or_left_to_the_markov_field(made):
    folder, _, _ = made("layers-unet-3d")
    energies = ENERGIES[::2]
    _, stack = drawn(2, (24, 24), energies=energies)
    with pytest.raises(ModelUnsuitable, match=r"trained on 31 energies from 5 to 35 keV, not 16") as refused:
        semrt.infer(folder, stack, device="cpu", threads=1, fallback="none")
    assert "\n" not in str(refused.value)
    with pytest.warns(UserWarning, match="layers runs instead"):
        assert semrt.infer(folder, stack, device="cpu", threads=1).sigma is not None
    with pytest.raises(InvalidOption, match="option 'weight'"):
        semrt.infer(folder, stack, device="cpu", threads=1, weight=0.1)


@pytest.mark.filterwarnings("ignore:.*times the noise unexplained")
def test_the_command_runs_an_exported_network_on_a_file(made, tmp_path):
    folder, _, network = made("layers-3conv")
    _, stack = drawn(3, (21, 35))
    io.write(tmp_path / "stack.tif", Volume(stack.intensity, metadata={"energies_keV": stack.energies.tolist()}))
    done = semrt_command("infer", folder, tmp_path / "stack.tif", "-o", tmp_path / "out", "--threads", "1")
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "stack_layers-3conv.semrt.json",
        "stack_layers-3conv.tif",
        "stack_layers-3conv_voxels.tif",
    ]
    written = io.read(tmp_path / "out" / "stack_layers-3conv.tif").intensity
    np.testing.assert_allclose(written, in_torch(network, stack.intensity)[2], rtol=1e-4, atol=1e-4)


def test_a_few_steps_lower_the_loss(tmp_path):
    recipe = small("layers-3conv", width=8)
    list(SamplePool(tmp_path / "pool", 8).fill(recipe.sample_maker(), 8))
    train(recipe, tmp_path, budget=Budget(steps=150), workers=0, threads=1, report=quiet)
    before, _, after = (row["loss"] for row in RunFolder(tmp_path).rows("curve"))
    assert after < 0.7 * before
