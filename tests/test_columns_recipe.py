"""The recipe of columns: its samples, and by what its maps are judged."""

import json
from dataclasses import replace

import numpy as np
import pytest

from semrt.errors import InvalidOption
from semrt.simulate.columns import Imaging, Specimen, record
from semrt.tasks.column_input import INPUT_CHANNELS, OUTPUT_CHANNELS, network_input
from semrt_export import recipes
from semrt_export.column_maps import Found, classical_columns, f1_of, iou, map_columns, on_whole
from semrt_export.data.columns import TARGETS, HeldOutColumns, column_targets, disks, held_out_columns
from semrt_export.data.pool import SamplePool
from semrt_export.recipes.columns import ColumnsRecipe
from semrt_export.run_folder import RunFolder
from semrt_export.schedule import Budget, Schedule
from semrt_export.train import train

COLUMNS, CLEAN, WEIGHT = (TARGETS.index(name) for name in ("columns", "clean", "weight"))


def quiet(_line):
    pass


def small(**options):
    return ColumnsRecipe(
        side=48, widths=(8, 8, 8), bottom=1, held_out_draws=2, held_out_side=96, held_out_cases=(), **options
    )


@pytest.fixture(scope="module")
def held_out():
    return tuple(held_out_columns(("square-starved", "perovskite-faint"), seed=11, draws=4, side=160))


def image_of(structure="perovskite-100", dose=2000.0, **imaging):
    specimen = Specimen(structure, 12.0, angle=10)
    settings = {"probe_sigma": 2.4, "level": 0.2, "light": 0.3, **imaging}
    return record(specimen, Imaging(dose=dose, **settings), (120, 132), np.random.default_rng(1), bound=False)


def test_a_sample_of_columns_is_the_same_whoever_makes_it():
    make = small().sample_maker()
    first, again, other = make(4), small().sample_maker()(4), make(5)
    assert np.array_equal(first.inputs, again.inputs)
    assert not np.array_equal(first.inputs, other.inputs)
    assert first.inputs.shape == (len(INPUT_CHANNELS), 48, 48)
    assert first.target.shape == (len(TARGETS), 48, 48)
    assert all(np.isfinite(part).all() for part in first)


def test_what_lies_beyond_a_small_image_mirrors_it_and_does_not_count():
    make = replace(small(), side=400).sample_maker()
    sample = next(sample for sample in map(make, range(20)) if (sample.target[WEIGHT] == 0).any(axis=1).all())
    rows = int((sample.target[WEIGHT].max(axis=1) > 0).sum())
    columns = int((sample.target[WEIGHT].max(axis=0) > 0).sum())
    assert columns < 400
    assert (sample.target[WEIGHT, :rows, :columns] > 0).all()
    assert np.array_equal(sample.inputs[:, :rows, columns], sample.inputs[:, :rows, columns - 1])


def test_disks_are_as_large_as_they_should_be_and_do_not_touch():
    image = image_of()
    seen = network_input(image.counts, spacing=12.0)
    target = column_targets(image, seen)[COLUMNS]
    y, x = seen.to_planes(image.y, image.x)
    rows, columns = (np.rint(at).astype(int) for at in (y, x))
    inside = (rows > 5) & (columns > 5) & (rows < target.shape[0] - 6) & (columns < target.shape[1] - 6)
    assert (target[rows[inside], columns[inside]] == 1).all()
    area = target[6:-6, 6:-6].sum() / inside.sum()
    assert area == pytest.approx(np.pi * (0.32 * 12) ** 2, rel=0.1)
    # Half-way between a heavy and a light column, 12 px apart, there is a gap of 12 - 2 · 3.84 px.
    assert target.mean() < 0.36


def test_a_disk_has_its_area_and_its_centre():
    drawn = disks(np.array([20.3]), np.array([17.8]), np.array([5.0]), np.array([0.5]), (40, 40))
    assert drawn.sum() == pytest.approx(0.5 * np.pi * 25, rel=0.01)
    assert drawn.sum(1) @ np.arange(40) / drawn.sum() == pytest.approx(20.3, abs=0.02)
    assert drawn.sum(0) @ np.arange(40) / drawn.sum() == pytest.approx(17.8, abs=0.02)


def test_the_clean_target_is_the_image_without_noise_and_background():
    image = image_of(dose=1e6)
    seen = network_input(image.counts, spacing=12.0)
    clean = column_targets(image, seen)[CLEAN]
    # Without noise, what differs is the constant background alone.
    difference = seen.planes[0] - clean
    assert difference.std() < 0.02 * clean.std()


def test_light_columns_weigh_more_and_invisible_ones_almost_nothing():
    image = image_of(dose=60.0, read_noise=2.0)
    seen = network_input(image.counts, spacing=12.0)
    weight = column_targets(image, seen)[WEIGHT]
    y, x = (np.rint(at).astype(int) for at in seen.to_planes(image.y, image.x))
    inside = (y > 0) & (x > 0) & (y < weight.shape[0] - 1) & (x < weight.shape[1] - 1)
    heavy = inside & (image.species == "Sr")
    light = inside & (image.species == "O") & (image.snr >= 3)
    assert weight[y[light], x[light]].min() > 1.3 * weight[y[heavy], x[heavy]].max()
    dark = image_of(dose=60.0, read_noise=100.0)
    assert dark.snr.max() < 3
    hidden = column_targets(dark, seen)
    assert (hidden[COLUMNS] == 0).all()
    assert (hidden[WEIGHT][y[heavy], x[heavy]] < 0.2).all()


def test_turning_a_sample_turns_all_its_maps_alike():
    sample, recipe, rng = small().sample_maker()(0), small(), np.random.default_rng(0)
    views = {recipe.augment(sample, rng).inputs.tobytes() for _ in range(60)}
    assert len(views) == 8  # the symmetries of the square
    product = np.sort((sample.inputs[0] * sample.target[CLEAN]).ravel())
    for _ in range(8):
        turned = recipe.augment(sample, rng)
        np.testing.assert_array_equal(np.sort((turned.inputs[0] * turned.target[CLEAN]).ravel()), product)


def test_the_true_disks_are_a_perfect_map(held_out):
    recipe = small()
    answers = {image.planes[:, :8, :8].tobytes(): image.target[:2] for image in held_out}

    def perfect(batch):
        answer = answers[np.ascontiguousarray(batch[0, :, :8, :8]).tobytes()]
        return np.pad(answer, ((0, 0), *((0, a - b) for a, b in zip(batch.shape[2:], answer.shape[1:], strict=True))))[
            None
        ]

    evaluation = recipe.evaluate(perfect, held_out)
    assert evaluation.score > 0.98
    assert recipe.objection(evaluation) is None
    rows = {row["images"]: row for row in evaluation.table}
    assert rows["library"]["number"] == 4
    assert rows["cases"]["iou"]["worst"] == 1
    assert rows["cases"]["rms_of_clean"] == 0


def test_a_map_that_is_the_image_itself_is_not_published(held_out):
    recipe = small()
    evaluation = recipe.evaluate(lambda batch: np.clip(0.2 * batch[:, ::-1], 0, 1), held_out)
    assert "no better" in recipe.objection(evaluation)


def test_f1_counts_hits_misses_and_ghosts_once():
    at = np.array([20.0, 20.0, 40.0, 40.0, 3.0])
    x = np.array([20.0, 40.0, 20.0, 40.0, 30.0])
    counted = np.array([True, True, True, False, False])  # the fourth is too faint, the fifth at the border
    image = HeldOutColumns("", "", np.zeros((2, 60, 60)), np.zeros((3, 60, 60)), at, x, counted, 10.0, 5.0)
    assert f1_of(Found(at, x), image) == 1
    assert f1_of(Found(at[:3] + 3.4, x[:3]), image) == 1
    assert f1_of(Found(at[:3] + 3.6, x[:3]), image) == 0
    assert f1_of(Found(at[:2], x[:2]), image) == pytest.approx(2 * 2 / (2 * 2 + 1))
    ghosts = Found(np.array([20.0, 20.5, 20.0, 40.0, 50.0, 2.0]), np.array([20.0, 20.5, 40.0, 20.0, 50.0, 50.0]))
    # Three hits; one column found twice and one that is not there; what lies at the border is let pass.
    assert f1_of(ghosts, image) == pytest.approx(2 * 3 / (2 * 3 + 2))
    assert f1_of(Found(at[:0], x[:0]), image) == 0


def test_maxima_are_found_once_and_to_a_part_of_a_pixel():
    y, x = np.array([15.3, 30.0]), np.array([11.6, 29.5])
    found = map_columns(disks(y, x, np.full(2, 3.5), np.ones(1), (45, 45)), sigma=1.5)
    order = np.argsort(found.y)
    np.testing.assert_allclose(found.y[order], y, atol=0.1)
    np.testing.assert_allclose(found.x[order], x, atol=0.1)


def test_what_needs_no_network_finds_most_columns_of_a_clear_image(held_out):
    chosen = next(image for image in held_out if image.name == "square-starved")
    assert f1_of(classical_columns(chosen.planes), chosen) > 0.9


def test_overlap_is_taken_where_pixels_count():
    a, b = np.zeros((2, 4)), np.zeros((2, 4))
    a[:, :2], b[:, 1:3] = 1, 1
    weight = np.ones((2, 4))
    assert iou(a, b, weight) == pytest.approx(1 / 3)
    weight[:, 0] = 0.1
    assert iou(a, b, weight) == pytest.approx(1 / 2)


def test_images_of_any_size_are_run_whole():
    planes = np.random.default_rng(0).standard_normal((2, 33, 50)).astype(np.float32)
    assert np.array_equal(on_whole(lambda batch: batch, planes), planes)


def test_no_held_out_image_is_one_of_the_training():
    recipe = small()
    trained_on = {recipe.sample_maker()(index).target[CLEAN].tobytes() for index in range(5)}
    assert trained_on.isdisjoint(image.target[CLEAN].tobytes() for image in recipe.held_out())


def test_the_recipe_survives_its_own_json_and_states_its_domain():
    recipe = small(clean_share=0.5)
    assert recipes.recipe("columns", json.loads(json.dumps(recipe.options()))) == recipe
    with pytest.raises(InvalidOption, match="did you mean"):
        ColumnsRecipe(held_out_cases=("square-cleen",))
    domain = json.loads(json.dumps(recipe.domain()))
    assert domain["standard_spacing"] == 12
    assert recipe.output_channels == OUTPUT_CHANNELS
    assert list(recipe.image_names()) == []


def test_a_few_steps_lower_the_loss(tmp_path):
    recipe = replace(small(), pool_size=8, schedule=Schedule(batch=4, learning_rate=3e-3, warm_up=5))
    list(SamplePool(tmp_path / "pool", 8).fill(recipe.sample_maker(), 8))
    train(recipe, tmp_path, budget=Budget(steps=100), workers=0, report=quiet)
    before, after = (row["loss"] for row in RunFolder(tmp_path).rows("curve"))
    assert after < 0.8 * before
