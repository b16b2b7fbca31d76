"""Exported models: the graph gives what the network gives, and the folder says the truth about it."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from semrt.backends import open_session
from semrt.errors import InputNotFound, InvalidOption, SemrtError
from semrt.models import Manifest
from semrt_export import recipes
from semrt_export.cli import export as export_command
from semrt_export.data.pool import SamplePool
from semrt_export.evaluate import onnx_run
from semrt_export.half_precision import dtype_shares, half_precision
from semrt_export.networks.infill_net import InfillNet
from semrt_export.publish import publish
from semrt_export.run_folder import RunFolder, load
from semrt_export.schedule import Budget
from semrt_export.to_onnx import relative_errors, strip, to_onnx, verify
from semrt_export.train import train
from toy_recipe import ToyNet, ToyRecipe


def quiet(_line):
    pass


@pytest.fixture(scope="module")
def network():
    """Narrow, and with weights as large as those of a trained network."""
    torch.manual_seed(1)
    network = InfillNet(widths=(8, 8, 8, 8)).eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return network


@pytest.fixture(scope="module")
def graph(network):
    return to_onnx(network, channels=network.in_channels, multiple=32)


def run_torch(network):
    def run(channels):
        with torch.inference_mode():
            return network(torch.from_numpy(channels)).numpy()

    return run


def channels(n, rows, columns, count=9):
    return np.random.default_rng(0).standard_normal((n, count, rows, columns), np.float32)


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 96, 160), (3, 32, 224), (2, 64, 64)])
def test_the_graph_gives_what_the_network_gives_at_any_size_it_was_not_traced_at(network, graph, shape):
    run = onnx_run(graph.SerializeToString(), threads=1)
    errors = verify(run_torch(network), run, [channels(*shape)])
    assert errors["relative_rms"] < 1e-5
    assert errors["relative_max"] < 1e-4


def test_the_graph_computes_no_shapes(graph):
    operators = {node.op_type for node in graph.graph.node}
    expected = {
        "Conv",
        "Relu",
        "Add",
        "Mul",
        "Concat",
        "Slice",
        "SpaceToDepth",
        "DepthToSpace",
        "Gather",
        "Split",
        "Clip",
        "Exp",
    }
    assert operators <= expected  # what every backend runs fast


def test_axes_that_are_free_have_names(graph):
    (shape_in,), (shape_out,) = (
        [[axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in values]
        for values in (graph.graph.input, graph.graph.output)
    )
    assert shape_in == ["batch", 9, "height", "width"]
    assert shape_out == ["batch", 2, "height", "width"]


def test_the_graph_is_one_file_and_tells_nothing_of_the_machine_that_made_it(graph):
    assert all(weight.data_location != onnx.TensorProto.EXTERNAL for weight in graph.graph.initializer)
    content = graph.SerializeToString()
    for trace in (b"infill_net.py", b"stack_trace", b"pkg.torch"):
        assert trace not in content


def test_half_precision_stays_near_and_leaves_the_first_guess_exact(network, graph):
    halved = half_precision(graph)
    run = onnx_run(halved.SerializeToString(), threads=1)
    full = onnx_run(graph.SerializeToString(), threads=1)
    assert dtype_shares(halved)["float16"] > 0.99
    assert len(halved.SerializeToString()) < 0.65 * len(graph.SerializeToString())
    assert run(channels(1, 32, 32)).dtype == np.float32
    assert verify(full, run, [channels(1, 96, 32)], limit=1e-2)["relative_rms"] > 0
    fine = channels(1, 32, 32)
    fine[:, 3] = -network.error_floor  # the correction is multiplied by zero: what remains is the first guess
    fine[:, 2] += 1000
    assert np.array_equal(run(fine)[:, 0], fine[:, 2])


def test_both_ends_of_the_half_precision_graph_are_float32_even_where_the_last_node_is_a_convolution(graph):
    bare = torch.nn.Sequential(torch.nn.Conv2d(9, 4, 3, padding=1)).eval()
    bare_graph = to_onnx(bare, channels=9, multiple=2)
    for original in (graph, bare_graph):
        halved = half_precision(original)
        ends = (*halved.graph.input, *halved.graph.output)
        assert {value.type.tensor_type.elem_type for value in ends} == {onnx.TensorProto.FLOAT}
        assert [value.name for value in ends] == ["channels", "estimate"]
    run = onnx_run(half_precision(bare_graph).SerializeToString(), threads=1)
    verify(run_torch(bare), run, [channels(2, 6, 10)], limit=1e-2)


def test_every_node_of_the_half_precision_graph_follows_those_it_needs(graph):
    halved = half_precision(graph)
    known = {"", *(value.name for value in (*halved.graph.input, *halved.graph.initializer))}
    for node in halved.graph.node:
        assert known.issuperset(node.input)
        known.update(node.output)
    assert len({node.name for node in halved.graph.node}) == len(halved.graph.node)


def test_a_graph_that_differs_from_its_network_is_refused(network, graph):
    spoiled = onnx.ModelProto.FromString(graph.SerializeToString())
    (weight,) = [weight for weight in spoiled.graph.initializer if weight.name == "head.weight"]
    weight.CopyFrom(onnx.numpy_helper.from_array(1.01 * onnx.numpy_helper.to_array(weight), weight.name))
    run = onnx_run(spoiled.SerializeToString(), threads=1)
    with pytest.raises(SemrtError, match=r"within 0\.0001"):
        verify(run_torch(network), run, [channels(1, 64, 64)])


def test_results_that_are_no_numbers_are_refused():
    with pytest.raises(SemrtError, match="nan"):
        verify(lambda batch: batch, lambda batch: batch * np.nan, [channels(1, 4, 4)])


def test_relative_errors_are_relative_to_the_reference():
    reference = np.full((1, 1, 2, 2), 2.0, np.float32)
    result = reference + np.float32([[[[0.2, 0], [0, 0]]]])
    assert relative_errors(result, reference) == pytest.approx({"relative_rms": 0.05, "relative_max": 0.1})
    with pytest.raises(SemrtError, match="shape"):
        relative_errors(result[0], reference)


def test_pixel_unshuffle_keeps_the_order_of_channels_of_torch():
    toy = ToyNet().eval()
    torch.nn.init.normal_(toy.convolution.weight)
    run = onnx_run(to_onnx(toy, channels=1, multiple=2).SerializeToString(), threads=1)
    verify(run_torch(toy), run, [channels(1, 6, 10, 1), channels(3, 2, 2, 1)])


def test_stripping_keeps_what_runs(graph):
    noted = onnx.ModelProto.FromString(graph.SerializeToString())
    noted.graph.node[0].doc_string = "a note"
    entry = noted.graph.node[0].metadata_props.add()
    entry.key, entry.value = "stack_trace", "somewhere"
    strip(noted)
    assert noted == graph


# From a run to a model folder


@pytest.fixture
def toy_run(tmp_path, monkeypatch):
    """A trained toy, and its recipe in the registry."""
    monkeypatch.setitem(recipes.RECIPES, "toy", "toy_recipe:ToyRecipe")
    return toy_trained(tmp_path / "run", ToyRecipe(), 60)


def toy_trained(folder, recipe, steps):
    list(SamplePool(folder / "pool", recipe.pool_size).fill(recipe.sample_maker(), recipe.pool_size))
    train(recipe, folder, budget=Budget(steps=steps), workers=0, report=quiet)
    return folder


def test_a_published_model_runs_in_semrt_and_gives_what_its_network_gives(toy_run, tmp_path):
    manifest = publish(toy_run, tmp_path / "model", report=quiet)
    assert Manifest.read(tmp_path / "model") == manifest
    manifest.verify(tmp_path / "model")
    toy = ToyNet().eval()
    toy.load_state_dict(load(RunFolder(toy_run).best)["network"])
    blurred = channels(1, 16, 16, 1)
    with open_session(tmp_path / "model", "cpu", threads=1) as session:
        np.testing.assert_allclose(session.run(blurred), run_torch(toy)(blurred), rtol=1e-4, atol=1e-5)


def test_the_manifest_says_how_the_model_was_made_and_what_it_does(toy_run, tmp_path):
    manifest = publish(toy_run, tmp_path / "model", version="2.1", report=quiet)
    assert (manifest.name, manifest.version, manifest.multiple, manifest.halo) == ("toy", "2.1", 2, 4)
    assert manifest.figures["score"] > 0
    assert manifest.figures["onnx_to_torch"]["relative_rms"] < 1e-4
    assert 0 < manifest.variants["fp16"]["relative_rms"] < 1e-2
    assert manifest.training["steps"] == 60
    assert manifest.training["seed"] == 0
    assert str(tmp_path) not in json.dumps(manifest.training)
    card = (tmp_path / "model" / "CARD.md").read_text(encoding="utf-8")
    assert "# toy 2.1" in card
    assert "no real micrograph was seen" in card
    assert "60 steps" in card
    assert [row["steps"] for row in manifest.training["curve"]][-1] == 60


def test_a_model_that_gains_nothing_is_not_published(tmp_path, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "toy", "toy_recipe:ToyRecipe")
    spoiled = toy_trained(tmp_path / "run", ToyRecipe(loss_factor=-1.0), 20)
    with pytest.raises(SemrtError, match="no gain"):
        publish(spoiled, tmp_path / "model", report=quiet)
    assert not (tmp_path / "model").exists()


def test_a_better_model_is_replaced_only_when_forced(toy_run, tmp_path, monkeypatch):
    better = publish(toy_run, tmp_path / "model", report=quiet)
    worse = toy_trained(tmp_path / "worse", ToyRecipe(), 8)
    with pytest.raises(SemrtError, match="is better"):
        publish(worse, tmp_path / "model", report=quiet)
    assert Manifest.read(tmp_path / "model") == better
    replaced = publish(worse, tmp_path / "model", force=True, report=quiet)
    assert Manifest.read(tmp_path / "model") == replaced
    assert publish(toy_run, tmp_path / "model", report=quiet).sha256 == better.sha256  # a worse one gives way


def test_a_damaged_model_gives_way_to_any_other(toy_run, tmp_path):
    publish(toy_run, tmp_path / "model", report=quiet)
    (tmp_path / "model" / "toy.onnx").write_bytes(b"torn")
    publish(toy_run, tmp_path / "model", report=quiet).verify(tmp_path / "model")


def test_real_training_images_are_credited(tmp_path, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "toy", "toy_recipe:ToyRecipe")
    run = toy_trained(tmp_path / "run", replace(ToyRecipe(), images=("sphere-1.png",)), 20)
    with pytest.raises(InvalidOption, match="--images-credit"):
        publish(run, tmp_path / "model", report=quiet)
    manifest = publish(run, tmp_path / "model", images_credit="Spheres by A. Nobody, MIT licence.", report=quiet)
    assert manifest.training["images"] == ["sphere-1.png"]
    assert "sphere-1.png. Spheres by A. Nobody" in (tmp_path / "model" / "CARD.md").read_text(encoding="utf-8")


def test_the_command_exports_a_run_and_refuses_a_folder_without_one(toy_run, tmp_path):
    missing = CliRunner().invoke(export_command, ["infill", "--run", str(tmp_path / "no"), "-o", str(tmp_path / "m")])
    assert isinstance(missing.exception, InputNotFound)
    other = CliRunner().invoke(export_command, ["infill", "--run", str(toy_run), "-o", str(tmp_path / "m")])
    assert isinstance(other.exception, InvalidOption)
    assert "toy" in str(other.exception)


@pytest.mark.slow
def test_infill_is_exported_by_the_command(tmp_path, monkeypatch):
    """On pictures that it learned by heart, so that a few steps pass the acceptance."""
    from semrt_export.data.sparse_scans import HeldOutScan
    from semrt_export.recipes.infill import InfillRecipe
    from semrt_export.schedule import Schedule

    recipe = InfillRecipe(
        side=64, widths=(16, 16, 16, 16), pool_size=4, schedule=Schedule(batch=4, learning_rate=4e-3, warm_up=5)
    )
    samples = [recipe.sample_maker()(index) for index in range(4)]
    by_heart = tuple(HeldOutScan("procedural", "random", "1/20", sample) for sample in samples)
    monkeypatch.setattr(InfillRecipe, "held_out", lambda self: by_heart)
    toy_trained(tmp_path / "run", recipe, 120)
    arguments = ["infill", "--run", str(tmp_path / "run"), "-o", str(tmp_path / "infill"), "--threads", "1"]
    done = CliRunner().invoke(export_command, arguments, catch_exceptions=False)
    assert "held out, by ONNX Runtime" in done.output
    manifest = Manifest.read(tmp_path / "infill")
    assert manifest.halo == InfillNet().receptive_field_radius()
    assert set(manifest.domain) == {"coverage", "largest_gap", "patterns", "familiar"}
