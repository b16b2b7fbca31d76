"""The published network for partial scans: its recipes, the task that runs it, and that both give the same."""

import json
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import semrt
from command import run as semrt_command
from semrt import io
from semrt import scan as scan_paths
from semrt.backends import open_session
from semrt.data import SparseScan
from semrt.errors import InvalidOption, ModelUnsuitable
from semrt.models import Manifest
from semrt.simulate import micrographs
from semrt.tasks import NetworkTask, find_task
from semrt.tasks.published_infill import INPUT_CHANNELS, PublishedInfill, normalisation
from semrt.tiling import padded_length
from semrt_export import recipes
from semrt_export.cli import train as train_command
from semrt_export.data.pool import SamplePool
from semrt_export.recipes.published_infill import PublishedInfillRecipe
from semrt_export.run_folder import RunFolder
from trained_models import trained_in_two_steps

NAMES = ("infill-published", "infill-published-adversarial")
SMALL = {"width": 1 / 32, "side": 96, "pool_size": 8, "held_out_draws": 2}


def small(name="infill-published", **options):
    return recipes.recipe(name, {**SMALL, **options})


def spiral_scan(shape=(128, 128), seed=0, exposure=False):
    image = micrographs.draw(np.random.default_rng(seed), shape) * 300 + 50
    visited = scan_paths.generate("ede-spiral", shape, nominal=16).visited
    if not exposure:
        return SparseScan(image, visited, pixel_size=(0.2, 0.3), metadata={"detector": "HAADF"})
    share = cv2.GaussianBlur(visited.astype(np.float32), (3, 3), 0)
    return SparseScan(image * share, share > 0, exposure=share)


# --- recipes


def test_samples_hold_the_scan_along_the_spiral_and_the_noisy_truth():
    make = small().sample_maker()
    samples = [make(index) for index in range(4)]
    again = small().sample_maker()(2)
    assert np.array_equal(samples[2].inputs, again.inputs)
    assert np.array_equal(samples[2].target, again.target)
    path = scan_paths.generate("ede-spiral", (96, 96), nominal=16).visited
    for sample in samples:
        channel = dict(zip(INPUT_CHANNELS, sample.inputs, strict=True))
        assert np.array_equal(channel["path"], path.astype(np.float32))
        np.testing.assert_allclose(channel["intensity"], np.where(path, sample.target[0], 0), atol=1e-5)
        assert abs(sample.target[0][path].mean()) < 1e-3
        assert sample.target[0][path].std() == pytest.approx(0.5, rel=1e-3)
        assert recipes.recipe("infill-published", {}).augment(sample, np.random.default_rng(0)) is sample


def test_the_published_gridlike_path_is_walks_of_the_coverage_asked_for():
    recipe = small(pattern="random-walk", nominal=20.0)
    sample = recipe.sample_maker()(0)
    path = sample.inputs[INPUT_CHANNELS.index("path")]
    assert path.mean() == pytest.approx(1 / 20, rel=0.02)
    assert np.array_equal(path, recipe.sample_maker()(1).inputs[INPUT_CHANNELS.index("path")])
    assert recipe.domain()["patterns"] == ["random-walk"]
    walk = SparseScan(np.zeros((200, 300)), scan_paths.generate("random-walk", (200, 300), 1 / 20).visited)
    assert PublishedInfill().outside_domain(walk, recipe.domain()) is None
    assert PublishedInfill().outside_domain(spiral_scan(), recipe.domain()) is not None


def test_a_blurred_spiral_tells_its_exposure():
    sample = small(blurred=True).sample_maker()(0)
    path = sample.inputs[INPUT_CHANNELS.index("path")]
    visited = scan_paths.generate("ede-spiral", (96, 96), nominal=16).visited
    np.testing.assert_allclose(path, cv2.GaussianBlur(visited.astype(np.float32), (3, 3), 0), atol=1e-6)
    assert 0.5 < path.max() < 1


def test_the_blurred_truth_has_no_error_and_the_mean_is_refused():
    recipe = small()
    held_out = recipe.held_out()
    truths = {scan.sample.inputs.tobytes(): (scan.truth - scan.mean) / scan.scale for scan in held_out}
    perfect = recipe.evaluate(lambda channels: truths[channels[0].tobytes()][None, None], held_out)
    assert perfect.figures["rmse_network"] < 1e-3
    assert recipe.objection(perfect) is None
    zeros = recipe.evaluate(lambda channels: np.zeros((1, 1, 96, 96), np.float32), held_out)
    assert zeros.figures["rmse_network"] == pytest.approx(zeros.figures["rmse_mean"])
    assert "no better than that of the mean" in recipe.objection(zeros)
    assert "NaN" in recipe.objection(recipe.evaluate(lambda _: np.full((1, 1, 96, 96), np.nan, np.float32), held_out))
    assert zeros.figures["rmse_natural"] < zeros.figures["rmse_nearest"] < zeros.figures["rmse_mean"]


def test_errors_are_percent_of_images_from_0_to_1():
    recipe = small(held_out_draws=1)
    (scan,) = recipe.held_out()
    off = (scan.truth + 0.03 - scan.mean) / scan.scale
    evaluation = recipe.evaluate(lambda _: off[None, None], [scan])
    assert evaluation.figures["rmse_network"] == pytest.approx(3.0, rel=1e-3)
    assert evaluation.score == pytest.approx(-20 * np.log10(0.03), rel=1e-4)


def test_no_held_out_scan_is_one_of_the_training():
    recipe = small()
    trained_on = {recipe.sample_maker()(index).target.tobytes() for index in range(6)}
    assert trained_on.isdisjoint(scan.sample.target.tobytes() for scan in recipe.held_out())


def test_real_images_are_trained_on_and_measured_on_where_they_are_given(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (120, 130), np.uint8)
    cv2.imwrite(str(tmp_path / "real.png"), cv2.GaussianBlur(noise, (0, 0), 3))
    recipe = small(images=(str(tmp_path),), held_out_images=(str(tmp_path),), real_share=1.0, held_out_draws=1)
    assert recipe.sample_maker()(0).target.shape == (1, 96, 96)
    assert [scan.images for scan in recipe.held_out()] == ["procedural", "real"]
    assert recipe.image_names() == ["real.png"]


@pytest.mark.parametrize("name", NAMES)
def test_the_published_options_give_the_published_training(name):
    kind = type(recipes.recipe(name, {}))
    recipe = recipes.recipe(name, kind.published())
    with torch.device("meta"):  # counted, not made
        network = recipe.network()
        objective = recipe.objective()
    assert sum(weight.numel() for weight in network.parameters()) == 106_180_900
    assert recipe.side == 512
    schedule = recipe.schedule
    assert (schedule.batch, schedule.weight_decay, schedule.ema_decay) == (1, 0, 0)
    assert schedule.learning_rate_at(0, 0.0) == 3e-4
    if name == NAMES[1]:
        assert sum(weight.numel() for weight in objective.opponent.parameters()) == 8_263_488
        assert objective.opponent.crop == 70
        assert objective.opponent.optimiser.param_groups[0]["lr"] == 1e-4
        assert schedule.learning_rate_at(0, 0.6) == pytest.approx(1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_its_own_json_and_its_tiles_hold_more_than_halo(name):
    recipe = small(name, sees="filled-scan", nominal=20.0)
    assert recipes.recipe(name, json.loads(json.dumps(recipe.options()))) == recipe
    json.dumps(recipe.domain())
    network = recipe.network()
    assert recipe.tile - 2 * network.receptive_field_radius() >= 128
    assert recipe.tile % network.multiple == 0


@pytest.mark.parametrize(("sees", "first", "seen"), [("scan", 0, 1), ("scan-and-path", 0, 2), ("filled-scan", 2, 1)])
def test_the_network_sees_what_it_is_asked_to_see(sees, first, seen):
    network = small(sees=sees).network()
    assert (network.first, network.seen, network.in_channels) == (first, seen, 3)
    assert network.trainer is not None
    assert small(sees=sees, trainer=False).network().trainer is None


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        (NAMES[0], {"width": 0.01}, "width: expected 0.03125 or more, got 0.01"),
        (NAMES[0], {"side": 100}, "side: expected a multiple of 32 px, got 100"),
        (NAMES[0], {"sees": "path"}, "sees"),
        (NAMES[0], {"pattern": "spiral"}, "pattern"),
        (NAMES[0], {"nominal": 0.5}, "nominal: expected a distance"),
        (NAMES[1], {"crop": 40}, "crop: expected 46 px to less than half the side, got 40"),
        (NAMES[1], {"side": 64}, "crop: expected 46 px to less than half the side, got 46"),
        (NAMES[1], {"adversarial_weight": 0.0}, "adversarial_weight: expected above zero"),
        (NAMES[0], {"crop": 46}, "crop"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_a_line(name, options, says):
    with pytest.raises(InvalidOption, match=says) as refused:
        recipes.recipe(name, options)
    assert "\n" not in str(refused.value)


# --- the task


def test_the_network_is_given_the_normalised_scan_its_path_and_the_nearest_samples():
    scan = spiral_scan()
    mean, scale = normalisation(scan)
    values = scan.intensity[scan.visited].astype(float)
    assert (mean, scale) == pytest.approx((values.mean(), 2 * values.std()), rel=1e-5)
    task = find_task("infill-published")
    assert isinstance(task, NetworkTask)
    intensity, path, nearest = task.prepare(scan)
    np.testing.assert_allclose(intensity[scan.visited], (values - mean) / scale, atol=1e-5)
    assert not intensity[~scan.visited].any()
    np.testing.assert_array_equal(path, scan.visited)
    places = np.argwhere(scan.visited)
    for y, x in np.random.default_rng(0).integers(0, 128, (200, 2)):
        distances = np.hypot(*(places - (y, x)).T)
        near = places[distances <= distances.min() * 1.03 + 1e-6]  # those that count as nearest
        assert nearest[y, x] in intensity[near[:, 0], near[:, 1]]


def test_partial_exposure_weighs_the_scan_and_is_the_path():
    scan = spiral_scan(exposure=True)
    mean, scale = normalisation(scan)
    intensity, path, nearest = PublishedInfill().prepare(scan)
    np.testing.assert_allclose(path, scan.exposure)
    full = np.divide(scan.intensity, scan.exposure, where=scan.visited, out=np.zeros_like(scan.intensity))
    np.testing.assert_allclose(intensity, np.where(scan.visited, scan.exposure * (full - mean) / scale, 0), atol=1e-4)
    np.testing.assert_allclose(nearest[scan.visited], ((full - mean) / scale)[scan.visited], atol=1e-4)


def test_the_result_is_in_the_units_of_the_scan_and_keeps_what_was_measured():
    scan, task = spiral_scan(), PublishedInfill()
    mean, scale = normalisation(scan)
    predicted = np.full((1, *scan.shape), 0.5, np.float32)
    kept = task.finish(predicted, task.prepare(scan), scan)
    np.testing.assert_array_equal(kept.intensity[scan.visited], scan.intensity[scan.visited])
    np.testing.assert_allclose(kept.intensity[~scan.visited], mean + scale / 2, rtol=1e-5)
    assert (kept.pixel_size, kept.metadata, kept.error) == ((0.2, 0.3), {"detector": "HAADF"}, None)
    denoised = task.finish(predicted, task.prepare(scan), scan, denoise=True)
    np.testing.assert_allclose(denoised.intensity, mean + scale / 2, rtol=1e-5)


def test_the_spiral_of_the_training_is_inside_the_domain_in_a_field_of_any_size():
    domain = PublishedInfillRecipe().domain()
    for shape in ((64, 64), (128, 128), (300, 200), (512, 512)):
        assert PublishedInfill().outside_domain(spiral_scan(shape), domain) is None
    half = scan_paths.generate("ede-spiral", (128, 128), nominal=40).visited
    assert "coverage" in PublishedInfill().outside_domain(SparseScan(np.ones((128, 128)), half), domain)


# --- from a recipe to an answer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Name -> a model after two steps of training, and its network in PyTorch; each is made once."""

    @cache
    def of(name):
        return trained_in_two_steps(small(name), tmp_path_factory.mktemp(name))

    return of


def in_torch(network, scan):
    """The answer for a scan whose end is mirrored up to the size that the network needs."""
    channels = PublishedInfill().prepare(scan)
    more = [(0, padded_length(n, network.multiple) - n) for n in scan.shape]
    padded = np.pad(channels, ((0, 0), *more), mode="symmetric")
    with torch.inference_mode():
        answer = network(torch.from_numpy(padded)[None])[0, :, : scan.shape[0], : scan.shape[1]].numpy()
    return PublishedInfill().finish(answer, channels, scan).intensity


@pytest.mark.parametrize("name", [NAMES[0], pytest.param(NAMES[1], marks=pytest.mark.slow)])
def test_an_exported_network_gives_in_the_runtime_what_it_gives_in_torch(made, name):
    folder, network = made(name)
    manifest = Manifest.read(folder)
    assert (manifest.name, manifest.task, manifest.halo) == (name, "infill-published", 672)
    assert manifest.input_channels == INPUT_CHANNELS
    for shape in ((65, 97), (128, 128)):
        scan = spiral_scan(shape, seed=3)
        result = semrt.infer(folder, scan, device="cpu", threads=1, fallback="none")
        spread = float(np.ptp(scan.intensity))
        np.testing.assert_allclose(result.intensity, in_torch(network, scan), atol=1e-4 * spread)
    with open_session(folder, "cpu", threads=1) as session:
        assert session.manifest.training["parameters"] == sum(weight.numel() for weight in network.parameters())


def test_the_exported_graph_has_its_weights_as_numbers(made):
    import onnx

    folder, network = made(NAMES[0])
    graph = onnx.load(folder / Manifest.read(folder).onnx).graph
    operators = {node.op_type for node in graph.node}
    assert operators == {"Conv", "ConvTranspose", "LeakyRelu", "Add", "AveragePool", "Slice"}
    kernels = [value for value in graph.initializer if len(value.dims) == 4]
    assert len(kernels) == 27 + 14  # the inner and the outer generator's; the trainer is left behind
    assert any(hasattr(part, "parametrizations") for part in network.modules())  # the network itself is as it was


def test_a_scan_unlike_the_training_is_refused_or_left_to_a_classical_method(made):
    folder, _ = made(NAMES[0])
    image = micrographs.draw(np.random.default_rng(5), (96, 96))
    dense = SparseScan(image, np.random.default_rng(0).random((96, 96)) < 0.4)
    with pytest.raises(ModelUnsuitable, match="coverage"):
        semrt.infer(folder, dense, device="cpu", threads=1, fallback="none")
    classical = semrt.infer(folder, dense, device="cpu", threads=1, fallback="classical")
    np.testing.assert_array_equal(classical.intensity, semrt.infer("wiener", dense, threads=1).intensity)


def test_the_commands_train_a_recipe_and_run_its_model_on_a_file(made, tmp_path):
    out = tmp_path / "run"
    recipe = small(NAMES[1])
    list(SamplePool(out / "pool", 8).fill(recipe.sample_maker(), 8))
    settings = [f"--set={name}={value}" for name, value in {**SMALL, "clipping": "no", "sees": "scan"}.items()]
    done = CliRunner().invoke(
        train_command,
        [NAMES[1], "--out", str(out), "--workers=0", "--threads=1", "--max-steps=2", *settings],
        catch_exceptions=False,
    )
    assert "held out: score" in done.output
    config = RunFolder(out).read_config()
    assert (config["recipe"]["clipping"], config["recipe"]["sees"]) == (False, "scan")
    folder, network = made(NAMES[0])
    scan = spiral_scan()
    io.write(tmp_path / "scan.npz", scan)
    ran = semrt_command("infer", folder, tmp_path / "scan.npz", "-o", tmp_path / "out", "--threads", "1")
    assert ran.exit_code == 0, ran.stderr
    (written,) = (tmp_path / "out").glob("*.npz")
    np.testing.assert_allclose(io.read(written).intensity, in_torch(network, scan), rtol=1e-4, atol=0.05)
