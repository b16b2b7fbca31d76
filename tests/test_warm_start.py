"""A new network that begins with the weights of a model that is there."""

import json

import numpy as np
import pytest
import torch

from semrt.errors import InvalidOption, SemrtError
from semrt.models import Manifest, find
from semrt_export.cli import train as train_command
from semrt_export.networks.infill_net import InfillNet
from semrt_export.networks.realistic_infill_net import RealisticInfillNet
from semrt_export.recipes.infill import InfillRecipe
from semrt_export.to_onnx import to_onnx
from semrt_export.warm_start import begin_with

WIDTHS = (8, 8, 12, 12)


def exported(network, channels=9):
    return to_onnx(network, channels=channels, multiple=network.multiple).SerializeToString()


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(1)
    network = InfillNet(widths=WIDTHS)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return network.eval()


def test_a_network_of_the_same_shape_gives_the_same_answers(trained):
    network = InfillNet(widths=WIDTHS)
    copied = begin_with(network, exported(trained))
    assert copied == sum(weight.numel() for weight in network.parameters())
    channels = torch.randn(1, 9, 64, 96, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(channels), trained(channels))


def test_channels_that_are_new_count_for_nothing_at_first(trained):
    network = InfillNet(constants=5, widths=WIDTHS)
    begin_with(network, exported(trained))
    channels = torch.randn(1, 11, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(channels), trained(channels[:, :9]))


def test_layers_of_another_width_take_what_they_have_in_common(trained):
    network = InfillNet(widths=(6, 8, 16, 12))
    assert 0 < begin_with(network, exported(trained)) < sum(weight.numel() for weight in network.parameters())
    assert torch.equal(network.stem.weight, trained.stem.weight[:6])
    assert torch.equal(network.encoder[2].first.weight[:12, :12], trained.encoder[2].first.weight)
    assert not network.encoder[2].first.weight[:12, 12:].any()
    assert network.encoder[2].first.weight[12:].any()


def test_the_realistic_network_begins_as_infill_with_white_noise_of_the_samples_level(trained):
    network = RealisticInfillNet(widths=WIDTHS)
    begin_with(network, exported(trained))
    torch.nn.init.zeros_(network.texture.weight)
    channels = torch.randn(1, 10, 64, 64, generator=torch.Generator().manual_seed(0))
    (image, error), (smooth, error_before) = network(channels).unbind(1), trained(channels[:, :9]).unbind(1)
    torch.testing.assert_close(image, smooth + channels[:, 6] * channels[:, 9])  # noise times the random map
    torch.testing.assert_close(error, error_before)


def test_a_model_of_other_layers_is_refused():
    with pytest.raises(SemrtError, match="recipe"):
        begin_with(torch.nn.Linear(3, 3), exported(InfillNet(widths=WIDTHS)))


@pytest.mark.slow
def test_a_run_that_began_with_a_shipped_model_says_so_and_is_not_resumed_with_another(tmp_path, monkeypatch):
    options = [
        "--set",
        "side=64",
        "--set",
        "held_out_side=64",
        "--set",
        "held_out_draws=1",
        "--set",
        "pool_size=70",
        "--set",
        "widths=8,8,8,8",
    ]
    common = ["infill", "--out", str(tmp_path / "run"), "--max-steps", "2", "--threads", "1"]
    train_command.main([*common, *options, "--start-from", "infill"], standalone_mode=False)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    manifest = Manifest.read(find("infill"))
    assert config["started_from"] == {"name": "infill", "version": manifest.version, "sha256": manifest.sha256}
    train_command.main([*common[:-4], "--max-steps", "3", "--resume"], standalone_mode=False)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["started_from"] == config["started_from"]
    began = InfillRecipe(widths=(8, 8, 8, 8)).network()
    begin_with(began, manifest.load(find("infill")))
    moved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["network"]
    shift = np.mean([(moved[name] - weight).abs().mean().item() for name, weight in began.named_parameters()])
    assert 0 < shift < 1e-3  # three steps away
    with pytest.raises(InvalidOption, match="--start-from"):
        train_command.main([*common, "--resume", "--start-from", "infill"], standalone_mode=False)
