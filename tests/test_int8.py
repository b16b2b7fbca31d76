"""Networks in whole numbers: what they cost, which convolutions stay out, and what carries them."""

import json
import shutil

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper, numpy_helper

from command import fails, run
from semrt import engine
from semrt.backends.gate import LIMITS, Lost
from semrt.errors import InvalidOption, ModelUnsuitable, OutputNotWritable, SemrtError
from semrt.models import Manifest
from semrt_export import int8_variant as variants
from semrt_export import recipes
from semrt_export.cli import quantise as quantise_command
from semrt_export.data.pool import Sample, SamplePool
from semrt_export.eight_bits import convolutions, eight_bits, tensor_ranges, weight_shares
from semrt_export.evaluate import onnx_run
from semrt_export.int8_variant import int8_variant
from semrt_export.publish import publish
from semrt_export.quantise import quantise
from semrt_export.schedule import Budget
from semrt_export.train import train
from semrt_export.unseen import reference_of
from standin_toolchain import CARD
from tiny_models import graph
from toy_recipe import ToyRecipe


def quiet(line):
    pass


def two_convolutions(gains=(1.0, 1.0)):
    """The mean of 3 x 3 px twice, with a Relu between: the second one multiplies by the second gain."""
    box = np.full((1, 1, 3, 3), 1 / 9, np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "a", "b"], ["p"], name="first", pads=[1] * 4),
        helper.make_node("Relu", ["p"], ["q"], name="bend"),
        helper.make_node("Conv", ["q", "c", "d"], ["y"], name="second", pads=[1] * 4),
    ]
    zero = np.zeros(1, np.float32)
    return onnx.load_from_string(
        graph(nodes, {"a": gains[0] * box, "b": zero, "c": gains[1] * box, "d": zero}, channels=1)
    )


def tiles(n=4, side=32, seed=0):
    return [np.random.default_rng((seed, k)).random((1, 1, side, side), np.float32) for k in range(n)]


def relative(one, other):
    return float(np.sqrt(np.mean((one - other) ** 2) / np.mean(other**2)))


def made(**how):
    full = two_convolutions()
    return eight_bits(full, tensor_ranges(full, tiles())["extremes"][how.get("signed", False)], **how)


def test_ranges_are_what_the_tensors_hold_and_zero():
    extremes, widest = tensor_ranges(two_convolutions(), [np.full((1, 1, 8, 8), 2.0, np.float32)])["extremes"]
    # A constant of 2 stays 2 within the image, and is 4/9 of it at the corners, whose mean has 4 of 9 px.
    assert extremes["x"] == (0, 2)
    assert extremes["p"] == pytest.approx((0, 2))
    assert extremes["y"] == pytest.approx((0, 2))
    assert widest["x"] == (-2, 2)


def test_the_range_of_least_error_gives_rare_values_up():
    values = np.random.default_rng(0).laplace(size=(10, 1, 1, 90, 90)).astype(np.float32)  # e^-|x|/2
    found = tensor_ranges(two_convolutions(), values)

    def error(low, high):
        step = (high - low) / 255
        clipped = np.clip(np.rint(values / step), np.rint(low / step), np.rint(high / step))
        return np.mean((clipped * step - values) ** 2)

    extremes, least = (found[name][0]["x"] for name in ("extremes", "least error"))
    assert extremes == (values.min(), values.max())
    assert least[1] < extremes[1]
    assert error(*least) < error(*extremes)


@pytest.mark.parametrize("signed", [False, True])
def test_whole_numbers_are_as_near_as_256_steps_allow(signed):
    full, small = two_convolutions(), made(signed=signed)
    (image,) = tiles(1, seed=1)
    error = relative(onnx_run(small.SerializeToString())(image), onnx_run(full.SerializeToString())(image))
    # Three tensors in steps of 1/255 (signed: 1/127) of about twice their mean: 3 roundings of at most half a step.
    assert 0 < error < 3 * (1 / 127 if signed else 1 / 255)


def test_weights_are_int8_channel_by_channel_and_what_is_left_out_stays_float():
    assert convolutions(two_convolutions()) == ["first", "second"]
    # Nine weights and a bias each.
    assert weight_shares(made()) == {"int32": 0.1, "int8": 0.9}
    assert weight_shares(made(left_out=["second"])) == {"float32": 0.5, "int32": 0.05, "int8": 0.45}
    assert weight_shares(two_convolutions()) == {"float32": 1.0}
    kept = {weight.name: numpy_helper.to_array(weight) for weight in made(left_out=["second"]).graph.initializer}
    assert kept["c"].dtype == np.float32
    assert np.ndim(kept["a_scale"]) == 1


def test_for_processors_weights_have_seven_bits_so_that_two_products_fit_into_sixteen():
    levels = {weight.name: numpy_helper.to_array(weight) for weight in made().graph.initializer}
    # 2 * 255 * 64 = 32640 < 2**15
    assert max(int(np.abs(values.astype(int)).max()) for values in levels.values() if values.ndim == 4) == 64
    levels = {weight.name: numpy_helper.to_array(weight) for weight in made(signed=True).graph.initializer}
    assert max(int(np.abs(values.astype(int)).max()) for values in levels.values() if values.ndim == 4) == 127


def test_for_tensorrt_every_zero_is_zero_and_biases_stay_float():
    small = made(signed=True)
    types = {weight.name: numpy_helper.to_array(weight) for weight in small.graph.initializer}
    zeros = [node.input[2] for node in small.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert zeros
    assert all(types[name].dtype == np.int8 and not types[name].any() for name in zeros)
    assert weight_shares(small) == {"float32": 0.1, "int8": 0.9}


# The search


class Boxes(ToyRecipe):
    """Any graph, with noise for samples."""

    def sample_maker(self):
        return noise


def noise(index):
    sharp = np.random.default_rng(index).random((1, 16, 16), np.float32)
    return Sample(sharp, sharp)


def search(full, **how):
    full = full.SerializeToString()
    reference = reference_of(Boxes(), onnx_run(full), 2)
    return int8_variant(Boxes(), full, 2, reference, report=quiet, samples=4, **how)


def test_a_graph_that_is_near_enough_is_int8_throughout_and_says_how_it_was_made():
    entry = search(two_convolutions()).entry
    assert entry["relative_rms"] < LIMITS["int8"]
    assert entry["dtypes"] == {"int32": 0.1, "int8": 0.9}
    told = entry["calibration"]
    assert (told["samples"], told["activations"], told["left_in_float32"]) == (4, "uint8", [])
    assert told["method"] in ("extremes", "least error")


def spoiling(full, name):
    """The graph with a channel beside that widens the range of what `name` gives, so that its steps become coarse."""
    spoiled = onnx.ModelProto.FromString(full.SerializeToString())
    (node,) = (node for node in spoiled.graph.node if node.name == name)
    bias = next(weight for weight in spoiled.graph.initializer if weight.name == node.input[2])
    bias.CopyFrom(numpy_helper.from_array(np.full(1, 300, np.float32), bias.name))
    back = helper.make_node("Add", ["wide", "less"], ["y"], name="back")
    spoiled.graph.initializer.append(numpy_helper.from_array(np.full(1, -300, np.float32), "less"))
    node.output[0] = "wide"
    spoiled.graph.node.append(back)
    return spoiled


def test_the_convolution_that_costs_most_is_left_in_float():
    # The last one gives values about 300, of which 1/255 is a step, and 300 are taken off again.
    variant = search(spoiling(two_convolutions(), "second"))
    assert variant.entry["calibration"]["left_in_float32"] == ["second"]
    assert variant.entry["relative_rms"] < LIMITS["int8"]


def test_what_is_wrong_for_the_task_alone_is_left_out_or_refused(monkeypatch):
    """A task to which any rounding at all is a loss."""

    class Strict:
        @staticmethod
        def lost(estimate, reference):
            return Lost(float(np.abs(estimate - reference.estimate).max()), 1e-7, "any difference")

    monkeypatch.setitem(variants.TASKS, "toy", "")
    monkeypatch.setattr(variants, "find_task", lambda name: Strict)
    with pytest.raises(SemrtError, match=r"too far from the graph with half of its convolutions in float32.*any diff"):
        search(two_convolutions())


# Commands


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "toy", "toy_recipe:ToyRecipe")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A model folder with an int8 variant, by `semrt export --int8`."""
    run, folder = (tmp_path_factory.mktemp("toy") / name for name in ("run", "model"))
    list(SamplePool(run / "pool", 12).fill(ToyRecipe().sample_maker(), 12))
    train(ToyRecipe(), run, budget=Budget(steps=60), workers=0, report=quiet)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(recipes.RECIPES, "toy", "toy_recipe:ToyRecipe")
        publish(run, folder, int8=True, report=quiet)
    return folder


def changed(published, folder, **entries):
    """A copy of the model without its int8 variant, of which the manifest says other things."""
    shutil.copytree(published, folder)
    (folder / "toy.int8.onnx").unlink()
    told = json.loads((folder / "semrt.json").read_text(encoding="utf-8"))
    del told["variants"]["int8"]
    (folder / "semrt.json").write_text(json.dumps(told | entries), encoding="utf-8")
    return folder


def test_export_writes_a_variant_that_runs_wherever_fp16_does(published):
    manifest = Manifest.read(published)
    assert list(manifest.variants) == ["fp16", "int8"]
    assert manifest.variants["int8"]["onnx"] == "toy.int8.onnx"
    manifest.verify(published)
    with engine.open_session(published, "cpu", precision="int8") as session:
        assert session.precision == "int8"
        assert "relative RMS" in session.reason
        assert f"at most {LIMITS['int8']:g}" in session.reason
        assert session.sha256 == manifest.variants["int8"]["sha256"]
    card = (published / "CARD.md").read_text(encoding="utf-8")
    assert "* int8: relative RMS" in card
    assert "of 7 bits; activations uint8, ranges by" in card


def test_a_model_that_is_there_gets_the_variant_and_keeps_all_else(published, tmp_path, known):
    source = changed(published, tmp_path / "model")
    before = Manifest.read(source)
    after = quantise(source, tmp_path / "other", report=quiet)
    assert list(after.variants) == ["fp16", "int8"]
    assert Manifest.read(source) == before  # untouched
    assert after == Manifest.read(published)  # what export writes, to the last bit
    again = quantise(tmp_path / "other", tmp_path / "other", report=quiet)  # in place
    assert again == after
    again.verify(tmp_path / "other")


def test_a_folder_that_cannot_be_written_is_told(published, tmp_path, known):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputNotWritable, match=r"file.*cannot be written"):
        quantise(published, tmp_path / "file", report=quiet)


def test_the_command_says_how_fast_it_is_and_how_it_was_made(published, tmp_path, known):
    arguments = [str(published), "-o", str(tmp_path / "other"), "--signed", "--samples", "4"]
    done = CliRunner().invoke(quantise_command, arguments)
    assert done.exit_code == 0, done.output
    assert "times as fast as fp32 on this processor" in done.output
    told = Manifest.read(tmp_path / "other").variants["int8"]["calibration"]
    assert (told["activations"], told["weight_bits"], told["samples"]) == ("int8", 8, 4)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"name": "strange"}, "strange: made by no recipe here"),
        ({"reference": {}}, "toy: has no test tensors to compare int8 with; export it again"),
        ({"training": {"recipe": {"colour": 1}}}, "toy: made by another version of its recipe"),
        ({"input_channels": ["sharp"]}, "toy: made by another version of its recipe"),
    ],
)
def test_models_that_cannot_be_calibrated_are_refused_and_nothing_is_written(published, tmp_path, known, entries, why):
    with pytest.raises(ModelUnsuitable, match=why):
        quantise(changed(published, tmp_path / "model", **entries), tmp_path / "other", report=quiet)
    assert not (tmp_path / "other").exists()


def test_a_model_without_the_variant_says_what_it_has_and_how_to_make_one(tmp_path):
    with pytest.raises(InvalidOption, match=r"columns: has no precision 'int8', but fp32, fp16; `semrt quantise col"):
        engine.open_session("columns", "cpu", precision="int8")
    image = tmp_path / "image.npy"
    np.save(image, np.zeros((32, 32), np.float32))
    assert fails(run("infer", "columns", image, "--precision", "int8", "-o", tmp_path), 2, "has no precision 'int8'")


def test_what_is_for_processors_is_not_given_to_tensorrt(published):
    with pytest.raises(ModelUnsuitable, match=r"int8 is for processors, not for TensorRT; run: semrt quantise .*--sig"):
        engine.build_engine(published, Manifest.read(published), CARD, precision="int8")
